//! Which mistake of the catalogue a failure comes from, as far as what was observed shows it.

use nix::sys::signal::Signal;

use super::client_diagnosis::of_client;
use super::evidence::{Change, Evidence, change, evidence, is_unserved, listens_in_vain, sent, was_answered};
use super::expect::Subject;
use super::program::Program;
use super::scene::{Scene, View};
use super::steps::{Leftover, Miss, Topic};
use crate::catalogue::Sign;
use crate::observe::{DescriptorKind, End, Process};
use crate::scenario::{Action, CheckKind, CountOrBaseline, Model, Role, Scenario, SignalKind, SocketName, Target};
use crate::tcp::TcpState;

/// The defect that a miss shows: one that was recognised by what was observed, or the scenario's own where the miss is
/// what the scenario is about and looks as that defect does. No defect is better than a wrong one.
pub fn diagnose(scene: &Scene, scenario: &Scenario, miss: &Miss, step: Option<usize>, view: &View) -> Option<String> {
    let case = Case { scene, scenario, miss, step, view, evidence: evidence(scene, miss, view) };
    let judges = |defect: &str| {
        let blamed = crate::catalogue::find(defect).map(|defect| defect.blames);
        // The reference program is not what is judged.
        scene.request.judged.iter().any(|role| blamed.as_ref().is_none_or(|name| *name == role.to_string()))
    };
    let server = of_server(&case).map(str::to_owned).filter(|defect| judges(defect));
    let client = || of_client(&case).map(str::to_owned).filter(|defect| judges(defect));
    server.or_else(client).or_else(|| case.own().filter(|defect| judges(defect)))
}

/// A miss and all that is known about it.
pub struct Case<'c> {
    pub scene: &'c Scene,
    pub scenario: &'c Scenario,
    pub miss: &'c Miss,
    pub step: Option<usize>,
    pub view: &'c View,
    pub evidence: Evidence,
}

impl Case<'_> {
    /// The scenario's own defect, where it may be what shows.
    fn own(&self) -> Option<String> {
        let defect = crate::catalogue::find(&self.scenario.defect)?;
        let sign = if server_is_gone(self.scene) { Sign::Dead } else { self.evidence.sign };
        let fits = match defect.id.as_str() {
            // What grows with each byte grows too large: not at once.
            "counter-overflows" => self.evidence.matched >= 8 << 10,
            "line-buffer-off-by-one" => self.received() >= 4000,
            "ignores-its-address" | "ignores-its-port" => self.scene.programs.values().any(|one| one.pair.is_some()),
            "backlog-too-small" => self.miss.observed.contains("backlog"),
            // Not where data was lost with it: a handler that leaves too early resets as well.
            "reset-instead-of-fin" => !matches!(self.miss.topic, Topic::Check(CheckKind::Receives(_), _)),
            "line-left-in-stdio-buffer" | "fixed-buffer-per-connection" | "long-line-cut" | "short-write-ignored" => {
                self.evidence.matched > 0
            }
            "shared-state-between-threads" => self.scene.request.model == Some(Model::Thread),
            _ => true,
        };
        (decisive(self.scenario, self.step) && fits && defect.shows.contains(&sign)).then_some(defect.id)
    }

    /// Whether the scenario exists for one of these.
    pub fn is_about(&self, defects: &[&str]) -> bool {
        defects.contains(&self.scenario.defect.as_str())
    }

    /// How many bytes have come on the connection that the miss is about.
    fn received(&self) -> usize {
        match &self.miss.topic {
            Topic::Check(_, Subject::Peer(name)) => self.scene.peers.get(name).map_or(0, |peer| peer.inbox.received()),
            _ => 0,
        }
    }

    /// Whether the last line that was taken came once more.
    pub fn is_stale(&self) -> bool {
        let capture = match &self.miss.topic {
            Topic::Check(_, Subject::Peer(name)) => self.scene.peers.get(name).map(|peer| &peer.inbox),
            Topic::Check(_, Subject::Program(name)) => self.scene.programs.get(name).map(|program| &program.stdout),
            _ => None,
        };
        let Some(capture) = capture else { return false };
        let (came, kept) = (capture.unread(), capture.kept());
        let line = &came[..came.iter().position(|byte| *byte == b'\n').map_or(came.len(), |at| at + 1)];
        line.len() > 2 && kept[..kept.len() - came.len()].ends_with(line)
    }

    /// What came so that it differed, what should have come, and what was done to it.
    pub fn change(&self) -> Option<Change> {
        let Topic::Check(check, subject) = &self.miss.topic else { return None };
        let (came, wanted) = match (check, subject) {
            (CheckKind::Receives(payload), Subject::Peer(name)) => {
                (self.scene.peers.get(name)?.inbox.unread(), payload)
            }
            (CheckKind::Stdout(payload), Subject::Program(name)) => {
                (self.scene.programs.get(name)?.stdout.unread(), payload)
            }
            _ => return None,
        };
        if self.evidence.sign != Sign::Bytes {
            return None;
        }
        // It begins again.
        const AGAIN: usize = 16;
        let (came, wanted) = (came, wanted.bytes());
        let again = wanted.len() > AGAIN && came[self.evidence.matched..].starts_with(&wanted[..AGAIN]);
        if again && self.evidence.matched > AGAIN {
            return Some(Change::Twice);
        }
        // Near the difference: from the line in which it is.
        const NEAR: usize = 4096;
        let matched = self.evidence.matched;
        let from = came[..matched].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let before = &came[..from.saturating_sub(1)];
        let last = &came[before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)..from];
        if last.len() > 2 && came[from..].starts_with(last) {
            return Some(Change::Twice);
        }
        let part = |bytes: &'_ [u8]| bytes[from..].iter().take(NEAR).copied().collect::<Vec<u8>>();
        let all = sent(self.scenario, self.step, None);
        change(&part(came), &part(wanted), &all[..all.len().min(NEAR)])
    }
}

fn of_server(case: &Case<'_>) -> Option<&'static str> {
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
    let Topic::Check(check, subject) = &case.miss.topic else {
        let connects = matches!(case.miss.topic, Topic::Connect | Topic::Handler);
        return match case.evidence.sign {
            Sign::Open => kept_open(case, None),
            Sign::Refused if listener_is_shut(case) => Some("child-shuts-listener-down"),
            Sign::Refused if !case.miss.observed.contains("backlog") => one_address_only(case),
            _ if connects => unserved(case),
            _ => None,
        };
    };
    match (check, subject) {
        (CheckKind::State(_), Subject::Program(name)) if case.is_about(&["emfile-fatal"]) => {
            let process = scene.programs.get(name).and_then(|program| view.process(program.pid))?;
            (process.state == 'R').then_some("emfile-spin")
        }
        (CheckKind::Zombies(0), _) if case.is_about(&["reaps-only-at-accept"]) && reaps_in_time(scene) => None,
        (CheckKind::Zombies(0), _) => reaping(case),
        (CheckKind::Lacks(names), Subject::Process(..)) if names.contains(&SocketName::Listener) => {
            Some("child-keeps-listener")
        }
        (CheckKind::Lacks(_), Subject::Program(_)) => Some("parent-keeps-connection"),
        (CheckKind::Listening(false), _) => Some("child-keeps-listener"),
        (CheckKind::Descriptors(CountOrBaseline::Baseline), _) if falls_through(case) => Some("child-falls-through"),
        (CheckKind::Descriptors(CountOrBaseline::Baseline), _) => Some(lost_descriptors(scene, view)),
        (CheckKind::Exits(_), Subject::Program(name)) if serves_elsewhere(case, name) => Some("bind-error-ignored"),
        (CheckKind::Receives(payload), Subject::Peer(name)) if !accepted_by_us(case.scenario, name) => {
            received(case, name, payload.bytes())
        }
        // An honest client prints what the server has sent.
        (CheckKind::Stdout(_), Subject::Program(_)) => case.change().map(changed),
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

/// What came back to a peer, or did not.
fn received(case: &Case<'_>, peer: &str, wanted: &[u8]) -> Option<&'static str> {
    let Case { scene, view, .. } = case;
    let model = scene.request.model;
    let answered = was_answered(scene, peer);
    let matched = case.evidence.matched;
    match case.evidence.sign {
        Sign::Unserved => unserved(case),
        Sign::Silence | Sign::Fin if matched == 0 && wanted.first() == Some(&0) => Some("data-taken-for-string"),
        Sign::Fin if wanted.get(matched) == Some(&0xff) => Some("eof-in-a-char"),
        Sign::Fin if matched > 0 && half_closed(case, peer) && model == Some(Model::Event) => {
            Some("half-close-drops-data")
        }
        _ if case.is_about(&["line-buffer-off-by-one", "long-line-cut"]) && case.received() >= 4000 => None,
        Sign::Bytes => match case.change() {
            Some(change) => Some(changed(change)),
            None if is_anothers(case, peer) => mixed_up(model),
            // The echo of what was answered already.
            None if answered && case.is_stale() => Some("extra-byte"),
            None => None,
        },
        Sign::Silence if overfed(scene, peer) => mixed_up(model),
        Sign::Silence if model == Some(Model::Thread) && waits_for_lock(scene, view) => Some("iterative-server"),
        Sign::Silence if model == Some(Model::Event) && is_overlooked(case, peer) => Some("forgets-a-client"),
        // It has read a whole line, answers nothing, and waits for more.
        Sign::Silence
            if !answered && lacks_last_line(wanted, matched) && listens_in_vain(scene, view, peer).is_some() =>
        {
            Some("echo-one-behind")
        }
        Sign::Fin | Sign::Reset if matched == 0 && !answered && scene.connections() > 10 && scene.peers.len() <= 2 => {
            Some("slots-never-freed")
        }
        Sign::Fin if model == Some(Model::Thread) && !answered && matched == 0 && scene.request.ordinary.is_none() => {
            Some("closes-shared-descriptor")
        }
        Sign::Fin if case.is_about(&["empty-line-lost"]) => None,
        Sign::Fin if answered && matched == 0 && !half_closed(case, peer) && !was_disturbed(case) => {
            Some("one-message-only")
        }
        _ => None,
    }
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
    let within = |bytes: &[u8]| line.len() > 2 && bytes.windows(line.len()).any(|window| window == line);
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
    server.is_some_and(|server| scene.processes.asleep_in(server).iter().any(|call| call == "futex"))
}

/// Whether bytes wait in a peer's connection for a process that sleeps in poll.
fn is_overlooked(case: &Case<'_>, peer: &str) -> bool {
    let Case { scene, view, .. } = case;
    let socket = scene.pair(peer).and_then(|pair| view.socket(pair.reversed()));
    let sleeps = |process: &&Process| {
        let calls = scene.processes.asleep_in(process);
        calls.iter().any(|call| matches!(call.as_str(), "poll" | "select" | "epoll_wait"))
    };
    socket.is_some_and(|socket| socket.unread > 0) && scene.server_end_owners(view, peer).iter().any(sleeps)
}

fn half_closed(case: &Case<'_>, peer: &str) -> bool {
    earlier(case).any(|action| matches!(action, Action::HalfClose { peers } if peers.iter().any(|name| name == peer)))
}

/// Whether the scenario has done something to processes, so that a handler may have had reason to leave.
fn was_disturbed(case: &Case<'_>) -> bool {
    earlier(case).any(|action| matches!(action, Action::Signal { .. } | Action::Exhaust { .. }))
}

fn earlier<'c>(case: &Case<'c>) -> impl Iterator<Item = &'c Action> {
    let until = case.step.unwrap_or(case.scenario.steps.len());
    case.scenario.steps.iter().take(until).map(|step| &step.action)
}

/// Whether a peer is the runner's end of a client's connection.
pub fn accepted_by_us(scenario: &Scenario, peer: &str) -> bool {
    let accepts =
        |action: &Action| matches!(action, Action::Accept { peers, .. } if peers.iter().any(|name| name == peer));
    scenario.steps.iter().any(|step| accepts(&step.action))
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
        Some(first) => step > first || matches!(scenario.steps[first].action, Action::Visits { .. }),
        None => true,
    }
}

/// Whether the server has ended although nobody has ended it.
fn server_is_gone(scene: &Scene) -> bool {
    scene.server().is_some_and(|(_, program)| program.end.is_some() && !program.end_was_asked_for)
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
        return Some("child-shuts-listener-down");
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
    if earlier(case).any(kills) {
        return Some("listener-dies-with-handler");
    }
    let own = crate::catalogue::find(&case.scenario.defect).is_some_and(|defect| defect.shows.contains(&Sign::Dead));
    let ordinary = case.scene.request.ordinary.is_some();
    match server.end? {
        _ if case.is_about(&["exits-after-n-clients"]) && case.scene.connections() >= 3 => None,
        // It leaves without a word.
        End::Exited(0) if ordinary => Some("exits-after-n-clients"),
        End::Exited(0) if case.scene.connections() < 3 => Some("exits-after-one-client"),
        _ if case.scene.request.ordinary.is_none() => Some("server-dies"),
        _ if case.is_about(&["sigpipe-fatal"]) => Some("client-error-fatal"),
        // The scenario knows best.
        _ if own && decisive(case.scenario, case.step) => None,
        _ => Some("server-dies"),
    }
}

/// What a program has said last, in lower case.
pub fn said(program: &Program) -> String {
    let kept = |bytes: &[u8]| String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(4096)..]).to_lowercase();
    kept(program.stderr.kept()) + &kept(program.stdout.kept())
}

/// Whether a process of the subject's was ended by a signal that only a mistake of its own can have caused.
fn has_crashed(scene: &Scene) -> bool {
    const FAULTS: [Signal; 5] = [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGABRT];
    let fault = |number: i32| FAULTS.iter().any(|signal| *signal as i32 == number);
    let server = scene.server().map(|(name, _)| name);
    // What assert and the C library print on standard error before they call abort.
    let aborts = |text: &str| text.contains("assertion `") || text.contains("stack smashing detected");
    if scene.server().is_some_and(|(_, program)| aborts(&said(program))) {
        return true;
    }
    scene.known.values().any(|known| {
        Some(&known.program) == server
            && !known.end_was_asked_for
            && matches!(known.end, Some(End::Signalled(number)) if fault(number))
    })
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
        return Some(if taken { "child-keeps-listener" } else { "no-reuseaddr" });
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
    case.scene.server().is_some_and(|(_, server)| says(server))
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
        process.pid != server.pid && scene.processes.asleep_in(process).iter().any(|call| call == "accept")
    };
    let served = scene.known.values().any(|known| known.parent == server.pid);
    served && (scene.family(view, name).iter().any(accepts) || (said.contains("accept") && said.contains("bad file")))
}

/// No child was ever reaped: never waits. Some were: waits too seldom, or for the wrong one.
fn reaping(case: &Case<'_>) -> Option<&'static str> {
    let Case { scene, view, .. } = case;
    let (_, server) = scene.server()?;
    let zombies = view.processes.iter().filter(|process| process.is_zombie()).count();
    let signal = view.process(server.pid).and_then(|process| scene.processes.child_signal(process));
    if signal.is_some_and(|signal| signal.blocked) {
        return Some("sigchld-blocked");
    }
    // One that was reaped before it was seen as a zombie counts too.
    let reaped = scene.known.values().filter(|known| known.parent == server.pid && known.gone).count();
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
    let forks = scene.request.model.is_none_or(|model| model == Model::Fork);
    let kept = match peer {
        Some(peer) => scene.server_end_owners(view, peer).iter().any(|process| process.pid == server.pid),
        None => lost_descriptors(scene, view) == "parent-keeps-connection",
    };
    if forks && kept {
        return Some("parent-keeps-connection");
    }
    match peer {
        Some(peer) if is_unserved(scene, view, peer) => unserved(case),
        _ => None,
    }
}

/// Nobody accepts: the server is busy with another client, waits for a child, or accepts none at all.
fn unserved(case: &Case<'_>) -> Option<&'static str> {
    let Case { scene, view, .. } = case;
    let port = scene.request.port;
    let (_, server) = scene.server()?;
    let process = view.process(server.pid)?;
    if process.state == 'T' {
        return None;
    }
    let waiting = |socket: &&crate::observe::Socket| socket.pair.local.port() == port && socket.inode == 0;
    let not_accepted = view.sockets.iter().filter(waiting).any(|socket| socket.state == TcpState::Established);
    if !not_accepted {
        return None;
    }
    let asleep = scene.processes.asleep_in(process);
    let sleeps_in = |call: &str| asleep.iter().any(|one| one == call);
    let handles = scene.processes.child_signal(process).is_some_and(|signal| signal.caught);
    let child_ended = scene
        .known
        .iter()
        .any(|((pid, _), known)| *pid != server.pid && known.program == "server" && (known.gone || known.was_zombie));
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
        (false, _) if scene.request.model == Some(Model::Thread) && sleeps_in("futex") => "waits-for-each-client",
        (false, _) if scene.request.model == Some(Model::Event) => "one-client-blocks-all",
        (false, _) => "iterative-server",
    })
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
