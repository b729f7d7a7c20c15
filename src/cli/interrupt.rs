//! Ctrl-C: what is being played is given up, what was played is reported.

use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn interrupt(_: nix::libc::c_int) {
    // A second Ctrl-C ends the runner at once; the stages die with it.
    if INTERRUPTED.swap(true, Ordering::Relaxed) {
        // SAFETY: _exit is async-signal-safe.
        unsafe { nix::libc::_exit(130) }
    }
}

/// The flag that SIGINT and SIGTERM set from now on.
pub fn flag() -> &'static AtomicBool {
    let action = SigAction::new(SigHandler::Handler(interrupt), SaFlags::SA_RESTART, SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        // SAFETY: the handler touches an atomic only.
        let _ = unsafe { sigaction(signal, &action) };
    }
    &INTERRUPTED
}
