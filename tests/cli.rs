//! The command line: words, filters, exit codes, reports, the manifest.

mod common;

use std::fs;

use common::{
    FORKSPEC, both, files, folder, forkspec, only, output, path, reference, report, root, status, stderr, stdout,
};
use predicates::prelude::*;
use predicates::str::{contains, is_empty, starts_with};
use rstest::rstest;
use serde_json::Value;

#[rstest]
#[case::conforms(&["run", "startup"], 0)]
#[case::run_is_the_default(&["startup"], 0)]
#[case::does_not_conform(&["--server", "true", "startup/server-listens"], 1)]
#[case::unknown_option(&["--no-such-option"], 2)]
#[case::unknown_level(&["--level", "shall"], 2)]
#[case::unknown_isolation(&["--isolation", "glass"], 2)]
#[case::port_zero(&["--port", "0"], 2)]
#[case::port_too_large(&["--port", "65536"], 2)]
#[case::no_jobs(&["--jobs", "0"], 2)]
#[case::no_repeats(&["--repeat", "0"], 2)]
#[case::not_a_glob(&["list", "[a"], 2)]
#[case::invalid_scenario(&["check", "tests/invalid/step-empty.toml"], 2)]
#[case::no_such_folder(&["run", "--scenarios", "no/such/folder"], 2)]
#[case::report_in_no_folder(&["startup", "--report", "json=no/such/folder/report.json"], 3)]
#[case::nothing_to_run(&["run", "no-such-chapter"], 4)]
#[case::nothing_to_list(&["list", "no-such-chapter"], 4)]
#[case::nothing_to_prove(&["matrix", "fixtures/correct", "--only", "no-such-chapter"], 4)]
#[case::nothing_to_explain(&["explain", "no-such-thing"], 4)]
fn the_exit_code_says_what_happened(#[case] words: &[&str], #[case] code: i32) {
    let output = output(words);
    assert_eq!(status(&output), code, "{}", both(&output));
    assert_eq!(stderr(&output).is_empty(), code <= 1, "{}", both(&output));
}

/// The ids that `list` prints.
fn listed(words: &[&str]) -> Vec<String> {
    let output = output(&[&["list"], words].concat());
    assert_eq!(status(&output), 0, "{}", both(&output));
    stdout(&output).lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// The ids of the files below `scenarios/`.
fn all() -> Vec<String> {
    let folder = root().join("scenarios");
    let id = |file: &std::path::PathBuf| path(&file.strip_prefix(&folder).expect("it is below").with_extension(""));
    let mut ids: Vec<String> = files(&folder, "toml").iter().map(id).collect();
    ids.sort();
    ids
}

#[rstest]
#[case::chapter(&["termination"], |id: &str| id.starts_with("termination/"))]
#[case::beginning(&["crash/s"], |id: &str| id.starts_with("crash/s"))]
#[case::whole_id(&["termination/child-is-reaped"], |id: &str| id == "termination/child-is-reaped")]
#[case::path_of_the_file(&["scenarios/termination/child-is-reaped.toml"], |id: &str| id == "termination/child-is-reaped")]
#[case::glob(&["*/*-listen*"], |id: &str| id.split_once('/').is_some_and(|(_, name)| name.contains("-listen")))]
#[case::several(&["startup", "echo"], |id: &str| id.starts_with("startup/") || id.starts_with("echo/"))]
#[case::everything(&[], |_: &str| true)]
#[case::own_folder(&["--scenarios", "scenarios"], |_: &str| true)]
fn a_filter_takes_what_it_says_and_nothing_else(#[case] words: &[&str], #[case] wanted: fn(&str) -> bool) {
    let expected: Vec<String> = all().into_iter().filter(|id| wanted(id)).collect();
    assert!(!expected.is_empty(), "the case shows nothing");
    assert_eq!(listed(words), expected);
}

#[test]
fn levels_divide_the_suite() {
    let mut together: Vec<String> = ["must", "should", "may"]
        .iter()
        .flat_map(|level| {
            let output = output(&["list", "--level", level]);
            let lines: Vec<String> = stdout(&output).lines().map(str::to_owned).collect();
            lines.into_iter().map(|line| {
                let mut words = line.split_whitespace();
                let id = words.next().unwrap_or_default().to_owned();
                assert_eq!(words.next(), Some(*level), "{line}");
                id
            })
        })
        .collect();
    assert!(!listed(&["--level", "must"]).is_empty());
    together.sort();
    assert_eq!(together, all());
    assert_eq!(listed(&["--level", "must", "--level", "should", "--level", "may"]), all());
}

#[rstest]
#[case::defect(&["zombie-children"], 0, &["zombie-children", "Why it fails", "The remedy", "waitpid"])]
#[case::scenario(&["termination/child-is-reaped"], 0, &["UNPv1 §5.9", "{ connect = \"c1\" }", "zombie-children"])]
#[case::list(&[], 0, &["zombie-children"])]
#[case::slip_in_a_defect(&["zombie-childern"], 4, &["did you mean `zombie-children`?"])]
#[case::slip_in_a_scenario(&["termination/child-is-raeped"], 4, &["did you mean `termination/child-is-reaped`?"])]
#[case::far_from_all(&["xyzzy"], 4, &["nothing is called `xyzzy`", "forkspec list"])]
fn explain_explains(#[case] words: &[&str], #[case] code: i32, #[case] wanted: &[&str]) {
    let output = output(&[&["explain"], words].concat());
    assert_eq!(status(&output), code, "{}", both(&output));
    let said = if code == 0 { stdout(&output) } else { stderr(&output) };
    wanted.iter().for_each(|wanted| assert!(said.contains(wanted), "{wanted:?} is not said:\n{said}"));
}

#[test]
fn every_defect_of_the_suite_can_be_explained() {
    for file in files(&root().join("scenarios"), "toml") {
        let scenario: Value = toml::from_str(&fs::read_to_string(&file).expect("it can be read")).expect("it is TOML");
        let output = output(&["explain", common::text(&scenario["defect"])]);
        assert_eq!(status(&output), 0, "{}: {}", file.display(), both(&output));
    }
}

#[test]
fn small_commands_print_what_they_are_for() {
    let version = format!("forkspec {}\n", env!("CARGO_PKG_VERSION"));
    forkspec().arg("--version").assert().success().stdout(version);
    forkspec().arg("--help").assert().success().stdout(contains("--server").and(contains("explain")));
    forkspec().args(["completions", "bash"]).assert().success().stdout(contains("complete -F _forkspec"));
    forkspec().args(["schema", "report"]).assert().success().stdout(starts_with("{"));
    forkspec().arg("schema").assert().success().stdout(contains("A forkspec scenario"));
    let all_programs = || contains("server").and(contains("client")).and(contains("prefork"));
    forkspec().arg("reference").assert().code(2).stdout(is_empty()).stderr(starts_with("usage: ").and(all_programs()));
    forkspec().args(["reference", "sever"]).assert().code(2).stdout(is_empty()).stderr(all_programs());
    forkspec().args(["reference", "client"]).assert().failure().stdout(is_empty()).stderr(contains("usage: "));
    forkspec().arg("stage").assert().code(2).stderr(contains("forkspec itself"));
}

#[test]
fn every_word_has_to_mean_a_scenario() {
    for words in [&["run", "startup/server-listens", "crsh"][..], &["list", "echo", "*/nothing"]] {
        forkspec().args(words).assert().code(4).stderr(contains(words[2]).or(contains(words[1])));
    }
    let empty = folder();
    forkspec().args(["matrix", &path(empty.path())]).assert().code(4).stderr(contains("no fixture is there"));
}

/// A disk that is full.
#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_costs_no_report() {
    let folder = folder();
    let file = folder.path().join("report.json");
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let wanted = format!("json={}", path(&file));
    let words = ["run", "--report", "terminal", "--report", &wanted, "startup/server-listens"];
    for words in [&words[..], &["list"], &["explain", "waits-once"], &["schema", "report"], &["completions", "bash"]] {
        let output =
            std::process::Command::new(FORKSPEC).args(words).stdout(full()).output().expect("it can be executed");
        assert_eq!(status(&output), 3, "{}", both(&output));
        assert!(stderr(&output).contains("standard output: No space left"), "{}", both(&output));
    }
    let document: Value = serde_json::from_slice(&fs::read(&file).expect("it is there")).expect("it is whole");
    assert_eq!(document["summary"]["pass"], 1);
    let run = ["run", "startup/server-listens"];
    let output = std::process::Command::new(FORKSPEC).args(run).stderr(full()).output().expect("it can be executed");
    assert_eq!(status(&output), 0, "{}", both(&output));
}

#[test]
fn a_report_is_written_to_a_file_whole() {
    let folder = folder();
    let file = folder.path().join("report.json");
    fs::write(&file, "the last one").expect("it can be written");
    let wanted = format!("json={}", path(&file));
    // A run that comes to nothing leaves the last report.
    for (words, code) in [(&["no-such-chapter"][..], 4), (&["--server", "./no-such-program"], 2)] {
        let output = output(&[&["run", "--report", &wanted], words].concat());
        assert_eq!(status(&output), code, "{}", both(&output));
        assert_eq!(fs::read_to_string(&file).expect("it is there"), "the last one");
    }
    let output = output(&["run", "--report", &wanted, "startup"]);
    assert_eq!(status(&output), 0, "{}", both(&output));
    assert!(
        stdout(&output).contains("PASS  startup/server-listens"),
        "the terminal's report is printed too:\n{}",
        both(&output)
    );
    let document: Value = serde_json::from_slice(&fs::read(&file).expect("it is there")).expect("it is whole");
    assert_eq!(document["summary"]["fail"], 0);
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).expect("it is there").permissions());
    assert_eq!(mode & 0o777, 0o644);
    assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 1, "a temporary file is left");
}

#[rstest]
#[case::two_on_standard_output(&["--report", "json", "--report", "terminal"], "standard output")]
#[case::unknown(&["--report", "jsno"], "did you mean `json`?")]
#[case::far_from_all(&["--report", "carrier-pigeon"], "`terminal`, `json`")]
#[case::no_file(&["--report", "json="], "names no file")]
#[case::terminal_in_a_file(&["--report", "terminal=x"], "standard output only")]
#[case::no_such_program(&["--server", "./no-such-program"], "`./no-such-program`: there is no such file")]
#[case::not_in_path(&["--server", "no-such-program"], "a program in this folder is written ./NAME")]
#[case::not_executable(&["--server", "./Cargo.toml"], "`chmod +x ./Cargo.toml` makes it so")]
#[case::folder(&["--client", "./src"], "`./src` is a folder, not a program")]
#[case::quote(&["--server", "./server 'x"], "a quotation mark is not closed")]
#[case::empty(&["--server", ""], "the command is empty")]
#[case::empty_word(&["--client", "''"], "the command is empty")]
fn a_command_line_that_cannot_be_meant_is_refused(#[case] words: &[&str], #[case] wanted: &str) {
    let output = output(&[&["run", "startup"], words].concat());
    assert_eq!(status(&output), 2, "{}", both(&output));
    assert!(stderr(&output).contains(wanted), "{wanted:?} is not said:\n{}", stderr(&output));
    assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
}

#[test]
fn repeats_that_agree_have_one_verdict() {
    let (code, document) = report(&["--repeat", "3", "startup/server-listens"]);
    assert_eq!((code, common::text(&only(&document)["verdict"])), (0, "pass"));
}

/// A server that is another one each time it is started: the reference server, or one that ends at once. Only plain
/// processes find what the one before has written.
#[test]
fn repeats_that_differ_are_an_error() {
    let folder = folder();
    let tally = path(&folder.path().join("tally"));
    // One line for each start; the first is the probe's.
    let script = format!(
        "#!/bin/sh\necho x >> {tally}\ncase $(wc -l < {tally}) in 3) exit 9;; esac\nexec {FORKSPEC} reference server \"$1\"\n"
    );
    let server = format!("{} {{port}}", common::executable(folder.path(), "fickle", &script));
    let words = ["--isolation", "none", "--server", &server, "--repeat", "4", "startup/server-listens"];
    let (code, document) = report(&words);
    let scenario = only(&document);
    assert_eq!((code, common::text(&scenario["verdict"])), (3, "error"), "{scenario:#}");
    let reason = common::text(&scenario["reason"]);
    assert!(reason.contains("the verdicts of 4 plays differ: 3 pass, 1 fail"), "{reason}");
}

#[rstest]
#[case("server", "fork")]
#[case("prefork", "prefork")]
#[case("thread", "thread")]
#[case("event", "event")]
#[case("iterative", "iterative")]
fn the_model_of_a_server_is_seen(#[case] program: &str, #[case] model: &str) {
    let folder = folder();
    let file = path(&folder.path().join("report.json"));
    let output = output(&["run", "--server", &reference(program), "--report", &format!("json={file}"), "startup"]);
    assert_eq!(status(&output), 0, "{}", both(&output));
    let head = stdout(&output).lines().next().unwrap_or_default().to_owned();
    assert!(head.contains(&format!(" ({model}) ")), "{head}");
    let document: Value = serde_json::from_slice(&fs::read(&file).expect("it is there")).expect("it is whole");
    assert_eq!(document["subject"]["server"]["model"], model);
}

#[test]
fn a_declared_model_is_not_probed_away() {
    let (_, document) = report(&["--model", "iterative", "startup"]);
    assert_eq!(document["subject"]["server"]["model"], "iterative");
    let (code, document) = report(&["--model", "event", "termination/close-wait-while-the-handler-is-stopped"]);
    let scenario = only(&document);
    assert_eq!((code, common::text(&scenario["verdict"])), (0, "skip"), "{scenario:#}");
    assert!(common::text(&scenario["reason"]).contains("the model event"), "{scenario:#}");
}

/// Which programs are given decides which scenarios are played.
#[rstest]
#[case::neither(&[], &["server", "client", "both"])]
#[case::server(&["--server"], &["server", "both"])]
#[case::client(&["--client"], &["client", "both"])]
#[case::both(&["--server", "--client"], &["server", "client", "both"])]
fn only_scenarios_that_judge_a_given_program_are_played(#[case] flags: &[&str], #[case] tests: &[&str]) {
    let (server, client) = (reference("server"), format!("{FORKSPEC} reference client {{host}} {{port}}"));
    let words: Vec<&str> =
        flags.iter().flat_map(|flag| [*flag, if *flag == "--server" { &server } else { &client }]).collect();
    let (code, document) = report(&words);
    assert_eq!(code, 0, "{document:#}");
    let played: Vec<&str> = document["scenarios"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|scenario| common::text(&scenario["id"]))
        .collect();
    let judges = |id: &String| {
        let text = fs::read_to_string(root().join("scenarios").join(format!("{id}.toml"))).expect("it can be read");
        let scenario: Value = toml::from_str(&text).expect("it is TOML");
        tests.contains(&common::text(&scenario["tests"]))
    };
    let expected: Vec<String> = all().into_iter().filter(judges).collect();
    assert!(!expected.is_empty() && (tests.len() == 3 || expected.len() < all().len()), "the case shows nothing");
    assert_eq!(played, expected);
}

#[rstest]
#[case::piped(&[], false)]
#[case::forced(&[("CLICOLOR_FORCE", "1")], true)]
#[case::refused(&[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "0")], false)]
#[case::refused_on_a_good_terminal(&[("NO_COLOR", "1"), ("TERM", "xterm-256color")], false)]
fn colours_are_for_those_who_want_them(#[case] variables: &[(&str, &str)], #[case] coloured: bool) {
    let invalid = ["check", "tests/invalid/several-mistakes.toml"];
    let failing = ["--server", "true", "startup/server-listens"];
    for words in [&invalid[..], &failing, &["startup"], &["explain", "zombie-children"]] {
        let output = forkspec().args(words).envs(variables.iter().copied()).output().expect("it can be started");
        assert_eq!(both(&output).contains('\u{1b}'), coloured, "{words:?}: {}", both(&output));
    }
}
