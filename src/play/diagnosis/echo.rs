//! Which mistake of the catalogue is in what a server sends back.

use memchr::memmem;

use super::case::{Case, half_closed, said, was_disturbed};
use super::evidence::{Change, is_unserved, listens_in_vain, sent, was_answered};
use super::server::unserved;
use crate::catalogue::Sign;
use crate::observe::{End, Process};
use crate::play::Answer;
use crate::play::known::Known;
use crate::play::scene::{Scene, View};
use crate::scenario::{Model, Role};
use crate::tcp::TcpState;

/// What came back to a peer, or did not.
pub fn received(case: &Case<'_>, peer: &str, wanted: &[u8]) -> Option<&'static str> {
    let Case { scene, view, .. } = case;
    let model = scene.request.model;
    let answered = was_answered(scene, peer);
    let matched = case.evidence.matched;
    match case.evidence.sign {
        Sign::Unserved => unserved(case),
        Sign::Fin | Sign::Reset if is_closed_unserved(case) => {
            Some(if has_been_read(case, peer) { "closed-too-early" } else { closed_unserved(model) })
        }
        Sign::Silence | Sign::Fin if matched == 0 && wanted.first() == Some(&0) && scene.has_answered() => {
            Some("data-taken-for-string")
        }
        // It stops before the first such byte. Among many bytes another cause can stop it before one by chance.
        Sign::Fin if wanted.iter().position(|byte| *byte == 0xff) == Some(matched) => Some("eof-in-a-char"),
        Sign::Fin if matched > 0 && half_closed(case, peer) && model == Some(Model::Event) => {
            Some("half-close-drops-data")
        }
        // A NUL or a byte that is missing can be the work of a buffer that is full.
        _ if case.is_about(&["line-buffer-off-by-one", "long-line-cut"])
            && case.received() >= 4000
            && !matches!(case.change(), Some(Change::LineEnds | Change::Twice)) =>
        {
            None
        }
        Sign::Bytes => match case.change() {
            Some(change) => Some(changed(change)),
            // Already an ordinary line is answered with something else.
            None if scene.request.answer == Answer::Other => Some("echo-altered"),
            None if is_anothers(case, peer) => mixed_up(model),
            // The echo of what was answered already.
            None if answered && case.is_stale() => Some("extra-byte"),
            None => None,
        },
        // What was answered already.
        Sign::Excess if case.is_stale() => Some("extra-byte"),
        Sign::Silence if is_never_read(case, peer) => Some("never-reads"),
        Sign::Silence if overfed(scene, peer) => mixed_up(model),
        Sign::Silence if model == Some(Model::Thread) && scene.served_at_once() < 2 && waits_for_lock(scene, view) => {
            Some("iterative-server")
        }
        Sign::Silence if model == Some(Model::Event) && is_overlooked(case, peer) => Some("forgets-a-client"),
        // It has read an ordinary line, and answered with a part of it.
        Sign::Silence
            if !answered
                && (1..wanted.len()).contains(&matched)
                && wanted.iter().filter(|byte| **byte == b'\n').count() == 1
                && scene.request.ordinary.is_none()
                && listens_in_vain(scene, view, peer).is_some() =>
        {
            Some("answers-in-part")
        }
        // It has read a whole line, answers nothing, and waits for more.
        Sign::Silence
            if !answered
                && (matched == 0 || lacks_last_line(wanted, matched))
                && listens_in_vain(scene, view, peer).is_some() =>
        {
            one_behind(case)
        }
        Sign::Fin | Sign::Reset if matched == 0 && !answered && scene.connections() > 10 && scene.peers.len() <= 2 => {
            Some("slots-never-freed")
        }
        Sign::Fin if case.is_about(&["empty-line-lost"]) => None,
        Sign::Fin if case.is_about(&["obeys-words"]) && case.lines_taken() >= 2 => None,
        Sign::Fin if answered && matched == 0 && !half_closed(case, peer) && !was_disturbed(case) => {
            Some("one-message-only")
        }
        _ => None,
    }
}

/// What a client printed, or did not. An honest one prints what the server has sent.
pub fn printed(case: &Case<'_>, client: &str) -> Option<&'static str> {
    let Case { scene, view, evidence, .. } = case;
    let is_reference = !scene.request.judged.contains(&Role::Client);
    let was_refused = scene.programs.get(client).is_some_and(|program| said(program).contains("refused"));
    let has_printed = scene.programs.get(client).is_none_or(|program| program.stdout.received() > 0);
    match evidence.sign {
        _ if is_unserved(scene, view, client) => unserved(case),
        Sign::Silence if is_reference && is_never_read(case, client) => Some("never-reads"),
        // The server has read what the client has sent, and waits for more.
        Sign::Silence if is_reference && !has_printed && listens_in_vain(scene, view, client).is_some() => {
            one_behind(case)
        }
        Sign::Ends
            if is_reference
                && !has_printed
                && !half_closed(case, client)
                && !was_refused
                && is_closed_unserved(case) =>
        {
            Some(closed_unserved(scene.request.model))
        }
        _ => case.change().map(changed),
    }
}

/// Whether no client was ever answered, and this one's connection has ended. A child that could not execute a program
/// (126 and 127, as a shell has it) has no other mistake.
fn is_closed_unserved(case: &Case<'_>) -> bool {
    let scene = case.scene;
    let is_command_missing = |known: &Known| matches!(known.end, Some(End::Exited(126 | 127)));
    let says_missing = scene.server().is_some_and(|(_, server)| said(server).contains("no such file"));
    scene.request.ordinary.is_none()
        && !scene.has_answered()
        && !says_missing
        && !scene.known.values().any(is_command_missing)
}

/// Whether a connection has ended although all that came on it was read: otherwise the kernel would have sent a RST.
fn has_been_read(case: &Case<'_>, peer: &str) -> bool {
    let Some(peer) = case.scene.peers.get(peer) else { return false };
    peer.outbox.total > 0 && case.view.state(peer.pair) == TcpState::CloseWait
}

/// A line was read and not answered: it is when the next one comes, or never.
fn one_behind(case: &Case<'_>) -> Option<&'static str> {
    let scene = case.scene;
    match scene.request.answer {
        answer if case.evidence.matched > 0 || answer == Answer::Late => Some("echo-one-behind"),
        Answer::Never if !scene.has_answered() => Some("answers-nothing"),
        _ => None,
    }
}

fn closed_unserved(model: Option<Model>) -> &'static str {
    if model == Some(Model::Thread) { "closes-shared-descriptor" } else { "closed-too-early" }
}

fn changed(change: Change) -> &'static str {
    match change {
        Change::NulAfterLine => "nul-sent",
        Change::NulElsewhere | Change::WholeBuffer | Change::Twice => "extra-byte",
        Change::LineEnds => "line-ends-altered",
        Change::EmptyLines => "empty-line-lost",
        Change::Prefix => "uninvited-data",
        Change::HighBit => "bytes-interpreted",
        Change::Case | Change::Words => "echo-altered",
    }
}

/// Whether everything came but the last line, or what follows it.
fn lacks_last_line(wanted: &[u8], matched: usize) -> bool {
    let (came, rest) = wanted.split_at(matched);
    let line_by_line = came.is_empty() || came.ends_with(b"\n");
    let one = rest.iter().position(|byte| *byte == b'\n').is_none_or(|at| at + 1 == rest.len());
    line_by_line && one && wanted.contains(&b'\n')
}

/// Whether the other data came that another peer has sent.
fn is_anothers(case: &Case<'_>, peer: &str) -> bool {
    let Some(came) = case.scene.peers.get(peer).map(|peer| peer.inbox.unread()) else { return false };
    let end = came.iter().position(|byte| *byte == b'\n').map_or(came.len(), |at| at + 1);
    let line = &came[..end];
    // A line can be as long as all that was sent: looking for it at each place would take for ever.
    let line = memmem::Finder::new(line);
    let within = |bytes: &[u8]| line.needle().len() > 2 && line.find(bytes).is_some();
    !within(&sent(case.scenario, case.step, Some(peer))) && within(&sent(case.scenario, case.step, None))
}

/// Whether another peer has got more than it has sent.
fn overfed(scene: &Scene, peer: &str) -> bool {
    scene.peers.iter().any(|(name, other)| name != peer && other.inbox.received() > other.outbox.total)
}

fn mixed_up(model: Option<Model>) -> Option<&'static str> {
    match model {
        Some(Model::Thread) => Some("shared-state-between-threads"),
        Some(Model::Event) => Some("cross-talk"),
        _ => None,
    }
}

fn waits_for_lock(scene: &Scene, view: &View) -> bool {
    let server = scene.server().and_then(|(_, program)| view.process(program.pid));
    server.is_some_and(|server| scene.sleeps_in(server, &["futex"]))
}

/// Whether nobody was ever answered, and bytes wait in a peer's connection, which is accepted.
pub fn is_never_read(case: &Case<'_>, peer: &str) -> bool {
    let Case { scene, view, .. } = case;
    let socket = scene.pair(peer).and_then(|pair| view.socket(pair.reversed()));
    scene.request.ordinary.is_none()
        && !scene.has_answered()
        && socket.is_some_and(|socket| socket.unread > 0)
        && !scene.server_end_owners(view, peer).is_empty()
}

/// Whether bytes wait in a peer's connection for a process that sleeps in poll.
fn is_overlooked(case: &Case<'_>, peer: &str) -> bool {
    let Case { scene, view, .. } = case;
    let socket = scene.pair(peer).and_then(|pair| view.socket(pair.reversed()));
    let sleeps = |process: &&Process| scene.sleeps_in(process, &["poll", "select", "epoll_wait"]);
    socket.is_some_and(|socket| socket.unread > 0) && scene.server_end_owners(view, peer).iter().any(sleeps)
}
