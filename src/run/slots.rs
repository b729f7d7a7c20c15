//! How many plays go on at a time: one for each job, and those that only wait.

use std::sync::{Condvar, Mutex, PoisonError};

/// The places for plays that use a processor.
pub struct Slots {
    free: Mutex<usize>,
    one_is_free: Condvar,
}

/// The place of one thread, which it can lend to others while its play waits.
pub struct Slot<'s> {
    slots: &'s Slots,
    held: bool,
}

impl Slots {
    /// So many places.
    pub fn new(number: usize) -> Slots {
        Slots { free: Mutex::new(number), one_is_free: Condvar::new() }
    }

    /// Waits for a place.
    pub fn take(&self) -> Slot<'_> {
        let mut slot = Slot { slots: self, held: false };
        slot.regain();
        slot
    }
}

impl Slot<'_> {
    /// Lets another play have the place.
    pub fn lend(&mut self) {
        if self.held {
            self.held = false;
            *self.slots.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
            self.slots.one_is_free.notify_one();
        }
    }

    /// Waits until there is a place again.
    pub fn regain(&mut self) {
        if self.held {
            return;
        }
        let free = self.slots.free.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = self.slots.one_is_free.wait_while(free, |free| *free == 0);
        *wait.unwrap_or_else(PoisonError::into_inner) -= 1;
        self.held = true;
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.lend();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_is_lent_can_be_taken() {
        let slots = Slots::new(1);
        let mut first = slots.take();
        first.lend();
        first.lend();
        let second = slots.take();
        assert_eq!(*slots.free.lock().unwrap(), 0);
        std::thread::scope(|scope| {
            let regained = scope.spawn(move || first.regain());
            drop(second);
            regained.join().unwrap();
        });
        assert_eq!(*slots.free.lock().unwrap(), 1);
    }
}
