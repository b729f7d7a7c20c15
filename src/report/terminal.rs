//! The report for a person: one line per scenario, and for a failure everything that explains it.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use anstyle::{AnsiColor, Style};
use miette::{GraphicalReportHandler, GraphicalTheme, NamedSource};

use super::document::{Conclusion, Document, Environment, Excerpt, Failure, Scenario, Subject, Word};
use super::text::plain;
use crate::play::plural;
use crate::scenario::{Located, Mistakes, Role, Span};
use crate::stage::Isolation;

const PASS: Style = AnsiColor::Green.on_default();
const FAIL: Style = AnsiColor::Red.on_default().bold();
const SKIP: Style = AnsiColor::Yellow.on_default();
const ERROR: Style = AnsiColor::Magenta.on_default().bold();
const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

/// The most timeline entries under a failure: the last ones.
const MOMENTS: usize = 10;
/// So few failures are read at a glance: what they name is not counted.
const FEW: usize = 4;
/// The most causes that are counted.
const MOST_CAUSES: usize = 5;
/// Where the text of a failure begins.
const INDENT: &str = "      ";

/// Writes a run as it goes. It holds no results, only which defects it has explained already.
pub struct Terminal {
    colour: bool,
    explained: HashMap<String, String>,
}

impl Terminal {
    /// A report with or without colours.
    pub fn new(colour: bool) -> Terminal {
        Terminal { colour, explained: HashMap::new() }
    }

    /// One line about what is tested and where.
    pub fn head(&self, subject: &Subject, isolation: Isolation) -> String {
        format!("{DIM}forkspec {} · {}{DIM:#}\n", env!("CARGO_PKG_VERSION"), setting(subject, isolation))
    }

    /// A whole document at once.
    pub fn whole(&mut self, document: &Document) -> String {
        let head = self.head(&document.subject, document.environment.isolation);
        let scenarios: String = document.scenarios.iter().map(|scenario| self.played(scenario)).collect();
        head + &scenarios + &self.foot(document)
    }

    /// A scenario's line, and what explains its verdict.
    pub fn played(&mut self, scenario: &Scenario) -> String {
        let mut text = String::new();
        let out = &mut text;
        let (style, word) = match scenario.verdict {
            Word::Pass => (PASS, "PASS"),
            Word::Fail => (FAIL, "FAIL"),
            Word::Skip => (SKIP, "SKIP"),
            Word::Error => (ERROR, "ERROR"),
        };
        let time = format!("{:.1} ms", scenario.duration_ms);
        let tail = format!("{DIM}{} · {} · {time}{DIM:#}", scenario.level, plain(&scenario.reference));
        put(out, format_args!("{style}{word:<5}{style:#} {:<58} {tail}\n", plain(&scenario.id)));
        let reason = plain(scenario.reason.as_deref().unwrap_or_default());
        match (scenario.verdict, &scenario.failure) {
            (Word::Skip, _) => put(out, format_args!("{INDENT}{reason}\n")),
            (Word::Error, _) => put(out, format_args!("{INDENT}not judged: {reason}\n")),
            (Word::Fail, Some(failure)) => self.failure(out, scenario, failure),
            _ => {}
        }
        text
    }

    fn failure(&mut self, out: &mut String, scenario: &Scenario, failure: &Failure) {
        self.place(out, scenario, failure);
        if let Some(before) = failure.defect.as_ref().and_then(|defect| self.explained.get(defect)) {
            let defect = plain(failure.defect.as_deref().unwrap_or_default());
            put(out, format_args!("{INDENT}{BOLD}why{BOLD:#}   {defect}, as in {before}\n\n"));
            return;
        }
        let moments = &scenario.timeline[scenario.timeline.len().saturating_sub(MOMENTS)..];
        for event in moments {
            let text: String = plain(&event.event).chars().take(160).collect();
            put(out, format_args!("{INDENT}{DIM}{:>8.1} ms{DIM:#}  {text}\n", event.at_ms));
        }
        for table in [&failure.processes, &failure.sockets].into_iter().filter(|table| table.len() > 1) {
            out.push('\n');
            for (number, line) in table.iter().enumerate() {
                let style = if number == 0 { DIM } else { Style::new() };
                put(out, format_args!("{INDENT}{style}{}{style:#}\n", plain(line)));
            }
        }
        if !failure.stderr.is_empty() {
            put(out, format_args!("\n{INDENT}  {DIM}on standard error{DIM:#}\n"));
            for line in &failure.stderr {
                put(out, format_args!("{INDENT}  {}\n", plain(line)));
            }
        }
        out.push('\n');
        let (Some(defect), Some(explanation)) = (&failure.defect, &failure.explanation) else { return };
        let mut head = "why";
        for line in explanation.lines() {
            put(out, format_args!("{INDENT}{BOLD}{head:<5}{BOLD:#} {}\n", plain(line)));
            head = "";
        }
        put(out, format_args!("{INDENT}{BOLD}more{BOLD:#}  forkspec explain {}\n\n", plain(defect)));
        self.explained.insert(defect.clone(), plain(&scenario.id));
    }

    /// The step in its file, with expected and observed under the check; or both alone, after the last step.
    fn place(&self, out: &mut String, scenario: &Scenario, failure: &Failure) {
        let label = format!("expected  {}\nobserved  {}", plain(&failure.expected), plain(&failure.observed));
        match failure.line.zip(failure.excerpt.as_ref()) {
            Some((line, excerpt)) => {
                let (text, span) = padded(excerpt, line);
                let source = Arc::new(NamedSource::new(plain(&scenario.shown_path()), text));
                let located = Located { message: plain(&scenario.title), help: None, label, span, source };
                for line in render(&located, self.colour).lines().filter(|line| !line.trim().is_empty()) {
                    put(out, format_args!("{}{line}\n", &INDENT[2..]));
                }
            }
            None => {
                put(out, format_args!("{INDENT}{}\n\n", plain(&scenario.title)));
                put(out, format_args!("{INDENT}After the last step, the runner looked again:\n"));
                label.lines().for_each(|line| put(out, format_args!("{INDENT}  {line}\n")));
            }
        }
        out.push('\n');
    }

    /// The last lines: what came out of it all.
    pub fn foot(&self, document: &Document) -> String {
        let summary = &document.summary;
        let mut text = String::new();
        let out = &mut text;
        refused(out, &document.environment);
        waited(out, &document.environment);
        causes(out, document);
        let conclusion = document.conclusion();
        let style = match conclusion {
            Conclusion::DoesNotConform => FAIL,
            Conclusion::NotDecided => ERROR,
            Conclusion::NothingJudged => SKIP,
            Conclusion::Conforms => PASS,
        };
        let part = |count: usize, word: &str| if count > 0 { format!(", {count} {word}") } else { String::new() };
        let played = document.scenarios.len();
        let share = document.shard.as_ref();
        let share = share.map(|share| format!(" (shard {}/{} of {})", share.index, share.of, share.selected));
        put(
            out,
            format_args!(
                "\n{BOLD}{}{BOLD:#}{} in {:.0} ms: {} passed, {} failed{}{} — {style}{conclusion}{style:#}\n",
                plural(played as u64, "scenario", "scenarios"),
                share.unwrap_or_default(),
                summary.duration_ms,
                summary.pass,
                summary.fail,
                part(summary.skip, "skipped"),
                part(summary.error, "not judged"),
            ),
        );
        if document.interrupted {
            out.push_str("Interrupted: the scenarios that are not listed were not played.\n");
        }
        text
    }
}

/// What is tested and where, in one line.
pub fn setting(subject: &Subject, isolation: Isolation) -> String {
    let program = |words: &[String], role| match subject.given.contains(&role) {
        true => plain(&shell_words::join(words)),
        false => "reference".to_owned(),
    };
    let model = match (subject.server.model, subject.server.declared) {
        (Some(model), true) => format!(" ({model}, declared)"),
        (Some(model), false) => format!(" ({model})"),
        (None, _) => " (model not seen)".to_owned(),
    };
    format!(
        "server {}{model} · client {} · isolation {}",
        program(&subject.server.command, Role::Server),
        program(&subject.client.command, Role::Client),
        isolation.name(),
    )
}

/// The explanation of one scenario's verdict as a terminal without colours shows it.
pub fn explanation(scenario: &Scenario) -> String {
    anstream::adapter::strip_str(&Terminal::new(false).played(scenario)).to_string()
}

/// A text with an excerpt's lines in their places, and the place that is meant in it.
fn padded(excerpt: &Excerpt, line: usize) -> (String, Span) {
    // No scenario file is as long as this; a report that was read may say anything.
    const LONGEST: usize = 1 << 20;
    // A tab is one character of the column too.
    let lines: Vec<String> = excerpt.lines.iter().map(|line| plain(&line.replace('\t', " "))).collect();
    let above = excerpt.first_line.clamp(1, LONGEST) - 1;
    let meant = line.saturating_sub(excerpt.first_line).min(lines.len().saturating_sub(1));
    let begin = above + lines[..meant].iter().map(|line| line.len() + 1).sum::<usize>();
    let bytes = |count: usize| lines.get(meant).map_or(0, |line| line.chars().take(count).map(char::len_utf8).sum());
    let start = begin + bytes(excerpt.column.saturating_sub(1));
    let end = begin + bytes(excerpt.column.saturating_sub(1).saturating_add(excerpt.length));
    ("\n".repeat(above) + &lines.join("\n") + "\n", start..end)
}

/// What keeps verdicts from being as good as they could be.
fn refused(out: &mut String, environment: &Environment) {
    if environment.isolation != Isolation::None || environment.refused.is_empty() {
        return;
    }
    put(
        out,
        format_args!(
            "\n{SKIP}Namespaces are refused here{SKIP:#}, so scenarios share the machine's network and are played one at a time:\n"
        ),
    );
    for refused in &environment.refused {
        put(out, format_args!("  {}: {}\n", refused.isolation.name(), plain(&refused.reason)));
    }
}

/// What has made the run slow, and how to avoid it.
fn waited(out: &mut String, environment: &Environment) {
    let Some(waited) = environment.waited_ms else { return };
    put(
        out,
        format_args!(
            "\n{SKIP}{:.0} s of waiting{SKIP:#} for connections of earlier scenarios in TIME_WAIT: the server has a port of its own and \
             does not set SO_REUSEADDR. With {{port}} in its command it gets a fresh one each time.\n",
            waited / 1e3
        ),
    );
}

/// Of many failures, where to begin: one mistake fails many scenarios.
fn causes(out: &mut String, document: &Document) {
    let failures: Vec<(&Scenario, &Failure)> =
        document.scenarios.iter().filter_map(|scenario| Some((scenario, scenario.failure.as_ref()?))).collect();
    if failures.len() < FEW {
        return;
    }
    let mut named: Vec<(&str, usize, &str)> = Vec::new();
    for (scenario, failure) in &failures {
        let Some(defect) = failure.defect.as_deref() else { continue };
        match named.iter_mut().find(|(name, ..)| *name == defect) {
            Some((_, count, _)) => *count += 1,
            None => named.push((defect, 1, &scenario.id)),
        }
    }
    if named.is_empty() {
        return;
    }
    // Stable: of equally frequent ones, the first to be named.
    named.sort_by_key(|(_, count, _)| std::cmp::Reverse(*count));
    let unnamed = failures.len() - named.iter().map(|(_, count, _)| count).sum::<usize>();
    put(out, format_args!("\n{BOLD}Where to begin{BOLD:#}: one mistake can fail many scenarios.\n"));
    for (defect, count, first) in named.iter().take(MOST_CAUSES) {
        put(out, format_args!("{count:>5} × {:<30} {DIM}explained at {}{DIM:#}\n", plain(defect), plain(first)));
    }
    if named.len() > MOST_CAUSES {
        put(out, format_args!("      and {} more\n", named.len() - MOST_CAUSES));
    }
    if unnamed > 0 {
        put(out, format_args!("{unnamed:>5} × no cause is named; look at these when the others are mended\n"));
    }
}

/// All the mistakes of invalid files.
pub fn mistakes(all: &[Mistakes], colour: bool) -> String {
    all.iter().flat_map(Mistakes::diagnostics).map(|located| render(&located, colour)).collect()
}

/// Draws a message at its place.
fn render(located: &Located, colour: bool) -> String {
    let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let mut text = String::new();
    let drawn = GraphicalReportHandler::new_themed(theme)
        .with_width(120)
        .with_context_lines(1)
        .render_report(&mut text, located);
    if drawn.is_err() {
        text = format!("{}: {}\n", located.message, located.label);
    }
    text
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a String cannot fail");
}
