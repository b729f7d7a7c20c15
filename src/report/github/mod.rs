//! The report for GitHub Actions: annotations, the log of the run, and a summary of the step.

mod command;
mod summary;

use std::io;
use std::path::{Path, PathBuf};

pub use command::Fence;
use command::command;
pub use summary::summary;

use super::document::{Conclusion, Document, Scenario, Word};
use super::terminal::Terminal;
use super::text::plain_lines;

/// GitHub shows so many annotations of a type for one step, and drops the others without a word.
const MOST: usize = 10;
/// The most characters of a message.
const LONGEST: usize = 4000;

/// Where a workflow's step runs, as the runner of GitHub tells it.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// The checkout; annotations name files below it.
    pub workspace: Option<PathBuf>,
    /// The file that takes the summary of the step.
    pub summary: Option<PathBuf>,
}

impl Place {
    /// What the environment says.
    pub fn here() -> Place {
        let path = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Place { workspace: path("GITHUB_WORKSPACE"), summary: path("GITHUB_STEP_SUMMARY") }
    }

    /// A scenario's file as annotations name it: from the checkout's root. None if it does not lie there.
    fn file(&self, scenario: &Scenario) -> Option<String> {
        let path = Path::new(scenario.path.as_ref()?);
        let Some(workspace) = &self.workspace else {
            return path.is_relative().then(|| path.display().to_string());
        };
        let whole = std::path::absolute(path).ok()?;
        Some(whole.strip_prefix(workspace).ok()?.display().to_string())
    }
}

/// The log of the run, in which no command is obeyed, and then the annotations.
pub fn render(document: &Document, place: &Place) -> io::Result<String> {
    let log = Terminal::new(false).whole(document);
    let log = anstream::adapter::strip_str(&log).to_string();
    let fence = Fence::new()?;
    Ok(fence.open() + &log + &fence.close() + &annotations(document, place))
}

/// At most as many annotations as GitHub shows; the rest is counted.
pub fn annotations(document: &Document, place: &Place) -> String {
    let held = |scenario: &&Scenario| document.is_held_against(scenario) || scenario.verdict == Word::Error;
    let (errors, others): (Vec<_>, Vec<_>) = document.scenarios.iter().partition(held);
    let warnings: Vec<_> = others.into_iter().filter(|scenario| scenario.verdict == Word::Fail).collect();
    let mut text = String::new();
    let mut room = MOST;
    if document.interrupted {
        let message = "the run was interrupted: scenarios that are not in the log were not played";
        text += &command("error", &[("title", "forkspec")], message);
        room -= 1;
    }
    errors.iter().take(room).for_each(|scenario| text += &annotation("error", scenario, place));
    warnings.iter().take(MOST).for_each(|scenario| text += &annotation("warning", scenario, place));
    let left_out: Vec<String> =
        [("error", errors.len().saturating_sub(room)), ("warning", warnings.len().saturating_sub(MOST))]
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(word, count)| format!("{count} more {word}{}", if count == 1 { "" } else { "s" }))
            .collect();
    if !left_out.is_empty() {
        let message = format!(
            "{} without an annotation: GitHub shows {MOST} of a type for each step. All of them are in the log and in the summary.",
            left_out.join(" and ")
        );
        text += &command("notice", &[("title", "forkspec")], &message);
    }
    if document.conclusion() == Conclusion::NothingJudged && document.shard.is_none() {
        text += &command("notice", &[("title", "forkspec")], "no scenario applied: nothing was judged");
    }
    text
}

fn annotation(kind: &str, scenario: &Scenario, place: &Place) -> String {
    let what = if scenario.verdict == Word::Error { " was not judged" } else { "" };
    let title = format!("{}{what} ({}, {})", scenario.id, scenario.level, scenario.reference);
    let mut properties = Vec::new();
    let line = scenario.failure.as_ref().and_then(|failure| failure.line).map(|line| line.to_string());
    let file = place.file(scenario);
    // A scenario of the standard suite has no file in the user's repository.
    if let Some(file) = &file {
        properties.push(("file", file.as_str()));
        properties.extend(line.as_deref().map(|line| ("line", line)));
    }
    properties.push(("title", &title));
    command(kind, &properties, &message(scenario))
}

fn message(scenario: &Scenario) -> String {
    let mut lines = vec![scenario.title.clone()];
    match &scenario.failure {
        Some(failure) => {
            lines.push(format!("expected  {}", failure.expected));
            lines.push(format!("observed  {}", failure.observed));
            if let (Some(defect), Some(explanation)) = (&failure.defect, &failure.explanation) {
                lines.push(explanation.clone());
                lines.push(format!("forkspec explain {defect}"));
            }
        }
        None => lines.extend(scenario.reason.clone()),
    }
    plain_lines(&lines.join("\n")).chars().take(LONGEST).collect()
}
