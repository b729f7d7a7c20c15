//! The detection matrix as a command: fixtures in any language, suites of one's own, what is refused.

mod common;

use std::fs;
use std::path::Path;

use common::{FORKSPEC, both, folder, forkspec, output, path, status, stderr, stdout};
use predicates::str::contains;
use rstest::rstest;

/// Writes the manifest of a server that never listens, and its source in C.
fn fixture(folder: &Path, name: &str, keys: &str) {
    let manifest = format!("title = 'A fixture'\nmodel = 'fork'\n{keys}");
    fs::write(folder.join(name).with_extension("toml"), manifest).expect("it can be written");
    fs::write(folder.join(name).with_extension("c"), "#include <unistd.h>\nint main(void) { return pause(); }\n")
        .expect("it can be written");
}

#[test]
fn a_matrix_proves_a_mistake_of_ones_own() {
    let (suite, fixtures) = (folder(), folder());
    let scenario = include_str!("../scenarios/startup/server-listens.toml");
    let own = scenario
        .lines()
        .filter(|line| !line.starts_with("#:"))
        .map(|line| if line.starts_with("defect") { "defect = \"my-own\"".to_owned() } else { line.to_owned() });
    let text = own.collect::<Vec<_>>().join("\n");
    fs::create_dir(suite.path().join("own")).expect("it can be made");
    fs::write(suite.path().join("own/listens.toml"), text).expect("it can be written");
    fixture(fixtures.path(), "waits", "server = 'waits.c'\ndefect = 'my-own'\nfails = ['own/listens']\n");
    let (suite, fixtures) = (path(suite.path()), path(fixtures.path()));
    let words = ["matrix", &fixtures, "--scenarios", &suite];
    forkspec().args(words).assert().code(0).stdout(contains("0 not as declared"));
    let words = ["explain", "--scenarios", &suite, "own/listens"];
    forkspec().args(words).assert().code(0).stdout(contains("none of the catalogue's"));
}

/// A fixture that is the reference server by way of a compiler that copies and an interpreter.
#[rstest]
#[case::compiled("compiler = 'cp {source} {program}'")]
#[case::interpreted("interpreter = 'sh'")]
#[case::compiled_for_an_interpreter("compiler = 'cp {source} {program}'\ninterpreter = 'sh {program}'")]
#[case::compiled_to_a_folder(
    "compiler = 'sh -c \"mkdir {program} && cp {source} {program}/it\"'\ninterpreter = 'sh {program}/it'"
)]
fn fixtures_can_be_of_any_language(#[case] keys: &str) {
    let (fixtures, cache) = (folder(), folder());
    fixture(fixtures.path(), "copied", &format!("server = 'copied.sh'\n{keys}\n"));
    let script = common::executable(
        fixtures.path(),
        "copied.sh",
        &format!("#!/bin/sh\nexec {FORKSPEC} reference server \"$1\"\n"),
    );
    for _ in 0..2 {
        let mut matrix = forkspec();
        matrix.args(["matrix", &path(fixtures.path()), "--only", "echo/empty-line"]);
        let output = matrix.env("FORKSPEC_CACHE", cache.path()).output().expect("it can be executed");
        assert!(stdout(&output).starts_with("GOOD copied"), "{script}: {}", both(&output));
        assert!(stdout(&output).ends_with("1 fixture × 1 scenario: 0 not as declared, 0 not available here\n"));
    }
    let made = fs::read_dir(cache.path()).expect("it is there").count();
    assert_eq!(made, usize::from(keys.contains("compiler")), "what is compiled is kept, and once");
}

#[rstest]
#[case::no_such_compiler("compiler = 'no-such-compiler {source} {program}'", 0, "no-such-compiler is not installed")]
#[case::no_such_interpreter("interpreter = 'no-such-interpreter'", 0, "no-such-interpreter is not installed")]
#[case::compiles_nothing_named("compiler = 'cc -o {program}'", 2, "`compiler` has no {source}")]
#[case::names_no_program("compiler = 'cc {source}'", 2, "`compiler` has no {program}")]
#[case::open_quotation_mark("interpreter = \"sh '\"", 2, "a quotation mark is not closed")]
#[case::does_not_compile("compiler = 'sh -c \"echo {source} {program} is wrong; exit 1\"'", 2, "does not compile")]
#[case::unknown_key("copmiler = 'cc'", 2, "copmiler")]
fn what_cannot_be_compiled_is_said(#[case] keys: &str, #[case] code: i32, #[case] wanted: &str) {
    let fixtures = folder();
    fixture(fixtures.path(), "never", &format!("server = 'never.c'\n{keys}\n"));
    let output = output(&["matrix", &path(fixtures.path()), "--only", "echo/empty-line"]);
    assert_eq!(status(&output), code, "{}", both(&output));
    assert!(both(&output).contains(wanted), "{}", both(&output));
}

#[test]
fn a_manifest_that_names_no_scenario_is_told() {
    let fixtures = folder();
    let keys = "server = 'waits.c'\ndefect = 'never-listens'\nfails = ['startup/server-listens']\nmay_fail = ['echo/emty-line']\n";
    fixture(fixtures.path(), "waits", keys);
    let output = output(&["matrix", &path(fixtures.path()), "--only", "startup/server-listens"]);
    assert_eq!(status(&output), 0, "{}", both(&output));
    let wanted =
        "warning: fixture `waits` names `echo/emty-line`, which is no scenario; did you mean `echo/empty-line`?\n";
    assert_eq!(stderr(&output), wanted);
}

#[rstest]
#[case::junit("junit")]
#[case::terminal("terminal")]
fn a_matrix_refuses_reports_that_it_does_not_have(#[case] format: &str) {
    let output = output(&["matrix", "fixtures/correct", "--report", format]);
    assert_eq!(status(&output), 2, "{}", both(&output));
    assert_eq!(stdout(&output), "");
}

#[rstest]
#[case::none_of_its_own("startup/server-listens", "SKIP zombie-children")]
#[case::one_of_its_own("termination/child-is-reaped", "GOOD zombie-children")]
fn a_matrix_of_some_scenarios_asks_of_a_fixture_what_they_can_show(#[case] only: &str, #[case] wanted: &str) {
    let output = output(&["matrix", "fixtures/defects/zombie-children.toml", "--only", only]);
    assert_eq!(status(&output), 0, "{}", both(&output));
    assert!(stdout(&output).contains(wanted), "{}", both(&output));
}
