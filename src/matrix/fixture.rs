//! Fixtures: small programs with a planted defect, or correct ones, each described by a manifest.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

use serde::Deserialize;

use crate::scenario::{Model, Role};
use crate::stage::Launch;
use crate::subject::{CommandError, split};

/// What a manifest says.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    title: String,
    server: Option<PathBuf>,
    client: Option<PathBuf>,
    compiler: Option<String>,
    interpreter: Option<String>,
    model: Option<Model>,
    defect: Option<String>,
    shows_as: Option<String>,
    #[serde(default)]
    fails: Vec<String>,
    #[serde(default)]
    may_fail: Vec<String>,
    launch: Option<Launch>,
    #[serde(default)]
    os: Vec<String>,
}

/// A fixture.
#[derive(Debug, Clone)]
pub struct Fixture {
    /// The manifest's name without its ending.
    pub id: String,
    /// What the program does, in a sentence.
    pub title: String,
    /// The program's role.
    pub role: Role,
    /// Its source.
    pub source: PathBuf,
    /// The command that compiles it, with [`SOURCE`] and [`PROGRAM`]; `None`: C is compiled, and what has an
    /// interpreter is not.
    pub compiler: Option<String>,
    /// The interpreter of its language, with [`PROGRAM`] where it is given what was compiled.
    pub interpreter: Option<String>,
    /// How it handles clients.
    pub model: Option<Model>,
    /// The planted defect; `None`: it is correct.
    pub defect: Option<String>,
    /// The defect that its failures name, where that is another one: what can be observed does not tell them apart.
    pub shows_as: Option<String>,
    /// The scenarios that must fail on it: ids or globs.
    pub fails: Vec<glob::Pattern>,
    /// The scenarios whose verdict depends on the scheduler, because the program's mistake does.
    pub may_fail: Vec<glob::Pattern>,
    /// How the server is started.
    pub launch: Launch,
    os: Vec<String>,
}

/// Why a fixture cannot be read or built.
#[derive(Debug, thiserror::Error)]
pub enum FixtureError {
    /// A file cannot be read or written.
    #[error("{path}: {source}", path = .0.display(), source = .1)]
    Io(PathBuf, io::Error),
    /// The manifest is invalid.
    #[error("{path}: {reason}", path = .0.display(), reason = .1)]
    Manifest(PathBuf, String),
    /// The program that compiles or interprets it cannot be executed.
    #[error("{path} cannot be run: {source}", path = .0.display(), source = .1)]
    Program(PathBuf, CommandError),
    /// The compiler rejects it.
    #[error("{path} does not compile:\n{output}", path = .0.display(), output = .1)]
    Compile(PathBuf, String),
}

/// Why a fixture cannot be run on this machine: no fault of anybody's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable(pub String);

impl Fixture {
    /// All fixtures below these folders, or of these manifests, by id.
    pub fn load(paths: &[PathBuf]) -> Result<Vec<Fixture>, FixtureError> {
        let mut manifests = Vec::new();
        for path in paths {
            collect(path, &mut manifests).map_err(|error| FixtureError::Io(path.clone(), error))?;
        }
        manifests.sort();
        manifests.iter().map(|path| Fixture::read(path)).collect()
    }

    fn read(path: &Path) -> Result<Fixture, FixtureError> {
        let text = fs::read_to_string(path).map_err(|error| FixtureError::Io(path.to_owned(), error))?;
        let invalid = |reason: String| FixtureError::Manifest(path.to_owned(), reason);
        let manifest: Manifest = toml::from_str(&text).map_err(|error| invalid(error.to_string()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let (role, source) = match (manifest.server, manifest.client) {
            (Some(server), None) => (Role::Server, folder.join(server)),
            (None, Some(client)) => (Role::Client, folder.join(client)),
            _ => return Err(invalid("a fixture has either a `server` or a `client`".into())),
        };
        if manifest.defect.is_none() && !(manifest.fails.is_empty() && manifest.may_fail.is_empty()) {
            return Err(invalid("scenarios are named that fail, and there is no `defect`".into()));
        }
        if manifest.defect.is_some() && manifest.fails.is_empty() {
            return Err(invalid("there is a `defect`, and `fails` names no scenario that always shows it".into()));
        }
        if let Some(compiler) = &manifest.compiler
            && let Some(missing) = [SOURCE, PROGRAM].into_iter().find(|place| !compiler.contains(place))
        {
            return Err(invalid(format!("`compiler` has no {missing}, as in \"c++ -o {PROGRAM} {SOURCE}\"")));
        }
        let patterns = |texts: &[String]| -> Result<Vec<glob::Pattern>, FixtureError> {
            texts.iter().map(|text| glob::Pattern::new(text).map_err(|error| invalid(error.to_string()))).collect()
        };
        Ok(Fixture {
            id: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            title: manifest.title,
            role,
            source,
            compiler: manifest.compiler,
            interpreter: manifest.interpreter,
            model: manifest.model,
            defect: manifest.defect,
            shows_as: manifest.shows_as,
            fails: patterns(&manifest.fails)?,
            may_fail: patterns(&manifest.may_fail)?,
            launch: manifest.launch.unwrap_or(Launch::Listen),
            os: manifest.os,
        })
    }

    /// Whether a scenario must fail on it.
    pub fn must_fail(&self, scenario: &str) -> bool {
        self.fails.iter().any(|pattern| pattern.matches(scenario))
    }

    /// Whether no scenario is said to have to fail on it.
    pub fn declares_nothing(&self) -> bool {
        self.fails.is_empty()
    }

    /// Whether a scenario may fail on it or not, as the scheduler has it.
    pub fn may_fail(&self, scenario: &str) -> bool {
        !self.must_fail(scenario) && self.may_fail.iter().any(|pattern| pattern.matches(scenario))
    }

    /// The command that runs it; compiles it first unless `cache` has it already.
    pub fn command(&self, cache: &Path) -> Result<Result<Vec<String>, Unavailable>, FixtureError> {
        if !self.os.is_empty() && !self.os.iter().any(|os| os == std::env::consts::OS) {
            return Ok(Err(Unavailable(format!("it is for {} only", self.os.join(", ")))));
        }
        let arguments: &[&str] = match (self.role, self.launch) {
            (Role::Server, Launch::Listen) => &["{port}"],
            (Role::Server, Launch::Inetd) => &["{fd}"],
            (Role::Client, _) => &["{host}", "{port}"],
        };
        let compiler = match (&self.compiler, &self.interpreter) {
            (Some(compiler), _) => Some(compiler.as_str()),
            (None, None) => Some(C_COMPILER),
            (None, Some(_)) => None,
        };
        let words = |command: Option<&str>| command.map(split).transpose();
        let (compiler, interpreter) = match (words(compiler), words(self.interpreter.as_deref())) {
            (Ok(compiler), Ok(interpreter)) => (compiler, interpreter),
            (Err(error), _) | (_, Err(error)) => {
                let of_its_own = self.compiler.is_some() || self.interpreter.is_some();
                return match error {
                    // Without the C compiler nothing would be proved.
                    CommandError::NotFound(name) if of_its_own => {
                        Ok(Err(Unavailable(format!("{name} is not installed"))))
                    }
                    error => Err(FixtureError::Program(self.source.clone(), error)),
                };
            }
        };
        let program = match compiler {
            Some(compiler) => self.compile(&compiler, cache)?,
            None => self.source.clone(),
        };
        let program = program.display().to_string();
        let mut words = match interpreter {
            None => vec![program],
            Some(words) if words.iter().any(|word| word.contains(PROGRAM)) => {
                words.iter().map(|word| word.replace(PROGRAM, &program)).collect()
            }
            Some(words) => words.into_iter().chain([program]).collect(),
        };
        words.extend(arguments.iter().map(|word| (*word).to_owned()));
        Ok(Ok(words))
    }

    /// Compiled programs are kept by the content of everything that can go into them.
    fn compile(&self, compiler: &[String], cache: &Path) -> Result<PathBuf, FixtureError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| FixtureError::Io(path, error)
        };
        let folder = self.source.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut hasher = DefaultHasher::new();
        compiler.hash(&mut hasher);
        fs::read(&self.source).map_err(failed(&self.source))?.hash(&mut hasher);
        let mut headers: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed(folder))? {
            let path = entry.map_err(failed(folder))?.path();
            headers.extend(path.extension().is_some_and(|ending| ending == "h").then_some(path));
        }
        headers.sort();
        for header in &headers {
            fs::read(header).map_err(failed(header))?.hash(&mut hasher);
        }
        let program = cache.join(format!("{}-{:016x}", self.id, hasher.finish()));
        if program.exists() {
            return Ok(program);
        }
        fs::create_dir_all(cache).map_err(failed(cache))?;
        // Two runs at a time must not see each other's half-written programs.
        let unfinished = tempfile::Builder::new().prefix(&self.id).tempdir_in(cache).map_err(failed(cache))?;
        let made = unfinished.path().join("program");
        let place = |word: &String| {
            word.replace(SOURCE, &self.source.to_string_lossy()).replace(PROGRAM, &made.to_string_lossy())
        };
        let output = Command::new(&compiler[0])
            .args(compiler[1..].iter().map(place))
            .stdin(Stdio::null())
            .output()
            .map_err(failed(Path::new(&compiler[0])))?;
        if !output.status.success() {
            return Err(FixtureError::Compile(
                self.source.clone(),
                String::from_utf8_lossy(&output.stderr).into_owned(),
            ));
        }
        fs::rename(&made, &program).map_err(failed(&program))?;
        Ok(program)
    }
}

/// Where a compiler's command names the source, and what is made of it.
const SOURCE: &str = "{source}";
const PROGRAM: &str = "{program}";

const C_COMPILER: &str = "cc -std=gnu11 -O1 -Wall -Wno-unused-result -o {program} {source} -pthread";

fn collect(path: &Path, manifests: &mut Vec<PathBuf>) -> io::Result<()> {
    if !fs::metadata(path)?.is_dir() {
        manifests.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let child = entry.path();
        if entry.file_type()?.is_dir() {
            collect(&child, manifests)?;
        } else if child.extension().is_some_and(|ending| ending == "toml") {
            manifests.push(child);
        }
    }
    Ok(())
}
