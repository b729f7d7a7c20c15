//! The language of scenario files: every mistake is shown, at its place, before anything is played.
//!
//! `tests/invalid/NAME.toml` is a file with a mistake, `NAME.expected` what `forkspec check` says about it.
//! `UPDATE_EXPECTED=1 cargo test --test language` writes the latter anew; read the difference before you commit it.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use common::{both, files, folder, forkspec, output, path, root, status, stderr, stdout};
use rstest::rstest;
use serde_json::Value;

const CORPUS: &str = "tests/invalid";

/// The mistakes that the schema cannot see: about names and their order, products, and several keys or steps at once.
const BEYOND_THE_SCHEMA: &[&str] = &[
    "baseline-before-it-was-taken",
    "check-of-a-peer-on-a-program",
    "check-of-a-program-on-a-handler",
    "check-of-a-program-on-a-peer",
    "check-on-a-mixture",
    "expect-missing",
    "expect-states-nothing",
    "handler-of-a-server",
    "hex-odd",
    "input-ended-already",
    "lines-too-many",
    "lines-width-too-large",
    "listener-not-made",
    "name-nearly-known",
    "name-not-a-name",
    "name-of-a-peer-for-a-program",
    "name-of-a-program-for-a-peer",
    "name-reserved",
    "name-suffix-out-of-place",
    "name-suffix-unknown",
    "name-taken",
    "name-taken-by-a-program",
    "name-taken-in-one-step",
    "name-unknown",
    "name-used-before-made",
    "now-and-within",
    "pattern-too-large",
    "peer-closed-already",
    "peer-closed-twice",
    "peer-half-closed-already",
    "peer-half-closed-echoes",
    "peer-killed",
    "peer-reads-after-its-end",
    "program-not-started",
    "range-backwards",
    "range-of-two-stems",
    "range-too-long",
    "range-without-numbers",
    "says-an-empty-text",
    "says-nothing",
    "server-not-started",
    "server-twice-without-a-name",
    "size-overflows",
    "step-over-several-lines",
    "text-too-large",
    "time-too-long",
    "time-zero",
    "visits-before-the-server",
    "within-and-for",
];

fn corpus() -> Vec<PathBuf> {
    let found = files(&root().join(CORPUS), "toml");
    assert!(found.len() >= 35, "the corpus has shrunk to {} files", found.len());
    found
}

fn stem(path: &Path) -> String {
    path.file_stem().expect("it has a name").to_string_lossy().into_owned()
}

fn schema() -> jsonschema::Validator {
    let text = stdout(&output(&["schema", "scenario"]));
    let schema: Value = serde_json::from_str(&text).expect("the schema is JSON");
    jsonschema::meta::validate(&schema).expect("the schema is a JSON Schema");
    jsonschema::validator_for(&schema).expect("the schema can be used")
}

fn as_json(path: &Path) -> Option<Value> {
    toml::from_str(&fs::read_to_string(path).expect("it can be read")).ok()
}

#[test]
fn every_mistake_is_shown_at_its_place() {
    let update = std::env::var_os("UPDATE_EXPECTED").is_some();
    let mut wrong = Vec::new();
    for file in corpus() {
        let name = stem(&file);
        let output = output(&["check", &format!("{CORPUS}/{name}.toml")]);
        if status(&output) != 2 || !output.stdout.is_empty() {
            wrong.push(format!(
                "{name}: exit status {}, wanted 2 and nothing on standard output\n{}",
                status(&output),
                both(&output)
            ));
            continue;
        }
        let expected = file.with_extension("expected");
        if update {
            fs::write(&expected, &output.stderr).expect("it can be written");
        } else if fs::read(&expected).unwrap_or_default() != output.stderr {
            let wanted = fs::read_to_string(&expected).unwrap_or_default();
            wrong.push(format!("{name}: expected\n{wanted}\nbut got\n{}", stderr(&output)));
        }
    }
    assert!(wrong.is_empty(), "{} files:\n\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_file_has_its_expected_text_and_every_text_its_file() {
    let names = |ending: &str| -> BTreeSet<String> {
        files(&root().join(CORPUS), ending).iter().map(|file| stem(file)).collect()
    };
    assert_eq!(names("toml"), names("expected"));
}

#[test]
fn a_place_is_where_the_text_says() {
    for file in corpus() {
        let text = fs::read_to_string(&file).expect("it can be read");
        let expected = fs::read_to_string(file.with_extension("expected")).expect("it can be read");
        let mut places = 0;
        for place in
            expected.lines().filter_map(|line| line.split_once("╭─[")).map(|(_, place)| place.trim_end_matches(']'))
        {
            let [name, line, column] = place.split(':').collect::<Vec<_>>()[..] else { panic!("{place}") };
            assert_eq!(name, format!("{CORPUS}/{}.toml", stem(&file)));
            let (line, column): (usize, usize) = (line.parse().expect("a number"), column.parse().expect("a number"));
            let lines: Vec<&str> = text.split('\n').collect();
            assert!((1..=lines.len()).contains(&line), "{place}: the file has {} lines", lines.len());
            assert!((1..=lines[line - 1].chars().count() + 1).contains(&column), "{place}: {:?}", lines[line - 1]);
            places += 1;
        }
        assert!(places > 0, "{} names no place:\n{expected}", file.display());
    }
}

#[test]
fn one_mistake_anywhere_and_nothing_is_played() {
    let folder = folder();
    let proof = path(&folder.path().join("played"));
    let output =
        output(&["run", "--server", &format!("touch {proof}"), "--scenarios", "scenarios", "--scenarios", CORPUS]);
    assert_eq!(status(&output), 2, "{}", both(&output));
    assert!(output.stdout.is_empty(), "{}", stdout(&output));
    assert!(!Path::new(&proof).exists(), "the server was started");
    for file in corpus() {
        let name = format!("{CORPUS}/{}.toml:", stem(&file));
        assert!(stderr(&output).contains(&name), "nothing is said about {name}");
    }
    let count = format!("{} of the scenario files are invalid", corpus().len());
    assert!(stderr(&output).contains(&count), "{}", stderr(&output).lines().last().unwrap_or_default());
}

#[test]
fn every_scenario_is_valid_for_the_parser() {
    let count = files(&root().join("scenarios"), "toml").len();
    let output = output(&["check", "scenarios"]);
    assert_eq!(status(&output), 0, "{}", both(&output));
    assert_eq!(stdout(&output), format!("{count} scenarios are valid\n"));
    assert_eq!(stderr(&output), "");
}

#[test]
fn every_scenario_is_valid_for_the_schema() {
    let schema = schema();
    for file in files(&root().join("scenarios"), "toml") {
        let document = as_json(&file).unwrap_or_else(|| panic!("{} is not TOML", file.display()));
        let errors: Vec<String> =
            schema.iter_errors(&document).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", file.display());
    }
}

#[test]
fn the_schema_refuses_what_is_wrong_in_form() {
    let schema = schema();
    for file in corpus() {
        let Some(document) = as_json(&file) else {
            assert!(stem(&file).starts_with("toml-"), "{} is not TOML; name it so", file.display());
            continue;
        };
        let beyond = BEYOND_THE_SCHEMA.contains(&stem(&file).as_str());
        assert_eq!(schema.is_valid(&document), beyond, "{}: does the schema take it?", file.display());
    }
    let known: BTreeSet<String> = corpus().iter().map(|file| stem(file)).collect();
    BEYOND_THE_SCHEMA
        .iter()
        .for_each(|name| assert!(known.contains(*name), "{name} is in the list and not in the folder"));
}

#[test]
fn the_reference_page_has_every_example_of_a_verb_and_they_are_valid() {
    let page = stdout(&output(&["schema", "language"]));
    let schema: Value = serde_json::from_str(&stdout(&output(&["schema", "scenario"]))).expect("JSON");
    let verbs = schema["properties"]["steps"]["items"]["oneOf"].as_array().expect("a list of verbs");
    assert!(verbs.len() >= 15, "{} verbs", verbs.len());
    let examples: Vec<&str> = page.split("```toml\n").skip(1).filter_map(|rest| rest.lines().next()).collect();
    assert_eq!(examples.len(), verbs.len(), "{examples:#?}");
    for (verb, example) in verbs.iter().zip(examples) {
        let step: Value = toml::from_str::<Value>(&format!("step = {example}")).expect(example)["step"].clone();
        let own = jsonschema::validator_for(verb).expect("a schema");
        assert!(own.is_valid(&step), "{example} is no {}", verb["title"]);
    }
}

/// Files that are wrong as files.
/// What cannot be read costs the others nothing: all the mistakes are shown at once.
#[test]
fn files_that_cannot_be_read_are_shown_with_the_others() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("latin-1.toml"), b"title = \"caf\xe9\"\n").expect("it can be written");
    fs::write(at("other.toml"), "level = 'shall'\n").expect("it can be written");
    std::os::unix::fs::symlink("nowhere", at("link.toml")).expect("it can be made");
    nix::unistd::mkfifo(&at("pipe.toml"), nix::sys::stat::Mode::S_IRWXU).expect("it can be made");
    let output = output(&["check", &path(folder.path())]);
    assert_eq!(status(&output), 2, "{}", both(&output));
    for wanted in [
        "this is not UTF-8",
        "latin-1.toml:1:13",
        "the file cannot be read: No such file",
        "link.toml:1:1",
        "it is not a regular file",
        "pipe.toml:1:1",
        "other.toml:1:9",
        "4 of the scenario files are invalid",
    ] {
        assert!(stderr(&output).contains(wanted), "{wanted:?} is not said: {}", stderr(&output));
    }
}

#[rstest]
#[case::no_such_file(None, &["no.toml: No such file"])]
#[case::not_utf8(Some(&b"title = \"\xff\"\n"[..]), &["no.toml", "UTF-8"])]
#[case::carriage_returns(Some(&b"title = \"x\"\r\nlevel = \"mist\"\r\n"[..]), &["no.toml:2:9", "did you mean `must`?", "`steps` is missing"])]
#[case::nul(Some(&b"title = \"\0\"\n"[..]), &["no.toml:1:"])]
#[case::lone_carriage_return(Some(&b"title = \"x\"\rlevel = 1\n"[..]), &["no.toml:", "carriage return"])]
fn a_file_that_cannot_be_read_is_named(#[case] content: Option<&[u8]>, #[case] wanted: &[&str]) {
    let folder = folder();
    let file = folder.path().join("no.toml");
    if let Some(content) = content {
        fs::write(&file, content).expect("it can be written");
    }
    let output = output(&["check", &path(&file)]);
    assert_eq!(status(&output), 2, "{}", both(&output));
    for wanted in wanted {
        assert!(stderr(&output).contains(wanted), "{wanted:?} is not said:\n{}", stderr(&output));
    }
}

#[test]
fn an_empty_folder_and_two_files_with_one_id_are_refused() {
    let folder = folder();
    let empty = output(&["check", &path(folder.path())]);
    assert_eq!(status(&empty), 2, "{}", both(&empty));
    assert!(stderr(&empty).contains("there is no scenario file"), "{}", stderr(&empty));
    let twice = output(&["check", "scenarios", "scenarios"]);
    assert_eq!(status(&twice), 2, "{}", both(&twice));
    assert!(stderr(&twice).contains("is the id of two files"), "{}", stderr(&twice));
}

#[test]
fn a_file_of_another_editor_is_read() {
    let folder = folder();
    let original =
        fs::read_to_string(root().join("scenarios/termination/child-is-reaped.toml")).expect("it can be read");
    for (name, text) in [("windows", original.replace('\n', "\r\n")), ("marked", format!("\u{feff}{original}"))] {
        let file = folder.path().join(format!("{name}.toml"));
        fs::write(&file, text).expect("it can be written");
        let output = forkspec().args(["check", &path(&file)]).output().expect("the command can be started");
        assert_eq!(status(&output), 0, "{name}: {}", both(&output));
    }
}
