//! The echo client that waits for its standard input and for the server at once (UNPv1 §6.4, §6.7,
//! §6.10): it notices the server's end whenever it comes, and does not stop and wait.

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
    name: "client-poll",
    usage: "client-poll HOST [PORT]",
    about: "the echo client of chapter 6: watches its input and the server at once",
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
    let (stdin, stdout) = (io::stdin(), io::stdout());
    let mut buf = [0; unp::BUFFER];
    // Read from the input, and not yet sent. No more is read before all of it is out.
    let mut unsent = Vec::new();
    let mut half_closed = false;
    loop {
        let mut wish = PollFlags::POLLIN;
        wish.set(PollFlags::POLLOUT, !unsent.is_empty());
        let mut fds = vec![PollFd::new(sock.as_fd(), wish)];
        if unsent.is_empty() && !half_closed {
            fds.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            polled => polled.map_err(Failed::call("poll"))?,
        };
        let server = fds[0].revents().unwrap_or(PollFlags::POLLERR);
        // Also if poll cannot tell, as for some devices on macOS: then the read waits.
        let input = fds.get(1).is_some_and(|fd| fd.any().unwrap_or(true));

        if input {
            match unp::read_some(&stdin, &mut buf).map_err(Failed::call("stdin"))? {
                0 => {
                    // There is no more to send, but there may be more to come (UNPv1 §6.6).
                    half_closed = unp::half_close(sock)?;
                }
                n => unsent.extend_from_slice(&buf[..n]),
            }
        }
        // After the input: if both have ended, the server's end is not premature.
        if server.intersects(!PollFlags::POLLOUT) {
            match unp::read_some(sock, &mut buf).map_err(Failed::talk("read"))? {
                0 if half_closed => return Ok(()),
                0 => return Err(Failed::ServerTerminated(None)),
                n => unp::writen(&stdout, &buf[..n]).map_err(Failed::call("stdout"))?,
            }
        }
        if !unsent.is_empty() {
            match send(sock.as_raw_fd(), &unsent, MsgFlags::MSG_DONTWAIT) {
                Ok(sent) => drop(unsent.drain(..sent)),
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(errno) => return Err(Failed::talk("write")(errno)),
            }
        }
    }
}
