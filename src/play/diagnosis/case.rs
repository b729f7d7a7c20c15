//! A miss and all that is known about it, and whose defect it shows.

use super::client::of_client;
use super::ending::{closed_first, closed_wrongly};
use super::evidence::{Change, Evidence, change, evidence, sent};
use super::server::of_server;
use crate::catalogue::Sign;
use crate::play::expect::Subject;
use crate::play::program::Program;
use crate::play::scene::{Scene, View};
use crate::play::steps::{Miss, Topic};
use crate::scenario::{Action, CheckKind, Model, Scenario};

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
    let named = |name: Option<&str>| name.map(str::to_owned).filter(|defect| judges(defect));
    server
        .or_else(client)
        .or_else(|| named(closed_wrongly(&case)))
        .or_else(|| case.own().filter(|defect| judges(defect)))
        .or_else(|| named(closed_first(&case)))
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
            // Where a sum of 16 bits, with its sign or without, grows too large: the last read went beyond.
            "counter-overflows" => (24 << 10..136 << 10).contains(&self.evidence.matched),
            "line-buffer-off-by-one" => self.received() >= 4000,
            "ignores-its-address" | "ignores-its-port" | "leaves-before-echo" | "truncates-long-lines" => {
                self.scene.programs.values().any(|one| one.pair.is_some())
            }
            // A parent that waits in vfork is in state D, and as far from being busy as can be; and so is who sleeps in
            // another call than was expected, unless it naps.
            "busy-loop" => {
                let says = |text: &str| self.miss.observed.contains(text);
                matches!(self.miss.topic, Topic::Check(CheckKind::State(_) | CheckKind::AsleepIn(_), _))
                    && !says("in state D")
                    && (!says("asleep in") || says("asleep in sleep"))
            }
            "waits-once" | "reaps-at-most-two" | "zombie-children" => {
                self.view.processes.iter().any(crate::observe::Process::is_zombie)
            }
            "backlog-too-small" => self.miss.observed.contains("backlog"),
            // Not where data was lost with it: a handler that leaves too early resets as well.
            "reset-instead-of-fin" => !matches!(self.miss.topic, Topic::Check(CheckKind::Receives(_), _)),
            "line-left-in-stdio-buffer" | "fixed-buffer-per-connection" | "long-line-cut" | "short-write-ignored" => {
                self.evidence.matched > 0
            }
            "client-resets-at-end" => {
                let gone = |pair| self.view.state(pair) == crate::tcp::TcpState::Gone;
                self.scene.programs.values().filter_map(|one| one.pair).any(gone)
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
    pub fn received(&self) -> usize {
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

pub fn half_closed(case: &Case<'_>, peer: &str) -> bool {
    earlier(case).any(|action| matches!(action, Action::HalfClose { peers } if peers.iter().any(|name| name == peer)))
}

/// Whether the scenario has done something to processes, so that a handler may have had reason to leave.
pub fn was_disturbed(case: &Case<'_>) -> bool {
    earlier(case).any(|action| matches!(action, Action::Signal { .. } | Action::Exhaust { .. }))
}

pub fn earlier<'c>(case: &Case<'c>) -> impl Iterator<Item = &'c Action> {
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
pub fn decisive(scenario: &Scenario, step: Option<usize>) -> bool {
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
pub fn server_is_gone(scene: &Scene) -> bool {
    scene.server().is_some_and(|(_, program)| program.end.is_some() && !program.end_was_asked_for)
}

/// What a program has said last, in lower case.
pub fn said(program: &Program) -> String {
    let kept = |bytes: &[u8]| String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(4096)..]).to_lowercase();
    kept(program.stderr.kept()) + &kept(program.stdout.kept())
}
