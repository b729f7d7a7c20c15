//! The JSON report; its schema is made of these types.

use schemars::JsonSchema;
use serde::Serialize;

use crate::catalogue;
use crate::run::{Played, Run, Verdict, millis};
use crate::scenario::{Level, Model};

/// The whole document.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Document {
    /// The version of forkspec.
    pub forkspec: String,
    /// The programs under test.
    pub subject: Subject,
    /// Where it was played.
    pub environment: Environment,
    /// The verdicts, counted.
    pub summary: Summary,
    /// One for each scenario.
    pub scenarios: Vec<Scenario>,
}

/// The programs under test; a role not given is played by the reference program.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Subject {
    /// The server.
    pub server: Server,
    /// The client.
    pub client: Client,
}

/// A server.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Server {
    /// Its command, in words.
    pub command: Vec<String>,
    /// How it handles its clients; null if it could not be seen.
    pub model: Option<Model>,
}

/// A client.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Client {
    /// Its command, in words.
    pub command: Vec<String>,
}

/// Where a run was played.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Environment {
    /// The operating system.
    pub os: String,
    /// How stages were kept apart.
    pub isolation: crate::stage::Isolation,
}

/// The verdicts, counted.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Summary {
    /// Passed.
    pub pass: usize,
    /// Failed, whatever the level.
    pub fail: usize,
    /// Did not apply.
    pub skip: usize,
    /// Could not be judged.
    pub error: usize,
    /// Wall time in milliseconds.
    pub duration_ms: f64,
}

/// A scenario and its verdict.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Scenario {
    /// Its path in the suite.
    pub id: String,
    /// What is observed of a program that conforms.
    pub title: String,
    /// Where it is written.
    pub reference: String,
    /// How binding it is.
    pub level: Level,
    /// What came out.
    pub verdict: Word,
    /// Wall time in milliseconds, the stage included.
    pub duration_ms: f64,
    /// Why it was skipped, or what the runner could not do.
    pub reason: Option<String>,
    /// What did not hold.
    pub failure: Option<Failure>,
    /// What was done and observed.
    pub timeline: Vec<Event>,
}

/// A verdict.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// All that was expected was observed.
    Pass,
    /// Something else was observed.
    Fail,
    /// It does not apply.
    Skip,
    /// The runner or the environment is at fault.
    Error,
}

/// An expectation that did not hold.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Failure {
    /// The step, counted from 1; null if it was seen when the runner looked again after the last one.
    pub step: Option<usize>,
    /// The line in the scenario file; null like `step`.
    pub line: Option<usize>,
    /// What had to be observed.
    pub expected: String,
    /// What was observed.
    pub observed: String,
    /// The mistake of the catalogue that it comes from, if it is known.
    pub defect: Option<String>,
    /// What that mistake is and what mends it.
    pub explanation: Option<String>,
}

/// Something on a timeline.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Event {
    /// When, in milliseconds since the stage was ready.
    pub at_ms: f64,
    /// What.
    pub event: String,
}

impl Document {
    /// The document of a run.
    pub fn of(run: &Run) -> Document {
        let summary = run.summary();
        let own = |command: &(Vec<String>, bool)| match command {
            (words, true) => words.clone(),
            // Where the binary lies says nothing about the reference program.
            (words, false) => std::iter::once("forkspec".to_owned()).chain(words.iter().skip(1).cloned()).collect(),
        };
        Document {
            forkspec: env!("CARGO_PKG_VERSION").into(),
            subject: Subject {
                server: Server { command: own(&run.subject.server), model: run.subject.model },
                client: Client { command: own(&run.subject.client) },
            },
            environment: Environment { os: std::env::consts::OS.into(), isolation: run.environment.isolation },
            summary: Summary {
                pass: summary.pass,
                fail: summary.fail,
                skip: summary.skip,
                error: summary.error,
                duration_ms: millis(run.duration),
            },
            scenarios: run.played.iter().map(scenario).collect(),
        }
    }
}

fn scenario(played: &Played) -> Scenario {
    let (verdict, reason, failure) = match &played.verdict {
        Verdict::Pass => (Word::Pass, None, None),
        Verdict::Skip(reason) => (Word::Skip, Some(reason.clone()), None),
        Verdict::Error(reason) => (Word::Error, Some(reason.clone()), None),
        Verdict::Fail(failure) => (Word::Fail, None, Some(&**failure)),
    };
    let failure = failure.map(|failure| Failure {
        step: failure.step,
        line: failure.span.as_ref().map(|span| played.scenario.source.line_of(span.start)),
        expected: failure.expected.clone(),
        observed: failure.observed.clone(),
        explanation: failure.defect.as_deref().and_then(catalogue::find).map(|defect| defect.why.trim().to_owned()),
        defect: failure.defect.clone(),
    });
    let timeline = played.timeline.iter().map(|event| Event { at_ms: millis(event.at), event: event.text.clone() });
    Scenario {
        id: played.scenario.id.clone(),
        title: played.scenario.title.clone(),
        reference: played.scenario.reference.clone(),
        level: played.scenario.level,
        verdict,
        duration_ms: millis(played.duration),
        reason,
        failure,
        timeline: timeline.collect(),
    }
}

/// The JSON Schema of the document.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Document).to_value()
}
