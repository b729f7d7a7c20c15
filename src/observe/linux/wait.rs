//! Waiting for descriptors, to the microsecond.

use std::time::Duration;

use nix::poll::{PollFd, ppoll};
use nix::sys::time::TimeSpec;

/// Waits until one of these is ready, at most for this time.
pub fn wait(fds: &mut [PollFd<'_>], at_most: Duration) {
    // An error can only be an interruption; the caller looks again anyway.
    let _ = ppoll(fds, Some(TimeSpec::from_duration(at_most)), None);
}
