//! Shards: every scenario is in one of them, and their reports come to what one machine would have said.

mod common;

use std::fs;
use std::path::Path;

use common::{
    FORKSPEC, both, compile, executable, folder, forkspec, output, path, report, status, stderr, stdout, text,
};
use rstest::rstest;
use serde_json::{Value, json};
use tempfile::TempDir;

fn ids(document: &Value) -> Vec<String> {
    document["scenarios"].as_array().expect("a list").iter().map(|one| text(&one["id"]).to_owned()).collect()
}

#[rstest]
#[case(1)]
#[case(3)]
#[case(4)]
fn every_scenario_is_in_one_shard_and_shards_are_even(#[case] of: usize) {
    let (_, whole) = report(&["startup"]);
    let shards: Vec<Vec<String>> = (1..=of)
        .map(|index| {
            let (code, document) = report(&["startup", "--shard", &format!("{index}/{of}")]);
            assert_eq!(code, 0, "{document:#}");
            assert_eq!(document["shard"]["selected"], ids(&whole).len());
            ids(&document)
        })
        .collect();
    let sizes: Vec<usize> = shards.iter().map(Vec::len).collect();
    assert!(sizes.iter().max().unwrap_or(&0) - sizes.iter().min().unwrap_or(&0) <= 1, "{sizes:?}");
    let mut all = shards.concat();
    all.sort();
    assert_eq!(all, ids(&whole));
}

#[test]
fn the_order_of_files_decides_nothing() {
    let files = ["idle-server-sleeps", "server-listens", "connect-makes-an-established-pair", "on-every-local-address"]
        .map(|name| format!("--scenarios=scenarios/startup/{name}.toml"));
    let mut words: Vec<&str> = files.iter().map(String::as_str).collect();
    words.push("--shard=1/2");
    let (_, one) = report(&words);
    words[..4].reverse();
    let (_, other) = report(&words);
    assert_eq!(ids(&one), ["connect-makes-an-established-pair", "on-every-local-address"]);
    assert_eq!(ids(&one), ids(&other));
    assert_eq!(one["shard"], other["shard"]);
}

#[rstest]
#[case("0/3")]
#[case("4/3")]
#[case("a/b")]
#[case("1/0")]
#[case("3")]
#[case("1/-3")]
fn a_part_that_cannot_be_is_refused(#[case] shard: &str) {
    for words in [&["run", "startup"][..], &["matrix", "fixtures/correct"]] {
        let output = output(&[words, &["--shard", shard]].concat());
        assert_eq!(status(&output), 2, "{}", both(&output));
        assert!(stderr(&output).contains("--shard"), "{}", both(&output));
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn an_empty_shard_passes_and_an_empty_filter_does_not() {
    let (code, document) = report(&["startup/server-listens", "--shard", "2/2"]);
    assert_eq!((code, ids(&document).len()), (0, 0), "{document:#}");
    assert_eq!(document["shard"]["selected"], 1);
    let shown = output(&["startup/server-listens", "--shard", "2/2"]);
    assert!(stdout(&shown).contains("0 scenarios (shard 2/2 of 1)"), "{}", both(&shown));
    let nothing = output(&["no-such-chapter", "--shard", "1/2"]);
    assert_eq!(status(&nothing), 4, "{}", both(&nothing));
}

/// A filter for two scenarios and two more.
const FEW: [&str; 2] = ["startup/c", "startup/h"];

/// JSON reports in a folder.
struct Reports {
    folder: TempDir,
}

impl Reports {
    /// Plays all shards.
    fn of(shards: u32, words: &[&str]) -> Reports {
        let reports = Reports { folder: folder() };
        for index in 1..=shards {
            let json = format!("json={}", reports.path(index));
            let shard = format!("{index}/{shards}");
            let output = output(&[&["run", "--report", &json, "--shard", &shard], words].concat());
            assert!(status(&output) <= 1, "{}", both(&output));
        }
        reports
    }

    fn path(&self, index: u32) -> String {
        path(&self.folder.path().join(format!("{index}.json")))
    }

    fn read(&self, index: u32) -> Value {
        serde_json::from_slice(&fs::read(self.path(index)).expect("it is there")).expect("it is JSON")
    }

    fn change(&self, index: u32, change: impl FnOnce(&mut Value)) {
        let mut document = self.read(index);
        change(&mut document);
        fs::write(self.path(index), document.to_string()).expect("it can be written");
    }

    /// Joins these, with more words.
    fn merge(&self, indices: &[u32], words: &[&str]) -> std::process::Output {
        let paths = indices.iter().map(|index| self.path(*index));
        forkspec().arg("merge").args(paths).args(words).output().expect("it can be started")
    }

    /// The joined JSON report.
    fn joined(&self, indices: &[u32], words: &[&str]) -> (i32, Value) {
        let output = self.merge(indices, &[&["--report", "json"], words].concat());
        let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", both(&output)));
        (status(&output), document)
    }
}

/// A server that takes connections and never answers.
fn silent(folder: &Path) -> String {
    let source = r#"
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
    format!("{} {{port}}", compile(folder, "silent", source))
}

#[rstest]
#[case::conforms(false)]
#[case::does_not_conform(true)]
fn joined_shards_say_what_one_machine_says(#[case] fails: bool) {
    let folder = folder();
    let server = silent(folder.path());
    let mut words = vec!["startup", "termination"];
    words.extend(if fails { vec!["--server", &server] } else { Vec::new() });
    let (code, whole) = report(&words);
    let reports = Reports::of(3, &words);
    let (joined_code, joined) = reports.joined(&[3, 1, 2], &[]);
    assert_eq!((code, joined_code), (i32::from(fails), i32::from(fails)));
    assert_eq!(ids(&joined), ids(&whole));
    assert_eq!(joined["shard"], Value::Null);
    assert_eq!(joined["subject"], whole["subject"]);
    let told = |document: &Value| -> Vec<(Value, Value)> {
        let scenarios = document["scenarios"].as_array().expect("a list").iter();
        scenarios.map(|one| (one["verdict"].clone(), one["failure"]["defect"].clone())).collect()
    };
    assert_eq!(told(&joined), told(&whole));
    for word in ["pass", "fail", "skip", "error"] {
        assert_eq!(joined["summary"][word], whole["summary"][word], "{word}");
    }
}

/// A report that was read says in every format what it would have said at once.
#[test]
fn nothing_is_lost_on_the_way_through_json() {
    let folder = folder();
    let file = |name: &str| path(&folder.path().join(name));
    let reports = |when: &str| {
        ["json", "junit", "tap", "github"].map(|name| format!("--report={name}={}", file(&format!("{name}-{when}"))))
    };
    let server = silent(folder.path());
    let words = ["run", "startup", "termination", "--scenarios", "scenarios", "--server", &server, "--model", "fork"];
    let first = forkspec().args(words).args(reports("first")).output().expect("it can be started");
    let again = forkspec().arg("merge").arg(file("json-first")).args(reports("again")).output();
    let again = again.expect("it can be started");
    assert_eq!((status(&first), status(&again)), (1, 1), "{}{}", both(&first), both(&again));
    // The word that ends a fence is never the same.
    let without_token = |text: &str| -> String {
        let token = text.lines().next().and_then(|line| line.strip_prefix("::stop-commands::")).unwrap_or("no token");
        text.replace(token, "token")
    };
    let (first, again) = (stdout(&first), stdout(&again));
    assert!(first.contains("FAIL") && first.contains("SKIP") && first.contains("╭─[scenarios/"), "{first}");
    assert_eq!(without_token(&first), without_token(&again));
    for name in ["json", "junit", "tap", "github"] {
        let read = |when: &str| fs::read_to_string(file(&format!("{name}-{when}"))).expect("it is there");
        assert_eq!(without_token(&read("first")), without_token(&read("again")), "{name}");
    }
}

#[test]
fn strictness_survives() {
    let folder = folder();
    let scenario = "title = \"It listens\"\nreference = \"UNPv1 §4.5\"\nlevel = \"should\"\ntests = \"server\"\n\
                    defect = \"exits-at-start\"\nsteps = [\n  { start = \"server\" },\n  { expect = \"server\", listening = true },\n]\n";
    let suite = folder.path().join("suite");
    fs::create_dir(&suite).expect("it can be made");
    ["a.toml", "b.toml"].iter().for_each(|name| fs::write(suite.join(name), scenario).expect("it can be written"));
    let suite = path(&suite);
    let words = ["--scenarios", &suite, "--server", "true"];
    let lenient = Reports::of(2, &words);
    assert_eq!(lenient.joined(&[1, 2], &[]).0, 0);
    assert_eq!(lenient.joined(&[1, 2], &["--strict"]).0, 1);
    let strict = Reports::of(2, &[&words[..], &["--strict"]].concat());
    let (code, document) = strict.joined(&[1, 2], &[]);
    assert_eq!((code, &document["strict"]), (1, &json!(true)));
}

#[test]
fn what_is_not_decided_stays_so() {
    let reports = Reports::of(2, &FEW);
    let whole = reports.read(2);
    reports.change(2, |document| {
        document["scenarios"][0]["verdict"] = json!("error");
        document["scenarios"][0]["reason"] = json!("the stage is gone");
    });
    let (code, document) = reports.joined(&[1, 2], &[]);
    assert_eq!((code, &document["summary"]["error"]), (3, &json!(1)));
    let tap = reports.merge(&[1, 2], &["--report", "tap"]);
    assert!(stdout(&tap).contains("\n  message: \"the stage is gone\"\n  severity: error\n"), "{}", both(&tap));
    let junit = reports.merge(&[1, 2], &["--report", "junit"]);
    assert!(stdout(&junit).contains("<error message=\"the stage is gone\" type=\"error\">"), "{}", both(&junit));

    // An interrupted run says itself that scenarios are missing.
    fs::write(reports.path(2), whole.to_string()).expect("it can be written");
    reports.change(2, |document| {
        document["interrupted"] = json!(true);
        document["scenarios"].as_array_mut().expect("a list").pop();
    });
    let tap = reports.merge(&[1, 2], &["--report", "tap"]);
    assert_eq!(status(&tap), 130, "{}", both(&tap));
    assert!(stdout(&tap).contains("\nBail out! "), "{}", both(&tap));
    let junit = reports.merge(&[1, 2], &["--report", "junit"]);
    assert!(stdout(&junit).contains("type=\"interrupted\""), "{}", both(&junit));
    let github = reports.merge(&[1, 2], &["--report", "github"]);
    assert!(stdout(&github).contains("\n::error title=forkspec::the run was interrupted"), "{}", both(&github));
}

#[rstest]
#[case::lost(&[1, 3], "shard 2/3 is missing")]
#[case::two_lost(&[2], "shards 1/3, 3/3 are missing")]
#[case::twice(&[1, 2, 3, 2], "shard 2 of 3 is there twice")]
#[case::twice_instead_of_another(&[1, 1, 2], "shard 1 of 3 is there twice")]
#[case::unreadable(&[1, 2, 9], "9.json: No such file")]
fn shards_that_are_not_all_there_once_are_not_joined(#[case] indices: &[u32], #[case] wanted: &str) {
    let reports = Reports::of(3, &FEW);
    let out = path(&reports.folder.path().join("out.xml"));
    let output = reports.merge(indices, &["--report", &format!("junit={out}")]);
    assert_eq!(status(&output), 2, "{}", both(&output));
    assert!(stderr(&output).contains(wanted), "{}", both(&output));
    assert_eq!(stdout(&output), "");
    assert!(!Path::new(&out).exists());
}

#[rstest]
#[case::version("/forkspec", json!("0.0.9"), "0.0.9 in the other")]
#[case::server("/subject/server/command", json!(["./other"]), "the server is ")]
#[case::client("/subject/client/command", json!(["./other"]), "the client is ")]
#[case::model("/subject/server/model", json!("event"), "the server's model is fork in one, event in the other")]
#[case::system("/environment/os", json!("plan9"), "the system is ")]
#[case::texts("/shard/suite", json!("0"), "the texts of the scenarios")]
#[case::ids("/shard/ids", json!("0"), "the scenarios have the hash")]
#[case::number("/shard/of", json!(4), "the number of shards is 3 in one, 4 in the other")]
#[case::selection("/shard/selected", json!(1), "the number of scenarios is ")]
#[case::no_shard("/shard", Value::Null, "2.json is no shard")]
#[case::no_such_shard("/shard/index", json!(4), "says that it is shard 4 of 3")]
#[case::scenario_lost("/scenarios", json!([]), "a report was altered or cut")]
#[case::not_a_report("", json!({"scenarios": []}), "2.json is no JSON report of forkspec")]
fn what_does_not_belong_together_is_not_joined(#[case] place: &str, #[case] value: Value, #[case] wanted: &str) {
    let reports = Reports::of(3, &FEW);
    assert_eq!(reports.joined(&[1, 2, 3], &[]).0, 0);
    reports.change(2, |document| *document.pointer_mut(place).expect("it is there") = value);
    let output = reports.merge(&[1, 2, 3], &[]);
    assert_eq!(status(&output), 2, "{}", both(&output));
    assert!(stderr(&output).contains(wanted), "{wanted:?} is not said:\n{}", both(&output));
    assert_eq!(stdout(&output), "");
}

/// A report comes from another machine, and may say anything; that is no reason to panic.
#[rstest]
#[case::far_to_the_right("/excerpt/column", json!(u32::MAX))]
#[case::very_long("/excerpt/length", json!(u64::MAX))]
#[case::before_the_first_line("/excerpt/first_line", json!(0))]
#[case::far_below("/excerpt/first_line", json!(u64::MAX))]
#[case::no_lines("/excerpt/lines", json!([]))]
#[case::another_line("/line", json!(u64::MAX))]
#[case::no_line("/line", Value::Null)]
#[case::letters_of_several_bytes("/excerpt/lines", json!(["é☃\t\u{1b}[2J", "☃☃", "é"]))]
fn an_excerpt_can_be_anything(#[case] place: &str, #[case] value: Value) {
    let reports = Reports::of(1, &["startup/server-listens", "--server", "true"]);
    reports.change(1, |document| {
        let failure = &mut document["scenarios"][0]["failure"];
        *failure.pointer_mut(place).expect("it is there") = value;
    });
    let output = reports.merge(&[1], &[]);
    assert_eq!((status(&output), stderr(&output).as_str()), (1, ""), "{}", both(&output));
    assert!(stdout(&output).contains("server listens on port"), "{}", both(&output));
    assert!(!stdout(&output).contains('\u{1b}'), "{}", both(&output));
}

#[test]
fn suites_that_differ_in_one_text_are_told_apart() {
    let one = folder();
    let other = folder();
    let source = fs::read_to_string(common::root().join("scenarios/startup/server-listens.toml")).expect("it is there");
    for (folder, title) in [(&one, "title"), (&other, "title ")] {
        for name in ["a.toml", "b.toml"] {
            fs::write(folder.path().join(name), source.replacen("title", title, 1)).expect("it can be written");
        }
    }
    let played = [&one, &other].map(|folder| Reports::of(2, &["--scenarios", &path(folder.path())]));
    assert_eq!(played[0].joined(&[1, 2], &[]).0, 0);
    let output =
        forkspec().arg("merge").args([played[0].path(1), played[1].path(2)]).output().expect("it can be started");
    assert_eq!(status(&output), 2, "{}", both(&output));
    assert!(stderr(&output).contains("the texts of the scenarios have the hash"), "{}", both(&output));
}

#[test]
fn a_matrix_is_shared_out_by_fixtures() {
    let fixtures = folder();
    executable(fixtures.path(), "server.sh", &format!("exec {FORKSPEC} reference server \"$1\"\n"));
    for name in ["a", "b", "c", "d", "e"] {
        let manifest = "title = \"The reference server\"\nserver = \"server.sh\"\ninterpreter = \"sh\"\n";
        fs::write(fixtures.path().join(format!("{name}.toml")), manifest).expect("it can be written");
    }
    let rows = |words: &[&str]| -> Vec<String> {
        let folder = path(fixtures.path());
        let output =
            output(&[&["matrix", &folder, "--only", "startup/server-listens", "--report", "json"], words].concat());
        assert_eq!(status(&output), 0, "{}", both(&output));
        let document: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
        document["fixtures"].as_array().expect("a list").iter().map(|row| text(&row["id"]).to_owned()).collect()
    };
    assert_eq!(rows(&[]), ["a", "b", "c", "d", "e"]);
    assert_eq!(rows(&["--shard", "1/2"]), ["a", "c", "e"]);
    assert_eq!(rows(&["--shard", "2/2"]), ["b", "d"]);
    assert_eq!(rows(&["--shard", "6/6"]), Vec::<String>::new());
}
