//! The reports for CI: JUnit, TAP and GitHub, on subjects that mean well and on one that does not.

#[path = "reports/github.rs"]
mod github;
#[path = "reports/runs.rs"]
mod runs;
#[cfg(target_os = "linux")]
#[path = "reports/survival.rs"]
mod survival;

mod common;

use std::fs;
use std::process::Command;

use common::{both, folder, forkspec, output, path, root, status, stderr, stdout, text};
use predicates::str::is_empty;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus};
use rstest::rstest;
use runs::{Told, hostile, tell};
use serde_json::Value;

/// Programs that give every verdict but `error`, and words for a run of them.
#[rstest]
#[case::conforms(&["startup"], None)]
#[case::fails(&["termination", "startup"], Some("true {port}"))]
#[case::fails_and_skips(&["--model", "event", "termination"], Some("true {port}"))]
fn reports_of_all_formats_agree(#[case] words: &[&str], #[case] server: Option<&str>) {
    let told = tell(words, server);
    let scenarios = told.json["scenarios"].as_array().expect("a list");
    assert!(!scenarios.is_empty());
    agree_on_junit(&told, scenarios);
    agree_on_tap(&told, scenarios);
}

fn agree_on_junit(told: &Told, scenarios: &[Value]) {
    let report = Report::deserialize_from_str(&told.junit).expect("it is JUnit's XML");
    let count = |word: &str| told.json["summary"][word].as_u64().expect("a number") as usize;
    assert_eq!((report.tests, report.failures, report.errors), (scenarios.len(), count("fail"), count("error")));
    let skipped: usize = report.test_suites.iter().map(|suite| suite.skipped).sum();
    assert_eq!(skipped, count("skip"));
    let cases: Vec<&TestCase> = report.test_suites.iter().flat_map(|suite| &suite.test_cases).collect();
    assert_eq!(cases.len(), scenarios.len());
    for (case, scenario) in cases.into_iter().zip(scenarios) {
        assert_eq!(case.name.as_str(), text(&scenario["id"]));
        let chapter = text(&scenario["id"]).split_once('/').expect("a chapter").0;
        assert_eq!(case.classname.as_ref().expect("it has one").as_str(), format!("forkspec.{chapter}"));
        let seconds = case.time.expect("a time").as_secs_f64();
        let millis = scenario["duration_ms"].as_f64().expect("a number");
        assert!((seconds * 1e3 - millis).abs() <= 0.51, "{seconds} s is not {millis} ms");
        agree_on_case(case, scenario);
    }
}

fn agree_on_case(case: &TestCase, scenario: &Value) {
    let failure = &scenario["failure"];
    match (&case.status, text(&scenario["verdict"])) {
        (TestCaseStatus::Success { .. }, "pass") => {}
        (TestCaseStatus::Skipped { message, .. }, "skip") => {
            assert_eq!(message.as_ref().expect("a reason").as_str(), text(&scenario["reason"]));
        }
        (TestCaseStatus::NonSuccess { kind: NonSuccessKind::Failure, ty, description, .. }, "fail") => {
            assert_eq!(ty.as_ref().expect("a type").as_str(), text(&scenario["level"]));
            let body = description.as_ref().expect("an explanation").as_str();
            for wanted in ["expected", "observed", "explanation"] {
                let first = text(&failure[wanted]).lines().next().expect("a line");
                assert!(body.contains(first), "{wanted} is missing:\n{body}");
            }
        }
        (status, verdict) => panic!("{verdict} is told as {status:?}"),
    }
    let events = scenario["timeline"].as_array().expect("a list");
    let out = case.system_out.as_ref().map_or("", |out| out.as_str());
    assert!(out.lines().count() >= events.len(), "{out}");
}

fn agree_on_tap(told: &Told, scenarios: &[Value]) {
    let mut lines = told.tap.lines();
    assert_eq!(lines.next(), Some("TAP version 14"));
    assert_eq!(lines.next(), Some(format!("1..{}", scenarios.len()).as_str()));
    let points: Vec<&str> = lines.filter(|line| line.starts_with("ok ") || line.starts_with("not ok ")).collect();
    assert_eq!(points.len(), scenarios.len(), "{}", told.tap);
    for (index, (line, scenario)) in points.iter().zip(scenarios).enumerate() {
        let plain = format!("{} - {}", index + 1, text(&scenario["id"]));
        let expected = match (text(&scenario["verdict"]), text(&scenario["level"])) {
            ("pass", _) => format!("ok {plain}"),
            ("skip", _) => format!("ok {plain} # SKIP {}", text(&scenario["reason"])),
            ("fail", "must") => format!("not ok {plain}"),
            ("fail", _) => format!("not ok {plain} # TODO "),
            (verdict, _) => panic!("{verdict}"),
        };
        assert!(line.starts_with(&expected), "{line} is not {expected}");
    }
}

#[test]
fn xml_has_no_character_that_it_forbids() {
    let folder = folder();
    let told = tell(&["termination/child-is-reaped"], Some(&hostile(folder.path())));
    let forbidden =
        |c: char| matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
    assert_eq!(told.junit.chars().find(|c| forbidden(*c)), None);
    // What was forbidden is shown, and not dropped.
    assert!(told.junit.contains("\\x1b[2J"), "{}", told.junit);
    let report = Report::deserialize_from_str(&told.junit).expect("it is well-formed");
    let case = &report.test_suites[0].test_cases[0];
    let err = case.system_err.as_ref().expect("what the subject printed").as_str();
    assert!(err.contains("]]></failure><testcase/>"), "{err}");
    assert_eq!(report.tests, 1);
}

/// The validator and the consumer below are programs of the system; without them nothing is shown, and that is said.
fn is_there(program: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok();
    if !there {
        eprintln!("skipped: {program} is not installed");
    }
    there
}

#[test]
fn junit_is_valid_for_jenkins() {
    if !is_there("xmllint") {
        return;
    }
    let folder = folder();
    let hostile = hostile(folder.path());
    let runs = [tell(&["startup"], None), tell(&["startup", "crash"], Some("true")), tell(&["echo"], Some(&hostile))];
    for (number, told) in runs.iter().enumerate() {
        let file = folder.path().join(format!("{number}.xml"));
        fs::write(&file, &told.junit).expect("it can be written");
        let valid = |file: &std::path::Path| {
            let schema = root().join("tests/junit.xsd");
            Command::new("xmllint").arg("--noout").arg("--schema").args([&schema, file]).output().expect("it is there")
        };
        let result = valid(&file);
        assert!(result.status.success(), "{}\n{}", stderr(&result), told.junit);
        // The schema refuses something.
        let wrong = told.junit.replacen("<testsuites ", "<testsuites skipped=\"0\" ", 1);
        fs::write(&file, wrong).expect("it can be written");
        assert!(!valid(&file).status.success());
    }
}

#[rstest]
#[case::conforms(&["startup"], None, true)]
#[case::fails(&["startup", "crash"], Some("true"), false)]
#[case::fails_what_is_optional(&["startup/client-parent-and-child-sleep"], Some("true"), true)]
#[case::nothing(&["startup/server-listens", "--shard", "2/2"], None, true)]
fn prove_judges_as_the_command_does(#[case] words: &[&str], #[case] server: Option<&str>, #[case] passes: bool) {
    let told = tell(words, server);
    assert_eq!(told.code == 0, passes, "{}", told.tap);
    if !is_there("prove") {
        return;
    }
    let folder = folder();
    let file = folder.path().join("report.tap");
    // What is in many systems stops at version 13. The rest of a report is the same for it, and must be.
    let knows_14 = Command::new("perl").args(["-MTAP::Parser", "-e", "exit(TAP::Parser->VERSION < 3.45)"]).status();
    let old = !knows_14.expect("prove is of perl").success();
    let tap = if old { told.tap.replacen("TAP version 14", "TAP version 13", 1) } else { told.tap };
    fs::write(&file, &tap).expect("it can be written");
    let result = Command::new("prove").args(["--verbose", "--exec", "cat"]).arg(&file).output().expect("it is there");
    assert_eq!(result.status.success(), passes, "{}", both(&result));
    assert!(!both(&result).contains("Parse errors"), "{}", both(&result));
}

#[test]
fn what_was_printed_commands_no_harness() {
    let folder = folder();
    let told = tell(&["termination/child-is-reaped"], Some(&hostile(folder.path())));
    let points = told.tap.lines().filter(|line| !line.starts_with([' ', '#']));
    let points: Vec<&str> = points.collect();
    assert_eq!(points, ["TAP version 14", "1..1", "not ok 1 - termination/child-is-reaped"], "{}", told.tap);
    // Every line of the diagnostics is the YAML's own, or of a block; a block has no empty line.
    let yaml: Vec<&str> = told.tap.lines().filter(|line| line.starts_with("  ") || line.is_empty()).collect();
    assert!(yaml.iter().all(|line| !line.trim().is_empty()), "{yaml:#?}");
    assert_eq!(yaml.iter().filter(|line| **line == "  ...").count(), 1, "{yaml:#?}");
}

#[rstest]
#[case::no_folder(&["--report", "junit=no/such/folder/x"], 3, "there is no folder no/such/folder")]
#[case::a_folder(&["--report", "tap=src"], 3, "src could not be written")]
#[case::file_for_a_folder(&["--report", "github=README.md/x"], 3, "there is no folder README.md")]
#[case::twice_to_one_file(&["--report", "tap=x", "--report", "junit=x"], 2, "two reports cannot both go to x")]
#[case::twice_to_one_file_by_two_names(&["--report", "tap=x", "--report", "junit=src/../x"], 2, "cannot both go to src/../x")]
#[case::two_on_standard_output(&["--report", "tap", "--report", "github"], 2, "standard output")]
fn what_cannot_be_written_is_said_before_anything_is_played(
    #[case] words: &[&str],
    #[case] code: i32,
    #[case] wanted: &str,
) {
    let folder = folder();
    let other = folder.path().join("other.json");
    let other_report = format!("json={}", path(&other));
    let output = output(&[&["run", "startup", "--report", &other_report], words].concat());
    assert_eq!(status(&output), code, "{}", both(&output));
    assert!(stderr(&output).contains(wanted), "{}", both(&output));
    assert_eq!(stdout(&output), "", "something was played");
    assert!(!other.exists());
}

/// All formats at once go where they are told to, whole.
#[test]
fn several_reports_are_written_at_once() {
    let folder = folder();
    let file = |name: &str| path(&folder.path().join(name));
    let words = ["json", "junit", "tap", "github"].map(|format| format!("--report={format}={}", file(format)));
    let output = forkspec().arg("run").args(&words).arg("startup/server-listens").output().expect("it can be started");
    assert_eq!(status(&output), 0, "{}", both(&output));
    assert!(stdout(&output).contains("PASS  startup/server-listens"));
    let begins = [("json", "{"), ("junit", "<?xml"), ("tap", "TAP version 14\n"), ("github", "::stop-commands::")];
    for (name, begin) in begins {
        let text = fs::read_to_string(file(name)).expect("it is there");
        assert!(text.starts_with(begin), "{name}: {text}");
        assert!(text.contains("startup/server-listens"), "{name}: {text}");
    }
    assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 4, "a temporary file is left");
}

#[test]
fn the_last_lines_count_what_the_failures_name() {
    let folder = folder();
    let file = folder.path().join("report.json");
    let json = format!("json={}", path(&file));
    let words = ["run", "--server", "true", "startup", "termination", "--report", "terminal", "--report", &json];
    let told = stdout(&output(&words));
    let report: Value = serde_json::from_slice(&fs::read(&file).expect("it is there")).expect("it is whole");
    let scenarios = report["scenarios"].as_array().expect("a list").iter();
    let failures: Vec<&Value> = scenarios.map(|one| &one["failure"]).filter(|failure| !failure.is_null()).collect();
    let named = |defect: &Value| failures.iter().filter(|failure| failure["defect"] == *defect).count();
    let first =
        failures.iter().map(|failure| &failure["defect"]).find(|defect| !defect.is_null()).expect("one is named");
    let (_, foot) = told.split_once("Where to begin: ").expect("there are many failures");
    let line = format!("{:>5} × {} ", named(first), text(first));
    assert!(foot.contains(&line), "{line:?} in {foot}");

    let few = stdout(&output(&["run", "--server", "true", "startup/server-listens"]));
    assert!(!few.contains("Where to begin"), "{few}");
}

/// A class: one line for each report, for a person and for a spreadsheet; what cannot be read costs the others nothing.
#[test]
fn a_table_has_a_line_for_each_report() {
    let folder = folder();
    let file = |name: &str| path(&folder.path().join(name));
    let play = |name: &str, words: &[&str]| {
        let report = format!("json={}", file(name));
        forkspec().args(["run", "startup", "--report", &report]).args(words).assert().stderr(is_empty());
    };
    play("ada.json", &[]);
    play("blaise, the second.json", &["--server", "true {port}"]);
    let (ada, blaise) = (file("ada.json"), file("blaise, the second.json"));
    let output = output(&["table", &ada, &blaise]);
    assert_eq!(status(&output), 0, "{}", both(&output));
    let lines: Vec<Vec<String>> = stdout(&output)
        .lines()
        .map(|line| line.split("  ").map(|cell| cell.trim().to_owned()).filter(|cell| !cell.is_empty()).collect())
        .collect();
    assert_eq!(lines[0], ["report", "verdict", "must", "should", "may", "errors", "mistakes"]);
    assert_eq!(lines[1][..2], [file("ada"), "conforms".to_owned()]);
    assert_eq!(lines[2][..2], [file("blaise, the second"), "does not conform".to_owned()]);
    assert!(lines[2][2].starts_with("0/"), "{lines:?}");
    let csv = common::output(&["table", "--csv", &ada, &file("nobody.json"), &blaise]);
    assert_eq!(status(&csv), 2, "a report is not there: {}", both(&csv));
    assert!(stderr(&csv).contains("nobody.json: No such file"), "{}", both(&csv));
    let last = stdout(&csv).lines().last().map(str::to_owned).expect("three lines");
    assert!(last.starts_with(&format!("\"{}\",does not conform,0,", file("blaise, the second"))), "{last}");
}
