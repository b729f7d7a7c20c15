//! What the runner and a stage tell each other: one line of JSON each.

use std::collections::BTreeSet;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::play::{Answer, Ordinary, Outcome, Prints, ProbeResult, Sends};
use crate::scenario::{Model, Role};

/// How a stage is kept apart from the rest of the machine, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// Namespaces of its own, made without privileges, and a `/proc` of its own.
    UserNamespace,
    /// The same with the machine's `/proc`, where a fresh one is refused.
    SharedProc,
    /// Namespaces of its own, made by root.
    Root,
    /// Plain processes on the machine's own network, one scenario at a time.
    None,
}

impl Isolation {
    /// All of them, best first.
    pub const ALL: [Isolation; 4] = [Isolation::UserNamespace, Isolation::SharedProc, Isolation::Root, Isolation::None];

    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Isolation::UserNamespace => "user-namespace",
            Isolation::SharedProc => "shared-proc",
            Isolation::Root => "root",
            Isolation::None => "none",
        }
    }

    /// Whether processes of a stage are counted apart from the user's others.
    pub fn has_own_users(self) -> bool {
        matches!(self, Isolation::UserNamespace | Isolation::SharedProc)
    }

    /// Whether every stage has a network, and so a port space, of its own.
    pub fn has_own_network(self) -> bool {
        self != Isolation::None
    }
}

/// How the server is started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Launch {
    /// It listens itself.
    #[default]
    Listen,
    /// The runner listens and accepts, and executes it for each connection, as inetd does.
    Inetd,
}

/// What the runner wants of a stage.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// How to keep it apart.
    pub isolation: Isolation,
    /// What to play.
    pub task: Task,
    /// The server's command: the program, then its arguments.
    pub server: Vec<String>,
    /// The client's command.
    pub client: Vec<String>,
    /// Which of them are the subject's; the others are reference programs.
    pub judged: BTreeSet<Role>,
    /// How the server is started.
    pub launch: Launch,
    /// The port that the server listens on; 0: the one that it is seen to listen on.
    pub port: u16,
    /// Whether the runner is root: some limits do not bind its programs.
    pub root: bool,
    /// How the server handles its clients, if it is known.
    pub model: Option<Model>,
    /// What one ordinary client leaves behind on this server, if that is known.
    pub ordinary: Option<Ordinary>,
    /// Whether the server is known not to listen, however long one waits.
    pub never_listens: bool,
    /// Whether a task of the server is known to keep a processor busy with nothing to do.
    pub spins: bool,
    /// The same of the client.
    pub client_spins: bool,
    /// Whether the client is known not to connect, though somebody listens where it is sent.
    pub never_connects: bool,
    /// Whether the client is known to send what is typed late, or never.
    pub sends: Sends,
    /// What it prints of the echo.
    pub prints: Prints,
    /// Whether the server is known to answer a client's first line late, or never.
    pub answer: Answer,
}

/// What can be played.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Task {
    /// Find out how the server handles its clients.
    Probe,
    /// Find out whether the client keeps a processor busy with nothing to do.
    ProbeClient,
    /// A scenario.
    Scenario {
        /// Its id.
        id: String,
        /// The path to show.
        path: String,
        /// Its text.
        text: String,
    },
}

/// What a stage tells, in order: events, one result, `Cleared`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Record {
    /// Something was done or observed.
    Event {
        /// When, since the stage was ready.
        at: Duration,
        /// What.
        text: String,
    },
    /// The play waits for something that may take long: another one may use the time.
    Yields {
        /// A program of the subject keeps a processor busy meanwhile.
        busy: bool,
    },
    /// The play had to wait for what an earlier one has left on the port.
    Waited(Duration),
    /// The play came to its end.
    Played(Outcome),
    /// The probe came to its end.
    Probed(ProbeResult),
    /// Nothing of the play is left; the stage is ready for the next one.
    Cleared,
    /// The environment refused what this isolation needs.
    Refused(String),
    /// The runner's own fault.
    Panicked(String),
}
