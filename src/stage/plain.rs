//! The stage without namespaces: plain processes on the machine's own network. All that macOS has, and what Linux falls
//! back to.
//!
//! Nothing is killed by the kernel here when the play ends, so the first process of the stage outlives the player, and
//! finds and kills what is left.

use std::io::{self, PipeReader};
use std::os::fd::AsFd;
use std::process::exit;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpid};

use super::platform;
use super::protocol::{Record, Request};
use super::serve::{LONGEST_PLAY, Surroundings, refuse, tell};
use crate::observe::ProcessTable;

/// The variable by which a process can be known to belong to a stage, whoever its parent is.
const MARK: &str = "FORKSPEC_STAGE";
/// Killing what is left takes milliseconds; a process that the kernel does not let go is given up.
const LONGEST_CLEARING: Duration = Duration::from_secs(5);

/// Plays one request, and ends when nothing of the play is left.
pub fn usher(request: Request, player: impl Fn(Request, Surroundings) -> Record) -> ! {
    platform::adopt_orphans();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let value = format!("{}-{}", getpid(), now.as_nanos());
    // SAFETY: this process has one thread. The programs that the player starts get the variable with their environment.
    unsafe { std::env::set_var(MARK, &value) };
    let processes = match ProcessTable::below_caller(&format!("{MARK}={value}")) {
        Ok(processes) => processes,
        Err(error) => refuse(format!("observing processes: {error}")),
    };
    let (ended, alive) = match io::pipe() {
        Ok(ends) => ends,
        Err(error) => refuse(format!("pipe: {error}")),
    };
    // Whoever is handed to this process leaves no zombie.
    // SAFETY: no handler of ours is involved.
    let _ = unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn) };
    let (port, own_table) = (request.port, processes.clone());
    // SAFETY: this process has one thread.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            drop(ended);
            // SAFETY: restores the default; the player waits for its children.
            let _ = unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) };
            platform::die_with_parent();
            tell(&player(request, Surroundings { processes, init: platform::adopter() }));
            drop(alive);
            exit(0)
        }
        Ok(ForkResult::Parent { .. }) => {
            drop(alive);
            wait_for_end(&ended);
            end_leftovers(&own_table, port);
            exit(0)
        }
        Err(errno) => refuse(format!("fork: {errno}")),
    }
}

/// Waits until the player or the runner ends, or time is up: the player holds the other end of the pipe, the runner that
/// of standard input.
fn wait_for_end(player: &PipeReader) {
    let since = Instant::now();
    let stdin = io::stdin();
    loop {
        let left = LONGEST_PLAY.saturating_sub(since.elapsed());
        // Linux tells of a hang-up whether it is asked or not, macOS of nothing that it is not asked for.
        let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLHUP), PollFd::new(player.as_fd(), PollFlags::POLLHUP)];
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let over = matches!(poll(&mut fds, timeout), Ok(0));
        if over || fds.iter().any(|fd| fd.any().unwrap_or(true)) {
            return;
        }
    }
}

/// Kills all that is left, until nothing is: it can make new processes meanwhile, and while a parent ends its children
/// are in nobody's list for a moment. So it is over only when this process, which they are handed to, has no child.
fn end_leftovers(processes: &ProcessTable, port: u16) {
    let own = getpid().as_raw();
    let until = Instant::now() + LONGEST_CLEARING;
    while Instant::now() < until {
        let Ok(list) = processes.leftovers(port) else { return };
        let mut alive = list.iter().filter(|process| process.pid != own).peekable();
        let childless = loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => break false,
                Err(_) => break true,
                Ok(_) => {}
            }
        };
        if alive.peek().is_none() && childless {
            return;
        }
        for process in alive {
            let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
        }
        // A killed process needs the processor once more to end.
        std::thread::yield_now();
    }
}
