//! Systems that nothing is observed on: what would show it can be asked for, and is refused. The types have no values,
//! so that nothing behind the refusal has to be invented.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollTimeout, poll};

use super::{ChildSignal, Descriptor, End, Horizon, Motion, Pair, Process, Restless, Socket, Stillness};
use crate::scenario::Platform;
use crate::tcp::TcpState;

/// The system that this is.
pub const HERE: Platform = Platform::Other;

/// What is said here instead of an observation.
fn refusal() -> io::Error {
    let text = format!(
        "processes and sockets are not observed on {}: forkspec plays on Linux and macOS",
        std::env::consts::OS
    );
    io::Error::new(io::ErrorKind::Unsupported, text)
}

/// Waits until one of these is ready, at most for this time, rounded up to a millisecond.
pub fn wait(fds: &mut [PollFd<'_>], at_most: Duration) {
    let millis = at_most.as_micros().div_ceil(1000).min(1000) as u16;
    // An error can only be an interruption; the caller looks again anyway.
    let _ = poll(fds, PollTimeout::from(millis));
}

/// Tells of the end of a process; not here.
#[derive(Debug)]
pub enum EndWatch {}

impl EndWatch {
    /// Is refused.
    pub fn open(_: i32) -> io::Result<EndWatch> {
        Err(refusal())
    }

    /// How it ended.
    pub fn end(&self) -> Option<End> {
        match *self {}
    }
}

impl AsFd for EndWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match *self {}
    }
}

/// The processes of a stage; not here.
#[derive(Debug, Clone)]
pub enum ProcessTable {}

impl ProcessTable {
    /// Is refused.
    pub fn below_caller(_: &str) -> io::Result<ProcessTable> {
        Err(refusal())
    }

    /// Is refused.
    pub fn machine() -> io::Result<ProcessTable> {
        Err(refusal())
    }

    /// The processes.
    pub fn list(&self) -> io::Result<Vec<Process>> {
        match *self {}
    }

    /// What is left of a stage.
    pub fn leftovers(&self, _: u16) -> io::Result<Vec<Process>> {
        match *self {}
    }

    /// The open descriptors of a process.
    pub fn descriptors(&self, _: &Process) -> io::Result<Vec<Descriptor>> {
        match *self {}
    }

    /// The system calls that its threads sleep in.
    pub fn asleep_in(&self, _: &Process) -> Vec<String> {
        match *self {}
    }

    /// The descriptors that its threads sleep in reading from.
    pub fn reads_from(&self, _: &Process) -> Vec<i32> {
        match *self {}
    }

    /// The value of an environment variable of a process.
    pub fn environment(&self, _: &Process, _: &str) -> Option<String> {
        match *self {}
    }

    /// The command line of a process.
    pub fn command(&self, _: &Process) -> Option<String> {
        match *self {}
    }

    /// A sample of all tasks.
    pub fn stillness<'p>(
        &self,
        _: impl IntoIterator<Item = &'p Process>,
        _: Option<Horizon>,
    ) -> Result<Stillness, Restless> {
        match *self {}
    }

    /// What tasks have done.
    pub fn motions(&self, _: &[Process], _: Horizon) -> Option<Vec<Motion>> {
        match *self {}
    }

    /// Whether a process has a datagram socket open.
    pub fn has_datagram_socket(&self, _: &Process) -> bool {
        match *self {}
    }

    /// What a process does with SIGCHLD.
    pub fn child_signal(&self, _: &Process) -> Option<ChildSignal> {
        match *self {}
    }

    /// Whether SIGSTOP has reached a process.
    pub fn has_stopped(&self, _: &Process) -> bool {
        match *self {}
    }
}

/// The sockets of the machine; not here.
#[derive(Debug)]
pub enum SocketTable {}

impl SocketTable {
    /// Is refused.
    pub fn open() -> io::Result<SocketTable> {
        Err(refusal())
    }

    /// All TCP sockets.
    pub fn list(&mut self) -> io::Result<Vec<Socket>> {
        match *self {}
    }

    /// The state of one end of a connection.
    pub fn state(&mut self, _: Pair) -> io::Result<TcpState> {
        match *self {}
    }
}
