//! The runner's own processes on a stage.

use std::io::{self, BufRead, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::exit;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpid};

use super::descriptors::close_from;
use super::{isolation, network};
use crate::observe::ProcessTable;
use crate::stage::{Isolation, Record, Request};

/// A play that takes longer than this is the runner's fault: every wait of the player's own is shorter.
const LONGEST_PLAY: Duration = Duration::from_secs(300);

/// Where the player finds itself.
pub struct Surroundings {
    /// The stage's processes.
    pub processes: ProcessTable,
    /// The process that orphans are handed to.
    pub init: i32,
}

/// Turns the calling process into a stage: plays the requests that come on standard input, one after another, until
/// it ends. Does not return.
pub fn enter(isolation: Isolation, player: impl Fn(Request, Surroundings) -> Record) -> ! {
    // SAFETY: no descriptor above 2 has been opened by this process, so none that something here owns is closed.
    unsafe { close_from(3, 0) };
    std::panic::set_hook(Box::new(|info| tell(&Record::Panicked(info.to_string()))));
    let _ = prctl::set_pdeathsig(Signal::SIGKILL);
    if let Err(why) = isolation::prepare(isolation) {
        refuse(why);
    }
    // A subject of the same user must not get at our descriptors through /proc: it could forge a result.
    let _ = prctl::set_dumpable(false);
    let mut line = String::new();
    loop {
        line.clear();
        // A process forked here shares the buffer, but nothing is in it: the runner waits for the result.
        if !matches!(io::stdin().lock().read_line(&mut line), Ok(1..)) {
            exit(0)
        }
        let request: Request = match serde_json::from_str(&line) {
            Ok(request) => request,
            Err(error) => refuse(format!("no request on standard input ({error})")),
        };
        // SAFETY: this process has one thread.
        match unsafe { fork() } {
            Ok(ForkResult::Child) => usher(request, player),
            Ok(ForkResult::Parent { child }) => {
                let _ = waitpid(child, None);
                tell(&Record::Cleared);
            }
            Err(errno) => refuse(format!("fork: {errno}")),
        }
    }
}

/// Ends the process with the reason why it cannot be a stage.
fn refuse(why: String) -> ! {
    tell(&Record::Refused(why));
    exit(0)
}

/// Makes the namespaces of one play, and waits until it is over.
fn usher(request: Request, player: impl Fn(Request, Surroundings) -> Record) -> ! {
    let _ = prctl::set_pdeathsig(Signal::SIGKILL);
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

/// Sends a record to the runner. If nobody listens any more the stage is about to be ended, so errors do not matter.
pub fn tell(record: &Record) {
    if let Ok(mut line) = serde_json::to_vec(record) {
        line.push(b'\n');
        let mut out = io::stdout().lock();
        let _ = out.write_all(&line);
        let _ = out.flush();
    }
}

fn be_init(request: Request, player: impl Fn(Request, Surroundings) -> Record) -> ! {
    // Without namespaces nothing ends with this process: it has to live until it has ended the rest, and its lifeline
    // tells it when.
    if request.isolation.has_own_network() {
        let _ = prctl::set_pdeathsig(Signal::SIGKILL);
    }
    let isolation = request.isolation;
    let _ = prctl::set_child_subreaper(true);
    let ready = isolation::mount_proc(isolation)
        .and_then(|()| if isolation.has_own_network() { network::bring_up() } else { Ok(()) })
        .and_then(|()| surroundings(isolation));
    let surroundings = match ready {
        Ok(surroundings) => surroundings,
        Err(why) => refuse(why),
    };
    let mut child_ended = SigSet::empty();
    child_ended.add(Signal::SIGCHLD);
    let _ = sigprocmask(SigmaskHow::SIG_BLOCK, Some(&child_ended), None);
    let Ok(ends) = SignalFd::with_flags(&child_ended, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK) else {
        refuse("signalfd".into())
    };
    let own_tree = surroundings.processes.clone();
    // SAFETY: this process has one thread.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            let _ = sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&child_ended), None);
            let _ = prctl::set_pdeathsig(Signal::SIGKILL);
            drop(ends);
            tell(&player(request, surroundings));
            exit(0)
        }
        Ok(ForkResult::Parent { child }) => {
            reap_until_end(child, &ends);
            if isolation == Isolation::None {
                end_descendants(&own_tree);
            }
            // In a process namespace the kernel now kills whatever is left, however it was hidden.
            exit(0)
        }
        Err(errno) => refuse(format!("fork: {errno}")),
    }
}

fn surroundings(isolation: Isolation) -> Result<Surroundings, String> {
    let init = getpid().as_raw();
    let processes = match isolation {
        Isolation::UserNamespace | Isolation::Root => ProcessTable::Own,
        Isolation::SharedProc | Isolation::None => {
            let root = ProcessTable::own_id().map_err(|error| format!("/proc/self: {error}"))?;
            ProcessTable::Below { root, translate: isolation == Isolation::SharedProc }
        }
    };
    Ok(Surroundings { processes, init })
}

/// Reaps orphans until the player or the runner ends, or time is up.
fn reap_until_end(player: Pid, ends: &SignalFd) {
    let since = Instant::now();
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
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(_) => break,
                Ok(status) if status.pid() == Some(player) => return,
                Ok(_) => {}
            }
        }
    }
}

/// Kills all descendants, until there are none: they can make new ones meanwhile, and orphans become our children.
fn end_descendants(processes: &ProcessTable) {
    let own = getpid().as_raw();
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        let Ok(list) = processes.list() else { return };
        let mut alive = list.iter().filter(|process| process.pid != own).peekable();
        if alive.peek().is_none() {
            return;
        }
        for process in alive {
            let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
        }
        while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            if status == WaitStatus::StillAlive {
                // A killed process needs the processor once more to end.
                std::thread::yield_now();
                break;
            }
        }
    }
}
