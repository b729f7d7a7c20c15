//! The concurrent server: one child for each client (UNPv1 §4.8, §5.2 and, complete, §5.12).

use std::convert::Infallible;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::ptr;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SigHandler, Signal};
use nix::unistd::{ForkResult, fork};

use crate::Program;
use crate::unp::{self, Failed, Listener};

pub(crate) const PROGRAM: Program = Program {
    name: "server",
    usage: "server [PORT]",
    about: "the concurrent echo server: forks a child for each client",
    run: |args| unp::give_up(&PROGRAM, serve(args)),
};

fn serve(args: &[OsString]) -> Result<Infallible, Failed> {
    let mut listener = Listener::open(&PROGRAM, unp::port(args, 1)?)?;
    unp::ignore_sigpipe()?;
    // Before the first child can end (UNPv1 §5.9).
    unp::on_signal(Signal::SIGCHLD, SigHandler::Handler(sig_chld))?;
    loop {
        let connected = match listener.accept() {
            Ok(connected) => connected,
            // Not even the spare descriptor helps: a child that ends gives some back.
            Err(errno) if unp::is_shortage(errno) && wait_for_a_child() => continue,
            Err(errno) => return Err(Failed::Call("accept", errno)),
        };
        // SAFETY: this process has one thread, so the child may do whatever the parent may.
        match unsafe { fork() } {
            Ok(ForkResult::Child) => child(listener, &connected),
            Ok(ForkResult::Parent { .. }) => {}
            Err(errno) => unp::complain(&PROGRAM, Failed::Call("fork", errno)),
        }
        // The child has its own copy: the FIN goes out when the last one is closed (UNPv1 §4.8).
        drop(connected);
    }
}

/// The child: it serves its one client and ends.
fn child(listener: Listener, connected: &OwnedFd) -> ! {
    if let Err(why) = unp::on_signal(Signal::SIGCHLD, SigHandler::SigDfl) {
        unp::complain(&PROGRAM, why);
    }
    drop(listener);
    unp::exit_child(unp::serve_client(&PROGRAM, connected))
}

/// Reaps all children that have ended: signals do not queue, so one may stand for many, and a
/// child that is still alive must not block the handler (UNPv1 §5.10).
extern "C" fn sig_chld(_: libc::c_int) {
    let errno = Errno::last_raw();
    // SAFETY: waitpid is async-signal-safe and is not asked for a status. (nix's waitpid would take
    // a child that a real-time signal killed for an error, and the loop would end too early.)
    while unsafe { libc::waitpid(-1, ptr::null_mut(), libc::WNOHANG) } > 0 {}
    Errno::set_raw(errno);
}

/// Waits until a child ends; false if there is none.
fn wait_for_a_child() -> bool {
    // SAFETY: waitpid is not asked for a status. If the handler reaped the child first: EINTR.
    let reaped = unsafe { libc::waitpid(-1, ptr::null_mut(), 0) };
    reaped > 0 || Errno::last() == Errno::EINTR
}
