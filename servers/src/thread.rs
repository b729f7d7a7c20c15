//! The threaded server: one thread for each client (UNPv1 §26.4, §30.10).

use std::convert::Infallible;
use std::ffi::OsString;
use std::thread;

use nix::errno::Errno;

use crate::Program;
use crate::unp::{self, Failed, Listener};

pub(crate) const PROGRAM: Program = Program {
    name: "thread",
    usage: "thread [PORT]",
    about: "the threaded echo server: a thread for each client",
    run: |args| unp::give_up(&PROGRAM, serve(args)),
};

fn serve(args: &[OsString]) -> Result<Infallible, Failed> {
    let mut listener = Listener::open(&PROGRAM, unp::port(args, 1)?)?;
    unp::ignore_sigpipe()?;
    loop {
        let connected = listener.accept().map_err(Failed::call("accept"))?;
        // The thread owns the connected socket and closes it; all threads share one descriptor
        // table, so there is no copy for this one to close. Nobody joins it: it is detached.
        let echo = move || {
            let _ = unp::serve_client(&PROGRAM, &connected);
        };
        if let Err(why) = thread::Builder::new().spawn(echo) {
            // The closure has been dropped, and with it the connected socket.
            let errno = Errno::from_raw(why.raw_os_error().unwrap_or_default());
            unp::complain(&PROGRAM, Failed::Call("thread", errno));
        }
    }
}
