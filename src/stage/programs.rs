//! Starting the subject's programs.

use std::ffi::{CString, NulError, OsStr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::pty::{PtyMaster, grantpt, posix_openpt, unlockpt};
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};
use nix::sys::stat::Mode;
use nix::sys::termios::{LocalFlags, OutputFlags, SetArg, tcgetattr, tcsetattr};
use nix::unistd::{ForkResult, Pid, dup2_raw, execve, fork, read, setsid, write};

use super::platform;
use crate::scenario::Limits;

/// What is to be started.
#[derive(Debug)]
pub struct Spawn<'a> {
    /// The file to execute.
    pub program: &'a str,
    /// Its words, the program's name first.
    pub words: &'a [String],
    /// What the stage calls it; its processes carry the name in FORKSPEC_PROGRAM.
    pub name: &'a str,
    /// Resource limits.
    pub limits: Limits,
    /// What standard input is.
    pub console: Console<'a>,
}

/// What a program has for standard input. Standard output is a terminal always, so that what C programs print
/// comes line by line; standard error is a pipe.
#[derive(Debug, Clone, Copy)]
pub enum Console<'c> {
    /// Nothing: `/dev/null`.
    Null,
    /// A pipe.
    Pipe,
    /// The terminal.
    Terminal,
    /// This connection, which is standard output and standard error too (inetd's way).
    Socket(BorrowedFd<'c>),
    /// Nothing; this connection is handed over as descriptor [`HANDED_OVER`].
    Descriptor(BorrowedFd<'c>),
}

/// The number of a connection that is handed over beside the standard descriptors.
pub const HANDED_OVER: RawFd = 3;

/// A program that was started.
#[derive(Debug)]
pub struct Spawned {
    /// Its process.
    pub pid: Pid,
    /// The runner's end of its standard input; the terminal's master if that is a terminal.
    pub stdin: Option<OwnedFd>,
    /// The runner's end of its standard output.
    pub stdout: OwnedFd,
    /// The runner's end of its standard error.
    pub stderr: OwnedFd,
}

/// Why a program could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The runner could not do its part.
    #[error("{what}: {errno}")]
    Runner {
        /// What it did.
        what: &'static str,
        /// What the system said.
        errno: Errno,
    },
    /// The program could not be executed.
    #[error("it cannot be executed: {0}")]
    Exec(Errno),
    /// A word of the command has a NUL byte.
    #[error("a word of its command has a NUL byte")]
    Nul(#[from] NulError),
}

/// A pipe that is closed when a program is executed: what is read, and what is written.
fn pipe() -> Result<(OwnedFd, OwnedFd), SpawnError> {
    let failed = |error: std::io::Error| runner("pipe")(Errno::from_raw(error.raw_os_error().unwrap_or(0)));
    let (reader, writer) = std::io::pipe().map_err(failed)?;
    Ok((reader.into(), writer.into()))
}

fn runner(what: &'static str) -> impl Fn(Errno) -> SpawnError {
    move |errno| SpawnError::Runner { what, errno }
}

/// Starts a program in a session of its own, with nothing inherited but its three standard descriptors.
pub fn spawn(spawn: &Spawn<'_>) -> Result<Spawned, SpawnError> {
    let program = CString::new(spawn.program)?;
    let words: Vec<CString> = spawn.words.iter().map(|word| CString::new(word.as_str())).collect::<Result<_, _>>()?;
    let environment = environment(spawn.name)?;

    let (master, slave) = terminal().map_err(runner("opening a terminal"))?;
    let (stderr, stderr_end) = pipe()?;
    let (stdin_end, stdin) = match spawn.console {
        Console::Socket(connection) => {
            (connection.try_clone_to_owned().map_err(|_| runner("dup")(Errno::last()))?, None)
        }
        Console::Null | Console::Descriptor(_) => {
            let null = open("/dev/null", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
            (null.map_err(runner("/dev/null"))?, None)
        }
        Console::Pipe => {
            let (end, ours) = pipe()?;
            (end, Some(ours))
        }
        Console::Terminal => {
            let copy = slave.try_clone().map_err(|_| runner("dup")(Errno::last()))?;
            let ours = master.try_clone().map_err(|_| runner("dup")(Errno::last()))?;
            (copy, Some(ours))
        }
    };
    for descriptor in stdin.iter().chain([&master, &stderr]) {
        fcntl(descriptor, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(runner("fcntl"))?;
    }
    let (failure, low_end) = pipe()?;
    let failure_end = owned_above(low_end.as_fd()).map_err(runner("dup"))?;
    drop(low_end);

    // SAFETY: the player has one thread. The child makes system calls only and then executes the program or ends.
    match unsafe { fork() }.map_err(runner("fork"))? {
        ForkResult::Child => {
            let ends = match spawn.console {
                Console::Socket(connection) => [connection.as_raw_fd(); 3],
                _ => [stdin_end.as_raw_fd(), slave.as_raw_fd(), stderr_end.as_raw_fd()],
            };
            let errno = become_program(spawn, ends, &program, &words, &environment);
            let _ = write(&failure_end, &(errno as i32).to_ne_bytes());
            // SAFETY: ends the child without running what the player has registered for its own end.
            unsafe { libc::_exit(127) }
        }
        ForkResult::Parent { child } => {
            drop(failure_end);
            let mut errno = [0; 4];
            // The pipe ends without a byte when the program is executed.
            match read(&failure, &mut errno) {
                Ok(4) => {
                    let _ = nix::sys::wait::waitpid(child, None);
                    Err(SpawnError::Exec(Errno::from_raw(i32::from_ne_bytes(errno))))
                }
                _ => Ok(Spawned { pid: child, stdin, stdout: master, stderr }),
            }
        }
    }
}

/// Standard output is a terminal, but nobody looks at it: no colours (term(7), no-color.org).
const OWN: [(&str, &str); 2] = [("TERM", "dumb"), ("NO_COLOR", "1")];

/// What a job of GitHub Actions can do, and where it writes its results, is no program's business.
const OF_THE_CI: [&str; 2] = ["ACTIONS_", "GITHUB_"];

fn environment(name: &str) -> Result<Vec<CString>, NulError> {
    let entry = |key: &OsStr, value: &OsStr| CString::new([key.as_bytes(), b"=", value.as_bytes()].concat());
    let mut environment: Vec<CString> = std::env::vars_os()
        .filter(|(key, _)| OWN.iter().all(|(own, _)| key != own))
        .filter(|(key, _)| !OF_THE_CI.iter().any(|prefix| key.as_bytes().starts_with(prefix.as_bytes())))
        .map(|(key, value)| entry(&key, &value))
        .collect::<Result<_, _>>()?;
    for (key, value) in OWN.into_iter().chain([("FORKSPEC_PROGRAM", name)]) {
        environment.push(entry(OsStr::new(key), OsStr::new(value))?);
    }
    Ok(environment)
}

/// Runs in the child; returns only if something failed.
fn become_program(spawn: &Spawn<'_>, ends: [RawFd; 3], program: &CString, words: &[CString], env: &[CString]) -> Errno {
    let prepare = || -> nix::Result<()> {
        setsid()?;
        if matches!(spawn.console, Console::Terminal) {
            // SAFETY: makes the terminal, an open descriptor, the session's controlling one.
            Errno::result(unsafe { libc::ioctl(ends[1], libc::TIOCSCTTY as _, 0) })?;
        }
        // Any of them can have a number that is about to be given to another: they go out of the way first.
        let ends = [above(borrow(ends[0]))?, above(borrow(ends[1]))?, above(borrow(ends[2]))?];
        let handed_over = match spawn.console {
            Console::Descriptor(connection) => Some(above(connection)?),
            _ => None,
        };
        for (number, end) in ends.into_iter().enumerate() {
            // SAFETY: replaces a standard descriptor of the child, which nothing in it owns; it stays open.
            let _ = unsafe { dup2_raw(borrow(end), number as RawFd)? }.into_raw_fd();
        }
        let mut first_to_close = 3;
        if let Some(connection) = handed_over {
            // SAFETY: replaces a descriptor of the child that nothing in it uses any more; it stays open.
            let _ = unsafe { dup2_raw(borrow(connection), HANDED_OVER)? }.into_raw_fd();
            first_to_close = HANDED_OVER as u32 + 1;
        }
        for number in Signal::iterator().filter(|number| !matches!(number, Signal::SIGKILL | Signal::SIGSTOP)) {
            // SAFETY: restores the default; no handler of ours is involved.
            unsafe { signal(number, SigHandler::SigDfl)? };
        }
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
        limit(libc::RLIMIT_CORE as _, Some(SMALLEST_CORE))?;
        limit(libc::RLIMIT_FSIZE as _, Some(LARGEST_FILE))?;
        limit(libc::RLIMIT_NOFILE as _, spawn.limits.descriptors)?;
        limit(libc::RLIMIT_NPROC as _, spawn.limits.processes)?;
        // SAFETY: changes nothing but the priority of the child, and needs no privilege.
        unsafe { libc::nice(BEHIND_THE_PLAYER) };
        platform::drop_privileges();
        platform::close_on_exec_from(first_to_close);
        Ok(())
    };
    match prepare() {
        Ok(()) => match execve(program, words, env) {
            Ok(never) => match never {},
            Err(errno) => errno,
        },
        Err(errno) => errno,
    }
}

/// A copy of a descriptor beyond those that a program is given.
fn above(descriptor: BorrowedFd<'_>) -> nix::Result<RawFd> {
    fcntl(descriptor, FcntlArg::F_DUPFD_CLOEXEC(HANDED_OVER + 1))
}

fn owned_above(descriptor: BorrowedFd<'_>) -> nix::Result<OwnedFd> {
    // SAFETY: the copy is new and nobody else's.
    above(descriptor).map(|number| unsafe { OwnedFd::from_raw_fd(number) })
}

fn borrow(number: RawFd) -> BorrowedFd<'static> {
    // SAFETY: the descriptor is open in the child, and it stays so until the program is executed.
    unsafe { BorrowedFd::borrow_raw(number) }
}

/// nix does not know every limit on every system.
fn limit(resource: i32, soft: Option<u64>) -> nix::Result<()> {
    let Some(soft) = soft else { return Ok(()) };
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: fills in `limit`, which is ours.
    Errno::result(unsafe { libc::getrlimit(resource as _, &raw mut limit) })?;
    limit.rlim_cur = limit.rlim_max.min(soft as libc::rlim_t);
    // SAFETY: reads `limit`, which is ours.
    Errno::result(unsafe { libc::setrlimit(resource as _, &raw const limit) }).map(drop)
}

/// A limit of 0 does not keep the kernel from handing a core to a program, and a limit of 1 does (core(5)).
const SMALLEST_CORE: u64 = 1;
/// How much nicer programs are than the player (nice(2)): a processor is shared three to one. With fifty programs at it
/// without end the player still sees what they do, and ends it; more than this would slow down programs that are idle.
const BEHIND_THE_PLAYER: i32 = 5;
/// The largest file that a program can write: 64 MiB.
const LARGEST_FILE: u64 = 64 << 20;

/// A terminal that neither echoes nor translates: both ends.
fn terminal() -> nix::Result<(OwnedFd, OwnedFd)> {
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let slave = platform::slave_of(&master)?;
    let mut settings = tcgetattr(&slave)?;
    settings.output_flags.remove(OutputFlags::OPOST);
    settings.local_flags.remove(LocalFlags::ECHO | LocalFlags::ECHOE | LocalFlags::ECHOK | LocalFlags::ECHONL);
    tcsetattr(&slave, SetArg::TCSANOW, &settings)?;
    Ok((owned(master), slave))
}

fn owned(master: PtyMaster) -> OwnedFd {
    OwnedFd::from(master)
}
