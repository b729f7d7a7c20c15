//! What is made of the code and kept in the repository is as fresh as the code, and reports are as their schema says.

mod common;

use common::{both, compile, folder, output, report, root, status, stdout};
use rstest::rstest;
use serde_json::Value;

#[rstest]
#[case("scenario", "scenario.schema.json")]
#[case("report", "report.schema.json")]
#[case("language", "docs/language.md")]
fn a_generated_file_is_what_the_command_prints(#[case] what: &str, #[case] file: &str) {
    let output = output(&["schema", what]);
    assert_eq!(status(&output), 0, "{}", both(&output));
    let kept = std::fs::read_to_string(root().join(file)).unwrap_or_default();
    assert!(kept == stdout(&output), "{file} is stale: target/debug/forkspec schema {what} > {file}");
}

/// The fields that are always there, and those that are there where they say something: these and no others.
const TOP: Fields =
    (&["forkspec", "subject", "environment", "summary", "scenarios"], &["strict", "interrupted", "shard"]);
const SUBJECT: Fields = (&["server", "client"], &["given"]);
const SERVER: Fields = (&["command", "model"], &["declared"]);
const CLIENT: Fields = (&["command"], &[]);
const ENVIRONMENT: Fields = (&["os", "isolation"], &["refused"]);
const SUMMARY: [&str; 5] = ["pass", "fail", "skip", "error", "duration_ms"];
const SCENARIO: Fields =
    (&["id", "title", "reference", "level", "verdict", "duration_ms", "reason", "failure", "timeline"], &["path"]);
const FAILURE: Fields = (
    &["step", "line", "expected", "observed", "defect", "explanation"],
    &["excerpt", "processes", "sockets", "stderr"],
);
type Fields = (&'static [&'static str], &'static [&'static str]);

#[track_caller]
fn assert_fields(value: &Value, (always, sometimes): Fields) {
    let (needed, others): (Vec<&str>, Vec<&str>) = keys(value).into_iter().partition(|key| always.contains(key));
    assert_eq!(needed, always);
    assert!(others.iter().all(|key| sometimes.contains(key)), "{others:?}: {value:#}");
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap_or_else(|| panic!("an object, not {value}")).keys().map(String::as_str).collect()
}

/// A server that takes connections and never answers.
const SILENT: &str = r#"
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int argc, char **argv) {
  struct sockaddr_in a = {0};
  int on = 1, s = socket(AF_INET, SOCK_STREAM, 0);
  a.sin_family = AF_INET;
  a.sin_port = htons(argc > 1 ? atoi(argv[1]) : 9877);
  setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(s, (struct sockaddr *)&a, sizeof a) < 0 || listen(s, 16) < 0) return 1;
  for (;;) pause();
}
"#;

#[test]
fn a_report_is_as_its_schema_and_the_design_say() {
    let schema: Value = serde_json::from_str(&stdout(&output(&["schema", "report"]))).expect("JSON");
    jsonschema::meta::validate(&schema).expect("the schema is a JSON Schema");
    let schema = jsonschema::validator_for(&schema).expect("the schema can be used");
    let folder = folder();
    let silent = format!("{} {{port}}", compile(folder.path(), "silent", SILENT));

    let runs = [
        report(&["termination", "startup"]),
        report(&["--server", &silent, "termination"]),
        report(&["--model", "event", "termination"]),
    ];
    assert_eq!(runs.each_ref().map(|(code, _)| *code), [0, 1, 0]);
    let mut verdicts = Vec::new();
    for (_, document) in &runs {
        let errors: Vec<String> =
            schema.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{errors:#?}");
        assert_fields(document, TOP);
        assert_fields(&document["subject"], SUBJECT);
        assert_fields(&document["subject"]["server"], SERVER);
        assert_fields(&document["subject"]["client"], CLIENT);
        assert_fields(&document["environment"], ENVIRONMENT);
        assert_eq!(keys(&document["summary"]), SUMMARY);
        let mut counts = [0, 0, 0, 0];
        for scenario in document["scenarios"].as_array().expect("a list") {
            assert_fields(scenario, SCENARIO);
            let verdict = scenario["verdict"].as_str().expect("a word");
            let index = SUMMARY.iter().position(|word| *word == verdict).expect("one of four");
            counts[index] += 1;
            verdicts.push(verdict);
            assert_eq!(scenario["failure"].is_object(), verdict == "fail", "{scenario:#}");
            assert_eq!(scenario["reason"].is_string(), matches!(verdict, "skip" | "error"), "{scenario:#}");
            if verdict == "fail" {
                assert_fields(&scenario["failure"], FAILURE);
            }
            for event in scenario["timeline"].as_array().expect("a list") {
                assert_eq!(keys(event), ["at_ms", "event"]);
            }
            let times: Vec<f64> = scenario["timeline"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|event| event["at_ms"].as_f64())
                .collect();
            assert!(times.is_sorted(), "time goes back: {scenario:#}");
        }
        for (word, count) in SUMMARY.iter().zip(counts) {
            assert_eq!(document["summary"][word], count, "{word}");
        }
    }
    for word in ["pass", "fail", "skip"] {
        assert!(verdicts.contains(&word), "no scenario had the verdict {word}, so its form was not seen");
    }
}

#[test]
fn the_line_of_a_failure_is_that_of_its_step() {
    let folder = folder();
    let silent = format!("{} {{port}}", compile(folder.path(), "silent", SILENT));
    let (_, document) = report(&["--server", &silent, "termination/child-is-reaped"]);
    let scenario = common::only(&document);
    let line = scenario["failure"]["line"].as_u64().expect("a line") as usize;
    let text =
        std::fs::read_to_string(root().join("scenarios/termination/child-is-reaped.toml")).expect("it can be read");
    let step = scenario["failure"]["step"].as_u64().expect("a step") as usize;
    let first = 1 + text.lines().position(|line| line.starts_with("steps = [")).expect("it has steps");
    assert_eq!(line, first + step, "{scenario:#}");
    assert!(text.lines().nth(line - 1).is_some_and(|line| line.contains("receives")), "line {line}");
}
