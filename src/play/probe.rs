//! How a server handles its clients, found out by watching it (UNPv1 chapter 30 describes the models).

use std::collections::HashMap;
use std::time::Duration;

use super::expect::Subject;
use super::known::Identity;
use super::peer::Peer;
use super::scene::Scene;
use super::steps::{Miss, Stop, Topic};
use super::verdict::{Answer, Outcome, ProbeResult};
use super::watch::{Finding, Manner, Waited};
use crate::observe::{Horizon, Motion};
use crate::scenario::{Action, CheckKind, Form, Limits, Model, Payload, Role, Start, Timing};

/// Who has used so much of a processor without a pause, and with nothing to do, does so for ever.
const PROOF: Duration = Duration::from_millis(250);
/// If it has not by then, it gets too little of the processor for anything to be proved.
const LONGEST_PROOF: Duration = Duration::from_secs(2);

/// Who keeps a processor busy while there is nothing to do.
#[derive(Default)]
struct Busy {
    /// The tasks that did so when the stage was looked at last.
    tasks: Vec<i32>,
    /// One has gone on with that when its client had said something, and was silent again.
    handlers_spin: bool,
}

impl Scene {
    /// Starts the server and watches how it handles two clients.
    pub fn probe(&mut self) -> Result<ProbeResult, Outcome> {
        let mut busy = Busy::default();
        let (model, at_first) = match self.observe_model(&mut busy) {
            Ok(observed) => observed,
            Err(Stop::Miss(miss)) => {
                let unseen = Some(format!("{}: {}", miss.expected, miss.observed));
                let never_listens = matches!(miss.topic, Topic::Start);
                let answer = self.late_answer()?;
                let spins = match self.is_kept_busy() {
                    Ok(spins) => spins,
                    Err(Stop::Miss(_)) => false,
                    Err(Stop::Outcome(outcome)) => return Err(outcome),
                };
                return Ok(ProbeResult { unseen, never_listens, answer, spins, ..ProbeResult::default() });
            }
            Err(Stop::Outcome(outcome)) => return Err(outcome),
        };
        let ordinary = match self.ordinary(at_first) {
            Ok(ordinary) => Some(ordinary),
            Err(Stop::Miss(_)) => None,
            Err(Stop::Outcome(outcome)) => return Err(outcome),
        };
        let spins = busy.handlers_spin || self.still_run(&busy.tasks)?;
        Ok(ProbeResult { model: Some(model), ordinary, spins, ..ProbeResult::default() })
    }

    /// Settles, and from the second time on knows who has kept a processor busy with nothing to do: what is left of the
    /// probe waits for that one no longer than a play does.
    fn settle_and_see(&mut self, busy: &mut Busy) -> Result<bool, Stop> {
        self.settle()?;
        let spins = self.still_run(&busy.tasks)?;
        self.spins |= spins;
        busy.tasks = self.quiet.running();
        Ok(spins)
    }

    /// Whether something keeps a processor busy that has nothing to do, and goes on.
    pub fn is_kept_busy(&mut self) -> Result<bool, Stop> {
        let mut busy = Busy::default();
        self.settle_and_see(&mut busy)?;
        Ok(!busy.tasks.is_empty() && self.settle_and_see(&mut busy)?)
    }

    /// Whether one of these tasks, found busy before, is busy now and stays so: a long computation comes to its end.
    fn still_run(&mut self, tasks: &[i32]) -> Result<bool, Outcome> {
        if !self.quiet.runs_one_of(tasks) || self.spins {
            return Ok(self.quiet.runs_one_of(tasks));
        }
        let mut first: HashMap<i32, Duration> = HashMap::new();
        let waited = self.watch(Manner::Arrives, Timing::Within(LONGEST_PROOF), true, |scene, view| {
            let Some(view) = view else { return Ok(Finding::NotYet(String::new())) };
            let motions = scene.processes.motions(&view.processes, Horizon::NONE).unwrap_or_default();
            let mut running = motions.iter().filter(|task| task.running && tasks.contains(&task.task)).peekable();
            if running.peek().is_none() {
                return Ok(Finding::Never("it rests".into()));
            }
            let proves = |task: &Motion| {
                let used = task.used.unwrap_or_default();
                used.saturating_sub(*first.entry(task.task).or_insert(used)) >= PROOF
            };
            Ok(if running.any(proves) { Finding::Holds } else { Finding::NotYet("it runs".into()) })
        })?;
        Ok(waited == Waited::Held)
    }

    /// The server's model, and how many children it had before its first client.
    fn observe_model(&mut self, busy: &mut Busy) -> Result<(Model, usize), Stop> {
        self.act(&start(Role::Server, "server"))?;
        self.settle_and_see(busy)?;
        let view = self.look()?;
        let started = self.server().map(|(_, program)| program.pid);
        let before: Vec<Identity> = view.processes.iter().map(|process| (process.pid, process.started)).collect();
        let at_first = started.map_or(0, |pid| view.live_children(pid));
        let threads_before = self.threads()?;
        let (first, second) = ("p1".to_owned(), "p2".to_owned());
        let both = vec![first.clone(), second.clone()];
        self.act(&Action::Connect { peers: vec![first.clone()], address: None, narrow: false })?;
        self.exchange(&first)?;
        self.act(&Action::Connect { peers: vec![second.clone()], address: None, narrow: false })?;
        let side_by_side = match self.exchange(&second) {
            Ok(()) => true,
            Err(Stop::Miss(_)) => false,
            Err(stop) => return Err(stop),
        };
        let handler = match self.handler(&first)? {
            Ok(identity) => identity,
            Err(observed) => {
                let topic = super::steps::Topic::Handler;
                return Err(Stop::Miss(Box::new(Miss {
                    span: None,
                    expected: "a process handles p1".into(),
                    observed,
                    topic,
                })));
            }
        };
        let threads = self.threads()?;
        // A process that was made for a client serves it, though the next one has to wait.
        let is_made = Some(handler.0) != started && !before.contains(&handler);
        let model = if !side_by_side {
            if is_made { Model::Fork } else { Model::Iterative }
        } else if Some(handler.0) != started {
            // One process for both is none of those that are made for each.
            let shared = self.handler(&second)?.is_ok_and(|other| other == handler);
            if shared || before.contains(&handler) { Model::Prefork } else { Model::Fork }
        } else if threads > 1 || threads_before > 1 {
            Model::Thread
        } else {
            Model::Event
        };
        self.settle_and_see(busy)?;
        if !busy.tasks.is_empty() {
            self.exchange(&first)?;
            busy.handlers_spin = self.settle_and_see(busy)?;
        }
        self.act(&Action::Close { peers: both })?;
        self.settle_and_see(busy)?;
        if !busy.tasks.is_empty() && !self.spins {
            self.settle_and_see(busy)?;
        }
        Ok((model, at_first))
    }

    /// Whether a line that was not answered is when one more is sent.
    fn late_answer(&mut self) -> Result<Answer, Outcome> {
        let line = line();
        let other = |peer: &Peer| !line.bytes().starts_with(peer.inbox.kept());
        if self.peers.values().any(other) {
            return Ok(Answer::Other);
        }
        let unanswered = |peer: &Peer| peer.is_open() && peer.ended.is_none() && peer.inbox.received() == 0;
        let Some((name, peer)) = self.peers.iter_mut().find(|(_, peer)| unanswered(peer)) else {
            return Ok(Answer::Some);
        };
        let name = name.clone();
        peer.outbox.queue(line.bytes());
        self.stir();
        self.settle()?;
        let answered = self.peers.get(&name).is_some_and(|peer| peer.inbox.received() > 0);
        Ok(if answered { Answer::Late } else { Answer::Never })
    }

    fn exchange(&mut self, peer: &str) -> Result<(), Stop> {
        let line = line();
        self.act(&Action::Send { peers: vec![peer.to_owned()], data: line.clone(), wait: true })?;
        let (check, subject) = (CheckKind::Receives(line), Subject::Peer(peer.to_owned()));
        let waited =
            self.watch(Manner::Arrives, Timing::Natural, false, |scene, _| scene.find(&check, &subject, None))?;
        match waited {
            Waited::Held => Ok(()),
            Waited::Failed(observed) => {
                let topic = super::steps::Topic::Handler;
                Err(Stop::Miss(Box::new(Miss { span: None, expected: "a line comes back".into(), observed, topic })))
            }
        }
    }

    fn threads(&mut self) -> Result<u64, Stop> {
        let pid = self.server().map(|(_, program)| program.pid);
        let view = self.look()?;
        Ok(pid.and_then(|pid| view.process(pid)).map_or(0, |process| process.threads))
    }
}

/// Starts a program.
pub fn start(role: Role, name: &str) -> Action {
    let until_listening = role == Role::Server;
    let limits = Limits::default();
    Action::Start(Start { role, name: name.into(), args: None, limits, terminal: false, until_listening })
}

/// What a client of the probe says.
pub fn line() -> Payload {
    Payload::from(Form::Bytes(b"probe\n".to_vec()))
}
