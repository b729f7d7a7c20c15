//! Waiting: until something holds, until rest, or while something holds. Nothing here waits for a fixed time.

use std::io;
use std::time::Duration;

use super::delays::Mark;
use super::program::Program;
use super::scene::{Scene, View};
use super::verdict::Outcome;
use super::waiting::Waiting;
use crate::observe::{Restless, sockets_at_rest};
use crate::scenario::Timing;

/// How long an expectation is given where rest cannot be seen.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// How long a program is given to start where rest cannot be seen: interpreters and virtual machines take their time.
pub const START_PATIENCE: Duration = Duration::from_secs(10);
/// So long after the beginning comes the first look at what moves: what comes to rest has mostly done so before.
const BEFORE_MOTION: Duration = Duration::from_millis(15);
/// So long after the beginning it is looked at whether a client is starting still: there is no giving up before.
const BEFORE_CLIENTS: Duration = Duration::from_millis(100);
/// A scenario that is not over by then is given up, whoever is at fault.
const LONGEST_SCENARIO: Duration = Duration::from_secs(240);
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

/// How the waiting ended, and whether the stage was at rest then.
struct Ending {
    waited: Waited,
    restless: Option<Restless>,
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
        if timing == Timing::Now {
            self.pump();
            let view = if wants_view { Some(self.look()?) } else { None };
            return Ok(match find(self, view.as_ref())? {
                Finding::Holds | Finding::Settled => Waited::Held,
                Finding::NotYet(observed) | Finding::Never(observed) => Waited::Failed(observed),
            });
        }
        self.watch_on(manner, timing, wants_view, find).map(|ending| ending.waited)
    }

    /// Waits for rest, or for as long as something may be quiet by chance. Returns why rest was not seen, if so.
    pub fn settle(&mut self) -> Result<Option<Restless>, Outcome> {
        let ending = self.watch_on(Manner::Settles, Timing::Natural, false, |_, _| Ok(Finding::Holds))?;
        if ending.restless.is_none() {
            let processes = self.list_processes()?;
            self.meet(&processes);
        }
        Ok(ending.restless)
    }

    fn watch_on(
        &mut self,
        manner: Manner,
        timing: Timing,
        wants_view: bool,
        mut find: impl FnMut(&mut Scene, Option<&View>) -> Result<Finding, Outcome>,
    ) -> Result<Ending, Outcome> {
        self.quiet.forget_turns();
        let mut waiting = Waiting::new(manner, timing, !wants_view, self.delays.mark());
        // The waiting is over, but for one more look: what was just found can have been under way until now.
        let mut ends = false;
        loop {
            if self.elapsed() >= LONGEST_SCENARIO {
                let longest = LONGEST_SCENARIO.as_secs();
                return Err(Outcome::Error(format!("the scenario was not over after {longest} s")));
            }
            waiting.rest.look_at_sockets(self)?;
            let moved = self.pump();
            waiting.rest.calm &= !moved;
            let view = if wants_view { Some(self.look()?) } else { None };
            let finding = find(self, view.as_ref())?;
            let over = |waited, restless| Ok(Ending { waited, restless });
            if let Some(waited) = waiting.decided_by(&finding) {
                return over(waited, None);
            }
            let holds = finding == Finding::Holds;
            if waiting.turns(holds) {
                self.at_rest = false;
                self.quiet.turn();
                ends = false;
            }
            self.quiet.looked(holds);
            let natural = timing == Timing::Natural;
            let starting = !holds && (self.starting || (natural && self.awaits_client(&waiting.begun)?));
            let at_rest = self.sample(&mut waiting, view.as_ref(), moved, starting)?;
            let has_ended = ends;
            match finding {
                Finding::NotYet(observed) if at_rest => {
                    return over(Waited::Failed(self.in_vain_at_rest(&observed, waiting.rest.is_timed())), None);
                }
                Finding::NotYet(observed) => {
                    let spent = waiting.spent(self);
                    let late = waiting.is_late(&spent, starting);
                    ends = late || ((starting || natural) && self.waits_in_vain(starting)?);
                    if ends && has_ended {
                        if late && waiting.is_for_data_that_moves(&spent, starting) {
                            let waited = waiting.begun.elapsed().as_secs();
                            let slow = format!(
                                "{observed}, and data still moves after {waited} s: so slow a program is not judged by this"
                            );
                            return Err(Outcome::Skip(slow));
                        }
                        let why = waiting.rest.restless();
                        let waited = spent.since.elapsed().as_millis();
                        return over(Waited::Failed(format!("{observed}, after {waited} ms ({why})")), Some(why));
                    }
                }
                _ if at_rest => {
                    self.at_rest = true;
                    return over(Waited::Held, None);
                }
                _ => {
                    ends = waiting.has_held(self.spins) && self.has_held_enough(timing, &waiting.begun)?;
                    if ends && has_ended {
                        return over(Waited::Held, Some(waiting.rest.restless()));
                    }
                }
            }
            if !ends {
                let pause = waiting.next_pause();
                self.wait(pause);
            }
        }
    }

    /// Looks at what the processes do, if that may say something. Says whether the stage is at rest.
    fn sample(&mut self, waiting: &mut Waiting, view: Option<&View>, moved: bool, starting: bool) -> io::Result<bool> {
        let asks_rest = waiting.asks_rest(moved);
        let asks_motion = self.spins || waiting.begun.elapsed() >= BEFORE_MOTION;
        if !asks_rest && !asks_motion {
            return Ok(false);
        }
        let listed = if view.is_none() { self.list_processes()? } else { Vec::new() };
        let processes = view.map_or(&listed, |view| &view.processes);
        let horizon = waiting.horizon(self, starting);
        let at_rest = asks_rest && waiting.rest.sample(self, processes, horizon);
        if !at_rest && asks_motion {
            let motions = self.processes.motions(processes, horizon);
            self.delays.add(motions.as_deref().unwrap_or_default());
            // Interpreters and virtual machines need the processors to start: not many of them at a time. And nobody
            // waits for long for a server that is known to spin: more of those at a time would only be in the way.
            let starts = self.starting && waiting.begun.elapsed() < PATIENCE;
            if let Some(busy) = motions.and_then(|motions| self.quiet.has_seen(motions))
                && !starts
                && !(busy && self.spins)
            {
                self.let_others_play(busy);
            }
        }
        Ok(at_rest)
    }

    /// Whether what does not hold will not, though rest was not seen: everything goes round in circles.
    fn waits_in_vain(&mut self, starting: bool) -> io::Result<bool> {
        let in_vain = if starting { self.quiet.is_in_vain_at_start() } else { self.quiet.is_in_vain(self.spins) };
        Ok(in_vain && sockets_at_rest(&self.list_sockets()?).is_ok())
    }

    /// Whether a client is starting still, for all that is known: it has not connected.
    fn awaits_client(&mut self, begun: &Mark) -> io::Result<bool> {
        let awaited = |scene: &Scene| scene.programs.values().any(Program::may_connect);
        if begun.elapsed() < BEFORE_CLIENTS || !awaited(self) {
            return Ok(false);
        }
        self.look()?;
        Ok(awaited(self))
    }

    /// Whether what holds is believed though rest was not seen.
    fn has_held_enough(&mut self, timing: Timing, begun: &Mark) -> io::Result<bool> {
        let longest = match timing {
            Timing::For(time) => return Ok(begun.elapsed() >= time),
            Timing::Within(time) => time.min(PATIENCE),
            Timing::Natural | Timing::Now => PATIENCE,
        };
        Ok(self.delays.counted(begun) >= longest
            || self.quiet.is_long(longest)
            || (self.quiet.is_enough(longest, self.spins) && sockets_at_rest(&self.list_sockets()?).is_ok()))
    }

    fn in_vain_at_rest(&self, observed: &str, timed: bool) -> String {
        let so = if timed { "nobody wakes within the deadline" } else { "nothing will change that" };
        format!("{observed}, and at rest since {:.1} ms: {so}", self.elapsed().as_secs_f64() * 1e3)
    }
}
