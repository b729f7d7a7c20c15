//! What comes out of a play.

use serde::{Deserialize, Serialize};

use crate::scenario::{Model, Span};

/// What a play found out. There is no failure without its place, what was expected and what was observed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Outcome {
    /// All that was expected was observed.
    Pass,
    /// Something else was observed.
    Fail(Box<Failure>),
    /// It cannot be said here: the environment or the subject does not have what it takes.
    Skip(String),
    /// The runner or the environment is at fault, not the subject.
    Error(String),
}

/// An expectation that did not hold.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failure {
    /// The step, counted from 1; `None`: seen when the runner looked again after the last step.
    pub step: Option<usize>,
    /// Its place in the scenario file; `None` like `step`.
    pub span: Option<Span>,
    /// What had to be observed.
    pub expected: String,
    /// What was observed instead.
    pub observed: String,
    /// The mistake of the catalogue that it comes from, if it is known.
    pub defect: Option<String>,
    /// The processes and sockets at that moment.
    pub tables: Tables,
}

/// The stage at one moment, as ps and netstat show it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tables {
    /// Lines of a ps, the head first.
    pub processes: Vec<String>,
    /// Lines of a netstat, the head first.
    pub sockets: Vec<String>,
    /// What the programs have printed on standard error last.
    pub stderr: Vec<String>,
}

/// What one ordinary client leaves behind when it has gone: nothing, on a server that conforms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ordinary {
    /// Zombies.
    pub zombies: i64,
    /// Descriptors of the process that was started.
    pub descriptors: i64,
    /// Children of that process that live on: those that the first clients have left, if later ones leave no more. They
    /// are helpers, and not handlers.
    pub helpers: i64,
}

impl Ordinary {
    /// Whether more was left behind since `before` than an ordinary client leaves.
    pub fn exceeds(self, before: Ordinary, ordinary: Ordinary) -> bool {
        self.zombies - before.zombies > ordinary.zombies || self.descriptors - before.descriptors > ordinary.descriptors
    }
}

/// What the probe found out.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ProbeResult {
    /// How the server handles its clients; `None` if it could not be seen.
    pub model: Option<Model>,
    /// Why not.
    pub unseen: Option<String>,
    /// What ordinary clients leave behind.
    pub ordinary: Option<Ordinary>,
    /// The server was given the time that it takes to start, and does not listen.
    pub never_listens: bool,
    /// A task of the program keeps a processor busy with nothing to do: what it does not change soon it never changes.
    pub spins: bool,
    /// Whether a client's first line comes back.
    pub answer: Answer,
    /// The client was given the time that it takes to start, and does not connect.
    pub never_connects: bool,
    /// When a client sends what is typed.
    pub sends: Sends,
    /// What it prints of the echo.
    pub prints: Prints,
}

/// When a client sends what is typed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sends {
    /// When a line is typed, or it was not seen.
    #[default]
    Lines,
    /// When its input has ended.
    AtTheEnd,
    /// Not even then.
    Never,
    /// At once, but without its newline.
    Unended,
    /// At once, but something else.
    Otherwise,
}

/// What a client prints when the echo of its first line has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Prints {
    /// The echo, or it was not seen.
    #[default]
    Echo,
    /// Nothing.
    Nothing,
    /// Something else.
    Otherwise,
}

/// What becomes of a client's first line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Something comes back, or it was not seen.
    #[default]
    Some,
    /// Something comes back when a second line is sent.
    Late,
    /// Nothing comes back, and not after a second line either.
    Never,
    /// Something else comes back.
    Other,
}

impl From<std::io::Error> for Outcome {
    /// What the runner could not do is never the subject's fault.
    fn from(error: std::io::Error) -> Outcome {
        Outcome::Error(error.to_string())
    }
}
