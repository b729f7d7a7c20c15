//! A program of the subject's that was started.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, read, write};

use super::capture::Capture;
use super::known;
use super::outbox::Outbox;
use super::peer::TURN;
use crate::observe::{End, Pair};
use crate::scenario::{Role, Scarce};
use crate::stage;

/// A program and its standard descriptors.
#[derive(Debug)]
pub struct Program {
    /// Its role.
    pub role: Role,
    /// How many programs were started before it.
    pub number: usize,
    /// The process that was started.
    pub pid: i32,
    /// How that process ended, if it did; the player is its parent and reaps it.
    pub end: Option<End>,
    /// During which step that was seen.
    pub ended_in: Option<usize>,
    /// It is not the player's child: its end is seen, not reaped.
    pub adopted: bool,
    /// The player's child that only waits for it: a shell, for one.
    wrapper: Option<Pid>,
    /// It has been seen to listen, at rest: who leaves now is no daemon's first process.
    pub has_started: bool,
    /// How many threads it had when it had started.
    pub threads: Option<u64>,
    /// Whether the scenario made it end.
    pub end_was_asked_for: bool,
    /// Standard input, until it is ended.
    stdin: Option<OwnedFd>,
    terminal: bool,
    /// What is still to be typed.
    pub typing: Outbox,
    /// What came on standard output.
    pub stdout: Capture,
    stdout_ends: Vec<OwnedFd>,
    /// What came on standard error.
    pub stderr: Capture,
    stderr_ends: Vec<OwnedFd>,
    /// The soft limits that `exhaust` has replaced.
    pub limits: Vec<(Scarce, u64)>,
    /// What `baseline` remembered.
    pub baseline: Option<Baseline>,
    /// The connection that a client has made to the port, once it was seen.
    pub pair: Option<Pair>,
    /// How long nothing had moved when the other side was seen to have ended that connection.
    pub silence: Option<Duration>,
}

/// What `baseline` remembers of a program.
#[derive(Debug, Clone)]
pub struct Baseline {
    /// Descriptors of the process that was started.
    pub descriptors: usize,
    /// Its live children.
    pub children: usize,
    /// Nobody had connected yet.
    pub before_clients: bool,
}

impl Program {
    /// A program that has just been started.
    pub fn new(
        role: Role,
        pid: Pid,
        stdin: Option<OwnedFd>,
        stdout: OwnedFd,
        stderr: OwnedFd,
        terminal: bool,
    ) -> Program {
        Program {
            role,
            pid: pid.as_raw(),
            adopted: false,
            has_started: false,
            stdin,
            terminal,
            stdout_ends: vec![stdout],
            stderr_ends: vec![stderr],
            ..Program::without_process()
        }
    }

    /// A program that has no process of its own: it is executed for each connection.
    pub fn without_process() -> Program {
        Program {
            role: Role::Server,
            number: 0,
            pid: 0,
            end: None,
            ended_in: None,
            adopted: true,
            wrapper: None,
            has_started: true,
            threads: None,
            end_was_asked_for: false,
            stdin: None,
            terminal: false,
            typing: Outbox::default(),
            stdout: Capture::default(),
            stdout_ends: Vec::new(),
            stderr: Capture::default(),
            stderr_ends: Vec::new(),
            limits: Vec::new(),
            baseline: None,
            pair: None,
            silence: None,
        }
    }

    /// Hears one more process of the program, beside those that it has already.
    pub fn hear(&mut self, stdout: OwnedFd, stderr: OwnedFd) {
        self.stdout.ended = false;
        self.stdout_ends.push(stdout);
        self.stderr.ended = false;
        self.stderr_ends.push(stderr);
    }

    /// Whether it is a client that has not connected yet.
    pub fn may_connect(&self) -> bool {
        self.role == Role::Client && self.end.is_none() && self.pair.is_none()
    }

    /// Whether all that was to be typed is with the kernel, or never can be.
    pub fn has_typed_all(&self) -> bool {
        self.typing.is_empty() || self.stdin.is_none()
    }

    /// Lets what was typed at a terminal arrive: until then the program sleeps, and is not at rest.
    pub fn deliver_input(&self) {
        if self.terminal
            && let Some(master) = &self.stdin
        {
            stage::deliver_input(master);
        }
    }

    /// Ends standard input.
    pub fn end_input(&mut self) {
        if self.terminal {
            // Control-D at the beginning of a line is the end of file (termios(3), VEOF).
            self.typing.queue(&vec![4].into());
        } else {
            self.stdin = None;
        }
    }

    /// Reads, writes and reaps what can be without waiting. Returns whether anything moved.
    pub fn turn(&mut self, scratch: &mut [u8]) -> bool {
        let mut moved = false;
        if let Some(stdin) = &self.stdin {
            match self.typing.write(|bytes| write(stdin, bytes)) {
                Ok(typed) => moved |= typed,
                // The program has closed its standard input; what it should read is lost.
                Err(_) => self.typing.clear(),
            }
        }
        moved |= drain(&mut self.stdout_ends, &mut self.stdout, scratch);
        moved |= drain(&mut self.stderr_ends, &mut self.stderr, scratch);
        moved | self.reap()
    }

    /// Takes another process for the program than the one that was started: a daemon's, when that one has left, or the
    /// one that it waits for.
    pub fn adopt(&mut self, pid: i32) {
        if !self.adopted && self.end.is_none() {
            self.wrapper = Some(Pid::from_raw(self.pid));
        }
        self.pid = pid;
        (self.end, self.ended_in) = (None, None);
        self.adopted = true;
    }

    /// The signal that only a mistake of its own can have ended it by.
    pub fn crash(&self) -> Option<Signal> {
        known::crash(self.end?).filter(|_| !self.end_was_asked_for)
    }

    fn reap(&mut self) -> bool {
        if let Some(wrapper) = self.wrapper
            && !matches!(waitpid(wrapper, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive))
        {
            self.wrapper = None;
        }
        if self.end.is_some() || self.adopted {
            return false;
        }
        match waitpid(Pid::from_raw(self.pid), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, status)) => self.end = Some(End::Exited(status as u8)),
            Ok(WaitStatus::Signaled(_, signal, _)) => self.end = Some(End::Signalled(signal as i32)),
            _ => return false,
        }
        true
    }

    /// What to wait for on it.
    pub fn interests(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let out = self.stdout_ends.iter().filter(|_| self.stdout.has_room());
        let err = self.stderr_ends.iter().filter(|_| self.stderr.has_room());
        let input = self.stdin.iter().filter(|_| !self.typing.is_empty());
        out.chain(err)
            .map(|end| (end.as_fd(), PollFlags::POLLIN))
            .chain(input.map(|end| (end.as_fd(), PollFlags::POLLOUT)))
    }
}

/// Reads what is there, from one process after another. A terminal whose other end is closed everywhere answers EIO,
/// a pipe 0.
fn drain(ends: &mut Vec<OwnedFd>, capture: &mut Capture, buffer: &mut [u8]) -> bool {
    let mut count = 0;
    let before = ends.len();
    ends.retain(|descriptor| {
        while count < TURN && capture.has_room() {
            match read(descriptor, buffer) {
                Ok(length @ 1..) => {
                    capture.push(&buffer[..length]);
                    count += length;
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return true,
                Ok(0) | Err(_) => return false,
            }
        }
        true
    });
    if ends.is_empty() && before > 0 {
        capture.ended = true;
    }
    count > 0 || ends.len() < before
}
