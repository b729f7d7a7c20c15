//! The reference programs of forkspec: the TCP echo servers and clients of UNPv1.
//!
//! Each program is one file that fits on a screen and is meant to be read next to the section
//! that it names; what they share is in `unp`, as the book's programs share `unp.h`.
//! [`programs`] is the table of them all.

#[cfg(not(unix))]
compile_error!(
    "forkspec needs a Unix: its reference programs are about fork, signals and descriptors, and Windows has none of them. \
     Use the Windows Subsystem for Linux."
);

#[cfg(unix)]
mod client;
#[cfg(unix)]
mod client_poll;
#[cfg(unix)]
mod event;
#[cfg(unix)]
mod inetd;
#[cfg(unix)]
mod iterative;
#[cfg(unix)]
mod prefork;
#[cfg(unix)]
mod server;
#[cfg(unix)]
mod thread;
#[cfg(unix)]
mod unp;

#[cfg(unix)]
pub use unp::{str_echo, writen};

use std::ffi::OsString;
use std::process::ExitCode;

/// A reference program: what it is called, and how to run it.
#[derive(Debug)]
pub struct Program {
    /// The name that it is called by, and that starts each of its messages.
    pub name: &'static str,
    /// Its command line.
    pub usage: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
    /// Runs it in this process; the arguments are the words after the program's name.
    ///
    /// It takes the process over: it sets the actions of signals and reads descriptor 0. Those that
    /// fork want a process with one thread.
    pub run: fn(&[OsString]) -> ExitCode,
}

/// All reference programs, the fork server and the client of chapter 5 first.
#[cfg(unix)]
#[must_use]
pub fn programs() -> &'static [Program] {
    &[
        server::PROGRAM,
        client::PROGRAM,
        client_poll::PROGRAM,
        prefork::PROGRAM,
        thread::PROGRAM,
        event::PROGRAM,
        iterative::PROGRAM,
        inetd::PROGRAM,
    ]
}
