//! Whether the tasks of the stage can run by themselves.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use nix::sys::socket::{getsockopt, sockopt};
use nix::sys::time::TimeValLike;
use nix::time::ClockId;

use super::calls::{Call, Patience, TimeOut};
use super::pidfd::PidFd;
use super::proc::{ProcessTable, read_text, task_ids};
use crate::observe::{ChildSignal, DescriptorKind, Horizon, Motion, Process, Restless, Stillness};

/// The bit of SIGALRM in a signal mask of `/proc`.
const SIGALRM_BIT: u64 = 1 << (libc::SIGALRM - 1);

/// How long a task sleeps that does nothing by itself within the horizon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sleep {
    /// Until something wakes it.
    Endless,
    /// At most for a time that is longer than anybody waits.
    Long,
}

/// Why a task may do something by itself.
struct Moves {
    why: String,
    /// It is asleep, and what may wake it cannot be seen.
    unseen: bool,
}

impl Moves {
    fn seen(why: &str) -> Moves {
        Moves { why: why.to_owned(), unseen: false }
    }
}

impl ProcessTable {
    /// A sample of all tasks of these processes, provided that none of them runs.
    ///
    /// To be called twice: if the second one equals the first, no task has run since. What each task sleeps in is looked
    /// at in the `second` alone, which fails if one of them can run by itself within the horizon.
    pub fn stillness<'p>(
        &self,
        processes: impl IntoIterator<Item = &'p Process>,
        second: Option<Horizon>,
    ) -> Result<Stillness, Restless> {
        let mut stillness = Stillness::default();
        for process in processes {
            if process.state == 'R' {
                return Err(restless(process, "is running"));
            }
            let each = |task, status: &Status, sleep: Result<Sleep, Moves>| {
                stillness.tasks.push((task, status.voluntary, status.involuntary));
                stillness.timed |= sleep.map_err(|moves| restless(process, &moves.why))? == Sleep::Long;
                Ok(())
            };
            self.each_task(process, second, each)?;
        }
        Ok(stillness)
    }

    /// All tasks of these processes that live, with what they have done so far; `None` if one of several threads is just
    /// going away, for the others may not all have been seen.
    pub fn motions(&self, processes: &[Process], horizon: Horizon) -> Option<Vec<Motion>> {
        let mut motions = Vec::new();
        for process in processes {
            let each = |task, status: &Status, sleep: Result<Sleep, Moves>| {
                let times = (status.state != 'Z').then(|| processor_times(process.seen_as, task)).flatten();
                let (used, delayed) = times.unzip();
                let delayed = delayed.unwrap_or_default();
                let (moves, unseen) = sleep.map_or_else(|moves| (true, moves.unseen), |_| (false, false));
                let (running, napping) = (status.state == 'R', moves && status.state == 'S');
                motions.push(Motion { task, moves, running, napping, unseen, sleeps: status.voluntary, used, delayed });
                Ok(())
            };
            if self.each_task(process, Some(horizon), each).is_err() {
                if process.threads > 1 {
                    return None;
                }
                motions.push(Motion::unknown(process.seen_as));
            }
        }
        Some(motions)
    }

    /// What a process does with SIGCHLD.
    pub fn child_signal(&self, process: &Process) -> Option<ChildSignal> {
        const BIT: u64 = 1 << (libc::SIGCHLD - 1);
        let status = Status::parse(&read_text(&format!("/proc/{}/status", process.seen_as)).ok()?)?;
        Some(ChildSignal { blocked: status.blocked & BIT != 0, caught: status.caught & BIT != 0 })
    }

    /// Whether SIGSTOP has reached every thread of a process, or does before it can run again.
    pub fn has_stopped(&self, process: &Process) -> bool {
        task_ids(process.seen_as).into_iter().all(|task| {
            let read = |file: &str| read_text(&format!("/proc/{}/task/{task}/{file}", process.seen_as));
            let call = read("syscall").ok().and_then(|line| Call::parse(&line));
            match read("status").ok().and_then(|text| Status::parse(&text)).map(|status| status.state) {
                // The main thread can have ended before the others.
                Some('T' | 'Z') => true,
                Some('D') => call.is_some_and(|call| call.awaits_child()),
                _ => false,
            }
        })
    }

    /// Looks at each task of a process, and says whether it runs, or can run by itself within the horizon.
    fn each_task(
        &self,
        process: &Process,
        horizon: Option<Horizon>,
        mut each: impl FnMut(i32, &Status, Result<Sleep, Moves>) -> Result<(), Restless>,
    ) -> Result<(), Restless> {
        if process.is_zombie() {
            // It does nothing any more, and there may be hundreds of them.
            return each(process.seen_as, &Status::ENDED, Ok(Sleep::Endless));
        }
        // What one thread has made since is in the next list, and it has run in between.
        let tasks = if process.threads == 1 { vec![process.seen_as] } else { task_ids(process.seen_as) };
        if tasks.is_empty() {
            return Err(restless(process, "is going away"));
        }
        let mut timers = None;
        for task in tasks {
            let folder = format!("/proc/{}/task/{task}", process.seen_as);
            // Before the counters: if they have not moved, this is what the task has slept in all the time.
            let call = horizon.and_then(|_| read_text(&format!("{folder}/syscall")).ok());
            let status = read_text(&format!("{folder}/status")).map_err(|_| restless(process, "is going away"))?;
            let status = Status::parse(&status).ok_or_else(|| restless(process, "cannot be read"))?;
            let mut sleep = match (horizon, status.asleep()) {
                (Some(horizon), Ok(true)) => self.sleeps_on(process, &status, call.as_deref(), &folder, horizon),
                (_, asleep) => asleep.map(|_| Sleep::Endless),
            };
            if let (Some(horizon), true, true) = (horizon, sleep.is_ok(), status.state != 'Z') {
                // They are the process's: one look serves all its tasks.
                let timers = timers.get_or_insert_with(|| self.without_timers(process, horizon));
                if let Err(why) = timers {
                    sleep = Err(Moves { why: why.clone(), unseen: true });
                }
            }
            each(task, &status, sleep)?;
        }
        Ok(())
    }

    /// Whether a task that is asleep sleeps until nobody waits any more.
    fn sleeps_on(
        &self,
        process: &Process,
        status: &Status,
        call: Option<&str>,
        folder: &str,
        horizon: Horizon,
    ) -> Result<Sleep, Moves> {
        let line = call.ok_or_else(|| Moves::seen("cannot be looked into"))?;
        let call = Call::parse(line).ok_or_else(|| Moves::seen("is not asleep in a system call"))?;
        if status.state == 'D' && !call.awaits_child() {
            return Err(Moves::seen("is in state D"));
        }
        let sleep = self.stays_in(process, call, folder, horizon)?;
        // The time of its call is in its memory, and its socket in its table: what is found there is what it sleeps in
        // only if it has not woken before that was read.
        if call.patience() != Patience::Unlimited && !has_slept_on(folder, status) {
            return Err(Moves::seen("has just woken"));
        }
        Ok(sleep)
    }

    /// Whether a call sleeps until nobody waits any more.
    fn stays_in(&self, process: &Process, call: Call, folder: &str, horizon: Horizon) -> Result<Sleep, Moves> {
        let name = call.family().unwrap_or("some call");
        let receiving = match call.patience() {
            Patience::Unlimited => return Ok(Sleep::Endless),
            Patience::Limited if restarted_poll(call, folder) => return Ok(Sleep::Endless),
            Patience::Limited if sleeps_long(process, call, horizon) => return Ok(Sleep::Long),
            Patience::Limited => return Err(Moves::seen(&format!("sleeps in {name}, perhaps for a time"))),
            Patience::Receiving => true,
            Patience::Sending => false,
        };
        let number = call.arguments[0] as i32;
        let unseen = |error: io::Error| Moves {
            why: format!("sleeps in {name} on descriptor {number}, which cannot be looked into"),
            // Another thread has closed it: what it was is not to be had any more.
            unseen: error.kind() == ErrorKind::NotFound,
        };
        let link = std::fs::read_link(format!("/proc/{}/fd/{number}", process.seen_as)).map_err(unseen)?;
        if !link.to_string_lossy().starts_with("socket:") {
            return Ok(Sleep::Endless);
        }
        let translated = matches!(self, ProcessTable::Below { translate: true, .. });
        // The main thread has ended: another one stands for the process.
        let by_thread = !translated && process.seen_as != process.pid;
        let pidfd = if by_thread { PidFd::of_thread(process.seen_as) } else { PidFd::open(process.pid) };
        let copy = pidfd.and_then(|pidfd| pidfd.descriptor(number)).map_err(unseen)?;
        let time_out = if receiving {
            getsockopt(&copy.as_fd(), sockopt::ReceiveTimeout)
        } else {
            getsockopt(&copy.as_fd(), sockopt::SendTimeout)
        };
        let time_out = time_out.map_err(|errno| unseen(errno.into()))?;
        let length = Duration::from_micros(time_out.num_microseconds().unsigned_abs());
        match length {
            Duration::ZERO => Ok(Sleep::Endless),
            length if horizon.is_within_sleep(length) => Ok(Sleep::Long),
            _ => Err(Moves::seen(&format!("sleeps in {name} on a socket with a time-out"))),
        }
    }

    /// Timers that work while a process sleeps: POSIX timers, timer descriptors, rings of requests.
    fn without_timers(&self, process: &Process, horizon: Horizon) -> Result<(), String> {
        // The file is there only in kernels with checkpoint support; without it a timer shows as its signal's handler.
        if read_text(&format!("/proc/{}/timers", process.seen_as)).is_ok_and(|text| !text.is_empty()) {
            return Err("has a POSIX timer".into());
        }
        let descriptors = self.descriptors(process).map_err(|_| "has descriptors that cannot be read".to_owned())?;
        for descriptor in descriptors {
            let DescriptorKind::Other(link) = descriptor.kind else { continue };
            if link.contains("[io_uring]") {
                return Err("uses io_uring".into());
            }
            if link.contains("[timerfd]") {
                let text = read_text(&format!("/proc/{}/fdinfo/{}", process.seen_as, descriptor.number));
                let left = text.ok().and_then(|text| timer_left(&text));
                if left.is_none_or(|left| !left.is_zero() && !horizon.is_within_rest(left)) {
                    return Err("has a timer descriptor".into());
                }
            }
        }
        Ok(())
    }
}

/// Whether a task sleeps as it did when its status was read. One that has woken since runs, or has slept once more.
fn has_slept_on(folder: &str, before: &Status) -> bool {
    let now = read_text(&format!("{folder}/status")).ok().and_then(|text| Status::parse(&text));
    now.is_some_and(|now| {
        matches!(now.asleep(), Ok(true)) && (now.voluntary, now.involuntary) == (before.voluntary, before.involuntary)
    })
}

fn restless(process: &Process, why: &str) -> Restless {
    Restless(format!("process {} ({}) {why}", process.pid, process.name))
}

/// Whether the time of a limited call is known, and lasts until nobody waits any more.
fn sleeps_long(process: &Process, call: Call, horizon: Horizon) -> bool {
    let memory = |address| read_pair(process, address);
    let seconds = |(whole, part): (i64, i64), unit: u64| {
        let whole = Duration::from_secs(u64::try_from(whole).unwrap_or(0));
        whole.saturating_add(Duration::from_nanos(u64::try_from(part).unwrap_or(0).saturating_mul(unit)))
    };
    match call.time_out() {
        None => false,
        Some(TimeOut::Given(length)) => horizon.is_within_sleep(length),
        Some(TimeOut::Timespec(address)) => {
            memory(address).is_some_and(|pair| horizon.is_within_sleep(seconds(pair, 1)))
        }
        Some(TimeOut::Timeval(address)) => {
            memory(address).is_some_and(|pair| horizon.is_within_sleep(seconds(pair, 1000)))
        }
        Some(TimeOut::Moment(address, clock)) => {
            let now = ClockId::from_raw(clock).now();
            let (Some(then), Ok(now)) = (memory(address), now) else { return false };
            let left = seconds(then, 1).saturating_sub(seconds((now.tv_sec(), now.tv_nsec()), 1));
            horizon.is_within_rest(left)
        }
    }
}

/// Two words of a process's memory: a `struct timespec` or `struct timeval` of a 64-bit program.
fn read_pair(process: &Process, address: u64) -> Option<(i64, i64)> {
    let mut bytes = [0u8; 16];
    File::open(format!("/proc/{}/mem", process.seen_as)).ok()?.read_exact_at(&mut bytes, address).ok()?;
    let (first, second) = bytes.split_at(8);
    Some((i64::from_ne_bytes(first.try_into().ok()?), i64::from_ne_bytes(second.try_into().ok()?)))
}

/// The time until a timer descriptor fires, of `/proc/PID/fdinfo/N`; zero: it is not set.
fn timer_left(text: &str) -> Option<Duration> {
    let pair = text.lines().find_map(|line| line.strip_prefix("it_value: (")?.strip_suffix(')'))?;
    let (seconds, nanos) = pair.split_once(", ")?;
    Some(Duration::new(seconds.parse().ok()?, nanos.parse().ok()?))
}

/// The processor time that a task has used, and how long it has waited for a processor: `/proc/PID/task/TID/schedstat`.
fn processor_times(pid: i32, task: i32) -> Option<(Duration, Duration)> {
    let text = read_text(&format!("/proc/{pid}/task/{task}/schedstat")).ok()?;
    let mut times = text.split_whitespace().map(|time| time.parse().map(Duration::from_nanos));
    Some((times.next()?.ok()?, times.next()?.ok()?))
}

/// A poll that was interrupted by SIGSTOP goes on as restart_syscall, with the arguments that it had: an unlimited one
/// has -1 in the third. The other restarted calls sleep for a time; `wchan` tells them apart.
fn restarted_poll(call: Call, folder: &str) -> bool {
    call.number == libc::SYS_restart_syscall
        && (call.arguments[2] as i32) < 0
        && read_text(&format!("{folder}/wchan")).is_ok_and(|place| place.contains("poll"))
}

/// What we need of `/proc/PID/task/TID/status`.
pub(super) struct Status {
    pub(super) state: char,
    pub(super) deliverable: u64,
    blocked: u64,
    caught: u64,
    voluntary: u64,
    involuntary: u64,
}

impl Status {
    /// How many lines of the file we need.
    const FIELDS: usize = 8;

    /// A zombie's, as far as it matters.
    const ENDED: Status = Status { state: 'Z', deliverable: 0, blocked: 0, caught: 0, voluntary: 0, involuntary: 0 };

    pub(super) fn parse(text: &str) -> Option<Status> {
        let mut status = Status::ENDED;
        let (mut pending, mut ignored, mut found) = (0, 0, 0);
        // Read at every look, of every task: in one pass.
        for (name, value) in text.lines().filter_map(|line| line.split_once(":\t")) {
            let mask = || u64::from_str_radix(value, 16).ok();
            match name {
                "State" => status.state = value.chars().next()?,
                "SigPnd" | "ShdPnd" => pending |= mask()?,
                "SigBlk" => status.blocked = mask()?,
                "SigIgn" => ignored = mask()?,
                "SigCgt" => status.caught = mask()?,
                "voluntary_ctxt_switches" => status.voluntary = value.parse().ok()?,
                "nonvoluntary_ctxt_switches" => status.involuntary = value.parse().ok()?,
                _ => continue,
            }
            found += 1;
        }
        status.deliverable = pending & !status.blocked & !ignored;
        (found == Status::FIELDS).then_some(status)
    }

    /// `Ok(true)`: asleep in a way that something may wake it from. `Ok(false)`: only the runner or another task can.
    fn asleep(&self) -> Result<bool, Moves> {
        match self.state {
            // A stopped task goes on by SIGCONT or SIGKILL alone.
            'Z' | 'T' => Ok(false),
            'R' => Err(Moves::seen("is running")),
            'S' if self.deliverable != 0 => Err(Moves::seen("has a signal to handle")),
            'S' if self.caught & SIGALRM_BIT != 0 => {
                Err(Moves { why: "handles SIGALRM and may have set an alarm".into(), unseen: true })
            }
            // The call shows whether it waits for the disk, or for a child that shares its memory: no signal wakes it then.
            'S' | 'D' => Ok(true),
            letter => Err(Moves::seen(&format!("is in state {letter}"))),
        }
    }
}
