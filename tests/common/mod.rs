//! What the tests share: the command, small subjects, and the processes that a run leaves or does not leave.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod processes;

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// The command under test.
pub const FORKSPEC: &str = env!("CARGO_BIN_EXE_forkspec");

/// No command here takes so long; one that does is killed, and its test fails.
const LIMIT: Duration = Duration::from_secs(60);

/// Variables that change what the command does, and that a developer may have set.
pub const AMBIENT: [&str; 9] = [
    "NO_COLOR",
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "TERM",
    "FORKSPEC_CACHE",
    "FORKSPEC_SERVER",
    "FORKSPEC_CLIENT",
    "FORKSPEC_PORT",
    "FORKSPEC_SCENARIOS",
];

/// The folder of the package.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The command, in the package's folder, with nothing of the developer's settings.
pub fn forkspec() -> assert_cmd::Command {
    let mut command = assert_cmd::Command::new(FORKSPEC);
    AMBIENT.iter().for_each(|name| {
        command.env_remove(name);
    });
    command.current_dir(root()).timeout(LIMIT);
    command
}

/// Runs the command with these words and returns what it printed.
pub fn output(words: &[&str]) -> Output {
    forkspec().args(words).output().expect("the command can be started")
}

/// The exit status; a command that was killed has none, and no test wants that.
pub fn status(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("killed: {:?}\n{}", output.status, both(output)))
}

/// What a command printed, for messages.
pub fn both(output: &Output) -> String {
    format!("--- stdout\n{}\n--- stderr\n{}", stdout(output), stderr(output))
}

/// Standard output as text.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Standard error as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs the command with a JSON report and returns its exit status and the report.
pub fn report(words: &[&str]) -> (i32, Value) {
    let output = forkspec().args(["run", "--report", "json"]).args(words).output().expect("the command can be started");
    let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}\n{}", both(&output)));
    (status(&output), document)
}

/// The only scenario of a report.
pub fn only(report: &Value) -> &Value {
    let scenarios = report["scenarios"].as_array().expect("a list of scenarios");
    assert_eq!(scenarios.len(), 1, "one scenario was asked for: {report:#}");
    &scenarios[0]
}

/// A string in a report.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("a string, not {value}"))
}

/// The command of a reference program.
pub fn reference(name: &str) -> String {
    format!("{FORKSPEC} reference {name} {{port}}")
}

/// A folder that goes when the test ends.
pub fn folder() -> TempDir {
    tempfile::Builder::new().prefix("forkspec-test-").tempdir().expect("a temporary folder")
}

/// Compiles a C program into a folder.
pub fn compile(folder: &Path, name: &str, source: &str) -> String {
    let (file, program) = (folder.join(format!("{name}.c")), folder.join(name));
    std::fs::write(&file, source).expect("the source can be written");
    let output = std::process::Command::new("cc")
        .args(["-O1", "-Wall", "-Wextra", "-Werror", "-o"])
        .args([&program, &file])
        .output()
        .expect("the tests need a C compiler, cc");
    assert!(output.status.success(), "{name}: {}", stderr(&output));
    path(&program)
}

/// Writes an executable file.
pub fn executable(folder: &Path, name: &str, content: &str) -> String {
    let file = folder.join(name);
    std::fs::write(&file, content).expect("the file can be written");
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("it can be made executable");
    path(&file)
}

/// A path as a word of a command.
pub fn path(path: &Path) -> String {
    path.to_str().expect("no test makes other paths").to_owned()
}

/// Every file below a folder whose name ends so, in order.
pub fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("it can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
