//! Every planted defect is caught and named, and no correct program is accused: one case per fixture.
//!
//! The programs of [`FIRST`] play the whole suite. The others are for FORKSPEC_DETECTION=all, which takes minutes: correct
//! programs play the whole suite then, and defective ones the scenarios that must fail on them.

use std::path::Path;
use std::process::Command;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// The defects that the first scenarios exist for, and correct programs of three other styles.
const FIRST: [&str; 17] = [
    "accept-eintr-fatal",
    "child-keeps-listener",
    "client-exits-nonzero",
    "client-hangs-when-server-gone",
    "client-resets-at-end",
    "descriptor-leak",
    "descriptor-leak-every-tenth",
    "echo-altered",
    "listener-dies-with-handler",
    "never-accepts",
    "never-listens",
    "parent-keeps-connection",
    "waits-once",
    "zombie-children",
    "sigchld-ignored",
    "double-fork",
    "thread-per-client",
];

fn main() {
    let all = std::env::var("FORKSPEC_DETECTION").is_ok_and(|value| value == "all");
    let arguments = Arguments::from_args();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut trials = Vec::new();
    for kind in ["correct", "defects"] {
        let mut manifests: Vec<_> = std::fs::read_dir(root.join(kind))
            .expect("the folder of fixtures")
            .map(|entry| entry.expect("an entry of it").path())
            .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
            .collect();
        manifests.sort();
        assert!(!manifests.is_empty(), "no fixture in {kind}");
        trials.extend(manifests.into_iter().map(|manifest| {
            let name = manifest.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let first = FIRST.contains(&name.as_str());
            let whole = first || kind == "correct";
            let trial = Trial::ignorable_test(format!("{kind}/{name}"), move || detect(&manifest, whole));
            trial.with_ignored_flag(!first && !all)
        }));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn detect(manifest: &Path, whole: bool) -> Result<Completion, Failed> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(env!("CARGO_BIN_EXE_forkspec"))
        .args(["matrix", "--jobs", "2", "--scenarios"])
        .arg(root.join("scenarios"))
        .arg(manifest)
        .args(if whole { [].as_slice() } else { &["--declared"] })
        .env("FORKSPEC_CACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("fixtures"))
        .env("NO_COLOR", "1")
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let first: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).collect();
    if let [head, why] = first.as_slice()
        && head.starts_with("SKIP")
    {
        return Ok(Completion::ignored_with(why.trim().to_owned()));
    }
    if output.status.success() {
        return Ok(Completion::Completed);
    }
    Err(format!("{}\n{}", first.join("\n"), String::from_utf8_lossy(&output.stderr)).into())
}
