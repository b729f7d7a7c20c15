//! What a check wants, in words.

use super::expect::Subject;
use crate::scenario::{CheckKind, Closed, CountOrBaseline, ExitStatus, SocketName};
use crate::tcp::TcpState;

/// What must be observed, in words.
pub fn expected(check: &CheckKind, subject: &Subject) -> String {
    let who = subject.label();
    match check {
        CheckKind::Receives(payload) if payload.is_empty() => format!("nothing arrives at {who}"),
        CheckKind::Receives(payload) => format!("{who} receives {}", payload.describe()),
        CheckKind::Closed(Closed::Fin) => format!("the other side ends {who}'s connection with a FIN"),
        CheckKind::Closed(Closed::Reset) => format!("the other side ends {who}'s connection with a RST"),
        CheckKind::Closed(Closed::Any) => format!("the other side ends {who}'s connection"),
        CheckKind::Closed(Closed::No) => format!("{who}'s connection stays open"),
        CheckKind::Blocked(true) => format!("{who} is held up: the other side does not read on"),
        CheckKind::Blocked(false) => format!("what {who} sends is all read"),
        CheckKind::Socket(states) => format!("{who}'s end of the connection {}", one_of(states)),
        CheckKind::FarSocket(states) => format!("the other end of {who}'s connection {}", one_of(states)),
        CheckKind::FarOwner(program) => format!("the other end of {who}'s connection open in a process of {program}"),
        CheckKind::Stdout(payload) if payload.is_empty() => format!("{who} prints nothing more on standard output"),
        CheckKind::Stdout(payload) => format!("{who} prints {} on standard output", payload.describe()),
        CheckKind::Stderr(payload) if payload.is_empty() => format!("{who} prints nothing more on standard error"),
        CheckKind::Stderr(payload) => format!("{who} prints {} on standard error", payload.describe()),
        CheckKind::Says(texts) => {
            let texts: Vec<String> = texts.iter().map(|text| format!("\"{text}\"")).collect();
            format!("{who} says {}", texts.join(" or "))
        }
        CheckKind::Names(peer) => format!("{who} names {peer}, by address and port"),
        CheckKind::Exits(ExitStatus::Code(code)) => format!("{who} exits with status {code}"),
        CheckKind::Exits(ExitStatus::NonZero) => format!("{who} exits with a status other than 0"),
        CheckKind::DiesOf(signal) => format!("{who} is ended by {signal}"),
        CheckKind::Running(true) => format!("{who} runs on"),
        CheckKind::Running(false) => format!("{who} ends"),
        CheckKind::State(letters) => {
            let letters: Vec<String> = letters.iter().map(char::to_string).collect();
            format!("{who} in state {}", letters.join(" or "))
        }
        CheckKind::AsleepIn(calls) => format!("{who} asleep in {}", calls.join(" or ")),
        CheckKind::Parent(program) => format!("{who} is a child of {program}"),
        CheckKind::Children(CountOrBaseline::Count(0)) => format!("{who} has no live child"),
        CheckKind::Children(CountOrBaseline::Count(count)) => {
            format!("{who} has {}", plural(*count, "live child", "live children"))
        }
        CheckKind::Children(CountOrBaseline::Baseline) => format!("{who} has as many children as at the baseline"),
        CheckKind::Zombies(0) => format!("no zombie child of {who}"),
        CheckKind::Zombies(count) => format!("{} of {who}", plural(*count, "zombie child", "zombie children")),
        CheckKind::Descriptors(CountOrBaseline::Count(count)) => format!("{who} has {count} open descriptors"),
        CheckKind::Descriptors(CountOrBaseline::Baseline) => {
            format!("{who} has as many descriptors open as at the baseline")
        }
        CheckKind::Holds(names) => format!("{who} has {} open", sockets_in_words(names)),
        CheckKind::Lacks(names) => format!("{who} does not have {} open", sockets_in_words(names)),
        CheckKind::Listening(true) => format!("{who} listens"),
        CheckKind::Listening(false) => format!("{who} does not listen"),
        CheckKind::ListensOn(addresses) => format!("{who} listens on {}", addresses.join(", ")),
    }
}

fn one_of(states: &[TcpState]) -> String {
    let one = |state: &TcpState| if *state == TcpState::Gone { "gone".to_owned() } else { format!("in state {state}") };
    states.iter().map(one).collect::<Vec<_>>().join(" or ")
}

/// `1 child`, `2 children`.
pub fn plural(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn sockets_in_words(names: &[SocketName]) -> String {
    let word = |name: &SocketName| match name {
        SocketName::Listener => "the listening socket".to_owned(),
        SocketName::Connection(peer) => format!("{peer}'s connection"),
    };
    names.iter().map(word).collect::<Vec<_>>().join(" and ")
}
