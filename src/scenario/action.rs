//! What a valid scenario is made of. A value of these types has been checked: names are known, kinds fit.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::payload::Payload;
use crate::tcp::TcpState;

/// How binding a scenario is, in the words of RFC 2119.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// A program that fails it does not conform.
    Must,
    /// There may be good reasons to differ; fails the run only with `--strict`.
    Should,
    /// Truly optional: said, never held against the subject.
    May,
}

impl Level {
    /// Whether a failure makes the run fail.
    pub fn binds(self, strict: bool) -> bool {
        self == Level::Must || (strict && self == Level::Should)
    }
}

/// The two programs that a subject can consist of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The program that listens.
    Server,
    /// The program that connects.
    Client,
}

/// How a server handles its clients (UNPv1 chapter 30 compares them).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Model {
    /// One child per client.
    Fork,
    /// Workers forked before any client comes.
    Prefork,
    /// One thread per client, or a pool of threads.
    Thread,
    /// One process that waits for many descriptors at once.
    Event,
    /// One client after another.
    Iterative,
}

impl Model {
    /// Every model, in the order of the book.
    pub const ALL: [Model; 5] = [Model::Fork, Model::Prefork, Model::Thread, Model::Event, Model::Iterative];

    /// The models whose handlers are processes apart from the one that was started.
    pub const WITH_HANDLERS: [Model; 2] = [Model::Fork, Model::Prefork];
}

macro_rules! lowercase_display {
    ($($kind:ty),*) => {$(
        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&format!("{self:?}").to_lowercase())
            }
        }
    )*};
}
lowercase_display!(Level, Role, Model);

/// A place in a scenario file, in bytes.
pub type Span = Range<usize>;

/// A scenario: one file, valid.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The path below the suite's folder, without the ending: `termination/child-is-reaped`.
    pub id: String,
    /// One sentence: what is observed of a program that conforms.
    pub title: String,
    /// The section of UNPv1, or the RFC, that it rests on.
    pub reference: String,
    /// How binding it is.
    pub level: Level,
    /// The programs that it judges.
    pub tests: BTreeSet<Role>,
    /// The mistake in the catalogue that it exists for.
    pub defect: String,
    /// What it does and why, for a reader.
    pub about: String,
    /// The models that it applies to; `None` means every model.
    pub models: Option<BTreeSet<Model>>,
    /// Whether it is about servers that are executed with a connected socket.
    pub launch_inetd: bool,
    /// Whether its server is an echo server.
    pub echoes: bool,
    /// What is done and what must be observed.
    pub steps: Vec<Step>,
    /// The text that it was read from.
    pub source: Source,
}

impl Scenario {
    /// Whether it starts a program of this kind.
    pub fn starts(&self, role: Role) -> bool {
        self.steps.iter().any(|step| matches!(&step.action, Action::Start(start) if start.role == role))
    }
}

/// The text of a scenario file and where it lies.
#[derive(Debug, Clone)]
pub struct Source {
    /// The path, as a message should show it.
    pub path: String,
    /// The whole text.
    pub text: String,
    /// It is of the standard suite inside the binary, and no file of the user's.
    pub embedded: bool,
}

impl Source {
    /// The line of a byte, counted from 1.
    pub fn line_of(&self, offset: usize) -> usize {
        1 + self.text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
    }
}

/// One line of `steps`.
#[derive(Debug, Clone)]
pub struct Step {
    /// Where the step stands in the file.
    pub span: Span,
    /// What it does.
    pub action: Action,
}

/// A name and where it stands.
pub type Name = String;

/// What a step does.
#[derive(Debug, Clone)]
pub enum Action {
    /// Start one of the subject's programs.
    Start(Start),
    /// Connect peers to the server; with `narrow` little fits into their sockets.
    Connect { peers: Vec<Name>, address: Option<String>, narrow: bool },
    /// Open a listening socket of the runner's own, for a client to connect to; with `narrow` little fits into it.
    Listen { name: Name, narrow: bool },
    /// Accept a connection of the client on such a socket.
    Accept { peers: Vec<Name>, on: Name },
    /// Write to a program's standard input.
    Type { programs: Vec<Name>, text: Payload },
    /// End a program's standard input.
    EndInput { programs: Vec<Name> },
    /// Send from peers; with `wait` false the rest goes out while later steps are played.
    Send { peers: Vec<Name>, data: Payload, wait: bool },
    /// From now on send back what arrives at peers, as an echo server does.
    Echo { peers: Vec<Name> },
    /// Close peers' sockets.
    Close { peers: Vec<Name> },
    /// Send a FIN and keep reading (UNPv1 §6.6).
    HalfClose { peers: Vec<Name> },
    /// Send a RST: close with SO_LINGER at zero (UNPv1 §7.5).
    Reset { peers: Vec<Name> },
    /// Stop reading from peers' sockets, so that their receive windows fill.
    StopReading { peers: Vec<Name> },
    /// Read again.
    ResumeReading { peers: Vec<Name> },
    /// Clients one after another, each a line and its echo.
    Visits { count: u64 },
    /// Send a signal to processes and wait until it has had its effect, where the effect can be seen.
    Signal { targets: Vec<Target>, signal: SignalKind },
    /// Let a program have no more of something than it has.
    Exhaust { program: Name, of: Scarce },
    /// Give back the limits that `exhaust` has taken.
    Relieve { program: Name },
    /// Wait until the stage is at rest.
    Settle,
    /// Remember a program's descriptors and children, at rest.
    Baseline { program: Name },
    /// State what must be observed.
    Expect { targets: Vec<Target>, checks: Vec<Check>, timing: Timing },
}

/// How one of the subject's programs is started.
#[derive(Debug, Clone)]
pub struct Start {
    /// Which of the subject's programs.
    pub role: Role,
    /// What later steps call it.
    pub name: Name,
    /// Arguments instead of those in the subject's command; `{host}` and `{port}` are replaced.
    pub args: Option<Vec<String>>,
    /// Resource limits.
    pub limits: Limits,
    /// Whether standard input is a terminal rather than a pipe.
    pub terminal: bool,
    /// Whether to wait until a server listens.
    pub until_listening: bool,
}

/// Resource limits of a program: soft limits, which its children inherit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// RLIMIT_NOFILE: the number of open descriptors per process.
    pub descriptors: Option<u64>,
    /// The number of processes and threads that the program may have at a time, itself included (RLIMIT_NPROC).
    pub processes: Option<u64>,
}

/// What a program can run out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scarce {
    /// Descriptors: open, accept and the like fail with EMFILE.
    Descriptors,
    /// Processes: fork fails with EAGAIN.
    Processes,
}

/// What the runner sends with `kill`, `stop` and `continue`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalKind {
    /// Any signal that ends a program, or is meant to.
    Kill(nix::sys::signal::Signal),
    /// SIGSTOP.
    Stop,
    /// SIGCONT.
    Continue,
}

/// Who a step is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A peer of the runner's own.
    Peer(Name),
    /// A program of the subject's.
    Program(Name),
    /// The process that owns the server's end of a peer's connection.
    Handler(Name),
    /// Every child that a program has.
    Children(Name),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Peer(name) | Target::Program(name) => f.write_str(name),
            Target::Handler(name) => write!(f, "{name}.handler"),
            Target::Children(name) => write!(f, "{name}.children"),
        }
    }
}

/// One thing that must be observed, and where it is written.
#[derive(Debug, Clone)]
pub struct Check {
    /// The key and its value in the file.
    pub span: Span,
    /// What must be observed.
    pub kind: CheckKind,
}

/// What an `expect` step can ask for.
#[derive(Debug, Clone)]
pub enum CheckKind {
    /// The next bytes that a peer receives; empty: nothing comes.
    Receives(Payload),
    /// How the other side ended the connection.
    Closed(Closed),
    /// Whether what a peer has still to send finds no room in the buffers.
    Blocked(bool),
    /// The TCP state of this end, one of these.
    Socket(Vec<TcpState>),
    /// The TCP state of the other end, one of these.
    FarSocket(Vec<TcpState>),
    /// The other end belongs to a process of this program.
    FarOwner(Name),
    /// The next bytes on standard output; empty: nothing comes.
    Stdout(Payload),
    /// The next bytes on standard error; empty: nothing comes.
    Stderr(Payload),
    /// One of these texts appears on standard output or standard error, letter case aside.
    Says(Vec<String>),
    /// Prints the address and the port of this peer.
    Names(Name),
    /// Ends by exit, with this status.
    Exits(ExitStatus),
    /// Ends by this signal.
    DiesOf(nix::sys::signal::Signal),
    /// Runs on, or does not.
    Running(bool),
    /// The letter that ps shows, one of these.
    State(Vec<char>),
    /// The system call that it sleeps in, one of these.
    AsleepIn(Vec<String>),
    /// Its parent is this program, or one of this program's processes.
    Parent(Name),
    /// Live children.
    Children(CountOrBaseline),
    /// Children that ended and were not reaped.
    Zombies(u64),
    /// Open descriptors.
    Descriptors(CountOrBaseline),
    /// Has these sockets open.
    Holds(Vec<SocketName>),
    /// Has none of these sockets open.
    Lacks(Vec<SocketName>),
    /// A process of the program listens on the port.
    Listening(bool),
    /// The addresses that it listens on, exactly.
    ListensOn(Vec<String>),
}

/// How a connection was ended by the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// A FIN: read returned 0.
    Fin,
    /// A RST: read failed with ECONNRESET.
    Reset,
    /// FIN or RST, whichever.
    Any,
    /// Not at all.
    No,
}

/// The exit status of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// This status.
    Code(u8),
    /// Any status but 0.
    NonZero,
}

/// A number, or what `baseline` remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountOrBaseline {
    /// This number.
    Count(u64),
    /// As at the baseline.
    Baseline,
}

/// A socket that a process can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketName {
    /// A listening socket on the server's port.
    Listener,
    /// The server's end of a peer's connection.
    Connection(Name),
}

/// When an expectation is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timing {
    /// As suits the check: arrivals are waited for, counts are taken at rest, silence is watched until rest.
    Natural,
    /// It will hold: fails at rest, or after this time where rest cannot be seen.
    Within(Duration),
    /// It holds throughout: until rest, or for this time where rest cannot be seen.
    For(Duration),
    /// It holds at this moment.
    Now,
}
