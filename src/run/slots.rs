//! How many plays go on at a time: one for each job, and those that only wait.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// For each place, so many may be lent by plays whose subject keeps a processor busy: who waits for it to have done so for
/// long enough had better not be the only one.
const MOST_BUSY: usize = 4;

/// The places for plays that use a processor.
pub struct Slots {
    state: Mutex<State>,
    one_is_free: Condvar,
}

struct State {
    free: usize,
    /// How many more places may be lent by plays whose subject keeps a processor busy.
    busy: usize,
}

/// The place of one thread, which it can lend to others while its play waits.
pub struct Slot<'s> {
    slots: &'s Slots,
    held: bool,
    lent_busy: bool,
}

impl Slots {
    /// So many places.
    pub fn new(number: usize) -> Slots {
        Slots { state: Mutex::new(State { free: number, busy: MOST_BUSY * number }), one_is_free: Condvar::new() }
    }

    /// Waits for a place.
    pub fn take(&self) -> Slot<'_> {
        let mut slot = Slot { slots: self, held: false, lent_busy: false };
        slot.regain();
        slot
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot<'_> {
    /// Lets another play have the place; if a processor is kept busy meanwhile, only so many do that.
    pub fn lend(&mut self, busy: bool) {
        let mut state = self.slots.state();
        if !self.held || (busy && state.busy == 0) {
            return;
        }
        if busy {
            state.busy -= 1;
        }
        state.free += 1;
        (self.held, self.lent_busy) = (false, busy);
        self.slots.one_is_free.notify_one();
    }

    /// Waits until there is a place again.
    pub fn regain(&mut self) {
        if self.held {
            return;
        }
        let mut state = self.slots.state();
        state.busy += usize::from(std::mem::take(&mut self.lent_busy));
        let wait = self.slots.one_is_free.wait_while(state, |state| state.free == 0);
        wait.unwrap_or_else(PoisonError::into_inner).free -= 1;
        self.held = true;
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut state = self.slots.state();
        state.busy += usize::from(self.lent_busy);
        if self.held {
            state.free += 1;
            self.slots.one_is_free.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_is_lent_can_be_taken() {
        let slots = Slots::new(1);
        let mut first = slots.take();
        first.lend(false);
        first.lend(false);
        let second = slots.take();
        assert_eq!(slots.state().free, 0);
        std::thread::scope(|scope| {
            let regained = scope.spawn(move || first.regain());
            drop(second);
            regained.join().unwrap();
        });
        assert_eq!(slots.state().free, 1);
    }

    #[test]
    fn places_with_a_busy_processor_are_lent_only_so_often() {
        let slots = Slots::new(1);
        let lend = || {
            let mut slot = slots.take();
            slot.lend(true);
            slot
        };
        let mut lent: Vec<Slot<'_>> = (0..MOST_BUSY).map(|_| lend()).collect();
        let mut last = slots.take();
        last.lend(true);
        assert_eq!(slots.state().free, 0);
        lent.pop();
        last.lend(true);
        assert_eq!(slots.state().free, 1);
    }
}
