//! The reference programs of forkspec: the TCP echo servers and clients of UNPv1.
//!
//! Each program is one file that fits on a screen and is meant to be read next to the section
//! that it names; what they share is in `unp`, as the book's programs share `unp.h`.
//! [`programs`] is the table of them all.

mod client;
mod client_poll;
mod event;
mod inetd;
mod iterative;
mod prefork;
mod server;
mod thread;
mod unp;

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
