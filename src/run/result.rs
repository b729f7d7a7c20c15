//! What a run found out: the only input of a report.

use std::sync::Arc;
use std::time::Duration;

use super::shard::Share;
use crate::play::{Failure, Outcome};
use crate::scenario::{Model, Scenario};
use crate::stage::Isolation;

/// A whole run.
#[derive(Debug, Clone)]
pub struct Run {
    /// The programs.
    pub subject: SubjectInfo,
    /// Where it was played.
    pub environment: Environment,
    /// One for each scenario, in the order of their ids.
    pub played: Vec<Played>,
    /// Wall time.
    pub duration: Duration,
    /// It was interrupted: scenarios are missing.
    pub interrupted: bool,
    /// Which part of what was wanted was to be played, if a part.
    pub share: Option<Share>,
}

/// The programs of a run.
#[derive(Debug, Clone)]
pub struct SubjectInfo {
    /// The server's command, and whether it was given; else it is the reference server's.
    pub server: (Vec<String>, bool),
    /// The client's.
    pub client: (Vec<String>, bool),
    /// How the server handles its clients, if it is known.
    pub model: Option<Model>,
    /// Whether the model was declared rather than observed.
    pub declared: bool,
    /// Why the model is not known.
    pub unseen: Option<String>,
}

/// Where a run was played.
#[derive(Debug, Clone)]
pub struct Environment {
    /// How stages were kept apart.
    pub isolation: Isolation,
    /// What better isolation was refused, and why.
    pub refused: Vec<(Isolation, String)>,
    /// How long plays have waited for what earlier ones had left on the port, in all.
    pub waited: Duration,
}

/// One scenario's result.
#[derive(Debug, Clone)]
pub struct Played {
    /// The scenario.
    pub scenario: Arc<Scenario>,
    /// What came out.
    pub verdict: Verdict,
    /// Wall time, stage included.
    pub duration: Duration,
    /// What was done and observed.
    pub timeline: Vec<Event>,
}

/// Something on a timeline.
#[derive(Debug, Clone)]
pub struct Event {
    /// When, since the stage was ready.
    pub at: Duration,
    /// What.
    pub text: String,
}

/// What came out of a scenario.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// All that was expected was observed.
    Pass,
    /// Something else was observed.
    Fail(Box<Failure>),
    /// It does not apply, for this reason.
    Skip(String),
    /// The runner or the environment is at fault.
    Error(String),
}

impl Verdict {
    /// The word for it in reports.
    pub fn word(&self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Fail(_) => "fail",
            Verdict::Skip(_) => "skip",
            Verdict::Error(_) => "error",
        }
    }
}

impl From<Outcome> for Verdict {
    fn from(outcome: Outcome) -> Verdict {
        match outcome {
            Outcome::Pass => Verdict::Pass,
            Outcome::Fail(failure) => Verdict::Fail(failure),
            Outcome::Skip(reason) => Verdict::Skip(reason),
            Outcome::Error(reason) => Verdict::Error(reason),
        }
    }
}
