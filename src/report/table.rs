//! One line for each of many reports: what a class has come to.

use std::path::Path;

use super::document::{Document, Word};
use super::text::plain;
use crate::scenario::Level;

/// The levels, in the order of the columns.
const LEVELS: [Level; 3] = [Level::Must, Level::Should, Level::May];

/// One report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    report: String,
    conclusion: String,
    /// For each level: passed, failed.
    judged: [(usize, usize); 3],
    skipped: usize,
    errors: usize,
    mistakes: Vec<String>,
}

impl Row {
    /// What a report says, in short. It is called as its file is, without the ending.
    pub fn of(path: &Path, document: &Document) -> Row {
        let count = |level, verdict| {
            let counts = |scenario: &&super::document::Scenario| scenario.level == level && scenario.verdict == verdict;
            document.scenarios.iter().filter(counts).count()
        };
        let mut mistakes: Vec<String> = Vec::new();
        for defect in document.scenarios.iter().filter_map(|scenario| scenario.failure.as_ref()?.defect.as_ref()) {
            let defect = plain(defect);
            if !mistakes.contains(&defect) {
                mistakes.push(defect);
            }
        }
        Row {
            report: plain(&path.with_extension("").to_string_lossy()),
            conclusion: document.conclusion().to_string(),
            judged: LEVELS.map(|level| (count(level, Word::Pass), count(level, Word::Fail))),
            skipped: document.summary.skip,
            errors: document.summary.error,
            mistakes,
        }
    }
}

/// Columns for a person: passed of judged for each level, and the mistakes that failures name.
pub fn text(rows: &[Row]) -> String {
    let head = ["report", "verdict", "must", "should", "may", "errors", "mistakes"].map(str::to_owned);
    let line = |row: &Row| {
        let [must, should, may] = row.judged.map(|(pass, fail)| format!("{pass}/{}", pass + fail));
        let verdict = row.conclusion.clone();
        [row.report.clone(), verdict, must, should, may, row.errors.to_string(), row.mistakes.join(" ")]
    };
    let lines: Vec<[String; 7]> = std::iter::once(head).chain(rows.iter().map(line)).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 7] = std::array::from_fn(width);
    let padded = |line: &[String; 7]| {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    lines.iter().map(padded).collect()
}

/// The same for a spreadsheet, in CSV (RFC 4180).
pub fn csv(rows: &[Row]) -> Result<String, csv::Error> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    let mut head = vec!["report".to_owned(), "verdict".to_owned()];
    head.extend(LEVELS.iter().flat_map(|level| [format!("{level}_pass"), format!("{level}_fail")]));
    head.extend(["skip", "error", "mistakes"].map(str::to_owned));
    writer.write_record(&head)?;
    for row in rows {
        let mut cells = vec![row.report.clone(), row.conclusion.clone()];
        cells.extend(row.judged.iter().flat_map(|(pass, fail)| [pass.to_string(), fail.to_string()]));
        cells.extend([row.skipped.to_string(), row.errors.to_string(), row.mistakes.join(" ")]);
        writer.write_record(&cells)?;
    }
    let bytes = writer.into_inner().map_err(|error| error.into_error())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
