//! Which mistake of the catalogue a client's failure comes from.

use memchr::memmem;
use nix::sys::signal::Signal;

use super::case::{Case, accepted_by_us, said};
use super::evidence::Change;
use crate::catalogue::Sign;
use crate::observe::{End, Process};
use crate::play::capture::Capture;
use crate::play::expect::Subject;
use crate::play::program::Program;
use crate::play::steps::Topic;
use crate::play::verdict::{Prints, Sends};
use crate::scenario::{Action, CheckKind, Closed, ExitStatus, Role};
use crate::tcp::TcpState;

/// The defect that is recognised by what was observed of the client.
pub fn of_client(case: &Case<'_>) -> Option<&'static str> {
    // If there are several: the one that this is about, or that was started last.
    let clients = case.scene.programs.iter().filter(|(_, program)| program.role == Role::Client);
    let is_meant =
        |name: &str| matches!(&case.miss.topic, Topic::Check(_, Subject::Program(subject)) if subject == name);
    let (name, client) = clients.max_by_key(|(name, program)| (is_meant(name), program.number))?;
    let family = case.scene.family(case.view, name);
    if client.pair.is_none() && family.iter().any(|process| case.scene.processes.has_datagram_socket(process)) {
        return Some("client-sends-datagrams");
    }
    let mut clients = case.scene.programs.values().filter(|program| program.role == Role::Client);
    if clients.any(|program| program.crash().is_some()) && !case.is_about(&["no-usage-check"]) {
        return Some("client-crashes");
    }
    let words = said(client);
    let taken = ["in use", "cannot assign requested address", "can't assign requested address"];
    if matches!(case.miss.topic, Topic::Accept)
        && client.number > 0
        && client.pair.is_none()
        && taken.iter().any(|word| words.contains(word))
    {
        return Some("client-bound-to-a-port");
    }
    // Who connects is refused there; who reads or writes has not connected.
    let refused = client.end.is_some()
        && client.pair.is_none()
        && words.contains("refused")
        && !words.split(|letter: char| !letter.is_alphanumeric()).any(|word| word == "read");
    let elsewhere = ["hides-connect-error", "ignores-its-address", "ignores-its-port", "no-usage-check"];
    if refused && !case.is_about(&elsewhere) {
        // Somebody listens where it was sent.
        return Some("ignores-its-port");
    }
    // What nobody has asked for yet tells it, too.
    let behind = case.scene.peers.iter().filter(|(name, _)| accepted_by_us(case.scenario, name));
    // They stand behind what was typed, not in its place.
    let behind = behind
        .map(|(_, peer)| &peer.inbox)
        .filter(|inbox| inbox.kept().len() > inbox.unread().len() || inbox.unread().iter().any(|byte| *byte != 0));
    let nuls = behind.map(|inbox| inbox.unread().iter().take_while(|byte| **byte == 0).count()).max();
    match nuls.unwrap_or(0) {
        0 => {}
        1..16 => return Some("client-sends-nul"),
        _ => return Some("client-sends-whole-buffer"),
    }
    if never_connected(case, client) {
        return Some("client-never-connects");
    }
    // What it does to every line explains what it does to special ones.
    if let Some(name @ ("client-drops-newline" | "client-waits-for-more")) = of_its_manner(case) {
        return Some(name);
    }
    let Topic::Check(check, subject) = &case.miss.topic else { return left_early(case, client) };
    match (check, subject) {
        (CheckKind::Receives(_), Subject::Peer(name)) if accepted_by_us(case.scenario, name) => match case.change() {
            Some(Change::NulAfterLine | Change::NulElsewhere) => Some("client-sends-nul"),
            Some(Change::WholeBuffer) => Some("client-sends-whole-buffer"),
            Some(Change::LineEnds) => Some("client-alters-line-ends"),
            Some(Change::Words) => Some("client-splits-words"),
            Some(Change::EmptyLines) => Some("client-skips-empty-lines"),
            _ if case.evidence.sign == Sign::Fin => left_early(case, client),
            // All that was typed is read, and nothing of it was ever sent.
            _ if case.scene.peers.get(name).is_some_and(|peer| peer.inbox.received() == 0)
                && client.end.is_none()
                && client.typing.is_empty()
                && connections(case) == 1 =>
            {
                match case.scene.request.sends {
                    Sends::Never => Some("client-ignores-input"),
                    Sends::AtTheEnd | Sends::Lines => Some("waits-for-end-of-input"),
                    Sends::Unended | Sends::Otherwise => None,
                }
            }
            _ if case.evidence.sign == Sign::Silence && holds_input_back(case, client) => {
                Some("input-left-in-stdio-buffer")
            }
            _ => None,
        },
        (CheckKind::Closed(how), Subject::Peer(name)) if accepted_by_us(case.scenario, name) => {
            closed(case, client, *how)
        }
        (CheckKind::Socket(states), Subject::Program(_)) if states.contains(&TcpState::TimeWait) => {
            let gone = client.pair.is_some_and(|pair| case.view.state(pair) == TcpState::Gone);
            gone.then_some("client-resets-at-end")
        }
        (CheckKind::Socket(_) | CheckKind::FarSocket(_), Subject::Program(_)) => {
            left_early(case, client).or_else(|| outlived(case, client))
        }
        (CheckKind::State(_), Subject::Program(_)) => {
            case.miss.observed.starts_with("it is in state R").then_some("client-busy-waits")
        }
        (CheckKind::Stdout(wanted), Subject::Program(_)) if wanted.is_empty() => {
            match case.is_about(&["no-usage-check"]) {
                true => Some("usage-on-stdout"),
                false if case.is_stale() => Some("prints-twice"),
                // It has ended as it should, and said goodbye.
                false if client.end == Some(End::Exited(0)) => Some("decorates-output"),
                false => None,
            }
        }
        (CheckKind::Stdout(_), Subject::Program(_)) => printed(case, client),
        (CheckKind::Exits(status), Subject::Program(_)) => ended(case, client, *status),
        (CheckKind::Running(false), Subject::Program(_)) => hangs(case),
        (CheckKind::Says(_), Subject::Program(_)) if client.pair.is_some() => Some("client-says-nothing"),
        _ => None,
    }
}

/// How many connections clients have to where they were sent.
fn connections(case: &Case<'_>) -> usize {
    let port = case.scene.request.port;
    case.view.sockets.iter().filter(|socket| socket.pair.remote.port() == port && socket.inode != 0).count()
}

/// What it printed, or did not.
fn printed(case: &Case<'_>, client: &Program) -> Option<&'static str> {
    match (case.evidence.sign, case.change()) {
        (_, Some(Change::Twice)) => Some("prints-twice"),
        (_, Some(Change::Prefix)) => Some("decorates-output"),
        (Sign::Bytes, None) if case.is_stale() && !case.is_about(&["prints-own-input"]) => Some("prints-twice"),
        (Sign::Bytes, None) if case.evidence.matched == 0 && client.stdout.unread().ends_with(b" ") => {
            Some("decorates-output")
        }
        (Sign::Ends, _) => match client.end? {
            End::Signalled(number) if number == Signal::SIGPIPE as i32 => Some("client-dies-of-sigpipe"),
            _ => left_early(case, client),
        },
        // All of the echo has come, nothing of it shows, and the client waits.
        (Sign::Silence, _) if case.evidence.matched == 0 && client.stdout.kept().is_empty() => {
            let socket = case.view.socket(client.pair?)?;
            if socket.unread > 0 {
                return Some("leaves-echo-unread");
            }
            if case.scene.request.sends == Sends::Never {
                return Some("client-ignores-input");
            }
            if waits_for_more(case, client) {
                return Some("client-waits-for-more");
            }
            if memmem::find(client.stderr.kept(), case.wanted()).is_some() {
                return Some("prints-on-stderr");
            }
            let echoed = |action: &Action| matches!(action, Action::Send { .. } | Action::Echo { .. });
            let answered = case.scenario.steps.iter().take(case.step?).any(|step| echoed(&step.action));
            answered.then_some("buffers-output")
        }
        _ => None,
    }
}

/// It has read all that came, and sleeps until more comes, though all of the echo is there.
fn waits_for_more(case: &Case<'_>, client: &Program) -> bool {
    let Some(socket) = client.pair.and_then(|pair| case.view.socket(pair)) else { return false };
    let owners = case.scene.owners(case.view, socket.inode);
    socket.unread == 0
        && client.stderr.kept().is_empty()
        && owners.iter().any(|owner| case.scene.reads_socket(owner, socket.inode))
}

/// The same of the only client.
fn only_waits_for_more(case: &Case<'_>) -> bool {
    let clients: Vec<&Program> = case.scene.programs.values().filter(|program| program.role == Role::Client).collect();
    matches!(clients.as_slice(), [client] if waits_for_more(case, client))
}

/// It has read lines that were typed at once, has sent the first of them, and sleeps until there is something to read.
fn holds_input_back(case: &Case<'_>, client: &Program) -> bool {
    let Some(came) = case.capture().map(Capture::kept) else { return false };
    let asleep = |process: &&Process| case.scene.sleeps_in(process, &["poll", "select", "epoll_wait"]);
    client.end.is_none()
        && client.typing.is_empty()
        && case.scene.request.sends == Sends::Lines
        && case.evidence.matched > 0
        && came.ends_with(b"\n")
        && came.len() < client.typing.total
        && case.view.process(client.pid).as_ref().is_some_and(asleep)
}

/// It connects to nobody.
fn never_connected(case: &Case<'_>, client: &Program) -> bool {
    let wants_no_connection =
        ["hides-connect-error", "ignores-its-address", "ignores-its-port", "no-usage-check", "takes-bad-address"];
    client.pair.is_none() && case.scene.request.never_connects && !case.is_about(&wants_no_connection)
}

/// It has ended, or closed, though its input goes on, and so does the server.
fn left_early(case: &Case<'_>, client: &Program) -> Option<&'static str> {
    let typed = client.typing.total > 0;
    let one_line = client.stdout.kept().iter().filter(|byte| **byte == b'\n').count() == 1;
    let ended = matches!(client.end, Some(End::Exited(_)));
    let disturbed = case.scenario.steps.iter().take(case.step.unwrap_or(usize::MAX)).any(|step| {
        matches!(
            step.action,
            Action::EndInput { .. } | Action::Close { .. } | Action::Reset { .. } | Action::Signal { .. }
        )
    });
    let is_early = typed && ended && !disturbed && !case.is_about(&["client-obeys-words"]);
    is_early.then_some(match (one_line, client.end) {
        (true, Some(End::Exited(0))) => "client-stops-after-one-line",
        _ => "client-ends-early",
    })
}

/// How it ended its connection, or did not.
fn closed(case: &Case<'_>, client: &Program, wanted: Closed) -> Option<&'static str> {
    match (wanted, case.evidence.sign) {
        (Closed::Fin, Sign::Reset) => Some("client-resets-at-end"),
        // Its input has ended, and what came is the last line once more.
        (Closed::Fin | Closed::Any, Sign::Open) if case.is_stale() => Some("last-line-sent-twice"),
        (Closed::Fin | Closed::Any, Sign::Open) => {
            let waits = || waits_for_more(case, client).then_some("client-waits-for-more");
            let hangs = || case.is_about(&["loses-last-line"]).then_some("hangs-at-end-of-input");
            outlived(case, client).or_else(waits).or_else(hangs)
        }
        (Closed::No, Sign::Fin | Sign::Reset) if client.end.is_none() => Some("reconnects-for-each-line"),
        (Closed::No, _) => left_early(case, client),
        _ => None,
    }
}

/// The process that was started has ended, and another one of its has the connection open.
fn outlived(case: &Case<'_>, client: &Program) -> Option<&'static str> {
    let socket = case.view.socket(client.pair?)?;
    let kept = client.end.is_some() && !case.scene.owners(case.view, socket.inode).is_empty();
    kept.then_some("client-child-keeps-connection")
}

/// It should have ended in another way, or at all.
fn ended(case: &Case<'_>, client: &Program, wanted: ExitStatus) -> Option<&'static str> {
    let does = |wanted: fn(&Action) -> bool| {
        case.scenario.steps.iter().take(case.step.unwrap_or(usize::MAX)).any(|step| wanted(&step.action))
    };
    let resets = does(|action| matches!(action, Action::Reset { .. }));
    let closes = does(|action| matches!(action, Action::Close { .. } | Action::Signal { .. }));
    let ends_input = does(|action| matches!(action, Action::EndInput { .. }));
    match (wanted, client.end) {
        (_, Some(End::Signalled(number))) if number == Signal::SIGPIPE as i32 => Some("client-dies-of-sigpipe"),
        (ExitStatus::Code(0), Some(End::Exited(_))) => Some("client-exits-nonzero"),
        // Its server has left it as well, and it goes round and round.
        (ExitStatus::Code(0), None) if ends_input && server_has_left(case, client) && spins(case) => {
            Some("client-spins-when-server-gone")
        }
        (ExitStatus::Code(0), None) if ends_input && waits_for_more(case, client) => Some("client-waits-for-more"),
        (ExitStatus::Code(0), None) if ends_input => Some("hangs-at-end-of-input"),
        (ExitStatus::NonZero, Some(End::Exited(0))) if resets => Some("client-hides-reset"),
        (ExitStatus::NonZero, Some(End::Exited(0))) if closes => Some("client-hides-server-end"),
        // It has connected to somebody it was not told of: the scenario knows why.
        (ExitStatus::NonZero, Some(End::Exited(0))) if case.is_about(&["no-usage-check"]) => {
            let said = said(client);
            Some(if said.contains("usage") { "usage-on-stdout" } else { "no-usage-check" })
        }
        (ExitStatus::NonZero, Some(End::Exited(0)))
            if client.pair.is_none() && !case.is_about(&["takes-bad-address"]) =>
        {
            Some("hides-connect-error")
        }
        (ExitStatus::NonZero, None) if resets || closes => hangs(case),
        // It runs on without a connection.
        (ExitStatus::NonZero, None)
            if client.pair.is_none() && !case.is_about(&["takes-bad-address", "no-usage-check"]) =>
        {
            // One that sleeps for a time will try again.
            let process = case.view.process(client.pid);
            let tries_again = process.is_some_and(|process| case.scene.sleeps_in(process, &["sleep"]));
            match (case.scene.request.never_connects, tries_again) {
                (true, _) => Some("client-never-connects"),
                (false, true) => None,
                (false, false) => Some("ignores-connect-error"),
            }
        }
        _ => None,
    }
}

/// It goes on although the server has gone.
fn hangs(case: &Case<'_>) -> Option<&'static str> {
    let typed_last = case.scenario.steps.iter().take(case.step?).rev().find_map(|step| match step.action {
        Action::Type { .. } => Some(true),
        Action::Close { .. } | Action::Reset { .. } | Action::Signal { .. } => Some(false),
        _ => None,
    });
    match (spins(case), typed_last) {
        (true, _) => Some("client-spins-when-server-gone"),
        (false, Some(true)) => Some("client-ignores-server-end"),
        // It waited for the echo when the end came, unless the scenario asks for more than that.
        _ if case.is_about(&["client-blind-while-typing", "client-takes-part-for-line"]) => None,
        _ => Some("client-ignores-server-end"),
    }
}

/// Whether a process keeps a processor busy. What a thread beside the first one does the probe has seen.
fn spins(case: &Case<'_>) -> bool {
    case.scene.request.client_spins || case.view.processes.iter().any(|process| process.state == 'R')
}

/// Whether the server's FIN has reached the client.
fn server_has_left(case: &Case<'_>, client: &Program) -> bool {
    let left = [TcpState::CloseWait, TcpState::LastAck, TcpState::Closing, TcpState::TimeWait, TcpState::Gone];
    client.pair.is_some_and(|pair| left.contains(&case.view.state(pair)))
}

/// What the client does with an ordinary line already, if that can be why data is missed.
pub fn of_its_manner(case: &Case<'_>) -> Option<&'static str> {
    let Topic::Check(check, subject) = &case.miss.topic else { return None };
    let prints = matches!((check, subject), (CheckKind::Stdout(_), Subject::Program(_)));
    let sends = match (check, subject) {
        (CheckKind::Receives(_), Subject::Peer(name)) => accepted_by_us(case.scenario, name),
        _ => false,
    };
    match (case.scene.request.sends, case.scene.request.prints) {
        (Sends::Unended, _) if sends || prints => Some("client-drops-newline"),
        (Sends::Otherwise, _) if sends || prints => Some("client-alters-line"),
        (_, Prints::Otherwise) if prints => Some("decorates-output"),
        (_, Prints::Nothing) if (sends || prints) && only_waits_for_more(case) => Some("client-waits-for-more"),
        _ => None,
    }
}
