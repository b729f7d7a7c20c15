//! Which mistake of the catalogue a server's failure comes from.

use nix::sys::signal::Signal;

use super::case::{Case, accepted_by_us, decisive, earlier, said, server_is_gone, was_disturbed};
use super::echo::{is_never_read, printed, received};
use super::evidence::{has_no_handler, is_unserved};
use crate::catalogue::Sign;
use crate::observe::{DescriptorKind, End, Process, Socket};
use crate::play::expect::Subject;
use crate::play::known::Known;
use crate::play::program::Program;
use crate::play::scene::{Scene, View};
use crate::play::steps::{Leftover, Topic};
use crate::scenario::{Action, CheckKind, CountOrBaseline, Model, Role, Scarce, SignalKind, SocketName, Target};
use crate::tcp::TcpState;

/// A server that has served so many clients has not ended because of the first few.
const MANY: usize = 10;

pub fn of_server(case: &Case<'_>) -> Option<&'static str> {
    let Case { scene, view, .. } = case;
    match &case.miss.topic {
        Topic::Start => return at_start(case),
        Topic::Leftover(Leftover::Zombies) => return Some("zombie-children"),
        Topic::Leftover(Leftover::Descriptors) => return Some(lost_descriptors(scene, view)),
        _ => {}
    }
    if server_is_gone(scene) {
        return last_words(case);
    }
    if matches!(case.miss.topic, Topic::Crash) || has_crashed(scene) {
        return Some("handler-crashes");
    }
    let says_interrupted = |server: &Program| said(server).contains("interrupted system call");
    if case.is_about(&["kills-stopped-handler"]) && scene.server().is_some_and(|(_, server)| says_interrupted(server)) {
        return Some("read-eintr-fatal");
    }
    let Topic::Check(check, subject) = &case.miss.topic else {
        let connects = matches!(case.miss.topic, Topic::Connect | Topic::Handler);
        return match case.evidence.sign {
            Sign::Open => kept_open(case, None),
            Sign::Refused if listener_is_shut(case) => Some("child-shuts-listener-down"),
            Sign::Refused if !case.miss.observed.contains("backlog") => {
                one_address_only(case).or_else(|| listens_no_more(case))
            }
            _ if matches!(case.miss.topic, Topic::Send) && scene.peers.keys().any(|peer| is_never_read(case, peer)) => {
                Some("never-reads")
            }
            _ if connects || matches!(case.miss.topic, Topic::Send) => unserved(case),
            _ => None,
        };
    };
    match (check, subject) {
        (CheckKind::State(_), Subject::Program(_)) if case.is_about(&["emfile-fatal"]) => {
            case.miss.observed.starts_with("it is in state R").then_some("emfile-spin")
        }
        (CheckKind::Zombies(0), _) if case.is_about(&["reaps-only-at-accept"]) && reaps_in_time(scene) => None,
        (CheckKind::Zombies(0), _) => reaping(case),
        (CheckKind::Lacks(names), Subject::Process(..)) if names.contains(&SocketName::Listener) => {
            Some("child-keeps-listener")
        }
        (CheckKind::Lacks(_), Subject::Program(_)) => Some("parent-keeps-connection"),
        (CheckKind::Listening(false), _) => Some("child-keeps-listener"),
        (CheckKind::Listening(true), _) => listens_no_more(case),
        (CheckKind::Children(_), _) if writes_on(case) => Some("retries-failed-write"),
        (CheckKind::Descriptors(CountOrBaseline::Baseline), _) if falls_through(case) => Some("child-falls-through"),
        (CheckKind::Descriptors(CountOrBaseline::Baseline), _) => Some(lost_descriptors(scene, view)),
        (CheckKind::Exits(_), Subject::Program(name)) if serves_elsewhere(case, name) => Some("bind-error-ignored"),
        (CheckKind::Receives(payload), Subject::Peer(name)) if !accepted_by_us(case.scenario, name) => {
            received(case, name, payload.bytes())
        }
        (CheckKind::Stdout(_), Subject::Program(name)) => printed(case, name),
        _ if falls_through(case) => Some("child-falls-through"),
        (_, Subject::Peer(name)) if case.evidence.sign == Sign::Open && !accepted_by_us(case.scenario, name) => {
            kept_open(case, Some(name))
        }
        (CheckKind::FarSocket(_), Subject::Program(name)) if case.evidence.sign == Sign::Open => {
            kept_open(case, Some(name))
        }
        _ => None,
    }
}

/// Why the server has ended, if it says so or the signal does.
fn last_words(case: &Case<'_>) -> Option<&'static str> {
    let (_, server) = case.scene.server()?;
    let said = said(server);
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    match server.end? {
        End::Signalled(number) if number == Signal::SIGPIPE as i32 => return Some("sigpipe-fatal"),
        End::Signalled(number) if number == Signal::SIGTERM as i32 || number == Signal::SIGKILL as i32 => {
            return Some("listener-dies-with-handler");
        }
        End::Signalled(_) => return Some("server-dies"),
        _ => {}
    }
    if says(&["interrupted"]) {
        return Some("accept-eintr-fatal");
    }
    if says(&["too many open files"]) {
        return Some(if case.is_about(&["descriptor-leak"]) { "descriptor-leak" } else { "emfile-fatal" });
    }
    if says(&["accept"]) && says(&["invalid argument"]) {
        // The first accept fails so because of its arguments, a later one because the socket listens no more.
        let shut = case.scene.has_answered() || has_made_a_child(case.scene);
        return Some(if shut { "child-shuts-listener-down" } else { "accept-length-not-set" });
    }
    if says(&["accept"]) && says(&["bad file descriptor"]) {
        return Some("parent-closes-listener");
    }
    if says(&["fork"]) && says(&["temporarily unavailable"]) {
        return Some("fork-failure-fatal");
    }
    let resets = says(&["reset by peer", "broken pipe", "not connected", "software caused"]);
    if resets {
        let early = says(&["accept"]) || (case.is_about(&["reset-before-accept-fatal"]) && !says(&["read", "recv"]));
        return Some(if early { "reset-before-accept-fatal" } else { "client-error-fatal" });
    }
    let kills = |action: &Action| {
        matches!(action, Action::Signal { targets, signal: SignalKind::Kill(_) }
            if targets.iter().any(|target| matches!(target, Target::Handler(_))))
    };
    let killed = case.scenario.steps.iter().position(|step| kills(&step.action));
    if killed.is_some_and(|step| server.ended_in.is_some_and(|ended_in| ended_in >= step)) {
        return Some("listener-dies-with-handler");
    }
    let own = crate::catalogue::find(&case.scenario.defect).is_some_and(|defect| defect.shows.contains(&Sign::Dead));
    let ordinary = case.scene.request.ordinary.is_some();
    let has_reset = earlier(case).any(|action| matches!(action, Action::Reset { .. }));
    match server.end? {
        _ if case.is_about(&["exits-after-n-clients"]) && case.scene.connections() >= 3 => None,
        // Another process accepts in its place.
        End::Exited(0) if is_succeeded(case) => Some("parent-serves-client"),
        // It leaves without a word.
        // It serves two, and has left when one of them had reset its connection.
        End::Exited(0) if ordinary && has_reset && case.scene.connections() <= 2 => Some("client-error-fatal"),
        End::Exited(0) if ordinary => Some("exits-after-n-clients"),
        End::Exited(0) if case.scene.connections() < 3 => Some("exits-after-one-client"),
        End::Exited(0) if case.scene.peers.values().any(|peer| peer.inbox.received() > 0) => {
            Some("exits-after-n-clients")
        }
        _ if case.scene.request.ordinary.is_none() => Some("server-dies"),
        _ if case.is_about(&["sigpipe-fatal"]) => Some("client-error-fatal"),
        // The scenario knows best.
        _ if own && decisive(case.scenario, case.step) => None,
        _ if said.is_empty() && case.scene.connections() >= MANY && !was_disturbed(case) => {
            Some("exits-after-n-clients")
        }
        _ => Some("server-dies"),
    }
}

/// Whether a handler whose client has reset the connection is there still, and busy.
fn writes_on(case: &Case<'_>) -> bool {
    let Some((_, server)) = case.scene.server() else { return false };
    let busy = |process: &Process| process.parent == server.pid && process.state == 'R';
    earlier(case).any(|action| matches!(action, Action::Reset { .. })) && case.view.processes.iter().any(busy)
}

/// Whether another process of the server's sleeps in accept on its port.
fn is_succeeded(case: &Case<'_>) -> bool {
    let Case { scene, view, .. } = case;
    let Some((name, _)) = scene.server() else { return false };
    let accepts = |process: &Process| scene.sleeps_in(process, &["accept"]);
    let listeners = scene.listeners_of(view, name);
    let here = listeners.iter().filter(|socket| socket.pair.local.port() == scene.request.port);
    here.flat_map(|socket| scene.owners(view, socket.inode)).any(accepts)
}

/// Whether a process of the subject's was ended by a signal that only a mistake of its own can have caused.
fn has_crashed(scene: &Scene) -> bool {
    let server = scene.server().map(|(name, _)| name);
    // What assert and the C library print on standard error before they call abort.
    let aborts = |text: &str| text.contains("assertion `") || text.contains("stack smashing detected");
    if scene.server().is_some_and(|(_, program)| aborts(&said(program))) {
        return true;
    }
    scene.known.values().any(|known| Some(&known.program) == server && known.crash().is_some())
}

fn at_start(case: &Case<'_>) -> Option<&'static str> {
    let Case { scene, view, .. } = case;
    if scene.programs.values().filter(|program| program.role == Role::Server).count() > 1 {
        // It has started before: that it does not now is what the scenario is about.
        let port = scene.request.port;
        let taken = view.sockets.iter().any(|socket| {
            socket.state == TcpState::Listen
                && socket.pair.local.port() == port
                && !scene.owners(view, socket.inode).is_empty()
        });
        let prefork = scene.request.model == Some(Model::Prefork);
        return Some(match (taken, prefork) {
            // Workers have it open by right.
            (true, true) => "orphaned-handlers",
            (true, false) => "child-keeps-listener",
            (false, _) => "no-reuseaddr",
        });
    }
    let (name, program) = scene.programs.iter().find(|(_, program)| program.role == Role::Server)?;
    if program.end.is_some() {
        return Some("exits-at-start");
    }
    let elsewhere = !scene.listeners_of(view, name).is_empty();
    Some(if elsewhere { "wrong-port" } else { "never-listens" })
}

/// Whether a program listens on another port than it was told.
fn serves_elsewhere(case: &Case<'_>, program: &str) -> bool {
    let port = case.scene.request.port;
    let listeners = case.scene.listeners_of(case.view, program);
    !listeners.is_empty() && listeners.iter().all(|socket| socket.pair.local.port() != port)
}

/// Whether the server has a socket on its port that is bound and listens no more, or none, though it runs on.
fn listener_is_shut(case: &Case<'_>) -> bool {
    let says = |server: &Program| {
        let said = said(server);
        said.contains("accept") && said.contains("invalid argument")
    };
    has_made_a_child(case.scene) && case.scene.server().is_some_and(|(_, server)| says(server))
}

/// Whether the server has ever made a process.
fn has_made_a_child(scene: &Scene) -> bool {
    children_ever(scene).next().is_some()
}

/// The processes that the server has made, as far as they were seen.
fn children_ever(scene: &Scene) -> impl Iterator<Item = &Known> {
    let server = scene.server();
    let is_child = move |pid: i32, known: &Known| {
        server.is_some_and(|(name, program)| pid != program.pid && known.program == *name)
    };
    scene.known.iter().filter(move |((pid, _), known)| is_child(*pid, known)).map(|(_, known)| known)
}

/// The server listens on its port, and not on every address.
fn one_address_only(case: &Case<'_>) -> Option<&'static str> {
    let (name, _) = case.scene.server()?;
    let listeners = case.scene.listeners_of(case.view, name);
    let port = case.scene.request.port;
    let here = listeners.iter().map(|socket| socket.pair.local).find(|address| address.port() == port)?;
    match here.ip() {
        ip if !ip.is_unspecified() => Some("not-wildcard"),
        ip if ip.is_ipv6() => Some("ipv6-only"),
        _ => None,
    }
}

/// Whether the server itself holds the listening socket no more, and who does is not waiting for clients.
fn has_left_the_listener(case: &Case<'_>, server: &Process) -> bool {
    let Case { scene, view, .. } = case;
    let port = scene.request.port;
    let listening = |socket: &&Socket| socket.state == TcpState::Listen && socket.pair.local.port() == port;
    let waits = |holder: &Process| scene.sleeps_in(holder, &["accept", "poll", "select", "epoll_wait"]);
    let listeners = view.sockets.iter().filter(listening);
    let holders: Vec<&Process> = listeners.flat_map(|socket| scene.owners(view, socket.inode)).collect();
    !holders.is_empty() && holders.iter().all(|holder| holder.pid != server.pid && !waits(holder))
}

/// The server has taken a client, and now no process of it listens anywhere.
fn listens_no_more(case: &Case<'_>) -> Option<&'static str> {
    let Case { scene, view, .. } = case;
    let (name, server) = scene.server()?;
    let taken = scene.connections() > 0 || scene.programs.values().any(|program| program.pair.is_some());
    if !taken || server.end.is_some() || !scene.listeners_of(view, name).is_empty() {
        return None;
    }
    // A listening socket that was shut down is in no table of sockets; who had it open has it still.
    let descriptors = scene.processes.descriptors(view.process(server.pid)?).unwrap_or_default();
    let is_shut = |kind: &DescriptorKind| matches!(kind, DescriptorKind::Socket(inode) if view.sockets.iter().all(|socket| socket.inode != *inode));
    let shut = has_made_a_child(scene) && descriptors.iter().any(|descriptor| is_shut(&descriptor.kind));
    Some(if shut { "child-shuts-listener-down" } else { "parent-closes-listener" })
}

/// Whether ordinary clients leave no zombie more behind: it does reap, sooner or later.
fn reaps_in_time(scene: &Scene) -> bool {
    scene.request.ordinary.is_none_or(|ordinary| ordinary.zombies == 0)
}

/// A child that has served its client calls accept as its parent does.
fn falls_through(case: &Case<'_>) -> bool {
    let Case { scene, view, .. } = case;
    let Some((name, server)) = scene.server() else { return false };
    if scene.request.model != Some(Model::Fork) {
        return false;
    }
    let said = said(server);
    let accepts = |process: &&Process| {
        process.pid != server.pid && (scene.sleeps_in(process, &["accept"]) || spins_without_sockets(scene, process))
    };
    let served = scene.known.values().any(|known| known.parent == server.pid);
    served && (scene.family(view, name).iter().any(accepts) || (said.contains("accept") && said.contains("bad file")))
}

/// Whether a process has closed all its sockets and goes round and round: what it accepts on is closed.
fn spins_without_sockets(scene: &Scene, process: &Process) -> bool {
    let table = scene.processes.descriptors(process).unwrap_or_default();
    let is_socket = |kind: &DescriptorKind| matches!(kind, DescriptorKind::Socket(_));
    process.state == 'R' && !table.is_empty() && !table.iter().any(|descriptor| is_socket(&descriptor.kind))
}

/// No child was ever reaped: never waits. Some were: waits too seldom, or for the wrong one.
fn reaping(case: &Case<'_>) -> Option<&'static str> {
    let Case { scene, view, .. } = case;
    let (_, server) = scene.server()?;
    let zombies = view.processes.iter().filter(|process| process.is_zombie()).count();
    let signal = view.process(server.pid).and_then(|process| scene.processes.child_signal(process));
    // One that was reaped before it was seen as a zombie counts too.
    let reaped = scene.known.values().filter(|known| known.parent == server.pid && known.gone).count();
    // Blocked it may be on purpose, for a signalfd; then some are reaped.
    if reaped == 0 && signal.is_some_and(|signal| signal.blocked) {
        return Some("sigchld-blocked");
    }
    match (reaped, zombies) {
        (_, 0) => None,
        (0, _) => Some("zombie-children"),
        _ if !one_by_one(case) => match reaped {
            // All of them had ended before the parent saw the one signal that was left.
            2.. if stopped_first(case) => Some("reaps-at-most-two"),
            _ => Some("waits-once"),
        },
        _ if signal.is_some_and(|signal| signal.caught) => Some("waits-for-wrong-child"),
        _ => Some("one-shot-signal-handler"),
    }
}

/// Whether the handlers had reason to end one after another only, and the parent time to see each.
fn one_by_one(case: &Case<'_>) -> bool {
    earlier(case).all(|action| match action {
        Action::Close { peers } | Action::Reset { peers } | Action::HalfClose { peers } => peers.len() == 1,
        Action::Signal { targets, signal: SignalKind::Kill(_) } => targets.len() == 1,
        Action::Signal { signal: SignalKind::Stop, .. } | Action::Visits { .. } => false,
        _ => true,
    })
}

/// Whether the parent was stopped before the first client left.
fn stopped_first(case: &Case<'_>) -> bool {
    let first = earlier(case).find(|action| {
        matches!(action, Action::Close { .. } | Action::Signal { .. } | Action::Reset { .. } | Action::Visits { .. })
    });
    matches!(first, Some(Action::Signal { signal: SignalKind::Stop, .. }))
}

/// A connection stays open although its client has left: the process that listens has it open too, or the handler keeps it.
fn kept_open(case: &Case<'_>, peer: Option<&str>) -> Option<&'static str> {
    let Case { scene, view, .. } = case;
    let (_, server) = scene.server()?;
    let forks = scene.request.model.map_or_else(|| has_made_a_child(scene), |model| model == Model::Fork);
    let kept = match peer {
        Some(peer) => scene.server_end_owners(view, peer).iter().any(|process| process.pid == server.pid),
        None => lost_descriptors(scene, view) == "parent-keeps-connection",
    };
    if forks && kept && earlier(case).any(|action| matches!(action, Action::Exhaust { of: Scarce::Processes, .. })) {
        // There is no child that the parent could have left it to.
        let reads = view.process(server.pid).is_some_and(|process| scene.sleeps_in(process, &["read"]));
        return Some(if reads { "fork-failure-taken-for-child" } else { "fork-failure-unnoticed" });
    }
    if forks && kept {
        return Some("parent-keeps-connection");
    }
    match peer {
        Some(peer) if is_unserved(scene, view, peer) => unserved(case),
        _ => None,
    }
}

/// Nobody accepts: the server is busy with another client, waits for a child, or accepts none at all.
pub fn unserved(case: &Case<'_>) -> Option<&'static str> {
    let Case { scene, view, .. } = case;
    let port = scene.request.port;
    let (_, server) = scene.server()?;
    let process = view.process(server.pid)?;
    if process.state == 'T' {
        return None;
    }
    let waits = |socket: &Socket| socket.pair.local.port() == port && has_no_handler(scene, view, socket);
    if !view.sockets.iter().any(waits) {
        return None;
    }
    if has_left_the_listener(case, process) {
        return Some("parent-closes-listener");
    }
    let asleep = scene.processes.asleep_in(process);
    let sleeps_in = |call: &str| asleep.iter().any(|one| one == call);
    let handles = scene.processes.child_signal(process).is_some_and(|signal| signal.caught);
    let child_ended = children_ever(scene).any(|known| known.gone || known.was_zombie);
    if handles && scene.request.model == Some(Model::Fork) && sleeps_in("futex") {
        return Some("unsafe-signal-handler");
    }
    if handles && child_ended && process.state == 'R' {
        return Some("waitpid-loop-spins");
    }
    if scene.request.model == Some(Model::Prefork) && child_ended {
        return Some("dead-workers-not-replaced");
    }
    let served = view.sockets.iter().any(|socket| {
        socket.pair.local.port() == port
            && socket.inode != 0
            && socket.state != TcpState::Listen
            && !scene.owners(view, socket.inode).is_empty()
    });
    // It sleeps until one of many descriptors is ready, and the one that is is not among them.
    let watches = ["poll", "select", "epoll_wait"].into_iter().any(sleeps_in);
    let answered = scene.request.ordinary.is_some() || scene.has_answered();
    if watches && answered && scene.request.model == Some(Model::Event) {
        return match case.scenario.defect.as_str() {
            "emfile-fatal" => None,
            // It may be told to look at one client alone.
            "one-client-blocks-all" => Some("one-client-blocks-all"),
            _ => Some("forgets-a-client"),
        };
    }
    if !served {
        // One that has answered somebody does accept; why it does not now, the scenario knows best.
        let answered =
            scene.request.ordinary.is_some() || scene.peers.values().any(|peer| !peer.inbox.kept().is_empty());
        return (!answered).then_some("never-accepts");
    }
    Some(match (sleeps_in("wait"), handles) {
        // In wait because it has called it for this client, or from its SIGCHLD handler.
        (true, true) => "handler-blocks-in-wait",
        (true, false) => "waits-for-each-client",
        (false, _) if process.state == 'R' || case.is_about(&["emfile-fatal"]) => return None,
        (false, _) if process.threads > 1 && sleeps_in("futex") => "waits-for-each-client",
        (false, _) if scene.request.model == Some(Model::Event) => "one-client-blocks-all",
        // It serves several, and so is not that; what it lacks for the others does not show.
        (false, _) if scene.served_at_once() > 1 => return None,
        // There is a process for the client, and the next one has to wait until it has ended.
        (false, _) if scene.request.model == Some(Model::Fork) && child_serves(case) => "waits-for-each-client",
        (false, _) => "iterative-server",
    })
}

/// Whether a child of the server's has a client's connection open.
fn child_serves(case: &Case<'_>) -> bool {
    let Case { scene, view, .. } = case;
    let Some((_, server)) = scene.server() else { return false };
    let is_child = |process: &&Process| process.parent == server.pid;
    scene.peers.keys().any(|peer| scene.server_end_owners(view, peer).iter().any(is_child))
}

/// Connections of clients that have gone are kept, or something else is.
fn lost_descriptors(scene: &Scene, view: &View) -> &'static str {
    let connections = || -> Option<bool> {
        let (_, server) = scene.server()?;
        let table = scene.processes.descriptors(view.process(server.pid)?).ok()?;
        let kept =
            |inode: u64| view.sockets.iter().any(|socket| socket.inode == inode && socket.state == TcpState::CloseWait);
        Some(table.iter().any(|descriptor| matches!(descriptor.kind, DescriptorKind::Socket(inode) if kept(inode))))
    };
    if connections().unwrap_or(false) { "parent-keeps-connection" } else { "descriptor-leak" }
}
