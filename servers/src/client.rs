//! The echo client of chapter 5: a line to the server, a line back, stop and wait (UNPv1 §5.4, §5.5).
//!
//! While it waits for its standard input it does not look at the socket, so it does not notice that
//! the server has gone until it has sent another line (UNPv1 §5.12). `client-poll` does.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::ExitCode;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};

use crate::Program;
use crate::unp::{self, Failed};

pub(crate) const PROGRAM: Program = Program {
    name: "client",
    usage: "client HOST [PORT]",
    about: "the echo client of chapter 5: sends a line, waits for its echo",
    run: |args| match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => unp::fail(&PROGRAM, why),
    },
};

fn run(args: &[OsString]) -> Result<(), Failed> {
    unp::ignore_sigpipe()?;
    str_cli(&unp::tcp_connect(args)?)
}

fn str_cli(sock: &OwnedFd) -> Result<(), Failed> {
    let mut input = Lines::new(io::stdin());
    let mut echo = Lines::new(sock);
    loop {
        let line = input.next().map_err(Failed::call("stdin"))?;
        if line.is_empty() {
            return Ok(());
        }
        send_line(sock, &line, &mut echo).map_err(Failed::talk("write"))?;
        if !line.ends_with(b"\n") {
            return last_echo(sock, line.len(), &mut echo);
        }
        let reply = echo.next().map_err(Failed::talk("read"))?;
        print(&reply)?;
        if !reply.ends_with(b"\n") {
            return Err(Failed::ServerTerminated(None));
        }
    }
}

/// The echo of a last line without a newline ends where the connection ends: this end is closed
/// first, the other one is read until end of file (UNPv1 §6.6).
fn last_echo(sock: &OwnedFd, sent: usize, echo: &mut Lines<&OwnedFd>) -> Result<(), Failed> {
    unp::half_close(sock)?;
    let mut received = 0;
    loop {
        let some = echo.some().map_err(Failed::talk("read"))?;
        if some.is_empty() {
            break;
        }
        received += some.len();
        print(&some)?;
    }
    if received < sent { Err(Failed::ServerTerminated(None)) } else { Ok(()) }
}

/// Writes the line to the server. A long line fills the buffers both ways, and a server that cannot
/// write stops reading: while the socket takes no more, what came back already is taken in.
fn send_line(sock: &OwnedFd, line: &[u8], echo: &mut Lines<&OwnedFd>) -> nix::Result<()> {
    let mut rest = line;
    while !rest.is_empty() {
        match send(sock.as_raw_fd(), rest, MsgFlags::MSG_DONTWAIT) {
            Ok(sent) => rest = &rest[sent..],
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                let both = PollFlags::POLLIN | PollFlags::POLLOUT;
                let mut fds = [PollFd::new(sock.as_fd(), both)];
                match poll(&mut fds, PollTimeout::NONE) {
                    Err(Errno::EINTR) => continue,
                    polled => polled?,
                };
                let readable = fds[0].revents().is_none_or(|r| r != PollFlags::POLLOUT);
                if readable && echo.fill()? == 0 {
                    // The server has ended; the one who reads will find out.
                    return Ok(());
                }
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn print(bytes: &[u8]) -> Result<(), Failed> {
    unp::writen(io::stdout(), bytes).map_err(Failed::call("stdout"))
}

/// Reads a descriptor by lines of any length; what came with a line stays for the next one, as in
/// the second version of the book's readline (UNPv1 §3.9).
struct Lines<F> {
    fd: F,
    buf: Vec<u8>,
    /// Where in `buf` the next line begins.
    start: usize,
}

impl<F: AsFd> Lines<F> {
    fn new(fd: F) -> Self {
        Lines { fd, buf: Vec::new(), start: 0 }
    }

    /// A line with its newline; at end of file, what there is after the last newline, or nothing.
    fn next(&mut self) -> nix::Result<Vec<u8>> {
        let mut searched = 0;
        loop {
            let unread = &self.buf[self.start..];
            if let Some(at) = unread[searched..].iter().position(|&byte| byte == b'\n') {
                let line = unread[..=searched + at].to_vec();
                self.start += line.len();
                return Ok(line);
            }
            searched = unread.len();
            if self.fill()? == 0 {
                return Ok(self.take());
            }
        }
    }

    /// What there is, or what comes next; nothing at end of file.
    fn some(&mut self) -> nix::Result<Vec<u8>> {
        if self.start == self.buf.len() {
            self.fill()?;
        }
        Ok(self.take())
    }

    /// Reads once and says how much came.
    fn fill(&mut self) -> nix::Result<usize> {
        let mut some = [0; unp::BUFFER];
        let n = unp::read_some(&self.fd, &mut some)?;
        self.buf.drain(..self.start);
        self.start = 0;
        self.buf.extend_from_slice(&some[..n]);
        Ok(n)
    }

    fn take(&mut self) -> Vec<u8> {
        let unread = self.buf.split_off(self.start);
        self.buf.clear();
        self.start = 0;
        unread
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::pipe;

    #[test]
    fn lines_keep_what_came_with_them() {
        let (from, to) = pipe().unwrap();
        unp::writen(&to, b"one\n\n\0two\xff\nrest").unwrap();
        drop(to);
        let mut lines = Lines::new(from);
        assert_eq!(lines.next().unwrap(), b"one\n");
        assert_eq!(lines.next().unwrap(), b"\n");
        assert_eq!(lines.next().unwrap(), b"\0two\xff\n");
        assert_eq!(lines.next().unwrap(), b"rest");
        assert_eq!(lines.next().unwrap(), b"");
    }

    #[test]
    fn some_hands_out_what_next_left() {
        let (from, to) = pipe().unwrap();
        unp::writen(&to, b"one\ntwo").unwrap();
        drop(to);
        let mut lines = Lines::new(from);
        assert_eq!(lines.next().unwrap(), b"one\n");
        assert_eq!(lines.some().unwrap(), b"two");
        assert_eq!(lines.some().unwrap(), b"");
    }
}
