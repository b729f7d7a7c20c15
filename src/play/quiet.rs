//! What is believed where rest cannot be seen: that programs which go round in circles change nothing.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::observe::{Deeds, Motion, all_have_done};

/// How long something has to hold where rest cannot be seen.
pub const QUIET: Duration = Duration::from_millis(300);

/// What every task that moves must have done in vain, and for how long at the least.
struct Circles {
    lasting: Duration,
    deeds: Deeds,
    /// Many tasks share the processor time that one alone has to use; each uses at least so much.
    least: Duration,
}

impl Circles {
    const fn new(lasting: u64, sleeps: u64, used: u64) -> Circles {
        let used = Duration::from_millis(used);
        let deeds = Deeds { sleeps, used, unseen: false };
        Circles { lasting: Duration::from_millis(lasting), deeds, least: used }
    }

    const fn shared(self, least: u64) -> Circles {
        Circles { least: Duration::from_millis(least), ..self }
    }

    const fn unseen(self) -> Circles {
        Circles { deeds: Deeds { unseen: true, ..self.deeds }, ..self }
    }

    /// What each of so many tasks must have done.
    fn deeds_of(&self, tasks: u32) -> Deeds {
        Deeds { used: (self.deeds.used / tasks.max(1)).max(self.least), ..self.deeds }
    }
}

/// What holds is believed after these: a sleeper may act when it wakes, so it must have woken.
const LONG: Circles = Circles::new(QUIET.as_millis() as u64, 1, 50).unseen();
/// Sooner, if nothing is under way between sockets.
const SHORT: Circles = Circles::new(50, 3, 25);
/// The same for a server that is known to keep a processor busy with nothing to do: its circles are short, and many tasks
/// that go round in them share what has to be done.
const SHORT_SPIN: Circles = Circles::new(3, 3, 2).shared(1);
/// There is no use in waiting any longer for what does not hold after one of these.
const IN_VAIN: [Circles; 2] = [Circles::new(300, 20, 400), Circles::new(1000, 4, 250)];
const IN_VAIN_SPIN: Circles = Circles::new(100, 20, 60).shared(10);
/// The same while a program starts: what it does has its use, for all that is known, unless it is very much.
const IN_VAIN_AT_START: Circles = Circles::new(3000, u64::MAX, 3000);
/// The time counts only with so many looks: one can take long.
const FEWEST_LOOKS: u32 = 5;
const FEWEST_LOOKS_IN_VAIN: u32 = 10;

/// The time in which nothing has moved that shows: neither the runner nor data nor what is looked at.
pub struct Quiet {
    since: Instant,
    looks: u32,
    motion: Option<Course>,
}

/// What every task had done when it was looked at first, and what it has done at the last look.
struct Course {
    first: Vec<Motion>,
    last: Vec<Motion>,
    looks: u32,
    /// At how many looks each task was napping.
    naps: HashMap<i32, u32>,
}

impl Course {
    fn add(&mut self, now: Vec<Motion>) {
        for task in now.iter().filter(|task| task.napping) {
            *self.naps.entry(task.task).or_default() += 1;
        }
        self.looks += 1;
        self.last = now;
    }
}

impl Quiet {
    /// It begins.
    pub fn new() -> Quiet {
        Quiet { since: Instant::now(), looks: 0, motion: None }
    }

    /// There was a look.
    pub fn looked(&mut self) {
        self.looks += 1;
    }

    /// Takes what every task has done by now. From the second time on, says whether one keeps a processor busy.
    pub fn has_seen(&mut self, now: Vec<Motion>) -> Option<bool> {
        match &mut self.motion {
            None => {
                let mut course = Course { first: now.clone(), last: Vec::new(), looks: 0, naps: HashMap::new() };
                course.add(now);
                self.motion = Some(course);
                None
            }
            Some(course) => {
                course.add(now);
                Some(course.last.iter().any(|task| task.running))
            }
        }
    }

    /// The tasks that were running when they were looked at last.
    pub fn running(&self) -> Vec<i32> {
        self.last().iter().filter(|motion| motion.running).map(|motion| motion.task).collect()
    }

    /// Whether one of these tasks was running when it was looked at last.
    pub fn runs_one_of(&self, tasks: &[i32]) -> bool {
        self.running().iter().any(|task| tasks.contains(task))
    }

    /// Whether what does not hold will not, if nothing is under way between sockets. If nobody moves, rest will be seen.
    pub fn is_in_vain(&self, spins: bool) -> bool {
        let spinning = spins.then_some(IN_VAIN_SPIN);
        IN_VAIN.iter().chain(&spinning).any(|circles| self.is_in_vain_after(circles))
    }

    /// The same while a program starts.
    pub fn is_in_vain_at_start(&self) -> bool {
        self.is_in_vain_after(&IN_VAIN_AT_START)
    }

    fn is_in_vain_after(&self, circles: &Circles) -> bool {
        self.looks >= FEWEST_LOOKS_IN_VAIN
            && self.last().iter().any(|task| task.moves)
            && self.has_gone_round(circles, Duration::MAX)
    }

    /// Whether what holds is believed; nobody waits for longer than `longest`.
    pub fn is_long(&self, longest: Duration) -> bool {
        self.looks >= FEWEST_LOOKS && self.has_gone_round(&LONG, longest)
    }

    /// The same, if nothing is under way between sockets.
    pub fn is_enough(&self, longest: Duration, spins: bool) -> bool {
        let circles = if spins { SHORT_SPIN } else { SHORT };
        self.looks >= FEWEST_LOOKS && self.has_gone_round(&circles, longest)
    }

    fn has_gone_round(&self, circles: &Circles, longest: Duration) -> bool {
        self.since.elapsed() >= circles.lasting.min(longest)
            && self.motion.as_ref().is_some_and(|course| {
                let naps = |task| course.naps.get(&task).is_some_and(|naps| naps * 2 >= course.looks);
                let moving = course.last.iter().filter(|task| task.moves).count();
                let deeds = circles.deeds_of(u32::try_from(moving).unwrap_or(u32::MAX));
                all_have_done(&course.first, &course.last, &deeds, naps)
            })
    }

    fn last(&self) -> &[Motion] {
        self.motion.as_ref().map_or(&[], |course| &course.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poller(sleeps: u64) -> Vec<Motion> {
        vec![Motion { task: 1, moves: true, running: false, napping: true, unseen: false, sleeps, used: None }]
    }

    #[test]
    fn a_task_must_have_moved_in_vain_and_been_looked_at_often() {
        let mut quiet = Quiet { since: Instant::now() - Duration::from_secs(5), ..Quiet::new() };
        assert_eq!(quiet.has_seen(poller(10)), None);
        (0..FEWEST_LOOKS).for_each(|_| quiet.looked());
        assert!(!quiet.is_long(QUIET), "it has not woken");
        assert_eq!(quiet.has_seen(poller(11)), Some(false));
        assert!(quiet.is_long(QUIET) && !quiet.is_enough(QUIET, false));
        assert_eq!(quiet.has_seen(poller(14)), Some(false));
        assert!(quiet.is_enough(QUIET, false) && !quiet.is_in_vain(false), "there were few looks");
        (0..FEWEST_LOOKS).for_each(|_| quiet.looked());
        assert!(quiet.is_in_vain(false));
    }

    #[test]
    fn nobody_waits_in_vain_where_nobody_moves() {
        let mut quiet = Quiet { since: Instant::now() - Duration::from_secs(5), looks: 100, motion: None };
        let still = vec![Motion { moves: false, ..poller(10)[0] }];
        quiet.has_seen(still.clone());
        quiet.has_seen(still);
        assert!(!quiet.is_in_vain(true));
    }
}
