//! What each step does.

use std::io;

use super::expect::{Subject, manner, wants_view};
use super::peer::Peer;
use super::program::Baseline;
use super::quiet::QUIET;
use super::room::Room;
use super::scene::Scene;
use super::verdict::Outcome;
use super::watch::{Finding, Manner, PATIENCE, Waited};
use super::wording::expected;
use crate::scenario::{Action, Check, CheckKind, Span, Target, Timing};

/// Something that had to be observed and was not.
#[derive(Debug, Clone)]
pub struct Miss {
    /// Where it is stated, if not by the step as a whole.
    pub span: Option<Span>,
    /// What had to be observed.
    pub expected: String,
    /// What was observed instead.
    pub observed: String,
    /// What it was about.
    pub topic: Topic,
}

/// What a miss was about.
#[derive(Debug, Clone)]
pub enum Topic {
    /// Starting a program.
    Start,
    /// Connecting to the server.
    Connect,
    /// A client's connecting to the runner.
    Accept,
    /// Sending or typing something.
    Send,
    /// Finding the process that handles a connection.
    Handler,
    /// Waiting for the server to close when a visitor has left.
    Leave,
    /// A check of an `expect` step.
    Check(CheckKind, Subject),
    /// What one more ordinary client leaves behind.
    Leftover(Leftover),
    /// A process that crashed.
    Crash,
}

/// What can be left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leftover {
    /// Zombies.
    Zombies,
    /// Descriptors.
    Descriptors,
}

/// Why a play ends before its last step.
#[derive(Debug)]
pub enum Stop {
    /// An expectation did not hold.
    Miss(Box<Miss>),
    /// Anything else.
    Outcome(Outcome),
}

impl From<Outcome> for Stop {
    fn from(outcome: Outcome) -> Stop {
        Stop::Outcome(outcome)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Outcome(error.into())
    }
}

pub fn miss<T>(topic: Topic, expected: impl Into<String>, observed: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Miss(Box::new(Miss { span: None, expected: expected.into(), observed: observed.into(), topic })))
}

/// Something the runner cannot do here, whatever the subject does.
pub fn trouble<T>(why: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Outcome(Outcome::Error(why.into())))
}

/// The subject, or the machine, does not have what it takes to say something about it.
pub fn skip<T>(why: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Outcome(Outcome::Skip(why.into())))
}

impl Scene {
    /// Does one step.
    pub fn act(&mut self, action: &Action) -> Result<(), Stop> {
        if !matches!(action, Action::Expect { .. } | Action::Settle | Action::Baseline { .. }) {
            self.stir();
        }
        match action {
            Action::Start(start) => self.start_within_limits(start),
            Action::Connect { peers, address, narrow } => {
                let to = self.destination(address.as_deref())?;
                let room = if *narrow { Room::Little } else { Room::Usual };
                let mut accepts = true;
                for (index, name) in peers.iter().enumerate() {
                    if index > 0 && accepts {
                        accepts = self.let_accept()?;
                    }
                    // Where nobody accepts, a full backlog stays full.
                    let patience = if accepts { PATIENCE } else { QUIET };
                    self.connect(name, to, room, patience)?;
                }
                Ok(())
            }
            Action::Listen { name, narrow } => self.listen(name, *narrow),
            Action::Accept { peers, on } => peers.iter().try_for_each(|name| self.accept(name, on)),
            Action::Type { programs, text } => self.type_text(programs, text),
            Action::EndInput { programs } => self.end_input(programs),
            Action::Send { peers, data, wait } => self.send(peers, data, *wait),
            Action::Close { peers } => self.each_peer(peers, "closes", |peer| {
                peer.close();
                Ok(())
            }),
            Action::HalfClose { peers } => self.each_peer(peers, "half-closes: a FIN goes out", Peer::half_close),
            Action::Reset { peers } => self.each_peer(peers, "closes with a RST", Peer::reset),
            Action::StopReading { peers } => self.each_peer(peers, "stops reading", |peer| {
                peer.reading = false;
                Ok(())
            }),
            Action::ResumeReading { peers } => self.each_peer(peers, "reads again", Peer::resume),
            Action::Echo { peers } => self.each_peer(peers, "sends back what arrives, from now on", |peer| {
                peer.echo();
                Ok(())
            }),
            Action::Visits { count } => self.visits(*count),
            Action::Signal { targets, signal } => targets.iter().try_for_each(|target| self.signal(target, *signal)),
            Action::Exhaust { program, of } => self.exhaust(program, *of),
            Action::Relieve { program } => self.relieve(program),
            Action::Settle => {
                if let Some(why) = self.settle()? {
                    self.note(format!("not seen at rest: {why}"));
                }
                Ok(())
            }
            Action::Baseline { program } => self.baseline(program),
            Action::Expect { targets, checks, timing } => self.expect(targets, checks, *timing),
        }
    }

    fn baseline(&mut self, name: &str) -> Result<(), Stop> {
        self.settle()?;
        let view = self.look()?;
        let Some(program) = self.programs.get(name) else { return Ok(()) };
        let Some(process) = view.process(program.pid) else {
            let observed = program.end.map_or_else(|| "it has ended".to_owned(), |end| format!("it {end}"));
            return miss(Topic::Handler, format!("{name} runs"), observed);
        };
        let descriptors = self.processes.descriptors(process)?.len();
        let children = view.live_children(process.pid);
        let before_clients = self.connections() == 0;
        if let Some(program) = self.programs.get_mut(name) {
            program.baseline = Some(Baseline { descriptors, children, before_clients });
        }
        self.note(format!("baseline of {name}: {descriptors} descriptors, {children} children"));
        Ok(())
    }

    fn expect(&mut self, targets: &[Target], checks: &[Check], timing: Timing) -> Result<(), Stop> {
        let mut all = Vec::new();
        for target in targets {
            let subjects = match self.subjects(target)? {
                // Of nothing everything would be true.
                Ok(subjects) if subjects.is_empty() => {
                    return miss(Topic::Handler, format!("a process of {target}"), "there is none".to_owned());
                }
                Ok(subjects) => subjects,
                Err(observed) => return miss(Topic::Handler, format!("a process that is {target}"), observed),
            };
            all.extend(
                subjects.into_iter().flat_map(|subject| checks.iter().map(move |check| (check, subject.clone()))),
            );
        }
        // Neighbours that are looked at in the same manner are looked at together.
        for group in all.chunk_by(groups) {
            self.expect_all(group, timing)?;
        }
        Ok(())
    }

    fn expect_all(&mut self, group: &[(&Check, Subject)], timing: Timing) -> Result<(), Stop> {
        let (check, subject) = &group[0];
        let how = manner(&check.kind, subject);
        let wants_view = group.iter().any(|(check, subject)| wants_view(&check.kind, subject));
        let mut failing = 0;
        let waited = self.watch(how, timing, wants_view, |scene, view| {
            for (index, (check, subject)) in group.iter().enumerate() {
                let finding = scene.find(&check.kind, subject, view)?;
                if finding != Finding::Holds {
                    failing = index;
                    return Ok(finding);
                }
            }
            Ok(Finding::Holds)
        })?;
        let Waited::Failed(observed) = waited else { return Ok(()) };
        let (check, subject) = &group[failing];
        Err(Stop::Miss(Box::new(Miss {
            span: Some(check.span.clone()),
            expected: expected(&check.kind, subject),
            observed,
            topic: Topic::Check(check.kind.clone(), subject.clone()),
        })))
    }
}

/// What settles can be taken in one look; what arrives is taken out as it comes, one after another.
fn groups(one: &(&Check, Subject), other: &(&Check, Subject)) -> bool {
    [one, other].into_iter().all(|(check, subject)| manner(&check.kind, subject) == Manner::Settles)
}
