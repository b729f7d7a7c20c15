//! The server that inetd would exec: the connection is already there, as descriptors 0 and 1
//! (UNPv1 §13.5), and who the client is must be asked from the kernel (§4.10).

use std::ffi::OsString;
use std::os::fd::{BorrowedFd, RawFd};
use std::process::ExitCode;

use nix::errno::Errno;
use nix::sys::socket::{SockaddrLike, SockaddrStorage, getpeername, getsockname};

use crate::Program;
use crate::unp::{self, Failed};

pub(crate) const PROGRAM: Program = Program {
    name: "inetd",
    usage: "inetd [DESCRIPTOR]",
    about: "the echo server that is given its client as descriptors 0 and 1, or as the one named",
    run: |args| match serve(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => unp::fail(&PROGRAM, why),
    },
};

fn serve(args: &[OsString]) -> Result<(), Failed> {
    let (from, to): (RawFd, RawFd) = match args {
        [] => (0, 1),
        [fd] => unp::number(fd).filter(|&fd| fd >= 0).map(|fd| (fd, fd)).ok_or(Failed::Usage)?,
        _ => return Err(Failed::Usage),
    };
    unp::ignore_sigpipe()?;
    let client: SockaddrStorage = getpeername(from).map_err(Failed::call("getpeername"))?;
    let own: SockaddrStorage = getsockname(from).map_err(Failed::call("getsockname"))?;
    match own.family() {
        Some(family) => unp::complain(&PROGRAM, format_args!("{client} by {family:?}")),
        None => return Err(Failed::Call("getsockname", Errno::EAFNOSUPPORT)),
    }
    // SAFETY: both descriptors were handed over by exec; nothing here closes or replaces them.
    let (from, to) = unsafe { (BorrowedFd::borrow_raw(from), BorrowedFd::borrow_raw(to)) };
    match unp::str_echo(from, to) {
        Err(errno) if !unp::is_reset(errno) => Err(Failed::Call("str_echo", errno)),
        // A client that resets ends this process, quietly: it was its only one.
        _ => Ok(()),
    }
}
