//! The player: the process that plays one scenario.

use std::time::Duration;

use super::diagnosis::diagnose;
use super::quiet::QUIET;
use super::scene::{Scene, View};
use super::steps::{Miss, Stop, Topic};
use super::verdict::{Failure, Outcome};
use super::watch::{Finding, Manner};
use crate::scenario::{Action, CheckKind, Role, Scenario, Source, Target, Timing, parse};
use crate::stage::{Record, Request, Surroundings, Task};

/// How long an answer that is wrong may go on, for the sake of the diagnosis: a flood has no end.
const REST_OF_AN_ANSWER: Duration = Duration::from_millis(20);

/// Plays a request; events go to `tell` as they happen, and the returned record is the last one.
pub fn play(request: Request, surroundings: Surroundings, tell: impl Fn(&Record) + 'static) -> Record {
    let task = request.task.clone();
    let mut scene = match Scene::new(request, surroundings, Box::new(tell)) {
        Ok(scene) => scene,
        Err(error) => return Record::Refused(format!("observing sockets: {error}")),
    };
    match task {
        Task::Probe => scene.probe().map_or_else(Record::Played, Record::Probed),
        Task::ProbeClient => scene.probe_client().map_or_else(Record::Played, Record::Probed),
        Task::Scenario { id, path, text } => match parse(&id, Source { path, text, embedded: false }) {
            Ok(scenario) => Record::Played(scene.play(&scenario)),
            Err(_) => Record::Panicked(format!("{id} was valid for the runner and is not for the player")),
        },
    }
}

impl Scene {
    fn play(&mut self, scenario: &Scenario) -> Outcome {
        self.spins |= self.request.client_spins && scenario.starts(Role::Client);
        for (index, step) in scenario.steps.iter().enumerate() {
            let prepared = self.prepare(scenario, &step.action);
            self.step = index;
            let done = prepared.and_then(|()| self.act(&step.action));
            match done.and_then(|()| self.after_step()) {
                Ok(()) => {}
                Err(Stop::Outcome(outcome)) => return outcome,
                Err(Stop::Miss(mut miss)) => {
                    let span = miss.span.take().unwrap_or_else(|| step.span.clone());
                    return self.fail(scenario, &miss, Some((index + 1, span)));
                }
            }
        }
        match self.look_again(scenario.echoes) {
            Ok(()) => Outcome::Pass,
            Err(Stop::Outcome(outcome)) => outcome,
            Err(Stop::Miss(miss)) => self.fail(scenario, &miss, None),
        }
    }

    /// Who leaves with all its answers leaves a server at rest: whether the server was just about to call accept, or had
    /// done so, would be luck; one that spins never rests. And a handler that a later step is about is found while its connection is there.
    fn prepare(&mut self, scenario: &Scenario, action: &Action) -> Result<(), Stop> {
        let ending = match action {
            Action::Close { peers } | Action::HalfClose { peers } | Action::Reset { peers } => peers.clone(),
            Action::EndInput { programs } => programs.clone(),
            Action::Signal { targets, .. } => targets
                .iter()
                .filter_map(|target| if let Target::Program(name) = target { Some(name.clone()) } else { None })
                .collect(),
            _ => return Ok(()),
        };
        if !self.at_rest && !self.spins && self.is_answered() {
            self.settle()?;
        }
        for peer in ending.iter().filter(|peer| names_handler(scenario, peer)) {
            // If there is none, the step that is about it will say so.
            let _ = self.handler(peer)?;
        }
        Ok(())
    }

    /// Whether all that was sent and typed has come back, as far as anybody reads.
    fn is_answered(&self) -> bool {
        self.peers.values().all(|peer| peer.inbox.received() >= peer.outbox.total)
            && self.programs.values().all(|program| program.stdout.received() >= program.typing.total)
    }

    /// Gets to know processes while they live: how they end can be told later even if they are reaped at once.
    fn after_step(&mut self) -> Result<(), Stop> {
        self.pump();
        if !self.programs.is_empty() {
            self.look()?;
        }
        Ok(())
    }

    fn fail(&mut self, scenario: &Scenario, miss: &Miss, place: Option<(usize, std::ops::Range<usize>)>) -> Outcome {
        self.pump();
        let aftermath = match miss.topic {
            // A process that dies closes its sockets before it can be seen how it has ended.
            _ if self.peers.values().any(|peer| peer.ended.is_some()) => Some(QUIET),
            // What follows the first wrong byte tells what was done to the others.
            Topic::Check(CheckKind::Receives(_) | CheckKind::Stdout(_), _) => Some(REST_OF_AN_ANSWER),
            _ => None,
        };
        let settled = |_: &mut Scene, _: Option<&View>| Ok(Finding::Holds);
        if let Some(time) = aftermath {
            // What was observed stays observed, whatever becomes of this.
            let _ = self.watch(Manner::Settles, Timing::Within(time), false, settled);
        }
        let view = match self.look() {
            Ok(view) => view,
            Err(error) => return error.into(),
        };
        let (step, span) = place.unzip();
        let failure = Failure {
            step,
            span,
            expected: miss.expected.clone(),
            observed: miss.observed.clone(),
            defect: diagnose(self, scenario, miss, step.map(|number| number - 1), &view),
            tables: self.tables(&view),
        };
        let action = step.and_then(|number| scenario.steps.get(number - 1)).map(|step| &step.action);
        match self.excuse(miss, action, &view) {
            Ok(None) => Outcome::Fail(Box::new(failure)),
            Ok(Some(why)) => Outcome::Skip(why),
            // What was observed stays observed, whatever becomes of the question whose fault it is.
            Err(Stop::Miss(_)) => Outcome::Fail(Box::new(failure)),
            Err(Stop::Outcome(outcome)) => outcome,
        }
    }
}

fn names_handler(scenario: &Scenario, peer: &str) -> bool {
    scenario.steps.iter().any(|step| match &step.action {
        Action::Signal { targets, .. } | Action::Expect { targets, .. } => {
            targets.iter().any(|target| matches!(target, Target::Handler(name) if name == peer))
        }
        _ => false,
    })
}
