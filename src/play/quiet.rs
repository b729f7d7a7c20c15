//! What is believed where rest cannot be seen: that programs which go round in circles change nothing.

use std::collections::{HashMap, HashSet};
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
const IN_VAIN_SPIN: Circles = Circles::new(30, 10, 20).shared(5);
/// The same while a program starts: what it does has its use, for all that is known, unless it is very much.
const IN_VAIN_AT_START: Circles = Circles::new(3000, u64::MAX, 3000);
/// What has turned more often than that turns without end,
const MOST_TURNS: u32 = 4;
/// and is in vain if it holds at no more than one look in so many.
const RARELY: u32 = 4;
/// Once so many tasks have come and gone, those that come belong to the circles of the one that makes them.
const MOST_PASSING: usize = 50;
/// The time counts only with so many looks: one can take long.
const FEWEST_LOOKS: u32 = 5;
const FEWEST_LOOKS_IN_VAIN: u32 = 10;

/// The time in which nothing has moved that shows: neither the runner nor data nor what is looked at.
pub struct Quiet {
    /// Since what is looked at has turned last: what holds is believed after this.
    same: Stretch,
    /// All of it, where that turns often.
    whole: Option<Stretch>,
    /// How often it has turned.
    turns: u32,
    /// At how many looks it held, since it has turned often.
    held: u32,
}

/// A part of it.
struct Stretch {
    since: Instant,
    looks: u32,
    motion: Option<Course>,
}

/// What every task had done when it was looked at first, and what it has done at the last look.
struct Course {
    first: HashMap<i32, Motion>,
    last: Vec<Motion>,
    looks: u32,
    /// At how many looks each task was napping.
    naps: HashMap<i32, u32>,
    /// How many tasks have come after the first look and are gone.
    passed: usize,
}

impl Course {
    fn new(first: Vec<Motion>) -> Course {
        let by_task = first.iter().map(|motion| (motion.task, *motion)).collect();
        let mut course = Course { first: by_task, last: Vec::new(), looks: 0, naps: HashMap::new(), passed: 0 };
        course.add(first);
        course
    }

    fn add(&mut self, now: Vec<Motion>) {
        let here: HashSet<i32> = now.iter().map(|motion| motion.task).collect();
        let is_gone = |task: &&Motion| !self.was_there(task) && !here.contains(&task.task);
        self.passed += self.last.iter().filter(is_gone).count();
        for task in now.iter().filter(|task| task.napping) {
            *self.naps.entry(task.task).or_default() += 1;
        }
        self.looks += 1;
        self.last = now;
    }

    /// Whether a task was there at the first look.
    fn was_there(&self, task: &Motion) -> bool {
        self.first.contains_key(&task.task)
    }

    /// The tasks that have to go round: not the children of one that makes them without end.
    fn judged(&self) -> Vec<Motion> {
        let endless = self.passed >= MOST_PASSING && self.last.iter().any(|task| task.moves && self.was_there(task));
        self.last.iter().filter(|task| !endless || self.was_there(task)).copied().collect()
    }
}

impl Stretch {
    fn new() -> Stretch {
        Stretch { since: Instant::now(), looks: 0, motion: None }
    }

    /// Says whether a task runs, from the second time on.
    fn has_seen(&mut self, now: Vec<Motion>) -> Option<bool> {
        match &mut self.motion {
            None => {
                self.motion = Some(Course::new(now));
                None
            }
            Some(course) => {
                course.add(now);
                Some(course.last.iter().any(|task| task.running))
            }
        }
    }

    fn has_gone_round(&self, circles: &Circles, longest: Duration) -> bool {
        self.since.elapsed() >= circles.lasting.min(longest)
            && self.motion.as_ref().is_some_and(|course| {
                let naps = |task| course.naps.get(&task).is_some_and(|naps| naps * 2 >= course.looks);
                let judged = course.judged();
                let moving = judged.iter().filter(|task| task.moves).count();
                let deeds = circles.deeds_of(u32::try_from(moving).unwrap_or(u32::MAX));
                all_have_done(&course.first, &judged, &deeds, naps)
            })
    }

    fn last(&self) -> &[Motion] {
        self.motion.as_ref().map_or(&[], |course| &course.last)
    }
}

impl Quiet {
    /// It begins.
    pub fn new() -> Quiet {
        Quiet { same: Stretch::new(), whole: None, turns: 0, held: 0 }
    }

    /// There was a look, at which something held or not.
    pub fn looked(&mut self, holds: bool) {
        self.same.looks += 1;
        if let Some(whole) = &mut self.whole {
            whole.looks += 1;
            self.held += u32::from(holds);
        }
    }

    /// What is looked at has turned: it held and does not, or the other way. It begins again; but what turns again and
    /// again is part of the circles.
    pub fn turn(&mut self) {
        let before = std::mem::replace(&mut self.same, Stretch::new());
        self.turns += 1;
        if self.turns > MOST_TURNS {
            self.whole.get_or_insert(before);
        }
    }

    /// Something else is looked at from now on: how that turns is seen anew.
    pub fn forget_turns(&mut self) {
        (self.whole, self.turns, self.held) = (None, 0, 0);
    }

    fn whole(&self) -> &Stretch {
        self.whole.as_ref().unwrap_or(&self.same)
    }

    /// Takes what every task has done by now. From the second time on, says whether one keeps a processor busy.
    pub fn has_seen(&mut self, now: Vec<Motion>) -> Option<bool> {
        match &mut self.whole {
            None => self.same.has_seen(now),
            Some(whole) => {
                self.same.has_seen(now.clone());
                whole.has_seen(now)
            }
        }
    }

    /// The tasks that were running when they were looked at last.
    pub fn running(&self) -> Vec<i32> {
        self.whole().last().iter().filter(|motion| motion.running).map(|motion| motion.task).collect()
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
        let whole = self.whole();
        whole.looks >= FEWEST_LOOKS_IN_VAIN
            && self.held * RARELY <= whole.looks
            && whole.last().iter().any(|task| task.moves)
            && whole.has_gone_round(circles, Duration::MAX)
    }

    /// Whether what holds is believed; nobody waits for longer than `longest`.
    pub fn is_long(&self, longest: Duration) -> bool {
        self.same.looks >= FEWEST_LOOKS && self.same.has_gone_round(&LONG, longest)
    }

    /// The same, if nothing is under way between sockets.
    pub fn is_enough(&self, longest: Duration, spins: bool) -> bool {
        let circles = if spins { SHORT_SPIN } else { SHORT };
        self.same.looks >= FEWEST_LOOKS && self.same.has_gone_round(&circles, longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn poller(sleeps: u64) -> Vec<Motion> {
        vec![Motion { napping: true, sleeps, ..Motion::unknown(1) }]
    }

    /// Nothing has moved for long, at so many looks.
    fn quiet(looks: u32) -> Quiet {
        let same = Stretch { since: Instant::now() - Duration::from_secs(5), looks, motion: None };
        Quiet { same, ..Quiet::new() }
    }

    fn spinner(used: u64) -> Motion {
        let used = Some(Duration::from_millis(used));
        Motion { running: true, napping: false, used, ..poller(0)[0] }
    }

    #[test]
    fn a_task_must_have_moved_in_vain_and_been_looked_at_often() {
        let mut quiet = quiet(0);
        assert_eq!(quiet.has_seen(poller(10)), None);
        (0..FEWEST_LOOKS).for_each(|_| quiet.looked(true));
        assert!(!quiet.is_long(QUIET), "it has not woken");
        assert_eq!(quiet.has_seen(poller(11)), Some(false));
        assert!(quiet.is_long(QUIET) && !quiet.is_enough(QUIET, false));
        assert_eq!(quiet.has_seen(poller(14)), Some(false));
        assert!(quiet.is_enough(QUIET, false) && !quiet.is_in_vain(false), "there were few looks");
        (0..FEWEST_LOOKS).for_each(|_| quiet.looked(false));
        assert!(quiet.is_in_vain(false));
    }

    #[test]
    fn children_without_end_belong_to_the_circles_of_who_makes_them() {
        let mut quiet = quiet(FEWEST_LOOKS_IN_VAIN);
        quiet.has_seen(vec![spinner(0)]);
        for child in 0..=MOST_PASSING as i32 {
            assert!(!quiet.is_in_vain(false), "{child} children have come");
            quiet.has_seen(vec![spinner(1000), Motion::unknown(100 + child)]);
        }
        assert!(quiet.is_in_vain(false));
        quiet.has_seen(vec![Motion { moves: false, ..spinner(1000) }, Motion::unknown(99)]);
        assert!(!quiet.is_in_vain(false), "who made them sleeps, and one is left");
    }

    #[rstest]
    #[case::begins_again_when_it_turns(MOST_TURNS - 1, 0, false)]
    #[case::turns_without_end(MOST_TURNS, 25, true)]
    #[case::turns_and_holds_often(MOST_TURNS, 26, false)]
    fn what_turns_without_end_is_in_vain(#[case] turns: u32, #[case] held: u32, #[case] in_vain: bool) {
        let mut quiet = Quiet { turns, ..quiet(100 - held) };
        quiet.turn();
        (0..held).for_each(|_| quiet.looked(true));
        quiet.has_seen(vec![spinner(0)]);
        quiet.has_seen(vec![spinner(1000)]);
        assert!(!quiet.is_long(QUIET), "it has just turned");
        assert_eq!(quiet.is_in_vain(false), in_vain);
    }

    #[test]
    fn nobody_waits_in_vain_where_nobody_moves() {
        let mut quiet = quiet(100);
        let still = vec![Motion { moves: false, ..poller(10)[0] }];
        quiet.has_seen(still.clone());
        quiet.has_seen(still);
        assert!(!quiet.is_in_vain(true));
    }
}
