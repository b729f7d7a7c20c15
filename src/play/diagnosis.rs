//! Which mistake of the catalogue a failure comes from, as far as what was observed shows it.

use super::expect::Subject;
use super::scene::{Scene, View};
use super::steps::{Leftover, Miss, Topic};
use crate::observe::DescriptorKind;
use crate::scenario::{Action, CheckKind, Closed, CountOrBaseline, Model, Role, Scenario, SocketName};
use crate::tcp::TcpState;

/// The defect that a miss shows; the scenario's own where the miss is what the scenario is about, and nothing more
/// special was observed. No defect is better than a wrong one.
pub fn diagnose(scene: &Scene, scenario: &Scenario, miss: &Miss, step: Option<usize>, view: &View) -> Option<String> {
    let defect = of_topic(scene, scenario, miss, step, view)?;
    let blamed = crate::catalogue::find(&defect).map(|defect| defect.blames);
    // The reference program is not what is judged.
    let judged = scene.request.judged.iter().any(|role| blamed.as_ref().is_none_or(|name| *name == role.to_string()));
    judged.then_some(defect)
}

fn of_topic(scene: &Scene, scenario: &Scenario, miss: &Miss, step: Option<usize>, view: &View) -> Option<String> {
    let own = || decisive(scenario, step).then(|| scenario.defect.clone());
    match &miss.topic {
        Topic::Start => at_start(scene, scenario, view),
        Topic::Leftover(Leftover::Zombies) => Some("zombie-children".into()),
        Topic::Leftover(Leftover::Descriptors) => Some(lost_descriptors(scene, view)),
        _ if server_is_gone(scene) => {
            let deadly = crate::catalogue::find(&scenario.defect).is_some_and(|defect| defect.deadly);
            if deadly { Some(scenario.defect.clone()) } else { Some("server-dies".into()) }
        }
        Topic::Crash => Some("handler-crashes".into()),
        Topic::Check(check, subject) => checked(scene, scenario, check, subject, view, decisive(scenario, step)),
        Topic::Connect | Topic::Handler | Topic::Visit => unserved(scene, view).or_else(own),
        Topic::Send | Topic::Accept => own(),
    }
}

/// Whether a step is what the scenario is about, rather than what leads up to it: in a scenario that disturbs something,
/// what comes before the first disturbance only sets the scene.
fn decisive(scenario: &Scenario, step: Option<usize>) -> bool {
    let Some(step) = step else { return false };
    let disturbs = |action: &Action| {
        !matches!(
            action,
            Action::Start(_)
                | Action::Connect { .. }
                | Action::Listen { .. }
                | Action::Accept { .. }
                | Action::Type { .. }
                | Action::Send { .. }
                | Action::Settle
                | Action::Baseline { .. }
                | Action::Expect { .. }
        )
    };
    match scenario.steps.iter().position(|one| disturbs(&one.action)) {
        Some(first) => step > first,
        None => true,
    }
}

fn server_is_gone(scene: &Scene) -> bool {
    scene.server().is_some_and(|(_, program)| program.end.is_some() && !program.end_was_asked_for)
}

fn at_start(scene: &Scene, scenario: &Scenario, view: &View) -> Option<String> {
    if scene.programs.values().filter(|program| program.role == Role::Server).count() > 1 {
        // It has started before: that it does not now is what the scenario is about.
        return Some(scenario.defect.clone());
    }
    let (name, program) = scene.programs.iter().find(|(_, program)| program.role == Role::Server)?;
    if program.end.is_some() {
        return Some("exits-at-start".into());
    }
    let elsewhere = !scene.listeners_of(view, name).is_empty();
    Some(if elsewhere { "wrong-port" } else { "never-listens" }.into())
}

fn checked(
    scene: &Scene,
    scenario: &Scenario,
    check: &CheckKind,
    subject: &Subject,
    view: &View,
    decisive: bool,
) -> Option<String> {
    let own = || decisive.then(|| scenario.defect.clone());
    let special = match (check, subject) {
        (CheckKind::Zombies(0), _) if scenario.defect == "reaps-only-at-accept" => None,
        (CheckKind::Zombies(0), _) => reaping(scene, view),
        (CheckKind::Lacks(names), Subject::Process(..)) if names.contains(&SocketName::Listener) => {
            Some("child-keeps-listener")
        }
        (CheckKind::Lacks(_), Subject::Program(_)) => Some("parent-keeps-connection"),
        (CheckKind::Descriptors(CountOrBaseline::Baseline), _) => return Some(lost_descriptors(scene, view)),
        (CheckKind::Closed(Closed::Fin | Closed::Any), Subject::Peer(name)) => kept_open(scene, view, name),
        (CheckKind::Receives(payload), Subject::Peer(name)) if !payload.is_empty() => {
            let other_bytes = scene.peers.get(name).is_some_and(|peer| !peer.inbox.unread().is_empty());
            let plain = !decisive && other_bytes;
            return unanswered(scene, view, name).or_else(own).or_else(|| plain.then(|| "echo-altered".to_owned()));
        }
        _ => None,
    };
    special.map(str::to_owned).or_else(own)
}

/// No child was ever reaped: never waits. Some were: waits too seldom.
fn reaping(scene: &Scene, view: &View) -> Option<&'static str> {
    let zombies = view.processes.iter().filter(|process| process.is_zombie()).count();
    let server = scene.server().and_then(|(_, program)| view.process(program.pid));
    if server.and_then(|server| scene.processes.child_signal(server)).is_some_and(|signal| signal.blocked) {
        return Some("sigchld-blocked");
    }
    let started = |pid: i32| scene.programs.values().any(|program| program.pid == pid);
    let reaped = scene.known.iter().any(|((pid, _), known)| known.gone && known.was_zombie && !started(*pid));
    if reaped {
        return (zombies > 0).then_some("waits-once");
    }
    // A child that was reaped before it was seen as a zombie counts too.
    let vanished = scene.known.iter().any(|((pid, _), known)| known.gone && !started(*pid));
    Some(if vanished { "waits-once" } else { "zombie-children" })
}

/// The peer's connection stays open because the process that listens has it open too.
fn kept_open(scene: &Scene, view: &View, peer: &str) -> Option<&'static str> {
    let (_, server) = scene.server()?;
    let forks = scene.request.model.is_none_or(|model| model == Model::Fork);
    let kept = scene.server_end_owners(view, peer).iter().any(|process| process.pid == server.pid);
    (forks && kept).then_some("parent-keeps-connection")
}

/// A connection that nobody has accepted: the server is busy with another client, or accepts none at all.
fn unanswered(scene: &Scene, view: &View, peer: &str) -> Option<String> {
    let pair = scene.peers.get(peer)?.pair;
    let socket = view.socket(pair.reversed())?;
    if socket.inode != 0 {
        return None;
    }
    unserved(scene, view)
}

fn unserved(scene: &Scene, view: &View) -> Option<String> {
    let port = scene.request.port;
    scene.server()?;
    let stopped = |pid: i32| view.process(pid).is_some_and(|process| process.state == 'T');
    if scene.server().is_some_and(|(_, program)| stopped(program.pid)) {
        return None;
    }
    let waiting = |socket: &&crate::observe::Socket| socket.pair.local.port() == port && socket.inode == 0;
    let not_accepted = view.sockets.iter().filter(waiting).any(|socket| socket.state == TcpState::Established);
    if !not_accepted {
        return None;
    }
    let served = view.sockets.iter().any(|socket| {
        socket.pair.local.port() == port
            && socket.inode != 0
            && socket.state != TcpState::Listen
            && !scene.owners(view, socket.inode).is_empty()
    });
    if !served {
        // One that has answered somebody does accept; why it does not now, the scenario knows best.
        let answered = scene.peers.values().any(|peer| !peer.inbox.kept().is_empty());
        return (!answered).then(|| "never-accepts".into());
    }
    let (_, server) = scene.server()?;
    let process = view.process(server.pid)?;
    let waits = scene.processes.asleep_in(process).iter().any(|call| call == "wait");
    // In wait because it has called it for this client, or from its SIGCHLD handler.
    let handles = scene.processes.child_signal(process).is_some_and(|signal| signal.caught);
    Some(match (waits, handles) {
        (true, true) => "handler-blocks-in-wait".into(),
        (true, false) => "waits-for-each-client".into(),
        (false, _) => "iterative-server".into(),
    })
}

/// Connections of clients that have gone are kept, or something else is.
fn lost_descriptors(scene: &Scene, view: &View) -> String {
    let connections = || -> Option<bool> {
        let (_, server) = scene.server()?;
        let table = scene.processes.descriptors(view.process(server.pid)?).ok()?;
        let kept =
            |inode: u64| view.sockets.iter().any(|socket| socket.inode == inode && socket.state == TcpState::CloseWait);
        Some(table.iter().any(|descriptor| matches!(descriptor.kind, DescriptorKind::Socket(inode) if kept(inode))))
    };
    if connections().unwrap_or(false) { "parent-keeps-connection" } else { "descriptor-leak" }.into()
}
