//! The report for TAP harnesses: the Test Anything Protocol, version 14, with diagnostics in YAML.
//!
//! The YAML is of the simple kind that old harnesses read too: plain keys, strings in double quotes, and blocks without
//! empty lines.

use std::fmt::Write;

use super::document::{Document, Scenario, Word};
use super::terminal::{explanation, setting};
use super::text::plain;

/// The text of the report.
pub fn render(document: &Document) -> String {
    let mut text = String::from("TAP version 14\n");
    let out = &mut text;
    match (document.scenarios.len(), &document.shard) {
        // To a harness a plan of nothing is a test file that was skipped, and says why.
        (0, Some(_)) => put(out, format_args!("1..0 # SKIP there is no scenario in this shard\n")),
        (0, None) => put(out, format_args!("1..0 # SKIP no scenario was played\n")),
        (count, _) => put(out, format_args!("1..{count}\n")),
    }
    let setting = setting(&document.subject, document.environment.isolation);
    put(out, format_args!("# forkspec {} · {setting}\n", plain(&document.forkspec)));
    for (index, scenario) in document.scenarios.iter().enumerate() {
        put(out, format_args!("{}\n", line(document, index + 1, scenario)));
        diagnostics(out, scenario);
    }
    if document.interrupted {
        put(out, format_args!("Bail out! Interrupted: the scenarios that are not listed were not played\n"));
    }
    text
}

/// The test line. What is not held against the subject is something to do: it does not fail the harness, as it does not
/// fail the run.
fn line(document: &Document, number: usize, scenario: &Scenario) -> String {
    let word = if matches!(scenario.verdict, Word::Pass | Word::Skip) { "ok" } else { "not ok" };
    let directive = match scenario.verdict {
        Word::Skip => format!(" # SKIP {}", scenario.message()),
        Word::Fail if !document.is_held_against(scenario) => {
            format!(" # TODO it is only a `{}`: the run does not fail", scenario.level)
        }
        _ => String::new(),
    };
    format!("{word} {number} - {}{directive}", escaped(&scenario.id))
}

/// A `#` begins a directive.
fn escaped(text: &str) -> String {
    plain(text).replace('\\', "\\\\").replace('#', "\\#")
}

fn diagnostics(out: &mut String, scenario: &Scenario) {
    let mut pair = |key: &str, value: &str| put(out, format_args!("  {key}: {value}\n"));
    pair("---\n  title", &quoted(&scenario.title));
    if matches!(scenario.verdict, Word::Fail | Word::Error) {
        pair("message", &quoted(&scenario.message()));
        pair("severity", scenario.verdict.name());
    }
    pair("level", &scenario.level.to_string());
    pair("reference", &quoted(&scenario.reference));
    pair("duration_ms", &scenario.duration_ms.to_string());
    if let Some(failure) = &scenario.failure {
        if let Some((step, line)) = failure.step.zip(failure.line) {
            pair("file", &quoted(&scenario.shown_path()));
            pair("line", &line.to_string());
            pair("step", &step.to_string());
        }
        pair("expected", &quoted(&failure.expected));
        pair("observed", &quoted(&failure.observed));
        failure.defect.iter().for_each(|defect| pair("defect", &quoted(defect)));
        pair("explanation", "|");
        for line in explanation(scenario).lines().map(str::trim_end).filter(|line| !line.is_empty()) {
            put(out, format_args!("    {line}\n"));
        }
    }
    put(out, format_args!("  ...\n"));
}

/// A string of YAML in double quotes.
fn quoted(text: &str) -> String {
    format!("\"{}\"", plain(text).replace('\\', "\\\\").replace('"', "\\\""))
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a String cannot fail");
}
