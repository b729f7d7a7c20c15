//! The event-driven server: one process, which waits for all clients at once with poll
//! (UNPv1 §6.11) and never blocks on one of them (§16.2, §16.6).

use std::convert::Infallible;
use std::ffi::OsString;
use std::iter;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{read, write};

use crate::Program;
use crate::unp::{self, Failed, Listener};

pub(crate) const PROGRAM: Program = Program {
    name: "event",
    usage: "event [PORT]",
    about: "the event-driven echo server: one process, which polls",
    run: |args| unp::give_up(&PROGRAM, serve(args)),
};

fn serve(args: &[OsString]) -> Result<Infallible, Failed> {
    let mut listener = Listener::open(&PROGRAM, unp::port(args, 1)?)?;
    unp::ignore_sigpipe()?;
    set_nonblocking(&listener).map_err(Failed::call("fcntl"))?;
    let mut clients: Vec<Client> = Vec::new();
    loop {
        let newcomer = PollFd::new(listener.as_fd(), PollFlags::POLLIN);
        let mut fds: Vec<_> = iter::once(newcomer).chain(clients.iter().map(Client::wish)).collect();
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            polled => polled.map_err(Failed::call("poll"))?,
        };
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(true)).collect();
        // Those who leave first: a newcomer may need their descriptor.
        let mut served = ready[1..].iter();
        clients.retain_mut(|client| !served.next().is_some_and(|&ready| ready) || client.echo());
        if ready[0] {
            clients.extend(newcomer_of(&mut listener)?);
        }
    }
}

/// Accepts a client, unless it has gone meanwhile or there is no descriptor for it.
fn newcomer_of(listener: &mut Listener) -> Result<Option<Client>, Failed> {
    match listener.try_accept() {
        Ok(sock) => {
            set_nonblocking(&sock).map_err(Failed::call("fcntl"))?;
            Ok(Some(Client { sock, unsent: Vec::new() }))
        }
        Err(errno) if unp::is_shortage(errno) => {
            listener.turn_away(errno).map_err(Failed::call("accept"))?;
            Ok(None)
        }
        Err(errno @ (Errno::EBADF | Errno::EINVAL | Errno::ENOTSOCK)) => Err(Failed::Call("accept", errno)),
        Err(_) => Ok(None),
    }
}

struct Client {
    sock: OwnedFd,
    /// Read, and not yet written. No more is read before all of it is out, so a client that does
    /// not read costs one buffer, and end of file is seen when nothing is left to send.
    unsent: Vec<u8>,
}

impl Client {
    fn wish(&self) -> PollFd<'_> {
        let reading = self.unsent.is_empty();
        let events = if reading { PollFlags::POLLIN } else { PollFlags::POLLOUT };
        PollFd::new(self.sock.as_fd(), events)
    }

    /// Goes as far as it can without waiting; false when the client has left.
    fn echo(&mut self) -> bool {
        match self.try_echo() {
            Ok(stays) => stays,
            Err(Errno::EAGAIN | Errno::EINTR) => true,
            Err(errno) => {
                if !unp::is_reset(errno) {
                    unp::complain(&PROGRAM, Failed::Call("echo", errno));
                }
                false
            }
        }
    }

    fn try_echo(&mut self) -> nix::Result<bool> {
        if self.unsent.is_empty() {
            let mut buf = [0; unp::BUFFER];
            let n = read(&self.sock, &mut buf)?;
            if n == 0 {
                return Ok(false);
            }
            self.unsent.extend_from_slice(&buf[..n]);
        }
        let n = write(&self.sock, &self.unsent)?;
        self.unsent.drain(..n);
        Ok(true)
    }
}

fn set_nonblocking(fd: impl AsFd) -> nix::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
    fcntl(&fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).map(drop)
}
