//! What a report says, whatever its format: the JSON report is these types, and every other format is made of them. So a
//! report that was read back says in every format what it would have said at once.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::plain;
use crate::run::Share;
use crate::scenario::{Level, Model, Role};
use crate::stage::Isolation;

/// The whole document.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Document {
    /// The version of forkspec.
    pub forkspec: String,
    /// The programs under test.
    pub subject: Subject,
    /// Where it was played.
    pub environment: Environment,
    /// A failed `should` makes the run fail too.
    #[serde(default, skip_serializing_if = "is_false")]
    pub strict: bool,
    /// It was interrupted: scenarios are missing.
    #[serde(default, skip_serializing_if = "is_false")]
    pub interrupted: bool,
    /// Which part of the scenarios this is, if it is a part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Share>,
    /// The verdicts, counted.
    pub summary: Summary,
    /// One for each scenario.
    pub scenarios: Vec<Scenario>,
}

/// The programs under test; a role not given is played by the reference program.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Subject {
    /// The server.
    pub server: Server,
    /// The client.
    pub client: Client,
    /// The roles that were given; the others are the reference programs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given: Vec<Role>,
}

/// A server.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Server {
    /// Its command, in words.
    pub command: Vec<String>,
    /// How it handles its clients; null if it could not be seen.
    pub model: Option<Model>,
    /// The model was declared rather than observed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub declared: bool,
}

/// A client.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Client {
    /// Its command, in words.
    pub command: Vec<String>,
}

/// Where a run was played.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Environment {
    /// The operating system.
    pub os: String,
    /// How stages were kept apart.
    pub isolation: Isolation,
    /// What better isolation was refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused>,
    /// How many milliseconds plays have waited for what earlier ones had left on the port, if they did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_ms: Option<f64>,
}

/// An isolation that was refused.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Refused {
    /// Which.
    pub isolation: Isolation,
    /// Why.
    pub reason: String,
}

/// The verdicts, counted.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// Passed.
    pub pass: usize,
    /// Failed, whatever the level.
    pub fail: usize,
    /// Did not apply.
    pub skip: usize,
    /// Could not be judged.
    pub error: usize,
    /// Wall time in milliseconds; of shards that were joined, that of all of them together.
    pub duration_ms: f64,
}

/// A scenario and its verdict.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Scenario {
    /// Its path in the suite.
    pub id: String,
    /// What is observed of a program that conforms.
    pub title: String,
    /// Where it is written.
    pub reference: String,
    /// Its file; none if it is of the standard suite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// The step, counted from 1; null if it was seen when the runner looked again after the last one.
    pub step: Option<usize>,
    /// The line in the scenario file; null like `step`.
    pub line: Option<usize>,
    /// That line and its neighbours; left out like `step`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<Excerpt>,
    /// What had to be observed.
    pub expected: String,
    /// What was observed.
    pub observed: String,
    /// The mistake of the catalogue that it comes from, if it is known.
    pub defect: Option<String>,
    /// What that mistake is and what mends it.
    pub explanation: Option<String>,
    /// The processes at that moment, as ps shows them: the head, then a line for each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<String>,
    /// The sockets at that moment, as netstat shows them: the head, then a line for each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sockets: Vec<String>,
    /// What the programs have printed on standard error last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stderr: Vec<String>,
}

/// A few lines of a scenario file, and the place in the middle one that is meant.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Excerpt {
    /// The number of the first line, counted from 1.
    pub first_line: usize,
    /// The lines; of a long one the part that has the place in it.
    pub lines: Vec<String>,
    /// The first character that is meant, in what is shown of the line of the failure, counted from 1.
    pub column: usize,
    /// How many characters are meant.
    pub length: usize,
}

/// Something on a timeline.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// When, in milliseconds since the stage was ready.
    pub at_ms: f64,
    /// What.
    pub event: String,
}

impl Document {
    /// Whether a failure is held against the subject: a failed `must`, and if it is strict a failed `should`.
    pub fn fails(&self) -> bool {
        self.scenarios.iter().any(|scenario| self.is_held_against(scenario))
    }

    /// Whether a scenario failed and makes the run fail.
    pub fn is_held_against(&self, scenario: &Scenario) -> bool {
        scenario.verdict == Word::Fail && scenario.level.binds(self.strict)
    }

    /// What it all comes to.
    pub fn conclusion(&self) -> Conclusion {
        match &self.summary {
            _ if self.fails() => Conclusion::DoesNotConform,
            summary if summary.error > 0 || self.interrupted => Conclusion::NotDecided,
            summary if summary.pass + summary.fail == 0 => Conclusion::NothingJudged,
            _ => Conclusion::Conforms,
        }
    }
}

/// What a run comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conclusion {
    /// Nothing is held against the subject.
    Conforms,
    /// Something is.
    DoesNotConform,
    /// Nothing is, and something could not be judged or was not played.
    NotDecided,
    /// No scenario applied.
    NothingJudged,
}

impl fmt::Display for Conclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Conclusion::Conforms => "conforms",
            Conclusion::DoesNotConform => "does not conform",
            Conclusion::NotDecided => "not decided",
            Conclusion::NothingJudged => "nothing was judged",
        })
    }
}

impl Summary {
    /// Counts verdicts.
    pub fn of(scenarios: &[Scenario], duration_ms: f64) -> Summary {
        let count = |word| scenarios.iter().filter(|scenario| scenario.verdict == word).count();
        Summary {
            pass: count(Word::Pass),
            fail: count(Word::Fail),
            skip: count(Word::Skip),
            error: count(Word::Error),
            duration_ms,
        }
    }
}

impl Word {
    /// The word itself.
    pub fn name(self) -> &'static str {
        match self {
            Word::Pass => "pass",
            Word::Fail => "fail",
            Word::Skip => "skip",
            Word::Error => "error",
        }
    }
}

impl Scenario {
    /// In one line: what was expected and observed instead, or the reason of the verdict; empty if it passed.
    pub fn message(&self) -> String {
        match &self.failure {
            Some(failure) => plain(&format!("expected {}, observed {}", failure.expected, failure.observed)),
            None => plain(self.reason.as_deref().unwrap_or_default()),
        }
    }

    /// The path of its file as messages show it.
    pub fn shown_path(&self) -> String {
        self.path.clone().unwrap_or_else(|| format!("scenarios/{}.toml", self.id))
    }

    /// The folder that it lies in, below the suite's.
    pub fn chapter(&self) -> Option<&str> {
        self.id.rsplit_once('/').map(|(chapter, _)| chapter)
    }
}

fn is_false(value: &bool) -> bool {
    !value
}
