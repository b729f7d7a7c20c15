//! Waiting: until something holds, until rest, or while something holds. Nothing here waits for a fixed time.

use std::io;
use std::time::{Duration, Instant};

use super::delays::Mark;
use super::program::Program;
use super::scene::{Scene, View};
use super::verdict::Outcome;
use crate::observe::{Horizon, Process, Restless, Stillness, sockets_at_rest};
use crate::scenario::Timing;

/// How long an expectation is given where rest cannot be seen.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// How long a program is given to start where rest cannot be seen: interpreters and virtual machines take their time.
pub const START_PATIENCE: Duration = Duration::from_secs(10);
/// However long nothing has moved: what holds must hold at so many looks, and for that long. A process that never rests
/// is asleep at one moment and runs at the next.
const FEWEST_SAME_LOOKS: u32 = 5;
const SHORTEST_HOLD: Duration = Duration::from_millis(10);
/// The same on a server that is known to keep a processor busy with nothing to do.
const SHORTEST_HOLD_SPIN: Duration = Duration::from_millis(3);
/// So long after the beginning comes the first look at what moves: what comes to rest has mostly done so before.
const BEFORE_MOTION: Duration = Duration::from_millis(15);
/// So long after the beginning it is looked at whether a client is starting still: there is no giving up before.
const BEFORE_CLIENTS: Duration = Duration::from_millis(100);
/// A scenario that is not over by then is given up, whoever is at fault.
const LONGEST_SCENARIO: Duration = Duration::from_secs(240);
/// How many times its length a deadline can move on while data moves.
const MOST_EXTENSIONS: u32 = 5;
/// The first and the longest pause between two looks, if nothing wakes us before.
const SHORTEST_PAUSE: Duration = Duration::from_micros(100);
const LONGEST_PAUSE: Duration = Duration::from_millis(4);
/// Who has waited for long may find out by so small a part of that later.
const LONG_PART: u32 = 10;
/// So many looks for something that arrives come before the first look for rest, which costs more.
const LOOKS_BEFORE_REST: u32 = 3;
/// A deadline counts only if there were about so many looks: a machine that stood still proves nothing. Where looks take
/// long, because there are very many processes, it counts after so many times its length and a few looks.
const FEWEST_LOOKS: u32 = 40;
const FEWEST_LONG_LOOKS: u32 = 5;
const LONG_LOOKS: u32 = 3;

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
        let (manner, patience) = match timing {
            Timing::Natural | Timing::Now => (manner, PATIENCE),
            Timing::Within(time) => (manner, time),
            Timing::For(time) => (Manner::Lasts, time),
        };
        self.quiet.forget_turns();
        let mut rest = RestWatch::default();
        let mut pause = SHORTEST_PAUSE;
        let mut looks = 0;
        let begun = self.delays.mark();
        // What the last looks said, all the same, how many they were, and since when.
        let (mut same, mut same_looks, mut same_since) = (None, 0, Instant::now());
        // The waiting is over, but for one more look: what was just found can have been under way until now.
        let mut ends = false;
        loop {
            if self.elapsed() >= LONGEST_SCENARIO {
                let longest = LONGEST_SCENARIO.as_secs();
                return Err(Outcome::Error(format!("the scenario was not over after {longest} s")));
            }
            rest.look_at_sockets(self)?;
            let moved = self.pump();
            rest.calm &= !moved;
            let view = if wants_view { Some(self.look()?) } else { None };
            let finding = find(self, view.as_ref())?;
            let over = |waited, restless| Ok(Ending { waited, restless });
            match &finding {
                Finding::Never(observed) => return over(Waited::Failed(observed.clone()), None),
                Finding::Settled => return over(Waited::Held, None),
                Finding::Holds if manner == Manner::Arrives => return over(Waited::Held, None),
                Finding::NotYet(observed) if manner == Manner::Lasts => {
                    return over(Waited::Failed(observed.clone()), None);
                }
                _ => {}
            }
            let holds = finding == Finding::Holds;
            if same != Some(holds) {
                if same.replace(holds).is_some() {
                    self.at_rest = false;
                    self.quiet.turn();
                    ends = false;
                }
                (same_looks, same_since) = (0, Instant::now());
            }
            same_looks += 1;
            let shortest = if self.request.spins { SHORTEST_HOLD_SPIN } else { SHORTEST_HOLD };
            let seen_enough = same_looks >= FEWEST_SAME_LOOKS && same_since.elapsed() >= shortest;
            // As long as data moves nobody is waiting in vain.
            let awaits_data = !wants_view;
            let moved_last = if awaits_data { begun.or_later(self.last_traffic) } else { begun };
            let may_move = self.delays.counted(&begun) < patience * MOST_EXTENSIONS;
            let since = if may_move { moved_last } else { begun }.or_later(self.last_start);
            let counted = self.delays.counted(&since);
            // What arrives is on its way most of the time: look for rest only when some pauses brought nothing.
            // Who naps between two pieces of data has not come to rest.
            let unmoved = self.delays.counted(&moved_last.or_later(self.last_start));
            let horizon = Horizon { slept: self.elapsed(), awaited: patience.saturating_sub(unmoved) };
            let asks_rest = (looks >= LOOKS_BEFORE_REST && !moved) || manner != Manner::Arrives;
            let asks_motion = self.request.spins || begun.elapsed() >= BEFORE_MOTION;
            let listed = if view.is_none() && (asks_rest || asks_motion) { self.list_processes()? } else { Vec::new() };
            let processes = view.as_ref().map_or(&listed, |view| &view.processes);
            let at_rest = asks_rest && rest.sample(self, processes, horizon);
            looks += 1;
            self.quiet.looked(holds);
            if !at_rest && asks_motion {
                let motions = self.processes.motions(processes, horizon);
                self.delays.add(motions.as_deref().unwrap_or_default());
                // Interpreters and virtual machines need the processors to start: not many of them at a time. And nobody
                // waits for long for a server that is known to spin: more of those at a time would only be in the way.
                let starts = self.starting && begun.elapsed() < PATIENCE;
                if let Some(busy) = motions.and_then(|motions| self.quiet.has_seen(motions))
                    && !starts
                    && !(busy && self.request.spins)
                {
                    self.let_others_play(busy);
                }
            }
            let has_ended = ends;
            match finding {
                Finding::NotYet(observed) if at_rest => {
                    return over(Waited::Failed(self.in_vain_at_rest(&observed, rest.is_timed())), None);
                }
                Finding::NotYet(observed) => {
                    let starting = self.starting || (timing == Timing::Natural && self.awaits_client(&begun)?);
                    let patience = if starting { patience.max(START_PATIENCE) } else { patience };
                    let gives_up = starting || timing == Timing::Natural;
                    let few_suffice = counted >= patience.min(PATIENCE) * LONG_LOOKS && looks >= FEWEST_LONG_LOOKS;
                    let late = counted >= patience && (looks >= FEWEST_LOOKS || few_suffice);
                    ends = late || (gives_up && self.waits_in_vain(starting)?);
                    if ends && has_ended {
                        if late && awaits_data && unmoved < patience {
                            let waited = begun.elapsed().as_secs();
                            let slow = format!(
                                "{observed}, and data still moves after {waited} s: so slow a program is not judged by this"
                            );
                            return Err(Outcome::Skip(slow));
                        }
                        let why = rest.restless();
                        let waited = since.elapsed().as_millis();
                        return over(Waited::Failed(format!("{observed}, after {waited} ms ({why})")), Some(why));
                    }
                }
                _ if at_rest => {
                    self.at_rest = true;
                    return over(Waited::Held, None);
                }
                _ => {
                    ends = seen_enough && self.has_held_enough(timing, &begun)?;
                    if ends && has_ended {
                        return over(Waited::Held, Some(rest.restless()));
                    }
                }
            }
            if ends {
                continue;
            }
            self.wait(pause);
            if looks > 1 {
                pause = (pause * 3 / 2).min(LONGEST_PAUSE.max(begun.elapsed() / LONG_PART));
            }
        }
    }

    /// Whether what does not hold will not, though rest was not seen: everything goes round in circles.
    fn waits_in_vain(&mut self, starting: bool) -> io::Result<bool> {
        let in_vain =
            if starting { self.quiet.is_in_vain_at_start() } else { self.quiet.is_in_vain(self.request.spins) };
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
            || (self.quiet.is_enough(longest, self.request.spins) && sockets_at_rest(&self.list_sockets()?).is_ok()))
    }

    fn in_vain_at_rest(&self, observed: &str, timed: bool) -> String {
        let so = if timed { "nobody wakes within the deadline" } else { "nothing will change that" };
        format!("{observed}, and at rest since {:.1} ms: {so}", self.elapsed().as_secs_f64() * 1e3)
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
    /// To be called between two samples, before everything readable is read: what has arrived by now is read then, and
    /// nothing is under way that could arrive later.
    fn look_at_sockets(&mut self, scene: &mut Scene) -> io::Result<()> {
        self.calm = false;
        if self.previous.is_some() {
            scene.programs.values().for_each(Program::deliver_input);
            match sockets_at_rest(&scene.list_sockets()?) {
                Ok(()) => self.calm = true,
                Err(why) => self.why = Some(why),
            }
        }
        Ok(())
    }

    /// Takes a sample of all tasks; says whether the stage was at rest since the last one. A process that the list,
    /// just taken, does not have yet was made by one that it has, which has run since the last sample.
    fn sample(&mut self, scene: &Scene, processes: &[Process], horizon: Horizon) -> bool {
        let second = self.previous.is_some().then_some(horizon);
        match scene.processes.stillness(processes, second) {
            Ok(stillness) => {
                let at_rest = self.calm && self.previous.as_ref().is_some_and(|first| first.tasks == stillness.tasks);
                self.previous = Some(stillness);
                at_rest
            }
            Err(why) => {
                self.previous = None;
                self.why = Some(why);
                false
            }
        }
    }

    /// Whether somebody sleeps for a time, though for a long one.
    fn is_timed(&self) -> bool {
        self.previous.as_ref().is_some_and(|last| last.timed)
    }

    fn restless(&self) -> Restless {
        self.why.clone().unwrap_or_else(|| Restless("the stage moves all the time".into()))
    }
}
