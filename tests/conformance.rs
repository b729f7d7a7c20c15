//! The suite as `cargo test` shows it: one case for each scenario file, found when the tests run.
//!
//! A case is one call of the command. Without more, the reference programs are tested; these variables say otherwise:
//!
//! | variable             | is                                                      |
//! | -------------------- | ------------------------------------------------------- |
//! | `FORKSPEC_SERVER`    | the server's command, as `--server` takes it            |
//! | `FORKSPEC_CLIENT`    | the client's command, as `--client` takes it            |
//! | `FORKSPEC_PORT`      | the port that the server listens on                     |
//! | `FORKSPEC_SCENARIOS` | the folder of scenarios, instead of the standard suite  |

use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use serde_json::Value;
use wait_timeout::ChildExt;

const FORKSPEC: &str = env!("CARGO_BIN_EXE_forkspec");
/// A scenario takes milliseconds.
const LIMIT: Duration = Duration::from_secs(120);
/// The exit status for: no scenario judges a program that was given.
const NOTHING_MATCHED: i32 = 4;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let folder = match std::env::var_os("FORKSPEC_SCENARIOS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios"),
    };
    let mut ids = Vec::new();
    if let Err(error) = walk(&folder, "", &mut ids) {
        eprintln!("{}: {error}", folder.display());
        return ExitCode::FAILURE;
    }
    ids.sort();
    if ids.is_empty() {
        eprintln!("{}: there is no scenario in it", folder.display());
        return ExitCode::FAILURE;
    }
    let trials = ids
        .into_iter()
        .map(|id| {
            let folder = folder.clone();
            Trial::ignorable_test(id.clone(), move || judge(&play(&folder, &id)?, &id))
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The ids of the scenarios below a folder: their paths, without the ending.
fn walk(folder: &Path, chapter: &str, ids: &mut Vec<String>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), &format!("{chapter}{name}/"), ids)?;
        } else if let Some(stem) = name.strip_suffix(".toml") {
            ids.push(format!("{chapter}{stem}"));
        }
    }
    Ok(())
}

/// What one call of the command came to.
struct Play {
    status: ExitStatus,
    /// What a person would have seen.
    shown: String,
    /// The JSON report; null if there is none.
    report: Value,
}

impl Play {
    fn is_on_shared_network(&self) -> bool {
        self.report["environment"]["isolation"] == "none"
    }
}

/// Plays one scenario. Cases run side by side, but where stages have no network of their own, plays must not: the first
/// one that finds this out is thrown away, and from then on each has the machine to itself.
fn play(folder: &Path, id: &str) -> Result<Play, Failed> {
    static TURN: RwLock<()> = RwLock::new(());
    static ALONE: AtomicBool = AtomicBool::new(false);
    if !ALONE.load(Ordering::SeqCst) {
        let _together = TURN.read();
        let play = call(folder, id)?;
        if !play.is_on_shared_network() {
            return Ok(play);
        }
        ALONE.store(true, Ordering::SeqCst);
    }
    let _alone = TURN.write();
    call(folder, id)
}

fn call(folder: &Path, id: &str) -> Result<Play, Failed> {
    let scratch = tempfile::tempdir()?;
    let report = scratch.path().join("report.json");
    // Files rather than pipes: a pipe that nobody reads would stop the command.
    let (mut out, mut error) = (tempfile::tempfile()?, tempfile::tempfile()?);
    let mut command = Command::new(FORKSPEC);
    command.arg("run").arg("--scenarios").arg(folder).args(["--jobs", "1", "--report", "terminal", "--report"]);
    command.arg(format!("json={}", report.display()));
    for (flag, variable) in
        [("--server", "FORKSPEC_SERVER"), ("--client", "FORKSPEC_CLIENT"), ("--port", "FORKSPEC_PORT")]
    {
        if let Some(value) = std::env::var_os(variable) {
            command.arg(flag).arg(value);
        }
    }
    command.arg("--").arg(exactly(id));
    let mut child = command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(error.try_clone()?).spawn()?;
    let Some(status) = child.wait_timeout(LIMIT)? else {
        child.kill()?;
        child.wait()?;
        let shown = contents(&mut out)? + &contents(&mut error)?;
        return Err(format!("not over after {} s, and killed\n{shown}", LIMIT.as_secs()).into());
    };
    let report = std::fs::read(&report).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    Ok(Play { status, shown: contents(&mut out)? + &contents(&mut error)?, report })
}

/// A filter for this scenario alone: a plain id also is the beginning of longer ones, a glob is all of it.
fn exactly(id: &str) -> String {
    let last = id.chars().next_back().unwrap_or_default();
    format!("{}[{last}]", id.strip_suffix(last).unwrap_or(id))
}

fn contents(file: &mut File) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// From the command's verdict to that of `cargo test`.
fn judge(play: &Play, id: &str) -> Result<Completion, Failed> {
    if play.status.code() == Some(NOTHING_MATCHED) {
        return Ok(Completion::ignored_with("it judges a program that was not given"));
    }
    let scenario =
        play.report["scenarios"].as_array().and_then(|list| list.iter().find(|scenario| scenario["id"] == id));
    let Some(scenario) = scenario else {
        return Err(format!("no verdict ({})\n{}", play.status, play.shown).into());
    };
    let string = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (level, reason) = (string(&scenario["level"]), string(&scenario["reason"]));
    match (string(&scenario["verdict"]).as_str(), play.status.code()) {
        ("pass", Some(0)) => Ok(Completion::Completed),
        ("skip", Some(0)) => Ok(Completion::ignored_with(reason)),
        // What does not end a run does not end a build. The reference programs do all that a program should.
        ("fail", Some(0)) if is_given() || level == "may" => Ok(Completion::ignored_with(format!(
            "fails, and is only a `{level}`: {}",
            string(&scenario["failure"]["observed"])
        ))),
        ("fail", _) => Err(format!("\n{}", play.shown).into()),
        ("error", _) => Err(format!("not judged: {reason}").into()),
        (verdict, _) => Err(format!("{verdict}, and yet {}\n{}", play.status, play.shown).into()),
    }
}

fn is_given() -> bool {
    ["FORKSPEC_SERVER", "FORKSPEC_CLIENT"].iter().any(|name| std::env::var_os(name).is_some())
}
