//! A miss and all that is known about it, and whose defect it shows.

use super::client::{of_client, of_its_manner};
use super::ending::{closed_first, closed_wrongly};
use super::evidence::{Change, Evidence, change, evidence, sent};
use super::server::of_server;
use crate::catalogue::Sign;
use crate::play::capture::Capture;
use crate::play::expect::Subject;
use crate::play::peer::Peer;
use crate::play::program::Program;
use crate::play::scene::{Scene, View};
use crate::play::steps::{Miss, Topic};
use crate::scenario::{Action, CheckKind, Scenario};

/// The defect that a miss shows: one that was recognised by what was observed, or the scenario's own where the miss is
/// what the scenario is about and looks as that defect does. No defect is better than a wrong one.
pub fn diagnose(scene: &Scene, scenario: &Scenario, miss: &Miss, step: Option<usize>, view: &View) -> Option<String> {
    let case = Case { scene, scenario, miss, step, view, evidence: evidence(scene, miss, view) };
    if !scenario.echoes {
        // What the catalogue knows are mistakes of echo servers.
        return case.own();
    }
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
        .or_else(|| named(of_its_manner(&case)))
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
    /// The peer that the miss is about, and its name.
    pub fn peer_and_name(&self) -> Option<(&str, &Peer)> {
        match &self.miss.topic {
            Topic::Check(_, Subject::Peer(name)) => Some((name, self.scene.peers.get(name)?)),
            _ => None,
        }
    }

    /// The peer that the miss is about.
    pub fn peer(&self) -> Option<&Peer> {
        self.peer_and_name().map(|(_, peer)| peer)
    }

    /// What should have come.
    pub fn wanted(&self) -> &[u8] {
        match &self.miss.topic {
            Topic::Check(CheckKind::Receives(payload) | CheckKind::Stdout(payload), _) => payload.bytes(),
            _ => &[],
        }
    }

    /// How many lines of what the miss is about came rightly before.
    pub fn lines_taken(&self) -> usize {
        let Some(capture) = self.capture() else { return 0 };
        let taken = &capture.kept()[..capture.kept().len() - capture.unread().len()];
        taken.iter().filter(|byte| **byte == b'\n').count()
    }

    /// What came from whom the miss is about.
    pub fn capture(&self) -> Option<&Capture> {
        match &self.miss.topic {
            Topic::Check(_, Subject::Peer(name)) => self.scene.peers.get(name).map(|peer| &peer.inbox),
            Topic::Check(_, Subject::Program(name)) => self.scene.programs.get(name).map(|program| &program.stdout),
            _ => None,
        }
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
        let Some(capture) = self.capture() else { return false };
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

/// Whether a peer has sent its FIN, or a client was told to.
pub fn half_closed(case: &Case<'_>, peer: &str) -> bool {
    earlier(case).any(|action| match action {
        Action::HalfClose { peers } => peers.iter().any(|name| name == peer),
        Action::EndInput { programs } => programs.iter().any(|name| name == peer),
        _ => false,
    })
}

/// Whether the other side had ended a peer's connection before the scenario disturbed anything.
pub fn ended_undisturbed(case: &Case<'_>, peer: &Peer) -> bool {
    disturbance(case.scenario).is_some_and(|first| peer.ended_in.is_some_and(|ended_in| ended_in < first))
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
    match disturbance(scenario) {
        Some(first) => step > first || matches!(scenario.steps[first].action, Action::Visits { .. }),
        None => true,
    }
}

/// The first step that disturbs something.
fn disturbance(scenario: &Scenario) -> Option<usize> {
    let disturbs = |action: &Action| {
        !matches!(
            action,
            Action::Start(_)
                | Action::Connect { .. }
                | Action::Listen { .. }
                | Action::Accept { .. }
                | Action::Type { .. }
                | Action::Send { .. }
                | Action::Echo { .. }
                | Action::Settle
                | Action::Baseline { .. }
                | Action::Expect { .. }
        )
    };
    scenario.steps.iter().position(|one| disturbs(&one.action))
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
