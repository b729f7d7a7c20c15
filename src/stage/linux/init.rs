//! The runner's own processes on a stage that has namespaces of its own.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::exit;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpid};

use super::process::{adopt_orphans, die_with_parent};
use super::seal::seal_proc;
use super::{files, isolation, network};
use crate::observe::ProcessTable;
use crate::stage::plain;
use crate::stage::protocol::{Isolation, Record, Request};
use crate::stage::serve::{LONGEST_PLAY, Surroundings, refuse, tell};

/// Who stops the player more often than that is given up.
const MOST_STOPS: u32 = 100;

/// Makes the namespaces of one play, if it is to have any, and waits until it is over.
pub fn usher(request: Request, player: impl Fn(Request, Surroundings) -> Record) -> ! {
    if request.isolation == Isolation::None {
        plain::usher(request, player)
    }
    die_with_parent();
    if let Err(why) = isolation::leave(request.isolation) {
        refuse(why);
    }
    // SAFETY: this process has one thread.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => be_init(request, player),
        Ok(ForkResult::Parent { child }) => {
            let _ = waitpid(child, None);
            exit(0)
        }
        Err(errno) => refuse(format!("fork: {errno}")),
    }
}

fn be_init(request: Request, player: impl Fn(Request, Surroundings) -> Record) -> ! {
    die_with_parent();
    let isolation = request.isolation;
    adopt_orphans();
    let ready =
        isolation::mount_proc(isolation).and_then(|()| network::bring_up()).and_then(|()| surroundings(isolation));
    let surroundings = match ready {
        Ok(surroundings) => surroundings,
        Err(why) => refuse(why),
    };
    seal_proc();
    files::layer();
    let mut child_ended = SigSet::empty();
    child_ended.add(Signal::SIGCHLD);
    let _ = sigprocmask(SigmaskHow::SIG_BLOCK, Some(&child_ended), None);
    let Ok(ends) = SignalFd::with_flags(&child_ended, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK) else {
        refuse("signalfd".into())
    };
    // SAFETY: this process has one thread.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            let _ = sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&child_ended), None);
            die_with_parent();
            drop(ends);
            tell(&player(request, surroundings));
            exit(0)
        }
        Ok(ForkResult::Parent { child }) => {
            reap_until_end(child, &ends);
            // The kernel now kills whatever is left, however it was hidden.
            exit(0)
        }
        Err(errno) => refuse(format!("fork: {errno}")),
    }
}

fn surroundings(isolation: Isolation) -> Result<Surroundings, String> {
    let init = getpid().as_raw();
    let processes = match isolation {
        Isolation::UserNamespace | Isolation::Root | Isolation::None => ProcessTable::Own,
        Isolation::SharedProc => {
            let root = ProcessTable::own_id().map_err(|error| format!("/proc/self: {error}"))?;
            ProcessTable::Below { root, translate: true }
        }
    };
    Ok(Surroundings { processes, init })
}

/// Reaps orphans until the player or the runner ends, or time is up.
fn reap_until_end(player: Pid, ends: &SignalFd) {
    let since = Instant::now();
    let mut stops = 0;
    let stdin = io::stdin();
    let lifeline: BorrowedFd<'_> = stdin.as_fd();
    loop {
        let left = LONGEST_PLAY.saturating_sub(since.elapsed());
        let mut fds = [PollFd::new(lifeline, PollFlags::empty()), PollFd::new(ends.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        if matches!(poll(&mut fds, timeout), Ok(0)) || fds[0].any().unwrap_or(true) {
            return;
        }
        let _ = ends.read_signal();
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED)) {
                Ok(WaitStatus::StillAlive) | Err(_) => break,
                // A program of the subject's has stopped the player, which is of its user.
                Ok(WaitStatus::Stopped(pid, _)) if pid == player => {
                    stops += 1;
                    if stops > MOST_STOPS {
                        return;
                    }
                    let _ = kill(player, Signal::SIGCONT);
                }
                Ok(WaitStatus::Stopped(..)) => {}
                Ok(status) if status.pid() == Some(player) => return,
                Ok(_) => {}
            }
        }
    }
}
