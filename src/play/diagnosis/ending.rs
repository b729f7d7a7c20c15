//! Which mistake of the catalogue is in how a server ends a connection, or does not.

use std::time::Duration;

use super::case::{Case, accepted_by_us, ended_undisturbed, half_closed, server_is_gone, was_disturbed};
use crate::catalogue::Sign;
use crate::observe::{Process, Socket};
use crate::play::expect::Subject;
use crate::play::peer::Ended;
use crate::play::steps::Topic;
use crate::scenario::{CheckKind, Model, Role};
use crate::tcp::TcpState;

/// A server that has been silent for so long when it closes does not close because of what it has said.
pub const LONG_SILENCE: Duration = Duration::from_millis(150);

/// A connection that is not closed when its client has closed, or is closed with a RST.
pub fn closed_wrongly(case: &Case<'_>) -> Option<&'static str> {
    if server_is_gone(case.scene) {
        return None;
    }
    let about_processes = match &case.miss.topic {
        Topic::Leave => false,
        Topic::Check(check, _) => match check {
            CheckKind::Closed(_) | CheckKind::Socket(_) | CheckKind::FarSocket(_) => false,
            CheckKind::Children(_) | CheckKind::Exits(_) | CheckKind::Running(_) | CheckKind::State(_) => true,
            _ => return None,
        },
        _ => return None,
    };
    let reset = || reset_instead_of_fin(case).then_some("reset-instead-of-fin");
    overlooks_end(case)
        .or_else(reset)
        .or_else(|| (about_processes && stays_for_nobody(case)).then_some("handler-never-exits"))
}

/// The server has read the end of file of a connection that nothing more is done about.
fn overlooks_end(case: &Case<'_>) -> Option<&'static str> {
    let Case { scene, view, .. } = case;
    let (_, server) = scene.server()?;
    let has_ended = |socket: &&Socket| {
        socket.pair.local.port() == scene.request.port && socket.state == TcpState::CloseWait && socket.unread == 0
    };
    let forks = matches!(scene.request.model, None | Some(Model::Fork | Model::Prefork));
    for socket in view.sockets.iter().filter(has_ended) {
        let owners = scene.owners(view, socket.inode);
        let Some(owner) = owners.last() else { continue };
        let waits = || scene.sleeps_in(owner, &["read", "write", "wait"]);
        if owner.state == 'T' || (forks && (owners.iter().any(|owner| owner.pid == server.pid) || waits())) {
            return None;
        }
        return Some(if owner.state == 'R' { "ignores-end-of-file" } else { "never-closes" });
    }
    None
}

/// All that was sent was answered, so that nothing unread made the kernel send the RST that came.
fn reset_instead_of_fin(case: &Case<'_>) -> bool {
    let Case { scene, view, .. } = case;
    let Topic::Check(check, subject) = &case.miss.topic else { return false };
    match (check, subject) {
        (CheckKind::Closed(_), Subject::Peer(name)) => scene.peers.get(name).is_some_and(|peer| {
            peer.ended == Some(Ended::Reset)
                && peer.inbox.received() >= peer.outbox.total
                && !accepted_by_us(case.scenario, name)
        }),
        (CheckKind::Socket(states), subject) if states.contains(&TcpState::TimeWait) => {
            // A client can have sent the RST itself, if it is not the reference.
            let by_server = matches!(subject, Subject::Peer(_)) || !scene.request.judged.contains(&Role::Client);
            let gone = |pair| view.state(pair) == TcpState::Gone;
            by_server && scene.pair(subject.label()).is_some_and(|pair| gone(pair) && gone(pair.reversed()))
        }
        _ => false,
    }
}

/// A child is there still, asleep, and has no connection.
fn stays_for_nobody(case: &Case<'_>) -> bool {
    let Case { scene, view, .. } = case;
    let Some((_, server)) = scene.server() else { return false };
    let connected = |process: &Process| {
        let here = |socket: &&Socket| {
            socket.pair.local.port() == scene.request.port && socket.state != TcpState::Listen && socket.inode != 0
        };
        view.sockets.iter().filter(here).any(|socket| scene.holds(process, socket.inode))
    };
    let children = |process: &&Process| process.parent == server.pid && process.state == 'S';
    let mut children = view.processes.iter().filter(children).peekable();
    scene.request.model == Some(Model::Fork) && children.peek().is_some() && children.all(|child| !connected(child))
}

/// A connection that the server has ended although its client is there and has not asked for it.
pub fn closed_first(case: &Case<'_>) -> Option<&'static str> {
    let Case { scene, .. } = case;
    if server_is_gone(scene) || case.evidence.sign == Sign::Bytes {
        return None;
    }
    let was_disturbed = was_disturbed(case);
    if matches!(case.miss.topic, Topic::Leave) && !was_disturbed {
        // The runner was the second to close.
        return case.miss.observed.contains("TIME_WAIT").then_some("one-message-only");
    }
    let left = scene.programs.values().find_map(|program| program.silence);
    if let Some(silence) = left.filter(|_| !was_disturbed) {
        return Some(if silence >= LONG_SILENCE { "idle-timeout" } else { "one-message-only" });
    }
    let (_, peer) = scene.peers.iter().find(|(name, peer)| {
        peer.is_open()
            && peer.ended == Some(Ended::Fin)
            && (!was_disturbed || ended_undisturbed(case, peer))
            && !half_closed(case, name)
            && !accepted_by_us(case.scenario, name)
    })?;
    if peer.silence? >= LONG_SILENCE {
        return Some("idle-timeout");
    }
    (peer.inbox.received() > 0).then_some("one-message-only")
}
