//! Processes and their descriptors, as plain data.

use std::fmt;

use nix::sys::signal::Signal;

/// A process of the stage, as ps would show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id, as the stage's processes know it.
    pub pid: i32,
    /// Its id in the file system that shows processes; differs where the stage could not have a `/proc` of its own.
    pub seen_as: i32,
    /// Its parent's id.
    pub parent: i32,
    /// The letter that ps shows.
    pub state: char,
    /// The name of its program, at most 15 bytes.
    pub name: String,
    /// When it was started, in clock ticks since boot: with the id, it names a process for good.
    pub started: u64,
    /// Its number of threads.
    pub threads: u64,
    /// How it ended; only for a zombie.
    pub end: Option<End>,
}

impl Process {
    /// Ended, and not reaped by its parent. One whose main thread alone has ended lives, and has its descriptors open:
    /// so it is for a moment with each process of several threads that is killed.
    pub fn is_zombie(&self) -> bool {
        self.state == 'Z' && self.threads <= 1
    }
}

/// What a process does with SIGCHLD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChildSignal {
    /// It is blocked.
    pub blocked: bool,
    /// A handler is installed for it.
    pub caught: bool,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It called exit with this status.
    Exited(u8),
    /// A signal ended it.
    Signalled(i32),
    /// It ended, and the kernel does not tell how.
    Unknown,
}

impl End {
    /// Decodes what `wait` reports (POSIX: WIFEXITED, WTERMSIG).
    pub fn from_wait_status(status: i32) -> End {
        match status & 0x7f {
            0 => End::Exited((status >> 8 & 0xff) as u8),
            signal => End::Signalled(signal),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Unknown => f.write_str("has ended"),
            End::Exited(status) => write!(f, "exited with status {status}"),
            End::Signalled(number) => match Signal::try_from(*number) {
                Ok(signal) => write!(f, "was ended by {signal}"),
                Err(_) => write!(f, "was ended by signal {number}"),
            },
        }
    }
}

/// An open descriptor of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// Its number.
    pub number: i32,
    /// What it refers to.
    pub kind: DescriptorKind,
}

/// What a descriptor refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DescriptorKind {
    /// A socket, by its inode.
    Socket(u64),
    /// Anything else: the path, or the kernel's name for it.
    Other(String),
}
