//! Peers: TCP endpoints of the runner's own.

use std::io::{self, ErrorKind, Read};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, connect, getsockopt, setsockopt, socket, sockopt,
};

use super::capture::Capture;
use super::outbox::Outbox;
use super::room::Room;
use crate::observe::Pair;

/// The most that one turn reads from one endpoint, so that no flood keeps the player from everything else.
pub const TURN: usize = 1 << 20;

/// A TCP socket that no program inherits and that never makes the player wait. The flags of socket(2) that say so are
/// not everywhere.
pub fn tcp_socket(family: AddressFamily) -> nix::Result<OwnedFd> {
    let descriptor = socket(family, SockType::Stream, SockFlag::empty(), None)?;
    fcntl(&descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    fcntl(&descriptor, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(descriptor)
}

/// How the other side ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// read returned 0.
    Fin,
    /// read or write failed with ECONNRESET or EPIPE.
    Reset,
}

/// One endpoint.
#[derive(Debug)]
pub struct Peer {
    stream: Option<TcpStream>,
    /// The addresses of its connection, its own first.
    pub pair: Pair,
    /// What arrived.
    pub inbox: Capture,
    /// What is still to be sent.
    pub outbox: Outbox,
    /// A FIN is to go out behind what is still to be sent.
    ending: bool,
    /// It has connected, so that what comes answers what it has sent.
    pub asks: bool,
    /// Whether it reads.
    pub reading: bool,
    /// Whether it sends back what it reads, as an echo server does.
    echoes: bool,
    /// How the other side ended the connection, if it did.
    pub ended: Option<Ended>,
    /// and during which step that was seen.
    pub ended_in: Option<usize>,
    /// When something moved last, in one direction or the other.
    heard: Instant,
    /// How long nothing had moved when the other side ended the connection.
    pub silence: Option<Duration>,
}

impl Peer {
    /// Connects. The handshake is the kernel's; the server need not have called accept.
    pub fn connect(to: SocketAddr, room: Room, patience: Duration) -> io::Result<Peer> {
        let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let descriptor = tcp_socket(family)?;
        room.furnish(&descriptor)?;
        match connect(std::os::fd::AsRawFd::as_raw_fd(&descriptor), &SockaddrStorage::from(to)) {
            Ok(()) => {}
            Err(Errno::EINPROGRESS) => {
                let mut fds = [PollFd::new(descriptor.as_fd(), PollFlags::POLLOUT)];
                let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
                if poll(&mut fds, timeout)? == 0 {
                    return Err(io::Error::from_raw_os_error(libc::ETIMEDOUT));
                }
                match getsockopt(&descriptor, sockopt::SocketError)? {
                    0 => {}
                    errno => return Err(io::Error::from_raw_os_error(errno)),
                }
            }
            Err(errno) => return Err(errno.into()),
        }
        Peer::new(TcpStream::from(descriptor), true)
    }

    /// Accepts on a listening socket; `None` if no connection waits.
    pub fn accept(listener: &TcpListener) -> io::Result<Option<Peer>> {
        match listener.accept() {
            Ok((stream, _)) => Peer::new(stream, false).map(Some),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn new(stream: TcpStream, asks: bool) -> io::Result<Peer> {
        stream.set_nonblocking(true)?;
        // What a scenario sends in two steps must not wait for an acknowledgment (Nagle, UNPv1 §7.9).
        stream.set_nodelay(true)?;
        // An IPv6 socket shows a client that came by IPv4 under a mapped address (RFC 4291 §2.5.5.2).
        let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        let pair = Pair { local: plain(stream.local_addr()?), remote: plain(stream.peer_addr()?) };
        Ok(Peer {
            stream: Some(stream),
            pair,
            inbox: Capture::default(),
            outbox: Outbox::default(),
            ending: false,
            asks,
            reading: true,
            echoes: false,
            ended: None,
            ended_in: None,
            heard: Instant::now(),
            silence: None,
        })
    }

    /// Sends and reads what can be without waiting, by way of `scratch`. Returns whether anything moved.
    pub fn turn(&mut self, scratch: &mut [u8]) -> bool {
        let mut moved = self.write();
        if self.reading && self.ended.is_none() && self.read(scratch) {
            moved = true;
            self.write();
        }
        if self.ended.is_some() {
            self.silence.get_or_insert_with(|| self.heard.elapsed());
        } else if moved {
            self.heard = Instant::now();
        }
        moved
    }

    /// Sends what can be without waiting, and the FIN behind it. Returns whether anything moved.
    fn write(&mut self) -> bool {
        let Some(stream) = &self.stream else { return false };
        let mut moved = match self.outbox.write(|bytes| nix::unistd::write(stream, bytes)) {
            Ok(sent) => sent,
            Err(_) => {
                self.ended = Some(Ended::Reset);
                self.outbox.clear();
                true
            }
        };
        if self.ending && self.outbox.is_empty() {
            self.ending = false;
            // It can only fail because the other side has reset the connection; that is seen by reading.
            let _ = stream.shutdown(Shutdown::Write);
            moved = true;
        }
        moved
    }

    /// Sends back what was not asked for yet, and from now on what arrives.
    pub fn echo(&mut self) {
        if !std::mem::replace(&mut self.echoes, true) && !self.inbox.unread().is_empty() {
            self.outbox.send_back(Arc::new(self.inbox.unread().to_vec()));
        }
    }

    /// Whether the runner has it open still.
    pub fn is_open(&self) -> bool {
        self.stream.is_some()
    }

    /// Reads what has come. Returns whether anything has.
    fn read(&mut self, buffer: &mut [u8]) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        let mut count = 0;
        while count < TURN && self.inbox.has_room() {
            match stream.read(buffer) {
                Ok(0) => self.ended = Some(Ended::Fin),
                Ok(length) => {
                    self.inbox.push(&buffer[..length]);
                    if self.echoes {
                        self.outbox.send_back(Arc::new(buffer[..length].to_vec()));
                    }
                    count += length;
                    if length < buffer.len() {
                        return true;
                    }
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return count > 0,
                Err(_) => self.ended = Some(Ended::Reset),
            }
            self.inbox.ended = true;
            return true;
        }
        count > 0
    }

    /// What to wait for on it.
    pub fn interest(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let stream = self.stream.as_ref()?;
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::POLLIN, self.reading && self.ended.is_none() && self.inbox.has_room());
        flags.set(PollFlags::POLLOUT, !self.outbox.is_empty());
        (!flags.is_empty()).then(|| (stream.as_fd(), flags))
    }

    /// Reads again, and lets as much be under way as is usual.
    pub fn resume(&mut self) -> io::Result<()> {
        self.reading = true;
        if let Some(stream) = &self.stream {
            // A connection that was reset takes no options any more on some systems; nothing comes there either.
            let _ = Room::widen(stream);
        }
        Ok(())
    }

    /// Closes the socket: a FIN, or a RST if something that arrived was not read.
    pub fn close(&mut self) {
        self.stream = None;
    }

    /// Closes the socket with a RST.
    pub fn reset(&mut self) -> io::Result<()> {
        if let Some(stream) = self.stream.take() {
            setsockopt(&stream, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 })?;
        }
        Ok(())
    }

    /// Sends a FIN, behind all that is still to be sent, and keeps reading; an echo goes on no longer.
    pub fn half_close(&mut self) -> io::Result<()> {
        self.echoes = false;
        match &self.stream {
            Some(_) if !self.outbox.is_empty() => {
                self.ending = true;
                Ok(())
            }
            Some(stream) => match stream.shutdown(Shutdown::Write) {
                // The other side has reset the connection; that is seen by reading.
                Err(error) if error.kind() == ErrorKind::NotConnected => Ok(()),
                result => result,
            },
            None => Ok(()),
        }
    }
}
