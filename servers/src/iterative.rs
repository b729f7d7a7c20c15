//! The iterative server: one client after another, the others wait in the queue (UNPv1 §4.8, §30.3).

use std::convert::Infallible;
use std::ffi::OsString;

use crate::Program;
use crate::unp::{self, Failed, Listener};

pub(crate) const PROGRAM: Program = Program {
    name: "iterative",
    usage: "iterative [PORT]",
    about: "the iterative echo server: one client after another",
    run: |args| unp::give_up(&PROGRAM, serve(args)),
};

fn serve(args: &[OsString]) -> Result<Infallible, Failed> {
    let mut listener = Listener::open(&PROGRAM, unp::port(args, 1)?)?;
    unp::ignore_sigpipe()?;
    loop {
        let connected = listener.accept().map_err(Failed::call("accept"))?;
        // What was wrong with this client has been said, and does not concern the next one.
        let _ = unp::serve_client(&PROGRAM, &connected);
    }
}
