//! The preforked server: workers that are forked at startup, each of which accepts from the shared
//! listening socket (UNPv1 §30.6).

use std::convert::Infallible;
use std::ffi::OsString;
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SigHandler, SigSet, Signal};
use nix::unistd::{ForkResult, fork};

use crate::Program;
use crate::unp::{self, Failed, Listener};

pub(crate) const PROGRAM: Program = Program {
    name: "prefork",
    usage: "prefork [PORT [WORKERS]]",
    about: "the preforked echo server: workers (4, or at most 64) share the listening socket",
    run: |args| unp::give_up(&PROGRAM, serve(args)),
};

/// The process ids of the workers; 0 where there is none. The signal handler reads them.
static WORKERS: [AtomicI32; 64] = [const { AtomicI32::new(0) }; 64];

fn serve(args: &[OsString]) -> Result<Infallible, Failed> {
    let port = unp::port(args, 2)?;
    let count = args.get(1).map_or(Some(4), unp::number).ok_or(Failed::Usage)?;
    let workers = WORKERS.get(..count).filter(|_| count > 0).ok_or(Failed::Usage)?;
    let mut listener = Listener::open(&PROGRAM, port)?;
    unp::ignore_sigpipe()?;
    unp::on_signal(Signal::SIGTERM, SigHandler::Handler(stop))?;
    unp::on_signal(Signal::SIGINT, SigHandler::Handler(stop))?;
    loop {
        for vacant in workers.iter().filter(|worker| worker.load(SeqCst) == 0) {
            if let Err(errno) = start(vacant, &mut listener) {
                unp::complain(&PROGRAM, Failed::Call("fork", errno));
            }
        }
        // With no worker at all this fails with ECHILD.
        let (pid, how) = wait_for_a_worker().map_err(Failed::call("waitpid"))?;
        if let Some(worker) = workers.iter().find(|worker| worker.load(SeqCst) == pid) {
            worker.store(0, SeqCst);
            unp::complain(&PROGRAM, format_args!("worker {pid} {how} and is replaced"));
        }
    }
}

/// Forks a worker, and writes its process id down before a signal can ask for it.
fn start(worker: &AtomicI32, listener: &mut Listener) -> nix::Result<()> {
    let stops = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT]);
    stops.thread_block()?;
    // SAFETY: this process has one thread, so the child may do whatever the parent may.
    let forked = match unsafe { fork() } {
        Ok(ForkResult::Child) => unp::exit_child(work(listener, &stops)),
        Ok(ForkResult::Parent { child }) => {
            worker.store(child.as_raw(), SeqCst);
            Ok(())
        }
        Err(errno) => Err(errno),
    };
    stops.thread_unblock()?;
    forked
}

/// What a worker does: it is an iterative server, one of several.
fn work(listener: &mut Listener, stops: &SigSet) -> nix::Result<()> {
    for signal in stops {
        if let Err(why) = unp::on_signal(signal, SigHandler::SigDfl) {
            unp::complain(&PROGRAM, why);
        }
    }
    // A parent that is killed cannot stop its workers; Linux does it for it.
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?;
    stops.thread_unblock()?;
    loop {
        let connected = listener.accept().inspect_err(|&errno| {
            unp::complain(&PROGRAM, Failed::Call("accept", errno));
        })?;
        // What was wrong with this client has been said, and does not concern the next one.
        let _ = unp::serve_client(&PROGRAM, &connected);
    }
}

/// Blocks until a worker ends; its process id, and how it ended in words.
fn wait_for_a_worker() -> nix::Result<(i32, String)> {
    loop {
        let mut status = 0;
        // SAFETY: status outlives the call. (nix's waitpid fails on real-time signals.)
        match Errno::result(unsafe { libc::waitpid(-1, &raw mut status, 0) }) {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
            Ok(pid) if libc::WIFSIGNALED(status) => {
                let signal = libc::WTERMSIG(status);
                return Ok((pid, format!("was killed by signal {signal}")));
            }
            Ok(pid) => {
                let code = libc::WEXITSTATUS(status);
                return Ok((pid, format!("ended with exit code {code}")));
            }
        }
    }
}

/// Ends the workers, then this process by the same signal (UNPv1 §30.6).
extern "C" fn stop(signal: libc::c_int) {
    for worker in &WORKERS {
        match worker.load(SeqCst) {
            0 => {}
            // SAFETY: kill is async-signal-safe; the process is a child not yet reaped.
            pid => drop(unsafe { libc::kill(pid, libc::SIGTERM) }),
        }
    }
    // SAFETY: both are async-signal-safe; the signal is delivered when this handler returns.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}
