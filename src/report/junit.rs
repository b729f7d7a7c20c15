//! The report for CI systems: JUnit's XML, as Jenkins, GitLab and others read it.
//!
//! A chapter is a test suite and a scenario a test case. Its explanation is the body of the failure; what was observed is
//! the output of the test case.

use std::fmt::Write;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use super::document::{Document, Scenario, Word};
use super::terminal::{explanation, setting};
use super::text::{plain, plain_lines};

/// The name of the whole, and the root of what looks like packages and classes.
const NAME: &str = "forkspec";

/// The text of the report.
pub fn render(document: &Document) -> Result<String, SerializeError> {
    let mut report = Report::new(NAME);
    report.set_time(seconds(document.summary.duration_ms));
    let mut rest = &document.scenarios[..];
    while let Some(first) = rest.first() {
        let chapter = first.chapter();
        let (one, others) = rest.split_at(rest.iter().take_while(|scenario| scenario.chapter() == chapter).count());
        report.add_test_suite(suite(document, chapter, one.iter().map(case)));
        rest = others;
    }
    if document.interrupted {
        report.add_test_suite(suite(document, None, std::iter::once(interrupted())));
    }
    // The schema of Jenkins knows `skipped` on a test suite, and not on all of them together.
    let skipped = format!(" skipped=\"{}\"", report.skipped);
    Ok(report.to_string()?.replacen(&skipped, "", 1))
}

fn suite(document: &Document, chapter: Option<&str>, cases: impl Iterator<Item = TestCase>) -> TestSuite {
    let mut suite = TestSuite::new(plain(chapter.unwrap_or(NAME)));
    suite.add_property(Property::new("forkspec", plain(&document.forkspec)));
    suite.add_property(Property::new("subject", setting(&document.subject, document.environment.isolation)));
    suite.add_test_cases(cases);
    suite.set_time(suite.test_cases.iter().filter_map(|case| case.time).sum());
    suite
}

fn case(scenario: &Scenario) -> TestCase {
    let mut case = TestCase::new(plain(&scenario.id), status(scenario));
    // Jenkins takes what stands before the last dot for the package.
    let class = scenario.chapter().map_or(NAME.to_owned(), |chapter| format!("{NAME}.{}", chapter.replace('/', ".")));
    case.set_classname(plain(&class));
    case.set_time(seconds(scenario.duration_ms));
    let out = observed(scenario);
    if !out.is_empty() {
        case.set_system_out(out);
    }
    if let Some(failure) = scenario.failure.as_ref().filter(|failure| !failure.stderr.is_empty()) {
        case.set_system_err(plain_lines(&failure.stderr.join("\n")));
    }
    case
}

fn status(scenario: &Scenario) -> TestCaseStatus {
    let mut status = match scenario.verdict {
        Word::Pass => return TestCaseStatus::success(),
        Word::Skip => TestCaseStatus::skipped(),
        Word::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Word::Error => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    status.set_message(scenario.message());
    match scenario.verdict {
        Word::Fail => status.set_type(scenario.level.to_string()).set_description(explanation(scenario)),
        Word::Error => status.set_type(Word::Error.name()).set_description(explanation(scenario)),
        Word::Skip | Word::Pass => &mut status,
    };
    status
}

/// The timeline and the tables.
fn observed(scenario: &Scenario) -> String {
    let mut text = String::new();
    for event in &scenario.timeline {
        writeln!(text, "{:>8.1} ms  {}", event.at_ms, plain(&event.event)).expect("writing to a String cannot fail");
    }
    let tables = scenario.failure.iter().flat_map(|failure| [&failure.processes, &failure.sockets]);
    for table in tables.filter(|table| table.len() > 1) {
        for (number, line) in table.iter().enumerate() {
            let gap = if number == 0 { "\n" } else { "" };
            writeln!(text, "{gap}{}", plain(line)).expect("writing to a String cannot fail");
        }
    }
    text
}

/// A run that was cut short must not look like one that has passed.
fn interrupted() -> TestCase {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status
        .set_type("interrupted")
        .set_message("the run was interrupted: scenarios that are not listed were not played");
    let mut case = TestCase::new("interrupted", status);
    case.set_classname(NAME).set_time(Duration::ZERO);
    case
}

fn seconds(millis: f64) -> Duration {
    // A report that was read may say anything.
    Duration::try_from_secs_f64(millis / 1e3).unwrap_or_default()
}
