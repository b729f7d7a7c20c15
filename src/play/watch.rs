//! Waiting: until something holds, until rest, or while something holds. Nothing here waits for a fixed time.

use std::io;
use std::time::{Duration, Instant};

use super::scene::{Scene, View};
use super::verdict::Outcome;
use crate::observe::{Restless, Stillness, sockets_at_rest};
use crate::scenario::Timing;

/// How long an expectation is given where rest cannot be seen.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// How long a program is given to start where rest cannot be seen: interpreters and virtual machines take their time.
pub const START_PATIENCE: Duration = Duration::from_secs(10);
/// How long something has to hold where rest cannot be seen.
const QUIET: Duration = Duration::from_millis(300);
/// How many times its length a deadline can move on while data moves.
const MOST_EXTENSIONS: u32 = 10;
/// The first and the longest pause between two looks, if nothing wakes us before.
const SHORTEST_PAUSE: Duration = Duration::from_micros(100);
const LONGEST_PAUSE: Duration = Duration::from_millis(4);
/// So many looks for something that arrives come before the first look for rest, which costs more.
const LOOKS_BEFORE_REST: u32 = 3;
/// A deadline counts only if there were about so many looks: a machine that stood still proves nothing.
const FEWEST_LOOKS: u32 = 40;

/// What one look says about an expectation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It holds.
    Holds,
    /// It holds, and nothing can change that: no more waiting, whatever the manner.
    Settled,
    /// It does not hold; it may yet.
    NotYet(String),
    /// It does not hold, and nothing can change that.
    Never(String),
}

/// How the waiting ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waited {
    /// It holds.
    Held,
    /// It does not: what was observed, and why there is no more waiting.
    Failed(String),
}

/// When a check counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// As soon as it holds: something that arrives stays arrived.
    Arrives,
    /// When it holds at rest: a count can hold by chance on the way.
    Settles,
    /// When it holds at every look until rest.
    Lasts,
}

impl Scene {
    /// Looks until the manner of waiting is satisfied. `find` is asked at each look, with a view if it wants one.
    pub fn watch(
        &mut self,
        manner: Manner,
        timing: Timing,
        wants_view: bool,
        mut find: impl FnMut(&mut Scene, Option<&View>) -> Result<Finding, Outcome>,
    ) -> Result<Waited, Outcome> {
        let since = Instant::now();
        let (manner, patience, quiet) = match timing {
            Timing::Natural => (manner, PATIENCE, QUIET),
            Timing::Within(time) => (manner, time, QUIET.min(time)),
            Timing::For(time) => (Manner::Lasts, time, time),
            Timing::Now => {
                self.pump();
                let view = if wants_view { Some(self.look()?) } else { None };
                return Ok(match find(self, view.as_ref())? {
                    Finding::Holds | Finding::Settled => Waited::Held,
                    Finding::NotYet(observed) | Finding::Never(observed) => Waited::Failed(observed),
                });
            }
        };
        let mut rest = RestWatch::default();
        let mut pause = SHORTEST_PAUSE;
        let mut holding_since = None;
        let mut looks = 0;
        let (begun, mut since) = (since, since);
        loop {
            let moved = self.pump();
            if moved && !wants_view && begun.elapsed() < patience * MOST_EXTENSIONS {
                // As long as data moves nobody is waiting in vain.
                since = Instant::now();
            }
            rest.between(self, moved)?;
            let view = if wants_view { Some(self.look()?) } else { None };
            let finding = find(self, view.as_ref())?;
            match &finding {
                Finding::Never(observed) => return Ok(Waited::Failed(observed.clone())),
                Finding::Settled => return Ok(Waited::Held),
                Finding::Holds if manner == Manner::Arrives => return Ok(Waited::Held),
                Finding::NotYet(observed) if manner == Manner::Lasts => return Ok(Waited::Failed(observed.clone())),
                Finding::Holds => {
                    holding_since.get_or_insert_with(Instant::now);
                }
                Finding::NotYet(_) => holding_since = None,
            }
            // What arrives is on its way most of the time: look for rest only when some pauses brought nothing.
            let at_rest = (looks >= LOOKS_BEFORE_REST || manner != Manner::Arrives) && rest.sample(self)?;
            looks += 1;
            let out_of_patience = since.elapsed() >= patience && looks >= FEWEST_LOOKS;
            match finding {
                Finding::NotYet(observed) if at_rest => return Ok(Waited::Failed(self.at_rest(&observed))),
                Finding::NotYet(observed) if out_of_patience => {
                    let why = rest.restless();
                    return Ok(Waited::Failed(format!("{observed}, after {} ms ({why})", patience.as_millis())));
                }
                Finding::Holds if at_rest => return Ok(Waited::Held),
                Finding::Holds if holding_since.is_some_and(|since| since.elapsed() >= quiet) => {
                    return Ok(Waited::Held);
                }
                _ => {}
            }
            self.wait(pause);
            if looks > 1 {
                pause = (pause * 3 / 2).min(LONGEST_PAUSE);
            }
        }
    }

    fn at_rest(&self, observed: &str) -> String {
        format!("{observed}, and at rest since {:.1} ms: nothing will change that", self.elapsed().as_secs_f64() * 1e3)
    }

    /// Waits for rest, or for as long as something may be quiet by chance. Returns why rest was not seen, if so.
    pub fn settle(&mut self) -> io::Result<Option<Restless>> {
        let mut rest = RestWatch::default();
        let since = Instant::now();
        let mut pause = SHORTEST_PAUSE;
        loop {
            let moved = self.pump();
            rest.between(self, moved)?;
            if rest.sample(self)? {
                let processes = self.list_processes()?;
                self.meet(&processes);
                return Ok(None);
            }
            if since.elapsed() >= QUIET {
                return Ok(Some(Restless(rest.restless())));
            }
            self.wait(pause);
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
    }
}

/// Watches for rest; see [`crate::observe::Stillness`] for the proof that the order of calls makes.
#[derive(Default)]
struct RestWatch {
    previous: Option<Stillness>,
    calm: bool,
    why: Option<Restless>,
}

impl RestWatch {
    /// To be called between two samples, after everything readable was read.
    fn between(&mut self, scene: &mut Scene, moved: bool) -> io::Result<()> {
        self.calm = false;
        if self.previous.is_some() && !moved {
            match sockets_at_rest(&scene.list_sockets()?) {
                Ok(()) => self.calm = true,
                Err(why) => self.why = Some(why),
            }
        }
        Ok(())
    }

    /// Takes a sample of all tasks; says whether the stage was at rest since before `between`.
    fn sample(&mut self, scene: &mut Scene) -> io::Result<bool> {
        let processes = scene.list_processes()?;
        match scene.processes.stillness(&processes) {
            Ok(stillness) => {
                let at_rest = self.calm && self.previous.as_ref() == Some(&stillness);
                self.previous = Some(stillness);
                Ok(at_rest)
            }
            Err(why) => {
                self.previous = None;
                self.why = Some(why);
                Ok(false)
            }
        }
    }

    fn restless(&self) -> String {
        self.why.as_ref().map_or_else(|| "the stage moves all the time".into(), Restless::to_string)
    }
}
