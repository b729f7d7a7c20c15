//! The report for a person: one line per scenario, and for a failure everything that explains it.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use anstyle::{AnsiColor, Style};
use miette::{GraphicalReportHandler, GraphicalTheme, NamedSource};

use crate::catalogue;
use crate::play::Failure;
use crate::run::{Environment, Played, Run, SubjectInfo, Verdict, millis};
use crate::scenario::{Located, Mistakes};
use crate::stage::Isolation;

const PASS: Style = AnsiColor::Green.on_default();
const FAIL: Style = AnsiColor::Red.on_default().bold();
const SKIP: Style = AnsiColor::Yellow.on_default();
const ERROR: Style = AnsiColor::Magenta.on_default().bold();
const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

/// The most timeline entries under a failure: the last ones.
const MOMENTS: usize = 10;
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
    pub fn head(&self, subject: &SubjectInfo, environment: Isolation) -> String {
        let program = |(words, given): &(Vec<String>, bool)| match given {
            true => plain(&shell_words::join(words)),
            false => "reference".to_owned(),
        };
        let model = match (subject.model, subject.declared) {
            (Some(model), true) => format!(" ({model}, declared)"),
            (Some(model), false) => format!(" ({model})"),
            (None, _) => " (model not seen)".to_owned(),
        };
        format!(
            "{DIM}forkspec {} · server {}{model} · client {} · isolation {}{DIM:#}\n",
            env!("CARGO_PKG_VERSION"),
            program(&subject.server),
            program(&subject.client),
            environment.name(),
        )
    }

    /// A scenario's line, and what explains its verdict.
    pub fn played(&mut self, played: &Played) -> String {
        let scenario = &played.scenario;
        let mut text = String::new();
        let out = &mut text;
        let (style, word) = match &played.verdict {
            Verdict::Pass => (PASS, "PASS"),
            Verdict::Fail(_) => (FAIL, "FAIL"),
            Verdict::Skip(_) => (SKIP, "SKIP"),
            Verdict::Error(_) => (ERROR, "ERROR"),
        };
        let time = format!("{:.1} ms", millis(played.duration));
        let tail = format!("{DIM}{} · {} · {time}{DIM:#}", scenario.level, scenario.reference);
        put(out, format_args!("{style}{word:<5}{style:#} {:<58} {tail}\n", scenario.id));
        match &played.verdict {
            Verdict::Pass => {}
            Verdict::Skip(reason) => put(out, format_args!("{INDENT}{}\n", plain(reason))),
            Verdict::Error(reason) => put(out, format_args!("{INDENT}not judged: {}\n", plain(reason))),
            Verdict::Fail(failure) => self.failure(out, played, failure),
        }
        text
    }

    fn failure(&mut self, out: &mut String, played: &Played, failure: &Failure) {
        let scenario = &played.scenario;
        self.place(out, played, failure);
        if let Some(before) = failure.defect.as_ref().and_then(|defect| self.explained.get(defect)) {
            let defect = failure.defect.as_deref().unwrap_or_default();
            put(out, format_args!("{INDENT}{BOLD}why{BOLD:#}   {defect}, as in {before}\n\n"));
            return;
        }
        let moments = &played.timeline[played.timeline.len().saturating_sub(MOMENTS)..];
        for event in moments {
            let text: String = plain(&event.text).chars().take(160).collect();
            put(out, format_args!("{INDENT}{DIM}{:>8.1} ms{DIM:#}  {text}\n", millis(event.at)));
        }
        for table in [&failure.tables.processes, &failure.tables.sockets].into_iter().filter(|table| table.len() > 1) {
            out.push('\n');
            for (number, line) in table.iter().enumerate() {
                let style = if number == 0 { DIM } else { Style::new() };
                put(out, format_args!("{INDENT}{style}{}{style:#}\n", plain(line)));
            }
        }
        if !failure.tables.stderr.is_empty() {
            put(out, format_args!("\n{INDENT}  {DIM}on standard error{DIM:#}\n"));
            for line in &failure.tables.stderr {
                put(out, format_args!("{INDENT}  {line}\n"));
            }
        }
        out.push('\n');
        let Some(defect) = failure.defect.as_deref().and_then(catalogue::find) else { return };
        let mut head = "why";
        for line in defect.why.trim().lines() {
            put(out, format_args!("{INDENT}{BOLD}{head:<5}{BOLD:#} {line}\n"));
            head = "";
        }
        put(out, format_args!("{INDENT}{BOLD}more{BOLD:#}  forkspec explain {}\n\n", defect.id));
        self.explained.insert(defect.id, scenario.id.clone());
    }

    /// The step in its file, with expected and observed under the check; or both alone, after the last step.
    fn place(&self, out: &mut String, played: &Played, failure: &Failure) {
        let label = format!("expected  {}\nobserved  {}", plain(&failure.expected), plain(&failure.observed));
        match &failure.span {
            Some(span) => {
                let source = &played.scenario.source;
                let source = Arc::new(NamedSource::new(&source.path, source.text.clone()));
                let located =
                    Located { message: played.scenario.title.clone(), help: None, label, span: span.clone(), source };
                for line in render(&located, self.colour).lines().filter(|line| !line.trim().is_empty()) {
                    put(out, format_args!("{}{line}\n", &INDENT[2..]));
                }
            }
            None => {
                put(out, format_args!("{INDENT}{}\n\n", played.scenario.title));
                put(out, format_args!("{INDENT}After the last step, the runner looked again:\n"));
                label.lines().for_each(|line| put(out, format_args!("{INDENT}  {line}\n")));
            }
        }
        out.push('\n');
    }

    /// The last lines: what came out of it all.
    pub fn foot(&self, run: &Run, strict: bool) -> String {
        let summary = run.summary();
        let mut text = String::new();
        let out = &mut text;
        refused(out, &run.environment);
        waited(out, &run.environment);
        let conforms = if run.fails(strict) {
            format!("{FAIL}does not conform{FAIL:#}")
        } else if summary.error > 0 || run.interrupted {
            format!("{ERROR}not decided{ERROR:#}")
        } else if summary.pass + summary.fail == 0 {
            format!("{SKIP}nothing was judged{SKIP:#}")
        } else {
            format!("{PASS}conforms{PASS:#}")
        };
        let part = |count: usize, word: &str| if count > 0 { format!(", {count} {word}") } else { String::new() };
        put(
            out,
            format_args!(
                "\n{BOLD}{} scenario{}{BOLD:#} in {:.0} ms: {} passed, {} failed{}{} — {conforms}\n",
                run.played.len(),
                if run.played.len() == 1 { "" } else { "s" },
                millis(run.duration),
                summary.pass,
                summary.fail,
                part(summary.skip, "skipped"),
                part(summary.error, "not judged"),
            ),
        );
        if run.interrupted {
            out.push_str("Interrupted: the scenarios that are not listed were not played.\n");
        }
        text
    }
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
    for (isolation, why) in &environment.refused {
        put(out, format_args!("  {}: {why}\n", isolation.name()));
    }
}

/// What has made the run slow, and how to avoid it.
fn waited(out: &mut String, environment: &Environment) {
    if environment.waited.is_zero() {
        return;
    }
    put(
        out,
        format_args!(
            "\n{SKIP}{:.0} s of waiting{SKIP:#} for connections of earlier scenarios in TIME_WAIT: the server has a port of its own and \
             does not set SO_REUSEADDR. With {{port}} in its command it gets a fresh one each time.\n",
            environment.waited.as_secs_f64()
        ),
    );
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

/// A subject chooses its name and its words; they must not command the reader's terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a String cannot fail");
}
