//! What the programs share, as those of the book share `unp.h`.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fmt::{self, Display};
use std::fs::File;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::process::ExitCode;

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::socket::{
    AddressFamily, Backlog, Shutdown, SockFlag, SockType, SockaddrIn, SockaddrStorage, accept, bind, connect, listen,
    setsockopt, shutdown, socket, sockopt,
};
use nix::unistd::{read, write};

use crate::Program;

/// The port of the book's echo server (UNPv1 §5.2).
const SERV_PORT: u16 = 9877;

/// How many connections may wait to be accepted, where the system allows as many (UNPv1 §4.5).
const LISTENQ: i32 = 1024;

/// How many bytes are read at once.
pub(crate) const BUFFER: usize = 16 * 1024;

// ---- Errors and messages ------------------------------------------------------------------------

/// Why a program gives up.
#[derive(Debug)]
pub(crate) enum Failed {
    Usage,
    BadAddress(String),
    /// A call that failed, by its name.
    Call(&'static str, Errno),
    /// The server's end came too early: by a FIN, or with the error that a RST leaves behind.
    ServerTerminated(Option<Errno>),
}

impl Failed {
    /// For `map_err`: the call of this name failed.
    pub(crate) fn call(name: &'static str) -> impl Fn(Errno) -> Failed {
        move |errno| Failed::Call(name, errno)
    }

    /// The same, for a call on a connection to the server, where a RST means that the server has
    /// gone: ECONNRESET to the one who reads, EPIPE to the one who writes after it (UNPv1 §5.13).
    pub(crate) fn talk(name: &'static str) -> impl Fn(Errno) -> Failed {
        move |errno| match errno {
            Errno::ECONNRESET | Errno::EPIPE => Failed::ServerTerminated(Some(errno)),
            _ => Failed::Call(name, errno),
        }
    }
}

impl Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failed::Usage => write!(f, "usage"),
            Failed::BadAddress(what) => write!(f, "bad address: {what}"),
            Failed::Call(name, errno) => write!(f, "{name}: {}", text(*errno)),
            Failed::ServerTerminated(None) => write!(f, "server terminated prematurely"),
            Failed::ServerTerminated(Some(errno)) => {
                write!(f, "server terminated prematurely: {}", text(*errno))
            }
        }
    }
}

/// What the system calls this error; nix has its own words for some.
fn text(errno: Errno) -> String {
    let text = io::Error::from(errno).to_string();
    match text.split_once(" (os error") {
        Some((text, _)) => text.to_owned(),
        None => text,
    }
}

/// Says one line on stderr, in one write. `eprintln!` would panic if nobody reads it any more.
pub(crate) fn complain(program: &Program, what: impl Display) {
    let line = format!("{}: {what}\n", program.name);
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Says why the program ends, and gives its exit code.
pub(crate) fn fail(program: &Program, why: Failed) -> ExitCode {
    match why {
        Failed::Usage => {
            let _ = io::stderr().write_all(format!("usage: {}\n", program.usage).as_bytes());
        }
        why => complain(program, why),
    }
    ExitCode::FAILURE
}

/// The end of a server, which ends only if it fails.
pub(crate) fn give_up(program: &Program, served: Result<Infallible, Failed>) -> ExitCode {
    match served {
        Err(why) => fail(program, why),
    }
}

// ---- Reading and writing ------------------------------------------------------------------------

/// Reads what is there, or waits for it; a read that a signal interrupts is begun again.
pub(crate) fn read_some(fd: impl AsFd, buf: &mut [u8]) -> nix::Result<usize> {
    loop {
        match read(&fd, buf) {
            Err(Errno::EINTR) => {}
            done => return done,
        }
    }
}

/// Writes all of `buf`: a write may take less than it was given, or be interrupted (UNPv1 §3.9).
///
/// # Errors
/// That of the write that failed; how much went out before it is not told.
pub fn writen(fd: impl AsFd, buf: &[u8]) -> nix::Result<()> {
    write_all_by(|rest| write(&fd, rest), buf)
}

fn write_all_by(mut write: impl FnMut(&[u8]) -> nix::Result<usize>, mut rest: &[u8]) -> nix::Result<()> {
    while !rest.is_empty() {
        match write(rest) {
            Ok(written) => rest = &rest[written..],
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Sends back all that comes, until end of file (UNPv1 §5.3). Bytes, not lines.
///
/// # Errors
/// That of the read or write that failed; ECONNRESET and EPIPE mean that the client has gone.
pub fn str_echo(from: impl AsFd, to: impl AsFd) -> nix::Result<()> {
    let mut buf = [0; BUFFER];
    loop {
        match read_some(&from, &mut buf)? {
            0 => return Ok(()),
            n => writen(&to, &buf[..n])?,
        }
    }
}

/// Serves one client to its end. That a client goes away with a RST is its own affair; any other
/// error is said.
pub(crate) fn serve_client(program: &Program, connected: &OwnedFd) -> nix::Result<()> {
    let served = str_echo(connected, connected);
    if let Err(errno) = served
        && !is_reset(errno)
    {
        complain(program, Failed::Call("str_echo", errno));
    }
    served
}

/// The two errors by which a RST shows.
pub(crate) fn is_reset(errno: Errno) -> bool {
    matches!(errno, Errno::ECONNRESET | Errno::EPIPE)
}

// ---- Sockets ------------------------------------------------------------------------------------

/// The port of a server: the first argument, if there is one. No more than `most` are taken.
pub(crate) fn port(args: &[OsString], most: usize) -> Result<u16, Failed> {
    match args.first() {
        _ if args.len() > most => Err(Failed::Usage),
        None => Ok(SERV_PORT),
        Some(port) => number(port).ok_or(Failed::Usage),
    }
}

/// An argument as a number.
pub(crate) fn number<T: std::str::FromStr>(arg: &OsString) -> Option<T> {
    arg.to_str()?.parse().ok()
}

/// Connects to `HOST [PORT]` (UNPv1 §4.3, §5.4).
pub(crate) fn tcp_connect(args: &[OsString]) -> Result<OwnedFd, Failed> {
    let (host, port) = match args {
        [host] => (host, SERV_PORT),
        [host, port] => (host, number(port).ok_or(Failed::Usage)?),
        _ => return Err(Failed::Usage),
    };
    let host: IpAddr = number(host).ok_or_else(|| Failed::BadAddress(host.to_string_lossy().into_owned()))?;
    let (family, address) = match SocketAddr::new(host, port) {
        SocketAddr::V4(v4) => (AddressFamily::Inet, SockaddrStorage::from(v4)),
        SocketAddr::V6(v6) => (AddressFamily::Inet6, SockaddrStorage::from(v6)),
    };
    let sock = socket(family, SockType::Stream, SockFlag::empty(), None).map_err(Failed::call("socket"))?;
    connect(sock.as_raw_fd(), &address).map_err(Failed::call("connect"))?;
    Ok(sock)
}

/// Sends the FIN and goes on reading (UNPv1 §6.6). False if a RST was faster and there is no
/// connection left: what has come before it, and then the RST, can still be read.
pub(crate) fn half_close(sock: &OwnedFd) -> Result<bool, Failed> {
    match shutdown(sock.as_raw_fd(), Shutdown::Write) {
        Ok(()) => Ok(true),
        Err(Errno::ENOTCONN) => Ok(false),
        Err(errno) => Err(Failed::Call("shutdown", errno)),
    }
}

/// The listening socket of a server.
pub(crate) struct Listener {
    program: &'static Program,
    sock: OwnedFd,
    /// A descriptor in reserve. With none left `accept` fails, yet the client stays in the queue:
    /// the server would run in a circle. This one is given up to accept the client and send it away.
    spare: Option<File>,
}

impl Listener {
    /// Listens on the wildcard address: socket, bind, listen (UNPv1 §4.2, §4.4, §4.5).
    pub(crate) fn open(program: &'static Program, port: u16) -> Result<Self, Failed> {
        // First, so that it has the lowest number, should the limit be lowered later.
        let spare = spare();
        let sock =
            socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None).map_err(Failed::call("socket"))?;
        // Or a restart would fail while a connection of the last run is still there (UNPv1 §7.5).
        setsockopt(&sock, sockopt::ReuseAddr, &true).map_err(Failed::call("setsockopt"))?;
        bind(sock.as_raw_fd(), &SockaddrIn::new(0, 0, 0, 0, port)).map_err(Failed::call("bind"))?;
        // nix refuses a backlog above SOMAXCONN, which is 128 on macOS.
        let backlog = Backlog::new(LISTENQ).unwrap_or(Backlog::MAXCONN);
        listen(&sock, backlog).map_err(Failed::call("listen"))?;
        Ok(Listener { program, sock, spare })
    }

    /// Waits for a client (UNPv1 §4.6) and outlives what may go wrong meanwhile. An error means
    /// that nothing more can be done.
    pub(crate) fn accept(&mut self) -> nix::Result<OwnedFd> {
        let mut client_waits = false;
        self.spare = self.spare.take().or_else(spare);
        loop {
            match self.try_accept() {
                // Linux takes a descriptor before it looks for a client: wait for one, and try
                // again before sending it away.
                Err(errno) if is_shortage(errno) && !client_waits => {
                    let mut fds = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
                    client_waits = match poll(&mut fds, PollTimeout::NONE) {
                        Err(Errno::EINTR) => false,
                        polled => polled? > 0,
                    };
                }
                Err(errno) if is_shortage(errno) => {
                    self.turn_away(errno)?;
                    client_waits = false;
                }
                // The signal that a child ended (UNPv1 §5.9), a connection that was reset while it
                // waited (§5.11), or a network error that Linux hands on from the connection.
                Err(
                    Errno::EINTR
                    | Errno::ECONNABORTED
                    | Errno::EPROTO
                    | Errno::EPERM
                    | Errno::ENETDOWN
                    | Errno::ENETUNREACH
                    | Errno::EHOSTDOWN
                    | Errno::EHOSTUNREACH,
                ) => {}
                accepted => return accepted,
            }
        }
    }

    /// One call of accept, with all its errors.
    pub(crate) fn try_accept(&self) -> nix::Result<OwnedFd> {
        let fd = accept(self.sock.as_raw_fd())?;
        // SAFETY: accept has just made this descriptor, and nobody else knows it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// Accepts the next client with the spare descriptor and closes it. Fails with the shortage
    /// that led here when not even that is possible.
    pub(crate) fn turn_away(&mut self, shortage: Errno) -> nix::Result<()> {
        drop(self.spare.take().ok_or(shortage)?);
        let accepted = self.try_accept().map(drop);
        self.spare = spare();
        match accepted {
            Ok(()) => {
                let why = text(shortage);
                complain(self.program, format_args!("accept: {why}: a client is turned away"));
                Ok(())
            }
            Err(errno) if is_shortage(errno) => Err(errno),
            Err(_) => Ok(()),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.sock.as_fd()
    }
}

fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

/// Descriptors or memory have run out: trying again does not help, and the client stays queued.
pub(crate) fn is_shortage(errno: Errno) -> bool {
    matches!(errno, Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM)
}

// ---- Signals and processes ----------------------------------------------------------------------

/// Sets what a signal does (UNPv1 §5.8). System calls that it interrupts are not restarted, so that
/// they fail with EINTR on every system alike; children that are only stopped raise no SIGCHLD.
pub(crate) fn on_signal(signal: Signal, handler: SigHandler) -> Result<(), Failed> {
    let action = SigAction::new(handler, SaFlags::SA_NOCLDSTOP, SigSet::empty());
    // SAFETY: the handlers of this crate make async-signal-safe calls only and preserve errno.
    unsafe { sigaction(signal, &action) }.map(drop).map_err(Failed::call("sigaction"))
}

/// A write on a connection that was reset shall fail with EPIPE, not kill (UNPv1 §5.13).
pub(crate) fn ignore_sigpipe() -> Result<(), Failed> {
    on_signal(Signal::SIGPIPE, SigHandler::SigIgn)
}

/// Ends a forked child at once: nothing of the parent's is unwound or flushed a second time.
pub(crate) fn exit_child(served: nix::Result<()>) -> ! {
    // SAFETY: _exit does not return and touches no memory.
    unsafe { libc::_exit(i32::from(served.is_err())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_write_continues_and_an_interrupted_one_is_repeated() {
        let sent: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        let (mut got, mut calls) = (Vec::new(), 0);
        let take_three_or_none = |rest: &[u8]| {
            calls += 1;
            if calls % 5 == 0 {
                return Err(Errno::EINTR);
            }
            let n = rest.len().min(3);
            got.extend_from_slice(&rest[..n]);
            Ok(n)
        };
        assert_eq!(write_all_by(take_three_or_none, &sent), Ok(()));
        assert_eq!(got, sent);
    }

    #[test]
    fn a_failed_write_is_reported() {
        assert_eq!(write_all_by(|_| Err(Errno::EPIPE), b"x"), Err(Errno::EPIPE));
        assert_eq!(write_all_by(|_| Err(Errno::EPIPE), b""), Ok(()));
    }

    #[test]
    fn the_port_is_the_first_argument() {
        let args = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        assert_eq!(port(&args(&[]), 1).ok(), Some(9877));
        assert_eq!(port(&args(&["80"]), 1).ok(), Some(80));
        assert!(port(&args(&["http"]), 1).is_err());
        assert!(port(&args(&["65536"]), 1).is_err());
        assert!(port(&args(&["80", "81"]), 1).is_err());
    }
}
