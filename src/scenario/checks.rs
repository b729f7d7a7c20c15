//! The check table: what an `expect` step can ask for.

use super::action::{CheckKind, Closed, SocketName};
use super::fields::Fields;
use super::value::Kind;
use super::verbs::{SIGNALS, signal};

/// A check: a key of an `expect` step.
pub struct CheckRow {
    /// The key.
    pub name: &'static str,
    /// What its value is.
    pub value: Kind,
    /// What it can be observed on.
    pub on: On,
    /// What must be observed.
    pub about: &'static str,
    /// Makes the check of the value.
    pub build: fn(&mut Fields) -> Option<CheckKind>,
}

/// What a check is observed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// A peer.
    Peer,
    /// A program that a step started.
    Program,
    /// A program, a handler, or a program's children.
    Process,
    /// A peer, or a program that has one connection to the server.
    Endpoint,
}

impl On {
    /// For the reference page.
    pub fn describe(self) -> &'static str {
        match self {
            On::Peer => "a peer",
            On::Program => "a program",
            On::Process => "a program, a handler or children",
            On::Endpoint => "a peer or a client",
        }
    }
}

const STATES: &[&str] = &[
    "ESTABLISHED",
    "SYN_SENT",
    "SYN_RECV",
    "FIN_WAIT_1",
    "FIN_WAIT_2",
    "TIME_WAIT",
    "CLOSE_WAIT",
    "LAST_ACK",
    "LISTEN",
    "CLOSING",
    "gone",
];

/// The names of system calls that a sleeping process can be expected in.
pub const CALLS: &[&str] =
    &["accept", "read", "write", "poll", "select", "epoll_wait", "wait", "pause", "connect", "futex"];

/// Every check, in the order in which the reference page shows them.
pub const CHECKS: &[CheckRow] = &[
    CheckRow {
        name: "receives",
        value: Kind::Payload,
        on: On::Peer,
        about: "The next bytes that arrive, exactly. `\"\"`: nothing arrives.",
        build: |fields| fields.payload("receives").map(CheckKind::Receives),
    },
    CheckRow {
        name: "closed",
        value: Kind::OneOf(&["fin", "reset", "any", "no"]),
        on: On::Peer,
        about: "How the other side ended the connection: by a FIN, a RST, either, or not at all.",
        build: |fields| {
            Some(CheckKind::Closed(match fields.word("closed")?.as_str() {
                "fin" => Closed::Fin,
                "reset" => Closed::Reset,
                "any" => Closed::Any,
                _ => Closed::No,
            }))
        },
    },
    CheckRow {
        name: "blocked",
        value: Kind::Flag,
        on: On::Peer,
        about: "Whether the other side does not take in what was sent with `wait = false`, at rest: some of it finds no room in the buffers, or waits there unread.",
        build: |fields| fields.flag("blocked").map(CheckKind::Blocked),
    },
    CheckRow {
        name: "socket",
        value: Kind::SomeOf(STATES),
        on: On::Endpoint,
        about: "The TCP state of this end, as netstat shows it; `gone`: no such socket. A client's ESTABLISHED is looked at at rest: one that is about to close has it still.",
        build: |fields| fields.states("socket").map(CheckKind::Socket),
    },
    CheckRow {
        name: "far_socket",
        value: Kind::SomeOf(STATES),
        on: On::Endpoint,
        about: "The TCP state of the other end.",
        build: |fields| fields.states("far_socket").map(CheckKind::FarSocket),
    },
    CheckRow {
        name: "far_owner",
        value: Kind::Program,
        on: On::Endpoint,
        about: "The other end is open in a process of this program.",
        build: |fields| fields.name("far_owner").map(CheckKind::FarOwner),
    },
    CheckRow {
        name: "stdout",
        value: Kind::Payload,
        on: On::Program,
        about: "The next bytes on standard output, exactly. `\"\"`: nothing comes.",
        build: |fields| fields.payload("stdout").map(CheckKind::Stdout),
    },
    CheckRow {
        name: "stderr",
        value: Kind::Payload,
        on: On::Program,
        about: "The next bytes on standard error, exactly. `\"\"`: nothing comes.",
        build: |fields| fields.payload("stderr").map(CheckKind::Stderr),
    },
    CheckRow {
        name: "says",
        value: Kind::Words,
        on: On::Program,
        about: "One of these texts appears on standard error or standard output; upper and lower case are the same.",
        build: |fields| fields.words("says").map(CheckKind::Says),
    },
    CheckRow {
        name: "names",
        value: Kind::Peers,
        on: On::Program,
        about: "The address and the port of this peer appear on standard error or standard output.",
        build: |fields| fields.name("names").map(CheckKind::Names),
    },
    CheckRow {
        name: "exits",
        value: Kind::ExitStatus,
        on: On::Process,
        about: "Ends by exit with this status. Or a client's second process has ended it with SIGTERM, as the book's does (UNPv1 §16.2).",
        build: |fields| fields.exit_status("exits").map(CheckKind::Exits),
    },
    CheckRow {
        name: "dies_of",
        value: Kind::OneOf(SIGNALS),
        on: On::Process,
        about: "Ends by this signal.",
        build: |fields| fields.word("dies_of").and_then(|name| signal(&name)).map(CheckKind::DiesOf),
    },
    CheckRow {
        name: "running",
        value: Kind::Flag,
        on: On::Process,
        about: "`true`: has not ended, and does not until rest. `false`: has ended, however.",
        build: |fields| fields.flag("running").map(CheckKind::Running),
    },
    CheckRow {
        name: "state",
        value: Kind::SomeOf(&["R", "S", "D", "T", "Z"]),
        on: On::Process,
        about: "The letter that ps shows: R running, S or D asleep, T stopped, Z zombie.",
        build: |fields| {
            fields
                .words("state")
                .map(|words| CheckKind::State(words.iter().filter_map(|word| word.chars().next()).collect()))
        },
    },
    CheckRow {
        name: "asleep_in",
        value: Kind::SomeOf(CALLS),
        on: On::Process,
        about: "The system call that one of its threads sleeps in; relatives count (`accept4` is `accept`, `recvfrom` is `read`).",
        build: |fields| fields.words("asleep_in").map(CheckKind::AsleepIn),
    },
    CheckRow {
        name: "parent",
        value: Kind::Program,
        on: On::Process,
        about: "Its parent is the process that was started as this program.",
        build: |fields| fields.name("parent").map(CheckKind::Parent),
    },
    CheckRow {
        name: "children",
        value: Kind::CountOrBaseline,
        on: On::Program,
        about: "The number of its live children, at rest. Of a server without handler processes nothing is asked while it is stopped, and \
                nothing about the baseline of one that makes its processes beforehand.",
        build: |fields| fields.count_or_baseline("children").map(CheckKind::Children),
    },
    CheckRow {
        name: "zombies",
        value: Kind::Count,
        on: On::Program,
        about: "The number of children that ended and that the program has not reaped, at rest.",
        build: |fields| fields.count("zombies").map(CheckKind::Zombies),
    },
    CheckRow {
        name: "descriptors",
        value: Kind::CountOrBaseline,
        on: On::Process,
        about: "The number of its open descriptors, at rest.",
        build: |fields| fields.count_or_baseline("descriptors").map(CheckKind::Descriptors),
    },
    CheckRow {
        name: "holds",
        value: Kind::Sockets,
        on: On::Process,
        about: "Has these open, at rest: `listener`, or the server's end of a peer's connection.",
        build: |fields| fields.names("holds").map(|names| CheckKind::Holds(sockets(names))),
    },
    CheckRow {
        name: "lacks",
        value: Kind::Sockets,
        on: On::Process,
        about: "Has none of these open, at rest.",
        build: |fields| fields.names("lacks").map(|names| CheckKind::Lacks(sockets(names))),
    },
    CheckRow {
        name: "listening",
        value: Kind::Flag,
        on: On::Program,
        about: "Whether one of its processes listens on the port.",
        build: |fields| fields.flag("listening").map(CheckKind::Listening),
    },
    CheckRow {
        name: "listens_on",
        value: Kind::Words,
        on: On::Program,
        about: "The addresses that it listens on with the port, in any order: `*` is the wildcard.",
        build: |fields| fields.words("listens_on").map(CheckKind::ListensOn),
    },
];

fn sockets(names: Vec<String>) -> Vec<SocketName> {
    let name = |name: String| if name == "listener" { SocketName::Listener } else { SocketName::Connection(name) };
    names.into_iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::TcpState;

    #[test]
    fn every_tcp_state_can_be_written() {
        assert!(TcpState::ALL.iter().all(|state| STATES.contains(&state.name())));
        assert_eq!(STATES.len(), TcpState::ALL.len());
    }

    #[test]
    fn every_signal_name_is_one() {
        assert!(SIGNALS.iter().all(|name| signal(name).is_some()));
    }
}
