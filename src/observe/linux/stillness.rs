//! Whether the tasks of the stage can run by themselves.

use std::os::fd::AsFd;

use nix::sys::socket::{getsockopt, sockopt};

use super::calls::{Call, Patience};
use super::pidfd::PidFd;
use super::proc::{ProcessTable, read_text, task_ids};
use crate::observe::{ChildSignal, DescriptorKind, Process, Restless, Stillness};

/// The bit of SIGALRM in a signal mask of `/proc`.
const SIGALRM_BIT: u64 = 1 << (libc::SIGALRM - 1);

impl ProcessTable {
    /// A sample of all tasks of these processes, provided that none of them can run by itself.
    pub fn stillness<'p>(&self, processes: impl IntoIterator<Item = &'p Process>) -> Result<Stillness, Restless> {
        let mut stillness = Stillness::default();
        for process in processes {
            self.still_process(process, &mut stillness)?;
        }
        Ok(stillness)
    }

    /// What a process does with SIGCHLD.
    pub fn child_signal(&self, process: &Process) -> Option<ChildSignal> {
        const BIT: u64 = 1 << (libc::SIGCHLD - 1);
        let status = Status::parse(&read_text(&format!("/proc/{}/status", process.seen_as)).ok()?)?;
        Some(ChildSignal { blocked: status.blocked & BIT != 0, caught: status.caught & BIT != 0 })
    }

    /// Whether SIGSTOP has reached every thread of a process.
    pub fn has_stopped(&self, process: &Process) -> bool {
        task_ids(process.seen_as).into_iter().all(|task| {
            let status = read_text(&format!("/proc/{}/task/{task}/status", process.seen_as));
            status.is_ok_and(|text| Status::parse(&text).is_some_and(|status| status.state == 'T'))
        })
    }

    fn still_process(&self, process: &Process, stillness: &mut Stillness) -> Result<(), Restless> {
        let restless = |why: &str| Restless(format!("process {} ({}) {why}", process.pid, process.name));
        if process.state == 'R' {
            return Err(restless("is running"));
        }
        let tasks = task_ids(process.seen_as);
        if tasks.is_empty() {
            return Err(restless("is going away"));
        }
        let mut zombies = 0;
        for task in &tasks {
            let folder = format!("/proc/{}/task/{task}", process.seen_as);
            let status = read_text(&format!("{folder}/status")).map_err(|_| restless("is going away"))?;
            let status = Status::parse(&status).ok_or_else(|| restless("cannot be read"))?;
            stillness.tasks.push((*task, status.voluntary, status.involuntary));
            match status.state {
                'Z' => {
                    zombies += 1;
                    continue;
                }
                // A stopped task goes on by SIGCONT or SIGKILL alone, which only the runner or another task can send.
                'T' => continue,
                'S' => {}
                letter => return Err(restless(&format!("is in state {letter}"))),
            }
            if status.deliverable != 0 {
                return Err(restless("has a signal to handle"));
            }
            if status.caught & SIGALRM_BIT != 0 {
                return Err(restless("handles SIGALRM and may have set an alarm"));
            }
            let line = read_text(&format!("{folder}/syscall")).map_err(|_| restless("cannot be looked into"))?;
            let call = Call::parse(&line).ok_or_else(|| restless("is not asleep in a system call"))?;
            self.unlimited(process, call, &folder).map_err(|why| restless(&why))?;
        }
        if zombies < tasks.len() { self.without_timers(process).map_err(|why| restless(&why)) } else { Ok(()) }
    }

    fn unlimited(&self, process: &Process, call: Call, folder: &str) -> Result<(), String> {
        let name = call.family().unwrap_or("some call");
        let receiving = match call.patience() {
            Patience::Unlimited => return Ok(()),
            Patience::Limited if restarted_poll(call, folder) => return Ok(()),
            Patience::Limited => return Err(format!("sleeps in {name}, perhaps for a time")),
            Patience::Receiving => true,
            Patience::Sending => false,
        };
        let number = call.arguments[0] as i32;
        let unseen = |_| format!("sleeps in {name} on descriptor {number}, which cannot be looked into");
        let link = std::fs::read_link(format!("/proc/{}/fd/{number}", process.seen_as)).map_err(unseen)?;
        if !link.to_string_lossy().starts_with("socket:") {
            return Ok(());
        }
        let copy = PidFd::open(process.pid).and_then(|pidfd| pidfd.descriptor(number)).map_err(unseen)?;
        let time_out = if receiving {
            getsockopt(&copy.as_fd(), sockopt::ReceiveTimeout)
        } else {
            getsockopt(&copy.as_fd(), sockopt::SendTimeout)
        };
        match time_out {
            Ok(time) if time.tv_sec() == 0 && time.tv_usec() == 0 => Ok(()),
            Ok(_) => Err(format!("sleeps in {name} on a socket with a time-out")),
            Err(errno) => Err(unseen(errno.into())),
        }
    }

    /// Timers that work while a process sleeps: POSIX timers, timer descriptors, rings of requests.
    fn without_timers(&self, process: &Process) -> Result<(), String> {
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
                return Err("has a timer descriptor".into());
            }
        }
        Ok(())
    }
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
    pub(super) fn parse(text: &str) -> Option<Status> {
        let field =
            |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
        let mask = |name: &str| u64::from_str_radix(field(name)?, 16).ok();
        let pending = mask("SigPnd")? | mask("ShdPnd")?;
        Some(Status {
            state: field("State")?.chars().next()?,
            deliverable: pending & !mask("SigBlk")? & !mask("SigIgn")?,
            blocked: mask("SigBlk")?,
            caught: mask("SigCgt")?,
            voluntary: field("voluntary_ctxt_switches")?.parse().ok()?,
            involuntary: field("nonvoluntary_ctxt_switches")?.parse().ok()?,
        })
    }
}
