//! Plays the scenarios of a plan, several at a time.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::plan::{Plan, Settings};
use super::result::{Environment, Event, Played, Run, SubjectInfo, Verdict};
use super::slots::{Slot, Slots};
use super::turn::Turn;
use crate::observe::HERE;
use crate::play::{Answer, Outcome, Prints, ProbeResult, Sends};
use crate::scenario::{Role, Scenario, applies};
use crate::stage::{
    Allowance, Isolation, LADDER, Launch, Record, Request, Stage, StageError, Task, hide_from_debuggers,
};

/// How many plays may wait for a deadline beside those that use the processors.
const MOST_WAITING: usize = 20;

/// Why nothing could be played.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No isolation that was allowed can be had.
    #[error("this environment cannot run it: {}", .0.iter().map(|(isolation, why)| format!("{}: {why}", isolation.name())).collect::<Vec<_>>().join("; "))]
    Refused(Vec<(Isolation, String)>),
    /// The stage itself failed.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The system lets us have no thread.
    #[error("no thread can be made (ulimit -u, ulimit -v, or a cgroup's limit): {0}")]
    Thread(#[source] io::Error),
}

/// Plays a plan. `done` gets each result in the order of the plan, as soon as it and all before it are there.
pub fn run(
    plan: &Plan,
    settings: &Settings,
    interrupted: &AtomicBool,
    mut done: impl FnMut(&Setting, &Played),
) -> Result<Run, RunError> {
    let since = Instant::now();
    // The results come through pipes of this process, and without namespaces a subject is its neighbour.
    hide_from_debuggers();
    let (setting, mut environment, ready) = Setting::find(settings, plan, interrupted)?;
    // The stage that the probe was played on serves the first job.
    let ready = Mutex::new(ready);
    let own_network = setting.request.isolation.has_own_network();
    let jobs = if own_network { settings.jobs.clamp(1, 64) } else { 1 };
    let slots = Slots::new(jobs);
    // One at a time means that: not even while it waits is there another.
    let threads = if jobs > 1 { jobs + MOST_WAITING } else { 1 };
    let next = AtomicUsize::new(0);
    let order = plan.order(threads);
    let (sender, results) = mpsc::channel();
    let mut played: Vec<Option<Played>> = vec![None; plan.scenarios.len()];
    let (mut workers, mut refusal) = (0, None);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(plan.scenarios.len()) {
            let sender = sender.clone();
            let (setting, next, ready, order, slots) = (&setting, &next, &ready, &order, &slots);
            let begun = std::thread::Builder::new().spawn_scoped(scope, move || {
                let mut slot = slots.take();
                let mut stage = ready.lock().ok().and_then(|mut ready| ready.pop());
                while !interrupted.load(Ordering::Relaxed) {
                    slot.regain();
                    let Some(&index) = order.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                    let scenario = &plan.scenarios[index];
                    let result = setting.play(&mut stage, scenario, settings.repeat, interrupted, &mut slot);
                    // A play that was cut off by the interruption says nothing about the subject.
                    if interrupted.load(Ordering::Relaxed) || sender.send((index, result)).is_err() {
                        break;
                    }
                }
            });
            match begun {
                Ok(_) => workers += 1,
                // Those that there are play it all.
                Err(error) => {
                    refusal = Some(error);
                    break;
                }
            }
        }
        drop(sender);
        let mut shown = 0;
        for (index, result) in results {
            played[index] = Some(result);
            while let Some(Some(result)) = played.get(shown) {
                done(&setting, result);
                shown += 1;
            }
        }
    });
    if let (0, Some(error)) = (workers, refusal) {
        return Err(RunError::Thread(error));
    }
    environment.waited = setting.waited.into_inner().unwrap_or_default();
    Ok(Run {
        subject: setting.info,
        environment,
        played: played.into_iter().flatten().collect(),
        duration: since.elapsed(),
        interrupted: interrupted.load(Ordering::Relaxed),
        share: plan.share.clone(),
    })
}

/// What is the same for all plays of a run.
pub struct Setting {
    request: Request,
    waited: Mutex<Duration>,
    _turn: Option<Turn>,
    allowance: Allowance,
    /// The programs.
    pub info: SubjectInfo,
}

impl Setting {
    /// Tries the isolations from the best one down, each by probing the server on such a stage. The stages of the other
    /// jobs are made meanwhile.
    fn find(
        settings: &Settings,
        plan: &Plan,
        interrupted: &AtomicBool,
    ) -> Result<(Setting, Environment, Vec<Stage>), RunError> {
        let mut refused = Vec::new();
        let ladder = match settings.isolation {
            Some(only) => vec![only],
            None => LADDER.to_vec(),
        };
        for isolation in ladder {
            let mut request = Request {
                isolation,
                task: Task::Probe,
                server: settings.server.clone(),
                client: settings.client.clone(),
                judged: settings.judged.clone(),
                launch: settings.launch,
                port: settings.port,
                root: nix::unistd::Uid::effective().is_root(),
                model: None,
                ordinary: None,
                never_listens: false,
                spins: false,
                client_spins: false,
                never_connects: false,
                sends: Sends::default(),
                prints: Prints::default(),
                answer: Answer::default(),
            };
            request.port = request.play_port();
            let turn =
                request.is_bound_to(settings.port).then(|| Turn::on(settings.port, interrupted, settings.waiting));
            let mut stage = Stage::start(isolation)?;
            let others =
                if isolation.has_own_network() { settings.jobs.min(plan.scenarios.len()).saturating_sub(1) } else { 0 };
            let mut ready = (0..others).map(|_| Stage::start(isolation)).collect::<Result<Vec<_>, _>>()?;
            match stage.play(&request, interrupted, |_| {}) {
                Ok(record) => {
                    let probed = match record {
                        Record::Probed(probed) => probed,
                        Record::Played(Outcome::Error(why) | Outcome::Skip(why)) => {
                            ProbeResult { unseen: Some(why), ..ProbeResult::default() }
                        }
                        _ => ProbeResult::default(),
                    };
                    request.port = settings.port;
                    let client = settings.given.contains(&Role::Client);
                    let stage = if client && plan.scenarios.iter().any(|scenario| scenario.starts(Role::Client)) {
                        request.probe_client(stage, interrupted)
                    } else {
                        Some(stage)
                    };
                    ready.extend(stage);
                    return Ok((
                        Setting::new(request, settings, probed, turn),
                        Environment { isolation, refused, waited: Duration::ZERO },
                        ready,
                    ));
                }
                Err(StageError::Refused(why)) => refused.push((isolation, why)),
                // The plays will tell whether it happens again; the report must be whole.
                Err(StageError::Lost(why)) => {
                    request.port = settings.port;
                    let probed = ProbeResult { unseen: Some(why), ..ProbeResult::default() };
                    let environment = Environment { isolation, refused, waited: Duration::ZERO };
                    return Ok((Setting::new(request, settings, probed, turn), environment, ready));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(RunError::Refused(refused))
    }

    /// How the stages of the run are kept apart.
    pub fn isolation(&self) -> Isolation {
        self.request.isolation
    }

    fn new(mut request: Request, settings: &Settings, probed: ProbeResult, turn: Option<Turn>) -> Setting {
        request.model = settings.model.or(probed.model);
        request.ordinary = probed.ordinary;
        request.never_listens = probed.never_listens;
        request.spins = probed.spins;
        request.answer = probed.answer;
        let given = |role: Role| settings.given.contains(&role);
        let info = SubjectInfo {
            server: (settings.server.clone(), given(Role::Server)),
            client: (settings.client.clone(), given(Role::Client)),
            model: request.model,
            declared: settings.model.is_some(),
            unseen: probed.unseen,
        };
        Setting { request, waited: Mutex::default(), _turn: turn, allowance: Allowance::here(), info }
    }

    /// Plays a scenario as often as wanted. Verdicts that are not all the same cannot be trusted: that is an error.
    fn play(
        &self,
        stage: &mut Option<Stage>,
        scenario: &Arc<Scenario>,
        repeat: u32,
        interrupted: &AtomicBool,
        slot: &mut Slot<'_>,
    ) -> Played {
        let first = self.play_once(stage, scenario, interrupted, slot);
        let mut counts = vec![(first.verdict.word(), 1u32)];
        let mut other: Option<Played> = None;
        for _ in 1..repeat {
            if interrupted.load(Ordering::Relaxed) {
                break;
            }
            slot.regain();
            let again = self.play_once(stage, scenario, interrupted, slot);
            match counts.iter_mut().find(|(word, _)| *word == again.verdict.word()) {
                Some((_, count)) => *count += 1,
                None => {
                    counts.push((again.verdict.word(), 1));
                    other = Some(again);
                }
            }
        }
        let Some(other) = other else { return first };
        // What cannot be said at one time contradicts nothing that is said at another.
        let skipped = Verdict::Skip(String::new()).word();
        if counts.iter().filter(|(word, _)| *word != skipped).count() == 1 {
            return if first.verdict.word() == skipped { other } else { first };
        }
        let counts: Vec<String> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
        let detail = [&first, &other].into_iter().find_map(|played| match &played.verdict {
            Verdict::Fail(failure) => Some(format!("; expected {}, observed {}", failure.expected, failure.observed)),
            Verdict::Error(why) => Some(format!("; {why}")),
            _ => None,
        });
        let reason =
            format!("the verdicts of {repeat} plays differ: {}{}", counts.join(", "), detail.unwrap_or_default());
        Played { verdict: Verdict::Error(reason), ..other }
    }

    fn play_once(
        &self,
        stage: &mut Option<Stage>,
        scenario: &Arc<Scenario>,
        interrupted: &AtomicBool,
        slot: &mut Slot<'_>,
    ) -> Played {
        let since = Instant::now();
        let mut timeline = Vec::new();
        let verdict =
            match applies(scenario, self.request.model, self.info.declared, self.request.launch == Launch::Inetd, HERE)
            {
                Err(why) => Verdict::Skip(why.to_string()),
                Ok(()) => self.on_stage(stage, scenario, &mut timeline, interrupted, slot),
            };
        Played { scenario: Arc::clone(scenario), verdict, duration: since.elapsed(), timeline }
    }

    fn on_stage(
        &self,
        stage: &mut Option<Stage>,
        scenario: &Scenario,
        timeline: &mut Vec<Event>,
        interrupted: &AtomicBool,
        slot: &mut Slot<'_>,
    ) -> Verdict {
        let mut request = self.request.clone();
        request.task = Task::Scenario {
            id: scenario.id.clone(),
            path: scenario.source.path.clone(),
            text: scenario.source.text.clone(),
        };
        request.port = request.play_port();
        let observe = |record: &Record| match record {
            Record::Event { at, text } => timeline.push(Event { at: *at, text: text.clone() }),
            Record::Yields { busy } => slot.lend(*busy),
            Record::Waited(time) => {
                if let Ok(mut waited) = self.waited.lock() {
                    *waited += *time;
                }
            }
            _ => {}
        };
        let refused = self.allowance.refused();
        let played = match stage.take().map_or_else(|| Stage::start(request.isolation), Ok) {
            // A stage that was lost is not used again.
            Ok(mut own) => own.play(&request, interrupted, observe).inspect(|_| *stage = Some(own)),
            Err(error) => Err(error),
        };
        match played {
            Ok(Record::Played(Outcome::Fail(failure))) => match self.allowance.doubt(refused) {
                Some(why) => Verdict::Error(format!(
                    "{} was observed, but {why}: fork may have failed for that",
                    failure.observed
                )),
                None => Verdict::Fail(failure),
            },
            Ok(Record::Played(outcome)) => outcome.into(),
            Ok(_) => Verdict::Error("the stage answered another question".into()),
            Err(error) => Verdict::Error(error.to_string()),
        }
    }
}

impl Request {
    /// Watches the client, as far as that can be done. A stage that is lost by it is not returned.
    fn probe_client(&mut self, mut stage: Stage, interrupted: &AtomicBool) -> Option<Stage> {
        let request = Request { task: Task::ProbeClient, port: self.play_port(), ..self.clone() };
        let record = stage.play(&request, interrupted, |_| {}).ok()?;
        if let Record::Probed(probed) = record {
            (self.client_spins, self.sends) = (probed.spins, probed.sends);
            (self.never_connects, self.prints) = (probed.never_connects, probed.prints);
        }
        Some(stage)
    }

    /// Whether every play is on this port of the machine's own network.
    fn is_bound_to(&self, port: u16) -> bool {
        port != 0 && self.port == port && !self.isolation.has_own_network()
    }

    /// The port of one play. On the machine's own network connections of the last play still wait in TIME_WAIT, so
    /// programs that take their port as an argument get a fresh one each time. One that is launched as inetd does needs
    /// no argument: the runner listens for it.
    fn play_port(&self) -> u16 {
        let takes_port = |command: &[String]| command.iter().any(|word| word.contains("{port}"));
        let server_takes_any = self.launch == Launch::Inetd || takes_port(&self.server);
        if self.port == 0 || self.isolation.has_own_network() || !server_takes_any || !takes_port(&self.client) {
            return self.port;
        }
        free_port().unwrap_or(self.port)
    }
}

/// A port that nobody has. None whose two bytes are equal: who forgets htons would get it right by chance. Ports are many,
/// and the first one is taken until another is found.
fn free_port() -> io::Result<u16> {
    let trial = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let first = trial()?;
    let port = first.local_addr()?.port();
    if port.swap_bytes() == port { free_port() } else { Ok(port) }
}

/// For a duration in reports.
pub fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e5).round() / 1e2
}
