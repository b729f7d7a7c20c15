//! The keys of a scenario besides `steps`.

use super::value::Kind;

/// A key of a scenario.
pub struct Header {
    /// The key.
    pub name: &'static str,
    /// What its value is.
    pub value: Kind,
    /// Whether every scenario has it.
    pub required: bool,
    /// What it says.
    pub about: &'static str,
}

/// Every key but `steps`.
pub const HEADERS: &[Header] = &[
    Header {
        name: "title",
        value: Kind::Text,
        required: true,
        about: "One sentence: what is observed of a program that conforms.",
    },
    Header {
        name: "reference",
        value: Kind::Text,
        required: true,
        about: "Where it is written: a section of UNPv1, an RFC.",
    },
    Header {
        name: "level",
        value: Kind::OneOf(&["must", "should", "may"]),
        required: true,
        about: "How binding it is (RFC 2119): only a failed `must` makes the run fail; `--strict` adds `should`.",
    },
    Header {
        name: "tests",
        value: Kind::OneOf(&["server", "client", "both"]),
        required: true,
        about: "Which program it judges. It is played when that program is given; the other one is the reference.",
    },
    Header {
        name: "defect",
        value: Kind::Text,
        required: true,
        about: "The mistake in the catalogue that it exists for; `forkspec explain` lists them.",
    },
    Header { name: "about", value: Kind::Text, required: false, about: "What it does and why, for a reader." },
    Header {
        name: "models",
        value: Kind::SomeOf(&["fork", "prefork", "thread", "event", "iterative"]),
        required: false,
        about: "The server models that it applies to. Left out: all; steps that need a handler process already \
                leave out servers that have none.",
    },
    Header {
        name: "launch",
        value: Kind::OneOf(&["inetd"]),
        required: false,
        about: "It is about servers that are executed with a connected socket: played with `--launch inetd` only.",
    },
    Header {
        name: "service",
        value: Kind::OneOf(&["other"]),
        required: false,
        about: "It is about a server that is no echo server: the last look asks only whether one more client can \
                connect, not for its echo. Without an echo forkspec cannot find out the server's model: declare it with \
                `--model`.",
    },
];
