//! Sets of scenarios: the standard suite inside the binary, and folders of files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::action::{Level, Scenario, Source};
use super::mistake::{Mistake, Mistakes};
use super::parse::parse;

include!(concat!(env!("OUT_DIR"), "/scenarios.rs"));

/// A set of scenarios, in the order of their ids.
#[derive(Debug, Clone, Default)]
pub struct Suite {
    /// The scenarios.
    pub scenarios: Vec<Scenario>,
}

/// Why a suite could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// A file or folder could not be read.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no scenario file in it.
    #[error("{path}: there is no scenario file (NAME.toml) in it", path = .0.display())]
    Empty(PathBuf),
    /// Two files would have the same id.
    #[error("`{id}` is the id of two files: {first} and {second}")]
    SameId {
        /// The id.
        id: String,
        /// The file that had it first.
        first: String,
        /// The other file.
        second: String,
    },
    /// Files are invalid; nothing is played.
    #[error("{count} of the scenario files {verb} invalid", count = .0.len(), verb = if .0.len() == 1 { "is" } else { "are" })]
    Invalid(Vec<Mistakes>),
}

/// The standard suite.
pub fn standard() -> Result<Suite, SuiteError> {
    let sources = SCENARIOS.iter().map(|(id, text)| {
        let source = Source { path: format!("scenarios/{id}.toml"), text: (*text).to_owned(), embedded: true };
        ((*id).to_owned(), source)
    });
    read_all(sources, Vec::new())
}

impl Suite {
    /// Reads files, and all files below folders. The mistakes of all files are gathered.
    pub fn load(paths: &[PathBuf]) -> Result<Suite, SuiteError> {
        let mut sources = Vec::new();
        let mut unreadable = Vec::new();
        for path in paths {
            let mut files = Vec::new();
            walk(path, &mut files)?;
            if files.is_empty() {
                return Err(SuiteError::Empty(path.clone()));
            }
            let root = if path.is_dir() { path.as_path() } else { path.parent().unwrap_or(Path::new("")) };
            for file in files {
                // What is named itself may be a pipe that somebody writes to; in a folder it would never end.
                let text = if file == *path || !is_special(&file) {
                    read(&file)
                } else {
                    Err(unreadable_because(&"it is not a regular file"))
                };
                let id = file.strip_prefix(root).unwrap_or(&file).with_extension("");
                let id: Vec<_> = id.iter().map(|part| part.to_string_lossy()).collect();
                let path = file.display().to_string();
                match text {
                    Ok(text) => sources.push((id.join("/"), Source { path, text, embedded: false })),
                    Err((text, mistake)) => {
                        let source = Source { path, text, embedded: false };
                        unreadable.push(Mistakes { source, list: vec![mistake] });
                    }
                }
            }
        }
        read_all(sources, unreadable)
    }
}

fn read_all(
    sources: impl IntoIterator<Item = (String, Source)>,
    mut invalid: Vec<Mistakes>,
) -> Result<Suite, SuiteError> {
    let mut scenarios: BTreeMap<String, Scenario> = BTreeMap::new();
    for (id, source) in sources {
        if let Some(other) = scenarios.get(&id) {
            return Err(SuiteError::SameId { id, first: other.source.path.clone(), second: source.path });
        }
        match parse(&id, source) {
            Ok(scenario) => {
                scenarios.insert(id, scenario);
            }
            Err(mistakes) => invalid.push(mistakes),
        }
    }
    if invalid.is_empty() {
        Ok(Suite { scenarios: scenarios.into_values().collect() })
    } else {
        Err(SuiteError::Invalid(invalid))
    }
}

fn is_special(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|data| !data.is_file())
}

fn unreadable_because(why: &dyn std::fmt::Display) -> (String, Mistake) {
    (String::new(), Mistake::new(format!("the file cannot be read: {why}"), 0..0))
}

/// The text of a file; what can be read of it and what is wrong, where it cannot be.
fn read(file: &Path) -> Result<String, (String, Mistake)> {
    let bytes = std::fs::read(file).map_err(|error| unreadable_because(&error))?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
        let mistake = Mistake::new("this is not UTF-8", valid..valid + char::REPLACEMENT_CHARACTER.len_utf8());
        (text, mistake.help("save the file in UTF-8; bytes to send are written as { hex = \"e9\" }"))
    })
}

fn walk(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), SuiteError> {
    let failed = |source| SuiteError::Io { path: path.to_owned(), source };
    if !std::fs::metadata(path).map_err(failed)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let mut entries: Vec<_> = std::fs::read_dir(path).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let child = entry.path();
        // A link to a folder could lead in a circle; a link to a file cannot.
        let folder = entry.file_type().map_err(failed)?.is_dir();
        if folder {
            walk(&child, files)?;
        } else if child.extension().is_some_and(|ending| ending == "toml") {
            files.push(child);
        }
    }
    Ok(())
}

/// Which scenarios of a suite are wanted.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    words: Vec<(String, Option<glob::Pattern>)>,
    levels: Vec<Level>,
}

impl Filter {
    /// Words are ids, beginnings of ids (a chapter is one), or globs; a scenario is wanted if one fits, or if there
    /// are none. Levels likewise.
    pub fn new(words: &[String], levels: &[Level]) -> Result<Filter, glob::PatternError> {
        let words = words
            .iter()
            .map(|word| {
                let word = word.trim_end_matches(".toml").trim_start_matches("scenarios/").to_owned();
                let pattern = if word.contains(['*', '?', '[']) { Some(glob::Pattern::new(&word)?) } else { None };
                Ok((word, pattern))
            })
            .collect::<Result<_, glob::PatternError>>()?;
        Ok(Filter { words, levels: levels.to_vec() })
    }

    /// Whether a scenario is wanted.
    pub fn wants(&self, scenario: &Scenario) -> bool {
        (self.words.is_empty() || self.words.iter().any(|word| fits(word, scenario)))
            && (self.levels.is_empty() || self.levels.contains(&scenario.level))
    }

    /// The first word that no scenario fits: a slip, which must not leave out a chapter in silence.
    pub fn idle_word(&self, scenarios: &[Scenario]) -> Option<&str> {
        let is_idle = |word: &&(String, _)| !scenarios.iter().any(|scenario| fits(word, scenario));
        self.words.iter().find(is_idle).map(|(word, _)| word.as_str())
    }
}

fn fits((word, pattern): &(String, Option<glob::Pattern>), scenario: &Scenario) -> bool {
    match pattern {
        Some(pattern) => pattern.matches(&scenario.id),
        None => scenario.id.starts_with(word.as_str()),
    }
}
