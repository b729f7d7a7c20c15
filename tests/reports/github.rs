//! The report for GitHub, read as the runner of GitHub reads it.

use std::fs;
use std::path::Path;
use std::process::Output;

use rstest::rstest;
use serde_json::Value;

use crate::common::{both, executable, folder, forkspec, path, root, status, stderr, stdout, text};
use crate::runs::hostile;

/// A command that was obeyed.
#[derive(Debug)]
struct Obeyed {
    name: String,
    properties: Vec<(String, String)>,
    message: String,
}

impl Obeyed {
    fn get(&self, key: &str) -> Option<&str> {
        self.properties.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }
}

/// Reads output as GitHub's runner does. It obeys `::name key=value::message` at the beginning of a line, spaces aside,
/// and the older `##[name]message` anywhere in one; after `::stop-commands::TOKEN` nothing but `::TOKEN::`.
fn obeyed(output: &str) -> Vec<Obeyed> {
    let mut obeyed = Vec::new();
    let mut stopped: Option<String> = None;
    for line in output.lines() {
        let new = line.trim_start().strip_prefix("::").and_then(|rest| rest.split_once("::"));
        if let Some(token) = &stopped {
            if new.is_some_and(|(head, _)| head == token) {
                stopped = None;
            }
            continue;
        }
        let old = || line.split_once("##[").and_then(|(_, rest)| rest.split_once(']'));
        let Some((head, message)) = new.or_else(old) else { continue };
        let (name, properties) = head.split_once(' ').unwrap_or((head, ""));
        if name == "stop-commands" {
            stopped = Some(message.to_owned());
            continue;
        }
        let properties = properties.split(',').filter_map(|pair| pair.split_once('='));
        let decoded = |text: &str| {
            [("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")]
                .iter()
                .fold(text.to_owned(), |text, (code, plain)| text.replace(code, plain))
        };
        obeyed.push(Obeyed {
            name: name.to_owned(),
            properties: properties.map(|(key, value)| (key.to_owned(), decoded(value))).collect(),
            message: decoded(message),
        });
    }
    assert_eq!(stopped, None, "commands stay stopped:\n{output}");
    obeyed
}

#[test]
fn the_reader_obeys_what_github_obeys() {
    let names = |output: &str| obeyed(output).into_iter().map(|one| one.name).collect::<Vec<_>>();
    assert_eq!(names("  ::error::x\nwords ##[warning]x\nwords ::error::x\n"), ["error", "warning"]);
    assert_eq!(names("::stop-commands::t\n::error::x\n::t::\n::notice::y"), ["notice"]);
}

/// Calls the command as a step of a workflow would, with a file for the summary, and returns that too.
fn step(words: &[&str], workspace: Option<&Path>) -> (Output, String) {
    let folder = folder();
    let summary = folder.path().join("summary.md");
    fs::write(&summary, "what another command has said\n").expect("it can be written");
    let mut command = forkspec();
    command.args(words).env("GITHUB_STEP_SUMMARY", &summary).env_remove("GITHUB_WORKSPACE");
    command.envs(workspace.map(|workspace| ("GITHUB_WORKSPACE", workspace)));
    let output = command.output().expect("it can be started");
    (output, fs::read_to_string(&summary).expect("it is there"))
}

#[rstest]
#[case::on_standard_output(&["--report", "github"])]
#[case::beside_the_terminals(&["--report", "github=/dev/null"])]
#[case::beside_the_terminals_that_is_asked_for(&["--report", "terminal", "--report", "github=/dev/null"])]
fn a_subject_cannot_forge_commands(#[case] reports: &[&str]) {
    let folder = folder();
    let hostile = hostile(folder.path());
    let scenario = "termination/child-is-reaped";
    let (output, _) = step(&[&["run", "--server", &hostile, scenario], reports].concat(), None);
    assert_eq!(status(&output), 1, "{}", both(&output));
    let said = stdout(&output);
    for foreign in ["##[error]pwned", "::error::pwned", "::stop-commands::mine"] {
        assert!(said.contains(foreign), "the subject's {foreign} is not shown, so nothing was tried:\n{said}");
    }
    let obeyed = obeyed(&said);
    let own = |one: &Obeyed| one.name == "error" && one.get("title").is_some_and(|title| title.starts_with(scenario));
    assert!(obeyed.iter().all(own), "{obeyed:#?}");
    assert_eq!(obeyed.len(), usize::from(reports == ["--report", "github"]), "{obeyed:#?}");
    assert_eq!(stderr(&output), "");
    // The word that ends the fence is another one each time.
    let (again, _) = step(&[&["run", "--server", &hostile, scenario], reports].concat(), None);
    assert!(token(&output).is_some_and(|one| one.len() >= 32 && Some(one) != token(&again)), "{said}");
}

/// The word that ends the first fence.
fn token(output: &Output) -> Option<String> {
    stdout(output).lines().next().and_then(|line| line.strip_prefix("::stop-commands::")).map(str::to_owned)
}

#[test]
fn a_build_cannot_forge_commands() {
    let folder = folder();
    executable(folder.path(), "build", "#!/bin/sh\necho '::error::pwned'\necho '##[error]pwned' >&2\nexit 1\n");
    let manifest = "report = ['github']\n[server]\ncommand = './server'\nbuild = './build'\n";
    fs::write(folder.path().join("forkspec.toml"), manifest).expect("it can be written");
    let output = forkspec().arg("run").current_dir(folder.path()).output().expect("it can be started");
    assert_eq!(status(&output), 3, "{}", both(&output));
    let said = stderr(&output);
    assert!(said.contains("::error::pwned") && said.contains("##[error]pwned"), "{said}");
    assert_eq!(obeyed(&said).len(), 0, "{said}");
}

#[test]
fn no_more_annotations_than_github_shows_and_the_rest_is_counted() {
    let folder = folder();
    let file = path(&folder.path().join("report.json"));
    let (output, _) =
        step(&["run", "--server", "true", "--report", "github", "--report", &format!("json={file}")], None);
    let document: Value = serde_json::from_slice(&fs::read(&file).expect("it is there")).expect("it is JSON");
    let scenarios = document["scenarios"].as_array().expect("a list");
    let failed = |must: bool| {
        scenarios.iter().filter(|one| one["verdict"] == "fail" && (one["level"] == "must") == must).count()
    };
    let (errors, warnings) = (failed(true), failed(false));
    assert!(errors > 10 && warnings > 10, "{errors} and {warnings} show nothing");
    let obeyed = obeyed(&stdout(&output));
    let named = |name: &str| obeyed.iter().filter(|one| one.name == name).collect::<Vec<_>>();
    assert_eq!((named("error").len(), named("warning").len(), named("notice").len()), (10, 10, 1));
    let rest = format!("{} more errors and {} more warnings", errors - 10, warnings - 10);
    let notice = obeyed.last().expect("it is there");
    assert!(notice.name == "notice" && notice.message.starts_with(&rest), "{notice:#?} is not {rest}");
}

/// Which file an annotation names, by where the checkout is; the standard suite has no file in it.
#[rstest]
#[case::nobody_says(true, None, Some("scenarios/"))]
#[case::the_checkout(true, Some(root()), Some("scenarios/"))]
#[case::a_folder_of_the_checkout(true, root().parent(), None)]
#[case::another_checkout(true, Some(Path::new("/no/such/checkout")), Some(""))]
#[case::standard_suite(false, Some(root()), Some(""))]
fn annotations_stand_on_the_line(#[case] own: bool, #[case] workspace: Option<&Path>, #[case] begin: Option<&str>) {
    let folder = folder();
    let file = path(&folder.path().join("report.json"));
    let json = format!("json={file}");
    let mut words = vec!["run", "--server", "true", "startup/server-listens", "--report", "github", "--report", &json];
    words.extend(own.then_some(["--scenarios", "scenarios"]).into_iter().flatten());
    let (output, _) = step(&words, workspace);
    let document: Value = serde_json::from_slice(&fs::read(&file).expect("it is there")).expect("it is JSON");
    let failure = &document["scenarios"][0]["failure"];
    let obeyed = obeyed(&stdout(&output));
    let [annotation] = &obeyed[..] else { panic!("{obeyed:#?}") };
    let name = root().file_name().expect("it has a name").to_string_lossy().into_owned();
    let (file, line) = match begin {
        Some("") => (None, None),
        Some(begin) => (Some(format!("{begin}startup/server-listens.toml")), failure["line"].as_u64()),
        None => (Some(format!("{name}/scenarios/startup/server-listens.toml")), failure["line"].as_u64()),
    };
    assert_eq!(annotation.get("file"), file.as_deref(), "{annotation:#?}");
    assert_eq!(annotation.get("line"), line.map(|line| line.to_string()).as_deref(), "{annotation:#?}");
    assert_eq!(annotation.get("title"), Some("startup/server-listens (must, UNPv1 §5.5)"));
    for part in ["expected", "observed", "explanation"] {
        assert!(annotation.message.contains(text(&failure[part])), "{part}: {annotation:#?}");
    }
}

#[test]
fn the_summary_is_appended_and_has_nothing_but_our_own_markup() {
    let folder = folder();
    let (output, summary) =
        step(&["run", "--server", &hostile(folder.path()), "termination/child-is-reaped", "--report", "github"], None);
    assert_eq!(status(&output), 1, "{}", both(&output));
    assert!(summary.starts_with("what another command has said\n\n## forkspec: does not conform\n"), "{summary}");
    assert!(summary.contains("| 1 | 0 | 1 | 0 | 0 | "), "{summary}");
    assert!(summary.contains("&lt;img src=x&gt;"), "the subject's words are not shown:\n{summary}");
    assert!(!summary.contains("<img"), "{summary}");
    assert_eq!(summary.matches("<pre>").count(), summary.matches("</pre>").count());
    // Outside of the explanations there is no foreign text that is not escaped.
    let outside: String = summary.split("<pre>").map(|part| part.rsplit("</pre>").next().unwrap_or_default()).collect();
    assert!(!outside.contains("##["), "{outside}");
    let (_, silent) = step(&["run", "startup/server-listens"], None);
    assert_eq!(silent, "what another command has said\n", "nobody has asked for it");
}

#[test]
fn a_summary_that_cannot_be_written_is_an_error() {
    let mut command = forkspec();
    command.args(["run", "startup/server-listens", "--report", "github"]).env("GITHUB_STEP_SUMMARY", "/no/such/file");
    let output = command.output().expect("it can be started");
    assert_eq!(status(&output), 3, "{}", both(&output));
    assert!(stderr(&output).contains("/no/such/file"), "{}", stderr(&output));
}

#[test]
fn a_summary_is_never_longer_than_github_takes() {
    let (output, summary) = step(&["run", "--server", "true", "--report", "github"], None);
    assert_eq!(status(&output), 1);
    assert!(summary.len() < 1 << 20, "{} bytes", summary.len());
}
