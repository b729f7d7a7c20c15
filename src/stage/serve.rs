//! The stage's own process: takes requests and makes a process for each play.

use std::io::{self, BufRead, Write};
use std::process::exit;
use std::time::Duration;

use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork};

use super::platform;
use super::protocol::{Isolation, Record, Request};
use crate::observe::ProcessTable;

/// A play that takes longer than this is the runner's fault: the player itself gives up earlier.
pub const LONGEST_PLAY: Duration = Duration::from_secs(300);

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
    platform::close_inherited();
    std::panic::set_hook(Box::new(|info| tell(&Record::Panicked(info.to_string()))));
    platform::die_with_parent();
    // A Ctrl-C is for the runner: it has this process end what it has made. And where the scheduler shares processors
    // among sessions (sched(7), autogroup), what other jobs do is not held against this one.
    let _ = nix::unistd::setsid();
    if let Err(why) = platform::prepare(isolation) {
        refuse(why);
    }
    platform::hide_from_debuggers();
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
            Ok(ForkResult::Child) => platform::usher(request, player),
            Ok(ForkResult::Parent { child }) => {
                let _ = waitpid(child, None);
                tell(&Record::Cleared);
            }
            Err(errno) => refuse(format!("fork: {errno}")),
        }
    }
}

/// Ends the process with the reason why it cannot be a stage.
pub fn refuse(why: String) -> ! {
    tell(&Record::Refused(why));
    exit(0)
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
