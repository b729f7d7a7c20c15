//! What a miss looks like from outside, whatever the scenario is about.

use crate::catalogue::Sign;
use crate::observe::{End, Process, Socket};
use crate::play::expect::Subject;
use crate::play::peer::Ended;
use crate::play::scene::{Scene, View, waits_for_accept};
use crate::play::steps::{Miss, Topic};
use crate::scenario::{Action, CheckKind, Closed, Payload, Scenario};
use crate::tcp::TcpState;

/// A miss, seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    /// Its kind.
    pub sign: Sign,
    /// How many bytes came as expected before it.
    pub matched: usize,
}

/// What a miss looks like.
pub fn evidence(scene: &Scene, miss: &Miss, view: &View) -> Evidence {
    let plain = |sign| Evidence { sign, matched: 0 };
    match &miss.topic {
        Topic::Connect => plain(Sign::Refused),
        Topic::Leave => plain(Sign::Open),
        Topic::Send => plain(Sign::Silence),
        Topic::Check(check, subject) => of_check(scene, check, subject, view),
        Topic::Start | Topic::Accept | Topic::Handler => plain(Sign::Absent),
        Topic::Leftover(_) | Topic::Crash => plain(Sign::State),
    }
}

fn of_check(scene: &Scene, check: &CheckKind, subject: &Subject, view: &View) -> Evidence {
    let plain = |sign| Evidence { sign, matched: 0 };
    match (check, subject) {
        (CheckKind::Receives(payload) | CheckKind::Stdout(payload) | CheckKind::Stderr(payload), _)
            if payload.is_empty() =>
        {
            plain(Sign::Excess)
        }
        (CheckKind::Receives(payload), Subject::Peer(name)) => {
            let Some(peer) = scene.peers.get(name) else { return plain(Sign::State) };
            let (matched, more) = compare(peer.inbox.unread(), payload);
            let sign = match peer.ended {
                _ if more => Sign::Bytes,
                Some(Ended::Fin) => Sign::Fin,
                Some(Ended::Reset) => Sign::Reset,
                None if is_unserved(scene, view, name) => Sign::Unserved,
                None => Sign::Silence,
            };
            Evidence { sign, matched }
        }
        (CheckKind::Stdout(payload), Subject::Program(name)) => {
            let Some(program) = scene.programs.get(name) else { return plain(Sign::State) };
            let (matched, more) = compare(program.stdout.unread(), payload);
            let sign = match program.end {
                _ if more => Sign::Bytes,
                Some(_) => Sign::Ends,
                None => Sign::Silence,
            };
            Evidence { sign, matched }
        }
        (CheckKind::Closed(_) | CheckKind::Blocked(_), Subject::Peer(name)) => {
            plain(match (check, scene.peers.get(name).and_then(|peer| peer.ended)) {
                (_, Some(Ended::Reset)) => Sign::Reset,
                (_, Some(Ended::Fin)) => Sign::Fin,
                (CheckKind::Closed(Closed::Fin | Closed::Any), None) => Sign::Open,
                _ => Sign::State,
            })
        }
        (CheckKind::FarSocket(states), _) if states.contains(&TcpState::Gone) => {
            let pair = scene.pair(subject.label());
            let far = pair.map(|pair| view.state(pair.reversed()));
            plain(if far == Some(TcpState::CloseWait) { Sign::Open } else { Sign::State })
        }
        (CheckKind::Exits(_) | CheckKind::Running(_), Subject::Program(name)) => {
            plain(match scene.programs.get(name).and_then(|program| program.end) {
                None => Sign::Hangs,
                Some(End::Signalled(_)) => Sign::Signal,
                Some(_) => Sign::Status,
            })
        }
        (CheckKind::Exits(_) | CheckKind::Running(_), Subject::Process(identity, _)) => {
            let end = scene.known.get(identity).filter(|known| known.gone || known.was_zombie).map(|known| known.end);
            plain(match end {
                None => Sign::Hangs,
                Some(Some(End::Signalled(_))) => Sign::Signal,
                Some(_) => Sign::Status,
            })
        }
        (CheckKind::State(_) | CheckKind::AsleepIn(_) | CheckKind::Descriptors(_) | CheckKind::Children(_), _) => {
            let pid = match subject {
                Subject::Program(name) => scene.programs.get(name).map(|program| program.pid),
                Subject::Process((pid, _), _) => Some(*pid),
                Subject::Peer(_) => None,
            };
            let there = pid.and_then(|pid| view.process(pid)).is_some_and(|process| !process.is_zombie());
            plain(if there { Sign::State } else { Sign::Absent })
        }
        _ => plain(Sign::State),
    }
}

/// How many bytes are as expected, and whether something else follows them.
fn compare(came: &[u8], payload: &Payload) -> (usize, bool) {
    let matched = came.iter().zip(payload.bytes().iter()).take_while(|(came, wanted)| came == wanted).count();
    (matched, matched < came.len())
}

/// Whether nobody serves this peer's or client's connection.
pub fn is_unserved(scene: &Scene, view: &View, name: &str) -> bool {
    let socket = scene.pair(name).and_then(|pair| view.socket(pair.reversed()));
    socket.is_some_and(|socket| has_no_handler(scene, view, socket))
}

/// Whether no process has accepted a connection; or one has, and sleeps before it could leave it to another.
pub fn has_no_handler(scene: &Scene, view: &View, socket: &Socket) -> bool {
    waits_for_accept(socket) || is_held_up_in_wait(scene, view, socket)
}

/// Whether only the process that accepts has this connection, and sleeps in wait: a signal handler has called it, or
/// it waits for the handler of another client.
fn is_held_up_in_wait(scene: &Scene, view: &View, socket: &Socket) -> bool {
    let owners = scene.owners(view, socket.inode);
    let [owner] = owners.as_slice() else { return false };
    let child_lives = || view.processes.iter().any(|child| child.parent == owner.pid && !child.is_zombie());
    scene.server().is_some_and(|(_, server)| server.pid == owner.pid)
        && scene.sleeps_in(owner, &["wait"])
        && (scene.processes.child_signal(owner).is_some_and(|signal| signal.caught) || child_lives())
}

/// Whether something came back on this peer's connection before.
pub fn was_answered(scene: &Scene, peer: &str) -> bool {
    scene.peers.get(peer).is_some_and(|peer| peer.inbox.kept().len() > peer.inbox.unread().len())
}

/// The process that serves a peer's connection, if it has taken in all that the peer has sent.
pub fn listens_in_vain<'v>(scene: &Scene, view: &'v View, peer: &str) -> Option<&'v Process> {
    let socket = scene.pair(peer).and_then(|pair| view.socket(pair.reversed()))?;
    if socket.unread > 0 {
        return None;
    }
    let sleeps = |process: &&Process| scene.sleeps_in(process, &["read", "poll", "select", "epoll_wait"]);
    scene.server_end_owners(view, peer).into_iter().rev().find(sleeps)
}

/// What the scenario has sent or typed by this step, by one peer or program or by all of them.
pub fn sent(scenario: &Scenario, step: Option<usize>, by: Option<&str>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for one in scenario.steps.iter().take(step.unwrap_or(scenario.steps.len())) {
        let (names, payload) = match &one.action {
            Action::Send { peers, data, .. } => (peers, data),
            Action::Type { programs, text } => (programs, text),
            _ => continue,
        };
        if by.is_none_or(|by| names.iter().any(|name| name == by)) {
            bytes.extend_from_slice(payload.bytes());
        }
    }
    bytes
}

/// What was done to bytes on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A NUL follows a line.
    NulAfterLine,
    /// A NUL follows something else.
    NulElsewhere,
    /// A long run of NULs: a whole buffer.
    WholeBuffer,
    /// Carriage returns were added or taken out, or newlines added.
    LineEnds,
    /// Empty lines were taken out.
    EmptyLines,
    /// A line came twice.
    Twice,
    /// Something that nobody has sent came before it.
    Prefix,
    /// Blanks are gone, or line ends came for them.
    Words,
    /// The highest bit of characters differs.
    HighBit,
    /// Capitals came for small letters, or the other way round.
    Case,
}

/// Tells what was done to `wanted` so that it came as `came`, if it can be told. `sent` is all that anybody has sent.
pub fn change(came: &[u8], wanted: &[u8], sent: &[u8]) -> Option<Change> {
    const RUN: usize = 16;
    let line = &wanted[..wanted.iter().position(|byte| *byte == b'\n').map_or(wanted.len(), |end| end + 1)];
    if line.is_empty() || came.is_empty() {
        return None;
    }
    let without =
        |bytes: &[u8], left_out: u8| -> Vec<u8> { bytes.iter().copied().filter(|byte| *byte != left_out).collect() };
    let begins = |one: &[u8], other: &[u8]| one.starts_with(other) || other.starts_with(one);
    let printable = without(came, 0);
    if !wanted.contains(&0) && came.contains(&0) && !printable.is_empty() && begins(&printable, wanted) {
        let longest = came.split(|byte| *byte != 0).map(<[u8]>::len).max().unwrap_or(0);
        let elsewhere = came.windows(2).any(|pair| pair[1] == 0 && pair[0] != b'\n' && pair[0] != 0);
        return Some(match (longest, elsewhere) {
            (RUN.., _) => Change::WholeBuffer,
            (_, true) => Change::NulElsewhere,
            _ => Change::NulAfterLine,
        });
    }
    let returns = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\r').count();
    let (bare_came, bare_wanted) = (without(came, b'\r'), without(wanted, b'\r'));
    if returns(came) != returns(&wanted[..wanted.len().min(came.len())]) && begins(&bare_came, &bare_wanted) {
        return Some(Change::LineEnds);
    }
    let single = |bytes: &[u8]| -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        bytes.dedup_by(|one, other| *one == b'\n' && *other == b'\n');
        bytes
    };
    if wanted.windows(2).any(|pair| pair == b"\n\n") && begins(came, &single(wanted)) {
        return Some(Change::EmptyLines);
    }
    // One that came behind the line before stands before this one.
    let behind = came.iter().take_while(|byte| **byte == b'\n' && wanted[0] != b'\n').count();
    let doubled = came.windows(2).any(|pair| pair == b"\n\n") || behind > 0;
    if doubled && !begins(came, wanted) && begins(&single(&came[behind..]), &single(wanted)) {
        return Some(Change::LineEnds);
    }
    let twice = [line, line].concat();
    if came.starts_with(&twice) && !wanted.starts_with(&twice) {
        return Some(Change::Twice);
    }
    if let Some(at) = came.windows(line.len()).position(|window| window == line)
        && at > 0
        && !sent.windows(at).any(|window| window == &came[..at])
    {
        return Some(Change::Prefix);
    }
    let solid =
        |bytes: &[u8]| -> Vec<u8> { bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect() };
    if wanted.contains(&b' ') && begins(&solid(came), &solid(wanted)) && !solid(came).is_empty() {
        return Some(Change::Words);
    }
    let bits = came.iter().zip(wanted).fold(0, |bits, (came, wanted)| bits | (came ^ wanted));
    match bits {
        _ if came.len() > wanted.len() => None,
        0x80 => Some(Change::HighBit),
        0x20 => Some(Change::Case),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_apart() {
        let told = |came: &[u8], wanted: &[u8]| change(came, wanted, wanted);
        assert_eq!(told(b"one\n\0two\n\0", b"one\ntwo\n"), Some(Change::NulAfterLine));
        assert_eq!(told(b"h\0i\0\n\0", b"hi\n"), Some(Change::NulElsewhere));
        assert_eq!(told(&[b"hi\n".as_slice(), &[0; 100]].concat(), b"hi\n"), Some(Change::WholeBuffer));
        assert_eq!(told(b"\0\0\0", b"hi\n"), None, "nothing of it came");
        assert_eq!(told(b"hi\r\n", b"hi\n"), Some(Change::LineEnds));
        assert_eq!(told(b"hi\n", b"hi\r\n"), Some(Change::LineEnds));
        assert_eq!(told(b"one\n\ntwo\n\n", b"one\ntwo\n"), Some(Change::LineEnds));
        assert_eq!(told(b"\ntwo words\n\n", b"two words\n"), Some(Change::LineEnds));
        assert_eq!(told(b"one\ntwo\n", b"one\n\ntwo\n"), Some(Change::EmptyLines));
        assert_eq!(told(b"hi\nhi\n", b"hi\nyou\n"), Some(Change::Twice));
        assert_eq!(told(b"> hi\n", b"hi\n"), Some(Change::Prefix));
        assert_eq!(told(b"hi\nyou\n", b"hi you\n"), Some(Change::Words));
        assert_eq!(told(b"HI\n", b"hi\n"), Some(Change::Case));
        assert_eq!(told(b"hx\n", b"hi\n"), None);
        assert_eq!(change(b"one\ntwo\n", b"two\n", b"one\ntwo\n"), None, "what was sent before is no greeting");
    }
}
