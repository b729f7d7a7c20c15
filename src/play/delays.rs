//! The time that counts against a deadline: not that in which programs had to wait for a processor.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::observe::Motion;

/// However long programs wait for a processor: so large a part of the time counts. It bounds every wait.
const LEAST_PART: u32 = 10;

/// How long the tasks of the stage have waited for a processor that others had. On a busy machine most of the time
/// passes so, and that is no fault of theirs.
#[derive(Default)]
pub struct Delays {
    of_tasks: HashMap<i32, Duration>,
    total: Duration,
}

impl Delays {
    /// Takes what every task has done by now.
    pub fn add(&mut self, now: &[Motion]) {
        for motion in now {
            let known = self.of_tasks.entry(motion.task).or_default();
            self.total += motion.delayed.saturating_sub(*known);
            // Of a task that is going away nothing is seen any more: what was seen stays.
            *known = motion.delayed.max(*known);
        }
    }

    /// Time begins to count.
    pub fn mark(&self) -> Mark {
        Mark { since: Instant::now(), before: self.total }
    }

    /// How much of the time since then counts.
    pub fn counted(&self, mark: &Mark) -> Duration {
        counted(mark.elapsed(), self.total.saturating_sub(mark.before))
    }
}

/// When time began to count.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    since: Instant,
    before: Duration,
}

impl Mark {
    /// The later one of two.
    pub fn or_later(self, other: Mark) -> Mark {
        if other.since > self.since { other } else { self }
    }

    /// All the time since then.
    pub fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }
}

fn counted(elapsed: Duration, delayed: Duration) -> Duration {
    elapsed.saturating_sub(delayed).max(elapsed / LEAST_PART)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn delayed(task: i32, millis: u64) -> Motion {
        Motion { delayed: Duration::from_millis(millis), ..Motion::unknown(task) }
    }

    #[rstest]
    #[case::nobody_waits(0, 1000)]
    #[case::half_of_the_time(500, 500)]
    #[case::several_tasks_at_once(5000, 100)]
    fn time_without_a_processor_does_not_count(#[case] delayed: u64, #[case] count: u64) {
        let millis = Duration::from_millis;
        assert_eq!(counted(millis(1000), millis(delayed)), millis(count));
    }

    #[test]
    fn what_tasks_have_waited_is_added_up_from_look_to_look() {
        let mut delays = Delays::default();
        delays.add(&[delayed(1, 10), delayed(2, 5)]);
        delays.add(&[delayed(1, 30)]);
        delays.add(&[Motion::unknown(1)]);
        delays.add(&[delayed(1, 30), delayed(2, 6)]);
        assert_eq!(delays.total, Duration::from_millis(36));
    }
}
