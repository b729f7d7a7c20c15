//! Waiting for descriptors: macOS has no ppoll(2).

use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Waits until one of these is ready, at most for this time, rounded up to a millisecond.
pub fn wait(fds: &mut [PollFd<'_>], at_most: Duration) {
    let millis = at_most.as_micros().div_ceil(1000).min(1000) as u16;
    // An error can only be an interruption; the caller looks again anyway.
    let ready = poll(fds, PollTimeout::from(millis)).unwrap_or(0);
    // poll(2), BUGS: some devices cannot be waited for and answer so at once. They are read at every look.
    let unwaitable = fds.iter().filter(|fd| fd.revents() == Some(PollFlags::POLLNVAL)).count();
    if ready > 0 && ready as usize == unwaitable {
        let _ = poll(&mut [], PollTimeout::from(millis));
    }
}
