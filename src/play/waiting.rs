//! One wait: what for, what the looks have said so far, and how much of its time is spent.

use std::io;
use std::time::{Duration, Instant};

use super::delays::Mark;
use super::program::Program;
use super::scene::Scene;
use super::watch::{Finding, Manner, PATIENCE, START_PATIENCE, Waited};
use crate::observe::{Horizon, Process, Restless, Stillness, sockets_at_rest};
use crate::scenario::Timing;

/// However long nothing has moved: what holds must hold at so many looks, and for that long. A process that never rests
/// is asleep at one moment and runs at the next.
const FEWEST_SAME_LOOKS: u32 = 5;
const SHORTEST_HOLD: Duration = Duration::from_millis(10);
/// The same on a server that is known to keep a processor busy with nothing to do.
const SHORTEST_HOLD_SPIN: Duration = Duration::from_millis(3);
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

/// A wait.
pub struct Waiting {
    manner: Manner,
    patience: Duration,
    /// It is for data, not for what a view shows.
    for_data: bool,
    /// When it began.
    pub begun: Mark,
    /// How it watches for rest.
    pub rest: RestWatch,
    looks: u32,
    pause: Duration,
    /// What the last looks said, all the same, how many they were, and since when.
    same: Option<bool>,
    same_looks: u32,
    same_since: Instant,
}

/// How much of a wait's time is spent.
pub struct Spent {
    /// Since when time counts against the deadline.
    pub since: Mark,
    /// How much of it counts.
    counted: Duration,
    /// How long nothing has moved.
    unmoved: Duration,
}

impl Waiting {
    /// It begins.
    pub fn new(manner: Manner, timing: Timing, for_data: bool, begun: Mark) -> Waiting {
        let (manner, patience) = match timing {
            Timing::Natural | Timing::Now => (manner, PATIENCE),
            Timing::Within(time) => (manner, time),
            Timing::For(time) => (Manner::Lasts, time),
        };
        Waiting {
            manner,
            patience,
            for_data,
            begun,
            rest: RestWatch::default(),
            looks: 0,
            pause: SHORTEST_PAUSE,
            same: None,
            same_looks: 0,
            same_since: Instant::now(),
        }
    }

    /// How it has ended, if one look is enough for that.
    pub fn decided_by(&self, finding: &Finding) -> Option<Waited> {
        match finding {
            Finding::Never(observed) => Some(Waited::Failed(observed.clone())),
            Finding::NotYet(observed) if self.manner == Manner::Lasts => Some(Waited::Failed(observed.clone())),
            Finding::Settled => Some(Waited::Held),
            Finding::Holds if self.manner == Manner::Arrives => Some(Waited::Held),
            Finding::Holds | Finding::NotYet(_) => None,
        }
    }

    /// Takes what a look has said. Says whether the one before said the opposite.
    pub fn turns(&mut self, holds: bool) -> bool {
        self.looks += 1;
        let before = self.same.replace(holds);
        if before != Some(holds) {
            (self.same_looks, self.same_since) = (0, Instant::now());
        }
        self.same_looks += 1;
        before.is_some_and(|before| before != holds)
    }

    /// Whether the looks have said the same often enough, and for long enough.
    pub fn has_held(&self, spins: bool) -> bool {
        let shortest = if spins { SHORTEST_HOLD_SPIN } else { SHORTEST_HOLD };
        self.same_looks >= FEWEST_SAME_LOOKS && self.same_since.elapsed() >= shortest
    }

    /// Whether it is time to look for rest. What arrives is on its way most of the time: only when some pauses brought
    /// nothing.
    pub fn asks_rest(&self, moved: bool) -> bool {
        self.manner != Manner::Arrives || (self.looks > LOOKS_BEFORE_REST && !moved)
    }

    /// How much of its time is spent. As long as data moves, who waits for data does not wait in vain; nor does anybody
    /// while a client starts.
    pub fn spent(&self, scene: &Scene) -> Spent {
        let moved = if self.for_data { self.begun.or_later(scene.last_traffic) } else { self.begun };
        let may_move = scene.delays.counted(&self.begun) < self.patience * MOST_EXTENSIONS;
        let since = if may_move { moved } else { self.begun }.or_later(scene.last_start);
        let unmoved = scene.delays.counted(&moved.or_later(scene.last_start));
        Spent { since, counted: scene.delays.counted(&since), unmoved }
    }

    /// What counts as rest: who naps between two pieces of data has not come to rest.
    pub fn horizon(&self, scene: &Scene, starting: bool) -> Horizon {
        let unmoved = self.spent(scene).unmoved;
        Horizon { slept: scene.elapsed(), awaited: self.patience(starting).saturating_sub(unmoved) }
    }

    /// How long is waited. A program that is starting is given more time.
    fn patience(&self, starting: bool) -> Duration {
        if starting { self.patience.max(START_PATIENCE) } else { self.patience }
    }

    /// Whether the deadline is over.
    pub fn is_late(&self, spent: &Spent, starting: bool) -> bool {
        let patience = self.patience(starting);
        let few_suffice = spent.counted >= patience.min(PATIENCE) * LONG_LOOKS && self.looks >= FEWEST_LONG_LOOKS;
        spent.counted >= patience && (self.looks >= FEWEST_LOOKS || few_suffice)
    }

    /// Whether it is for data, and some has moved within the time that it is given.
    pub fn is_for_data_that_moves(&self, spent: &Spent, starting: bool) -> bool {
        self.for_data && spent.unmoved < self.patience(starting)
    }

    /// How long to pause before the next look: longer and longer.
    pub fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        if self.looks > 1 {
            self.pause = (pause * 3 / 2).min(LONGEST_PAUSE.max(self.begun.elapsed() / LONG_PART));
        }
        pause
    }
}

/// Watches for rest; see [`crate::observe::Stillness`] for the proof that the order of calls makes.
#[derive(Default)]
pub struct RestWatch {
    previous: Option<Stillness>,
    /// Nothing is under way between sockets, and nothing has arrived since.
    pub calm: bool,
    why: Option<Restless>,
}

impl RestWatch {
    /// To be called between two samples, before everything readable is read: what has arrived by now is read then, and
    /// nothing is under way that could arrive later.
    pub fn look_at_sockets(&mut self, scene: &mut Scene) -> io::Result<()> {
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
    pub fn sample(&mut self, scene: &Scene, processes: &[Process], horizon: Horizon) -> bool {
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
    pub fn is_timed(&self) -> bool {
        self.previous.as_ref().is_some_and(|last| last.timed)
    }

    /// Why rest was not seen.
    pub fn restless(&self) -> Restless {
        self.why.clone().unwrap_or_else(|| Restless("the stage moves all the time".into()))
    }
}
