//! What came out of a matrix, and what it says about the suite.

use serde::Serialize;

use super::fixture::Fixture;
use crate::run::{Run, Verdict, millis};
use crate::scenario::Level;

/// The whole matrix.
#[derive(Debug, Clone, Serialize)]
pub struct Grid {
    /// The ids of the scenarios: the columns.
    pub scenarios: Vec<String>,
    /// One row for each fixture.
    pub fixtures: Vec<Row>,
}

/// One fixture's verdicts.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The fixture.
    pub id: String,
    /// What it does.
    pub title: String,
    /// The planted defect; none: it is correct.
    pub defect: Option<String>,
    /// Why it was not run.
    pub unavailable: Option<String>,
    /// The verdicts, scenario by scenario.
    pub cells: Vec<Cell>,
    /// Wall time in milliseconds.
    pub duration_ms: f64,
    /// What is not as the manifest says.
    pub problems: Vec<String>,
}

/// One scenario on one fixture.
#[derive(Debug, Clone, Serialize)]
pub struct Cell {
    /// The scenario.
    pub scenario: String,
    /// Its verdict.
    pub verdict: &'static str,
    /// The defect that the failure names.
    pub names: Option<String>,
}

impl Row {
    /// A fixture that this machine cannot run.
    pub fn unavailable(fixture: &Fixture, why: &str) -> Row {
        Row { unavailable: Some(why.to_owned()), ..Row::empty(fixture) }
    }

    fn empty(fixture: &Fixture) -> Row {
        Row {
            id: fixture.id.clone(),
            title: fixture.title.clone(),
            defect: fixture.defect.clone(),
            unavailable: None,
            cells: Vec::new(),
            duration_ms: 0.0,
            problems: Vec::new(),
        }
    }

    /// Compares what came out with what the manifest says.
    pub fn of(fixture: &Fixture, runs: &[Run]) -> Row {
        let mut row = Row::empty(fixture);
        row.duration_ms = runs.iter().map(|run| millis(run.duration)).sum();
        let mut unseen = None;
        for played in runs.iter().flat_map(|run| &run.played) {
            let id = &played.scenario.id;
            let wanted = fixture.must_fail(id);
            let mut names = None;
            match &played.verdict {
                Verdict::Fail(failure) => {
                    names = failure.defect.clone();
                    // What is truly optional is held against nobody.
                    if !wanted && !fixture.may_fail(id) && played.scenario.level != Level::May {
                        let observed = format!("expected {}, observed {}", failure.expected, failure.observed);
                        row.problems.push(format!("{id} fails and should not: {observed}"));
                    }
                }
                Verdict::Error(why) => row.problems.push(format!("{id} could not be judged: {why}")),
                Verdict::Skip(why) if wanted => unseen = Some(why.clone()),
                verdict if wanted => row.problems.push(format!("{id} should fail: {}", verdict.word())),
                _ => {}
            }
            row.cells.push(Cell { scenario: id.clone(), verdict: played.verdict.word(), names });
        }
        row.cells.sort_by(|one, other| one.scenario.cmp(&other.scenario));
        let caught = row.cells.iter().any(|cell| cell.verdict == "fail");
        let name = fixture.shows_as.as_ref().or(fixture.defect.as_ref());
        let named = row.cells.iter().any(|cell| cell.names.as_ref() == name);
        if let Some(defect) = &fixture.defect {
            if let (false, Some(why)) = (caught, unseen) {
                row.unavailable = Some(why);
            } else if !row.is_judged_by_its_own(fixture) {
                // Other scenarios were asked for, and what they say is not about this mistake; unless they accuse.
                row.unavailable = row.problems.is_empty().then(|| "none of its scenarios was asked for".into());
            } else if !caught {
                row.problems.push("no scenario catches it".into());
            // Nothing can name a mistake of the user's own, which the catalogue does not have.
            } else if !named && crate::catalogue::find(name.unwrap_or(defect)).is_some() {
                row.problems.push(format!("no failure names {}", fixture.shows_as.as_ref().unwrap_or(defect)));
            }
        }
        row
    }

    /// Whether a scenario that has to fail was played, or none is said to have to.
    fn is_judged_by_its_own(&self, fixture: &Fixture) -> bool {
        fixture.declares_nothing() || self.cells.iter().any(|cell| fixture.must_fail(&cell.scenario))
    }

    /// The scenarios that fail on it.
    pub fn caught_by(&self) -> impl Iterator<Item = &str> {
        self.cells.iter().filter(|cell| cell.verdict == "fail").map(|cell| cell.scenario.as_str())
    }
}

impl Grid {
    /// The scenarios that fail on no fixture: they prove nothing, as far as these fixtures go.
    pub fn idle(&self) -> Vec<&str> {
        let catches = |scenario: &str| self.fixtures.iter().any(|row| row.caught_by().any(|id| id == scenario));
        self.scenarios.iter().map(String::as_str).filter(|scenario| !catches(scenario)).collect()
    }

    /// The fixtures that one scenario alone catches, with that scenario.
    pub fn caught_once(&self) -> Vec<(&str, &str)> {
        let only = |row: &'_ Row| -> Option<usize> {
            let mut catching = row.cells.iter().enumerate().filter(|(_, cell)| cell.verdict == "fail");
            let (first, _) = catching.next()?;
            catching.next().is_none().then_some(first)
        };
        self.fixtures
            .iter()
            .filter_map(|row| only(row).map(|index| (row.id.as_str(), row.cells[index].scenario.as_str())))
            .collect()
    }

    /// The defective fixtures that no scenario catches.
    pub fn uncaught(&self) -> Vec<&str> {
        let missed = |row: &&Row| row.defect.is_some() && row.unavailable.is_none() && row.caught_by().next().is_none();
        self.fixtures.iter().filter(missed).map(|row| row.id.as_str()).collect()
    }

    /// Whether anything is not as the manifests say.
    pub fn has_problems(&self) -> bool {
        self.fixtures.iter().any(|row| !row.problems.is_empty())
    }
}
