//! Rest is conservative: a process that can go on by itself is never taken to be at rest.

use std::ffi::CStr;
use std::io::Write;
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use nix::fcntl::{OFlag, open};
use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, kill, raise, sigaction, sigprocmask,
};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, setsockopt, socketpair, sockopt};
use nix::sys::stat::Mode;
use nix::sys::time::{TimeVal, TimeValLike};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, pause, read};
use rstest::rstest;

use super::ProcessTable;
use super::calls::Call;
use super::stillness::Status;
use crate::observe::{Horizon, Process, Restless, Stillness};

/// A child that is killed and reaped at the end of a test.
struct Child(Pid);

impl Child {
    /// Runs `act` in a child; it makes system calls only, because this process has threads.
    fn new(act: fn()) -> Child {
        // SAFETY: the child calls nothing but async-signal-safe functions.
        match unsafe { fork() }.unwrap() {
            ForkResult::Parent { child } => Child(child),
            ForkResult::Child => {
                act();
                // SAFETY: ends the child without running the harness's own clean-up.
                unsafe { libc::_exit(0) }
            }
        }
    }

    fn process(&self) -> Option<Process> {
        let table = ProcessTable::Below { root: self.0.as_raw(), translate: false };
        table.list().unwrap().into_iter().find(|process| process.pid == self.0.as_raw())
    }

    fn look(&self) -> Result<Stillness, Restless> {
        ProcessTable::Own.stillness(&[self.process().unwrap()], Some(Horizon::NONE))
    }

    /// Looks until it is still, for at most two seconds; the last reason why it is not.
    fn settle(&self) -> Result<Stillness, Restless> {
        let since = Instant::now();
        loop {
            let seen = self.look();
            if seen.is_ok() || since.elapsed() > Duration::from_secs(2) {
                return seen;
            }
            std::thread::yield_now();
        }
    }

    /// Looks many times while it gets to its place and stays there; `Ok` if it was never taken to be still.
    fn never_still(&self, expected: &str) {
        let since = Instant::now();
        let mut reason = String::new();
        while since.elapsed() < Duration::from_millis(200) {
            match self.look() {
                Ok(_) => panic!("taken to be at rest, before: {reason}"),
                Err(why) => reason = why.to_string(),
            }
        }
        assert!(reason.contains(expected), "{reason}");
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGKILL);
        let _ = waitpid(self.0, None);
    }
}

fn in_pause() {
    pause();
}

fn in_timed_sleep() {
    std::thread::sleep(Duration::from_secs(100));
}

fn in_recv(time_out: Option<i64>) {
    let (one, _other) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::empty()).unwrap();
    if let Some(seconds) = time_out {
        setsockopt(&one, sockopt::ReceiveTimeout, &TimeVal::seconds(seconds)).unwrap();
    }
    let _ = recv(one.as_raw_fd(), &mut [0], MsgFlags::empty());
}

fn in_recv_for_ever() {
    in_recv(None);
}

fn in_recv_with_time_out() {
    in_recv(Some(100));
}

fn running() {
    loop {
        std::hint::spin_loop();
    }
}

fn in_poll_with_time_out() {
    let _ = nix::poll::poll(&mut [], nix::poll::PollTimeout::MAX);
}

fn in_poll_for_ever() {
    let _ = nix::poll::poll(&mut [], nix::poll::PollTimeout::NONE);
}

fn with_timer_descriptor(seconds: i64) {
    let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let spec = libc::itimerspec { it_interval: never, it_value: libc::timespec { tv_sec: seconds, ..never } };
    // SAFETY: takes integers, and reads from a local variable.
    unsafe {
        let timer = libc::timerfd_create(libc::CLOCK_MONOTONIC, 0);
        libc::timerfd_settime(timer, 0, &raw const spec, std::ptr::null_mut());
    }
    pause();
}

fn with_timer_descriptor_that_is_set() {
    with_timer_descriptor(100);
}

fn with_timer_descriptor_that_is_not_set() {
    with_timer_descriptor(0);
}

fn with_posix_timer() {
    let mut timer: libc::timer_t = std::ptr::null_mut();
    // SAFETY: the event is left out (SIGALRM), and the id is written to a local variable.
    unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, std::ptr::null_mut(), &raw mut timer) };
    pause();
}

extern "C" fn nothing(_: libc::c_int) {}

fn with_alarm() {
    let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing.
    unsafe { sigaction(Signal::SIGALRM, &action) }.unwrap();
    // SAFETY: takes an integer only.
    unsafe { libc::alarm(100) };
    pause();
}

fn with_blocked_signal() {
    let mut set = SigSet::empty();
    set.add(Signal::SIGUSR1);
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None).unwrap();
    raise(Signal::SIGUSR1).unwrap();
    pause();
}

fn stopped() {
    raise(Signal::SIGSTOP).unwrap();
}

fn ended() {}

#[rstest]
#[case::pause(in_pause)]
#[case::recv(in_recv_for_ever)]
#[case::poll(in_poll_for_ever)]
#[case::stopped(stopped)]
#[case::zombie(ended)]
#[case::timer_descriptor(with_timer_descriptor_that_is_not_set)]
#[case::a_signal_that_is_blocked(with_blocked_signal)]
fn still(#[case] act: fn()) {
    let child = Child::new(act);
    let first = child.settle().unwrap();
    assert_eq!(child.look().unwrap(), first);
    assert_eq!(first.tasks.len(), 1);
}

#[rstest]
#[case::timed_sleep(in_timed_sleep, "sleep")]
#[case::receive_time_out(in_recv_with_time_out, "time-out")]
#[case::running(running, "is running")]
#[case::poll_with_time_out(in_poll_with_time_out, "poll")]
#[case::timer_descriptor(with_timer_descriptor_that_is_set, "timer descriptor")]
#[case::posix_timer(with_posix_timer, "timer")]
#[case::alarm(with_alarm, "SIGALRM")]
fn not_still(#[case] act: fn(), #[case] why: &str) {
    Child::new(act).never_still(why);
}

/// Naps, and has something else where the time was until it naps again, as in a stack that is used for other calls.
fn naps_on_a_stack_that_is_used() {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };
    let seconds = &raw mut time.tv_sec;
    loop {
        // SAFETY: reads from a local variable, which nothing else writes meanwhile.
        unsafe { libc::nanosleep(&raw const time, std::ptr::null_mut()) };
        // SAFETY: a local variable.
        unsafe { seconds.write_volatile(1 << 40) };
        let awake = Instant::now();
        while awake.elapsed() < Duration::from_micros(200) {
            std::hint::spin_loop();
        }
        // SAFETY: a local variable.
        unsafe { seconds.write_volatile(0) };
    }
}

#[test]
fn a_nap_is_not_as_long_as_what_is_found_after_it() {
    let child = Child::new(naps_on_a_stack_that_is_used);
    let horizon = Horizon { slept: Duration::ZERO, awaited: Duration::from_secs(1) };
    let process = child.process().unwrap();
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(1) {
        let seen = ProcessTable::Own.stillness([&process], Some(horizon));
        assert!(seen.is_err(), "taken to be at rest: {seen:?}");
    }
}

fn in_poll_for_a_hundred_seconds() {
    let _ = nix::poll::poll(&mut [], 100_000u32.try_into().unwrap_or(nix::poll::PollTimeout::MAX));
}

fn in_futex_for_a_hundred_seconds() {
    let lock = std::sync::Mutex::new(());
    let condition = std::sync::Condvar::new();
    if let Ok(guard) = lock.lock() {
        let _ = condition.wait_timeout(guard, Duration::from_secs(100));
    }
}

#[rstest]
#[case::sleep(in_timed_sleep, true)]
#[case::poll(in_poll_for_a_hundred_seconds, true)]
#[case::receive(in_recv_with_time_out, true)]
#[case::a_moment_of_a_clock(in_futex_for_a_hundred_seconds, true)]
#[case::timer_descriptor(with_timer_descriptor_that_is_set, false)]
fn a_sleep_beyond_the_horizon_is_still(#[case] act: fn(), #[case] timed: bool) {
    let near = Horizon { slept: Duration::from_secs(10), awaited: Duration::from_secs(2) };
    let child = Child::new(act);
    let look = |horizon| ProcessTable::Own.stillness(&[child.process().unwrap()], Some(horizon));
    let since = Instant::now();
    while look(near).is_err() {
        assert!(since.elapsed() < Duration::from_secs(2), "{:?}", look(near));
        std::thread::yield_now();
    }
    assert_eq!(look(near).unwrap().timed, timed);
    let far = Horizon { slept: Duration::from_secs(10), awaited: Duration::from_secs(101) };
    assert!(look(far).is_err());
}

extern "C" fn receive(number: *mut libc::c_void) -> libc::c_int {
    let _ = recv(number as RawFd, &mut [0], MsgFlags::empty());
    0
}

/// A thread of std's cannot be made here, for the child was forked from a process with threads.
fn in_recv_on_what_another_thread_closes() {
    let (one, _other) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::empty()).unwrap();
    let mut stack = [0u64; 1 << 12];
    let flags = libc::CLONE_VM | libc::CLONE_FILES | libc::CLONE_SIGHAND | libc::CLONE_THREAD;
    // SAFETY: the stack is large enough for one system call, and is there as long as the process.
    let task = unsafe { libc::clone(receive, stack.as_mut_ptr_range().end.cast(), flags, one.as_raw_fd() as *mut _) };
    let mut path = [0u8; 64];
    write!(&mut path[..], "/proc/self/task/{task}/syscall\0").unwrap();
    let path = CStr::from_bytes_until_nul(&path).unwrap();
    let receives = || {
        let mut line = [0u8; 256];
        let file = open(path, OFlag::O_RDONLY, Mode::empty()).unwrap();
        let length = read(&file, &mut line).unwrap();
        let call = std::str::from_utf8(&line[..length]).ok().and_then(Call::parse);
        call.and_then(|call| call.family()) == Some("read")
    };
    while !receives() {
        std::thread::yield_now();
    }
    drop(one);
    pause();
}

#[test]
fn a_sleep_on_what_another_thread_has_closed_cannot_be_seen() {
    let child = Child::new(in_recv_on_what_another_thread_closes);
    let motions = || ProcessTable::Own.motions(&[child.process().unwrap()], Horizon::NONE).unwrap_or_default();
    let since = Instant::now();
    while !motions().iter().any(|motion| motion.moves && motion.unseen) {
        assert!(since.elapsed() < Duration::from_secs(2), "{:?}", motions());
        std::thread::yield_now();
    }
    child.never_still("cannot be looked into");
}

#[test]
fn a_poll_that_was_stopped_and_continued_is_still_again() {
    let child = Child::new(in_poll_for_ever);
    let before = child.settle().unwrap();
    kill(child.0, Signal::SIGSTOP).unwrap();
    while child.process().unwrap().state != 'T' {
        std::thread::yield_now();
    }
    kill(child.0, Signal::SIGCONT).unwrap();
    while child.process().unwrap().state == 'T' {
        std::thread::yield_now();
    }
    let after = child.settle().unwrap();
    assert_ne!(before, after, "its counters have moved, so the two are not one rest");
}

#[test]
fn a_process_that_ran_between_two_samples_is_seen_by_its_counters() {
    let child = Child::new(|| {
        let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler does nothing.
        unsafe { sigaction(Signal::SIGUSR1, &action) }.unwrap();
        loop {
            pause();
        }
    });
    // Until the handler is installed, the signal would end it.
    let first = child.settle().unwrap();
    kill(child.0, Signal::SIGUSR1).unwrap();
    let second = child.settle().unwrap();
    assert_ne!(first, second);
}

#[rstest]
#[case("0000000000000200", "0000000000000000", "0000000000000000", true)]
#[case("0000000000000200", "0000000000000200", "0000000000000000", false)]
#[case("0000000000000200", "0000000000000000", "0000000000000200", false)]
#[case("0000000000000000", "0000000000000000", "0000000000000000", false)]
fn a_pending_signal_counts_unless_it_is_blocked_or_ignored(
    #[case] pending: &str,
    #[case] blocked: &str,
    #[case] ignored: &str,
    #[case] deliverable: bool,
) {
    for (own, shared) in [(pending, "0"), ("0", pending)] {
        let text = format!(
            "State:\tS (sleeping)\nSigPnd:\t{own}\nShdPnd:\t{shared}\nSigBlk:\t{blocked}\nSigIgn:\t{ignored}\n\
             SigCgt:\t0\nvoluntary_ctxt_switches:\t5\nnonvoluntary_ctxt_switches:\t6\n"
        );
        assert_eq!(Status::parse(&text).unwrap().deliverable != 0, deliverable);
    }
}
