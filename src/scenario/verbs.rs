//! The verb table: what a step can do. The parser, did-you-mean, the JSON Schema and the reference page read it.

use nix::sys::signal::Signal;

use super::action::{Action, Role, Scarce, SignalKind, Start, Target, Timing};
use super::fields::Fields;
use super::scope::{Meaning, Scope};
use super::value::Kind;

/// A verb: the key that says what a step does.
pub struct Verb {
    /// The key.
    pub name: &'static str,
    /// What its value is.
    pub value: Kind,
    /// What it does, in a sentence or two.
    pub about: &'static str,
    /// A step that uses it.
    pub example: &'static str,
    /// The other keys that such a step can have.
    pub keys: &'static [Key],
    /// Makes the action of its values, and makes new names known.
    pub build: fn(&mut Fields, &mut Scope) -> Option<Action>,
}

/// A key that goes with a verb.
pub struct Key {
    /// The key.
    pub name: &'static str,
    /// What its value is.
    pub value: Kind,
    /// Whether a step must have it.
    pub required: bool,
    /// What it says.
    pub about: &'static str,
}

const fn required(name: &'static str, value: Kind, about: &'static str) -> Key {
    Key { name, value, required: true, about }
}

const fn optional(name: &'static str, value: Kind, about: &'static str) -> Key {
    Key { name, value, required: false, about }
}

/// The signals that a scenario can send or name.
pub const SIGNALS: &[&str] = &[
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
];

/// A signal by its name without SIG; the parser has checked that it is one of [`SIGNALS`].
pub fn signal(name: &str) -> Option<Signal> {
    format!("SIG{name}").parse().ok()
}

/// Every verb, in the order in which the reference page shows them.
pub const VERBS: &[Verb] = &[
    Verb {
        name: "start",
        value: Kind::Role,
        about: "Starts one of the subject's programs. A server has started when it listens on the port; a client at once.",
        example: r#"{ start = "server", limits = { descriptors = 16 } }"#,
        keys: &[
            optional("as", Kind::NewName, "What later steps call it; its role if left out."),
            optional(
                "args",
                Kind::Words,
                "Arguments instead of those of the subject's command; `{host}` and `{port}` are replaced.",
            ),
            optional(
                "limits",
                Kind::Limits,
                "Soft limits, inherited by children: open descriptors (RLIMIT_NOFILE), and processes of the program, itself included (RLIMIT_NPROC).",
            ),
            optional("stdin", Kind::OneOf(&["pipe", "terminal"]), "What standard input is: a pipe if left out."),
            optional(
                "until",
                Kind::OneOf(&["listening", "started"]),
                "When a server counts as started: `listening` if left out.",
            ),
        ],
        build: |fields, scope| {
            let role = if fields.name("start")? == "server" { Role::Server } else { Role::Client };
            let name = fields.name("as").unwrap_or_else(|| role.to_string());
            scope.add(&name, Meaning::Program);
            Some(Action::Start(Start {
                role,
                name,
                args: fields.words("args"),
                limits: fields.limits("limits").unwrap_or_default(),
                terminal: fields.word("stdin").is_some_and(|word| word == "terminal"),
                until_listening: role == Role::Server && fields.word("until").is_none_or(|word| word == "listening"),
            }))
        },
    },
    Verb {
        name: "connect",
        value: Kind::NewPeers,
        about: "Connects peers to the server, one after another.",
        example: r#"{ connect = "c1..c5" }"#,
        keys: &[
            optional(
                "to",
                Kind::Address,
                "The address to connect to: `127.0.0.1` if left out. Where the server listens on addresses of its choice, and not on this one, the scenario is skipped; `listens_on` states where it has to listen.",
            ),
            optional(
                "window",
                Kind::OneOf(&["small"]),
                "`small`: it announces small segments and a small receive window, and has a small send buffer (TCP_MAXSEG, SO_RCVBUF, SO_SNDBUF), so that the server soon cannot send to one that does not read.",
            ),
        ],
        build: |fields, scope| {
            let peers = fields.names("connect")?;
            peers.iter().for_each(|peer| scope.add(peer, Meaning::Peer));
            Some(Action::Connect { peers, address: fields.word("to"), narrow: fields.word("window").is_some() })
        },
    },
    Verb {
        name: "listen",
        value: Kind::NewName,
        about: "Opens a listening socket of the runner's on the port, for a client to connect to.",
        example: r#"{ listen = "desk" }"#,
        keys: &[optional(
            "window",
            Kind::OneOf(&["small"]),
            "`small`: what it accepts announces small segments and a small receive window (TCP_MAXSEG, SO_RCVBUF), so that a client soon cannot send to one that does not read.",
        )],
        build: |fields, scope| {
            let name = fields.name("listen")?;
            scope.add(&name, Meaning::Listener);
            Some(Action::Listen { name, narrow: fields.word("window").is_some() })
        },
    },
    Verb {
        name: "accept",
        value: Kind::NewPeers,
        about: "Accepts a connection of a client; the accepted end is a peer.",
        example: r#"{ accept = "s1", on = "desk" }"#,
        keys: &[required("on", Kind::Listener, "The listening socket.")],
        build: |fields, scope| {
            let peers = fields.names("accept")?;
            peers.iter().for_each(|peer| scope.add(peer, Meaning::Peer));
            Some(Action::Accept { peers, on: fields.name("on")? })
        },
    },
    Verb {
        name: "type",
        value: Kind::Payload,
        about: "Writes to a program's standard input.",
        example: r#"{ type = "hello\n", into = "client" }"#,
        keys: &[required("into", Kind::Programs, "The program.")],
        build: |fields, _| Some(Action::Type { text: fields.payload("type")?, programs: fields.names("into")? }),
    },
    Verb {
        name: "end_input",
        value: Kind::Programs,
        about: "Ends a program's standard input: closes the pipe, or types Control-D on a terminal.",
        example: r#"{ end_input = "client" }"#,
        keys: &[],
        build: |fields, _| Some(Action::EndInput { programs: fields.names("end_input")? }),
    },
    Verb {
        name: "send",
        value: Kind::Payload,
        about: "Sends bytes from a peer, all of them before the next step unless `wait = false`.",
        example: r#"{ send = { pattern = "1MiB" }, from = "c1", wait = false }"#,
        keys: &[
            required("from", Kind::Peers, "The peer, or several: each sends all of it."),
            optional("wait", Kind::Flag, "`false`: what does not fit into the buffers goes out during later steps."),
        ],
        build: |fields, _| {
            Some(Action::Send {
                data: fields.payload("send")?,
                peers: fields.names("from")?,
                wait: fields.flag("wait").unwrap_or(true),
            })
        },
    },
    Verb {
        name: "echo",
        value: Kind::Peers,
        about: "Sends back from peers what has arrived and was not asked for by `receives`, and from then on whatever \
                arrives, as an echo server does. `receives` can still ask for it.",
        example: r#"{ echo = "s1" }"#,
        keys: &[],
        build: |fields, _| Some(Action::Echo { peers: fields.names("echo")? }),
    },
    Verb {
        name: "close",
        value: Kind::Peers,
        about: "Closes peers' sockets. Like everything that ends a connection it waits for rest before, if all that was \
                sent has come back: what the server happens to be doing shall not matter.",
        example: r#"{ close = "c1..c5" }"#,
        keys: &[],
        build: |fields, _| Some(Action::Close { peers: fields.names("close")? }),
    },
    Verb {
        name: "half_close",
        value: Kind::Peers,
        about: "Ends the sending side with shutdown(SHUT_WR): a FIN goes out behind what was sent, reading goes on.",
        example: r#"{ half_close = "c1" }"#,
        keys: &[],
        build: |fields, _| Some(Action::HalfClose { peers: fields.names("half_close")? }),
    },
    Verb {
        name: "reset",
        value: Kind::Peers,
        about: "Closes peers' sockets with a RST (SO_LINGER with a time of zero).",
        example: r#"{ reset = "c1" }"#,
        keys: &[],
        build: |fields, _| Some(Action::Reset { peers: fields.names("reset")? }),
    },
    Verb {
        name: "stop_reading",
        value: Kind::Peers,
        about: "Stops reading from peers' sockets, so that what is sent to them fills their buffers.",
        example: r#"{ stop_reading = "c1" }"#,
        keys: &[],
        build: |fields, _| Some(Action::StopReading { peers: fields.names("stop_reading")? }),
    },
    Verb {
        name: "resume_reading",
        value: Kind::Peers,
        about: "Reads from them again.",
        example: r#"{ resume_reading = "c1" }"#,
        keys: &[],
        build: |fields, _| Some(Action::ResumeReading { peers: fields.names("resume_reading")? }),
    },
    Verb {
        name: "visits",
        value: Kind::Count,
        about: "So many clients one after another: each connects, sends a line, reads its echo, closes, and is gone \
                from the server before the next one comes. A server that needs more than 20 s for all of them is not \
                judged.",
        example: "{ visits = 100 }",
        keys: &[],
        build: |fields, _| Some(Action::Visits { count: fields.count("visits")? }),
    },
    Verb {
        name: "kill",
        value: Kind::Processes,
        about: "Sends a signal that ends a process, and waits until it has ended if nothing can prevent that. With a client, all \
                its processes that have its connection open are sent it; with a handler, as by `stop` and `continue`, what it \
                has made to serve its client.",
        example: r#"{ kill = "c1.handler", signal = "TERM" }"#,
        keys: &[optional("signal", Kind::OneOf(SIGNALS), "The signal without SIG: `KILL` if left out.")],
        build: |fields, scope| {
            let kind = fields.word("signal").and_then(|name| signal(&name)).unwrap_or(Signal::SIGKILL);
            signal_action(fields, scope, "kill", SignalKind::Kill(kind))
        },
    },
    Verb {
        name: "stop",
        value: Kind::Processes,
        about: "Stops a process with SIGSTOP and waits until it has stopped.",
        example: r#"{ stop = "server" }"#,
        keys: &[],
        build: |fields, scope| signal_action(fields, scope, "stop", SignalKind::Stop),
    },
    Verb {
        name: "continue",
        value: Kind::Processes,
        about: "Continues a stopped process with SIGCONT.",
        example: r#"{ continue = "server" }"#,
        keys: &[],
        build: |fields, scope| signal_action(fields, scope, "continue", SignalKind::Continue),
    },
    Verb {
        name: "exhaust",
        value: Kind::Program,
        about: "Lets a running program have no more descriptors (EMFILE), or no more processes (fork fails with EAGAIN).",
        example: r#"{ exhaust = "server", of = "descriptors" }"#,
        keys: &[required("of", Kind::OneOf(&["descriptors", "processes"]), "What it runs out of.")],
        build: |fields, _| {
            let of = if fields.word("of")? == "descriptors" { Scarce::Descriptors } else { Scarce::Processes };
            Some(Action::Exhaust { program: fields.name("exhaust")?, of })
        },
    },
    Verb {
        name: "relieve",
        value: Kind::Program,
        about: "Gives a program back the limits that `exhaust` has taken.",
        example: r#"{ relieve = "server" }"#,
        keys: &[],
        build: |fields, _| Some(Action::Relieve { program: fields.name("relieve")? }),
    },
    Verb {
        name: "settle",
        value: Kind::True,
        about: "Waits until the stage is at rest: until nothing can happen any more unless the runner acts.",
        example: "{ settle = true }",
        keys: &[],
        build: |_, _| Some(Action::Settle),
    },
    Verb {
        name: "baseline",
        value: Kind::Program,
        about: "Waits for rest and remembers a program's descriptors and children, for `\"baseline\"` in later checks.",
        example: r#"{ baseline = "server" }"#,
        keys: &[],
        build: |fields, scope| {
            let program = fields.name("baseline")?;
            scope.add_baseline(&program);
            Some(Action::Baseline { program })
        },
    },
    Verb {
        name: "expect",
        value: Kind::Targets,
        about: "States what must be observed. Its keys are the checks, taken from left to right.",
        example: r#"{ expect = "c1", receives = "hello\n" }"#,
        keys: &[
            optional("within", Kind::Time, "The checks will hold: `2s` where rest cannot be seen, if left out."),
            optional(
                "for",
                Kind::Time,
                "The checks hold throughout: until rest, or so long where rest cannot be seen.",
            ),
            optional("now", Kind::True, "The checks hold at this moment; they are looked at once."),
        ],
        build: |fields, scope| {
            let targets = targets(fields.names("expect")?, scope);
            let timing = match (fields.time("within"), fields.time("for"), fields.flag("now")) {
                (Some(time), ..) => Timing::Within(time),
                (_, Some(time), _) => Timing::For(time),
                (.., Some(_)) => Timing::Now,
                _ => Timing::Natural,
            };
            Some(Action::Expect { targets, checks: Vec::new(), timing })
        },
    },
];

fn targets(names: Vec<String>, scope: &Scope) -> Vec<Target> {
    names.iter().map(|name| scope.target(name)).collect()
}

fn signal_action(fields: &mut Fields, scope: &Scope, verb: &str, signal: SignalKind) -> Option<Action> {
    Some(Action::Signal { targets: targets(fields.names(verb)?, scope), signal })
}
