//! System calls by number: which ones can sleep for ever, and what a scenario calls them.

use std::time::Duration;

/// A system call that a task sleeps in: `/proc/PID/syscall`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Its number.
    pub number: i64,
    /// Its arguments.
    pub arguments: [u64; 6],
    /// The stack pointer of the caller.
    pub stack: u64,
}

impl Call {
    /// Parses the line of a task that is blocked in a system call; `None` if it runs or sleeps elsewhere.
    pub fn parse(line: &str) -> Option<Call> {
        let mut words = line.split_whitespace();
        let number = words.next()?.parse().ok().filter(|number| *number >= 0)?;
        let mut hex = words.map(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok());
        let mut arguments = [0; 6];
        for argument in &mut arguments {
            *argument = hex.next()??;
        }
        Some(Call { number, arguments, stack: hex.next()?? })
    }
}

/// How long a call can sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Until something comes.
    Unlimited,
    /// Until something comes on the socket of the first argument, unless that socket has a time-out for receiving.
    Receiving,
    /// The same for sending.
    Sending,
    /// A time runs, or we cannot tell.
    Limited,
}

/// Where a call has the time after which it gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeOut {
    /// In an argument.
    Given(Duration),
    /// In a `struct timespec` at this address: a span.
    Timespec(u64),
    /// In a `struct timeval` at this address: a span.
    Timeval(u64),
    /// In a `struct timespec` at this address: a moment of a clock.
    Moment(u64, libc::clockid_t),
}

impl TimeOut {
    /// Of an argument that is an `int`: its upper half means nothing.
    fn millis(argument: u64) -> TimeOut {
        TimeOut::Given(Duration::from_millis(argument & 0xffff_ffff))
    }
}

/// FUTEX_WAIT, FUTEX_LOCK_PI, FUTEX_WAIT_BITSET, FUTEX_WAIT_REQUEUE_PI, FUTEX_LOCK_PI2 (linux/futex.h)
const FUTEX_WAITS: [u64; 5] = [0, 6, 9, 11, 13];
/// Everything but FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME.
const FUTEX_COMMAND: u64 = 0x7f;
const FUTEX_WAIT: u64 = 0;
const FUTEX_WAIT_BITSET: u64 = 9;
const FUTEX_CLOCK_REALTIME: u64 = 0x100;
/// F_SETLKW, F_OFD_SETLKW
const LOCK_WAITS: [u64; 2] = [7, 38];

impl Call {
    /// How long the call can sleep. What is not listed is taken to be limited.
    pub fn patience(&self) -> Patience {
        let [_, second, third, fourth, fifth, _] = self.arguments;
        let unless = |limited: bool| if limited { Patience::Limited } else { Patience::Unlimited };
        // A 32-bit program has other numbers; its stack lies below 4 GiB.
        if self.stack < 1 << 32 {
            return Patience::Limited;
        }
        match self.number {
            libc::SYS_read | libc::SYS_readv | libc::SYS_recvfrom | libc::SYS_recvmsg => Patience::Receiving,
            libc::SYS_accept | libc::SYS_accept4 => Patience::Receiving,
            libc::SYS_write | libc::SYS_writev | libc::SYS_sendto | libc::SYS_sendmsg | libc::SYS_connect => {
                Patience::Sending
            }
            // From a pipe to a socket it waits for the pipe, or for room: a time-out for sending is not looked at.
            libc::SYS_splice => Patience::Receiving,
            libc::SYS_sendfile => Patience::Sending,
            libc::SYS_wait4 | libc::SYS_waitid | libc::SYS_rt_sigsuspend => Patience::Unlimited,
            libc::SYS_semop | libc::SYS_msgrcv | libc::SYS_msgsnd => Patience::Unlimited,
            libc::SYS_ppoll | libc::SYS_rt_sigtimedwait => unless(third != 0),
            libc::SYS_semtimedop => unless(fourth != 0),
            libc::SYS_pselect6 => unless(fifth != 0),
            libc::SYS_epoll_pwait => unless(fourth as i32 >= 0),
            libc::SYS_epoll_pwait2 => unless(fourth != 0),
            libc::SYS_io_getevents => unless(fifth != 0),
            libc::SYS_futex => unless(fourth != 0 || !FUTEX_WAITS.contains(&(second & FUTEX_COMMAND))),
            libc::SYS_flock => Patience::Unlimited,
            libc::SYS_fcntl => unless(!LOCK_WAITS.contains(&second)),
            libc::SYS_clone => unless(!self.awaits_child()),
            number => older_patience(number, third, fourth, fifth),
        }
    }

    /// Whether it waits until a child that shares its memory has ended or executed a program (vfork(2)). Such a task is in
    /// state D, and nothing but that child, or SIGKILL, ends it.
    pub fn awaits_child(&self) -> bool {
        let shares = self.number == libc::SYS_clone && self.arguments[0] & libc::CLONE_VFORK as u64 != 0;
        shares || is_vfork(self.number)
    }

    /// Where a limited call has its time, if we know.
    pub fn time_out(&self) -> Option<TimeOut> {
        let [first, second, third, fourth, fifth, _] = self.arguments;
        if self.stack < 1 << 32 {
            return None;
        }
        Some(match self.number {
            libc::SYS_ppoll | libc::SYS_rt_sigtimedwait => TimeOut::Timespec(third),
            libc::SYS_pselect6 => TimeOut::Timespec(fifth),
            libc::SYS_epoll_pwait => TimeOut::millis(fourth),
            libc::SYS_epoll_pwait2 => TimeOut::Timespec(fourth),
            libc::SYS_io_getevents => TimeOut::Timespec(fifth),
            libc::SYS_nanosleep => TimeOut::Timespec(first),
            libc::SYS_clock_nanosleep if second & 1 == 0 => TimeOut::Timespec(third),
            libc::SYS_clock_nanosleep => TimeOut::Moment(third, first as libc::clockid_t),
            libc::SYS_futex if second & FUTEX_COMMAND == FUTEX_WAIT => TimeOut::Timespec(fourth),
            libc::SYS_futex if second & FUTEX_COMMAND == FUTEX_WAIT_BITSET => {
                let real = second & FUTEX_CLOCK_REALTIME != 0;
                TimeOut::Moment(fourth, if real { libc::CLOCK_REALTIME } else { libc::CLOCK_MONOTONIC })
            }
            number => return older_time_out(number, third, fourth, fifth),
        })
    }

    /// The name by which a scenario knows the call.
    pub fn family(&self) -> Option<&'static str> {
        Some(match self.number {
            libc::SYS_accept | libc::SYS_accept4 => "accept",
            libc::SYS_read | libc::SYS_readv | libc::SYS_recvfrom | libc::SYS_recvmsg | libc::SYS_splice => "read",
            libc::SYS_write | libc::SYS_writev | libc::SYS_sendto | libc::SYS_sendmsg | libc::SYS_sendfile => "write",
            libc::SYS_ppoll | libc::SYS_io_getevents | libc::SYS_io_uring_enter => "poll",
            libc::SYS_pselect6 => "select",
            libc::SYS_epoll_pwait | libc::SYS_epoll_pwait2 => "epoll_wait",
            libc::SYS_wait4 | libc::SYS_waitid => "wait",
            libc::SYS_rt_sigsuspend | libc::SYS_rt_sigtimedwait => "pause",
            libc::SYS_connect => "connect",
            libc::SYS_futex => "futex",
            libc::SYS_nanosleep | libc::SYS_clock_nanosleep => "sleep",
            _ if self.awaits_child() => "vfork",
            number => return older_family(number),
        })
    }
}

/// The calls that only the older architectures have.
#[cfg(target_arch = "x86_64")]
fn older_patience(number: i64, third: u64, fourth: u64, fifth: u64) -> Patience {
    let limited = match number {
        libc::SYS_poll => third as i32 >= 0,
        libc::SYS_select => fifth != 0,
        libc::SYS_epoll_wait => fourth as i32 >= 0,
        libc::SYS_pause | libc::SYS_vfork => false,
        _ => true,
    };
    if limited { Patience::Limited } else { Patience::Unlimited }
}

#[cfg(not(target_arch = "x86_64"))]
fn older_patience(_: i64, _: u64, _: u64, _: u64) -> Patience {
    Patience::Limited
}

#[cfg(target_arch = "x86_64")]
fn is_vfork(number: i64) -> bool {
    number == libc::SYS_vfork
}

#[cfg(not(target_arch = "x86_64"))]
fn is_vfork(_: i64) -> bool {
    false
}

#[cfg(target_arch = "x86_64")]
fn older_time_out(number: i64, third: u64, fourth: u64, fifth: u64) -> Option<TimeOut> {
    match number {
        libc::SYS_poll => Some(TimeOut::millis(third)),
        libc::SYS_epoll_wait => Some(TimeOut::millis(fourth)),
        libc::SYS_select => Some(TimeOut::Timeval(fifth)),
        _ => None,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn older_time_out(_: i64, _: u64, _: u64, _: u64) -> Option<TimeOut> {
    None
}

#[cfg(target_arch = "x86_64")]
fn older_family(number: i64) -> Option<&'static str> {
    match number {
        libc::SYS_poll => Some("poll"),
        libc::SYS_select => Some("select"),
        libc::SYS_epoll_wait => Some("epoll_wait"),
        libc::SYS_pause => Some("pause"),
        _ => None,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn older_family(_: i64) -> Option<&'static str> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn call(number: i64, arguments: [u64; 6]) -> Call {
        Call { number, arguments, stack: 0x7ffd_0000_0000 }
    }

    #[test]
    fn lines_of_proc_are_parsed() {
        let line = "0 0x3 0x7ffc 0x1000 0x0 0x0 0x0 0x7ffd11112222 0x7f00\n";
        let parsed = Call::parse(line).unwrap();
        assert_eq!((parsed.number, parsed.arguments[0], parsed.stack), (0, 3, 0x7ffd_1111_2222));
        assert_eq!(Call::parse("running\n"), None);
        assert_eq!(Call::parse("-1 0x7ffd 0x7f00\n"), None);
    }

    #[rstest]
    #[case(call(libc::SYS_accept, [3; 6]), Patience::Receiving)]
    #[case(call(libc::SYS_ppoll, [1, 1, 0, 0, 0, 0]), Patience::Unlimited)]
    #[case(call(libc::SYS_ppoll, [1, 1, 0x7f00, 0, 0, 0]), Patience::Limited)]
    #[case(call(libc::SYS_epoll_pwait, [1, 1, 1, u64::from(u32::MAX), 0, 0]), Patience::Unlimited)]
    #[case(call(libc::SYS_epoll_pwait, [1, 1, 1, 100, 0, 0]), Patience::Limited)]
    #[case(call(libc::SYS_futex, [1, 0x189, 0, 0, 0, 0]), Patience::Unlimited)]
    #[case(call(libc::SYS_futex, [1, 0x189, 0, 0x7f00, 0, 0]), Patience::Limited)]
    #[case(call(libc::SYS_clock_nanosleep, [0; 6]), Patience::Limited)]
    #[case(call(libc::SYS_restart_syscall, [0; 6]), Patience::Limited)]
    #[case(call(libc::SYS_io_getevents, [1, 1, 8, 0x7f00, 0, 0]), Patience::Unlimited)]
    #[case(call(libc::SYS_io_getevents, [1, 1, 8, 0x7f00, 0x7f80, 0]), Patience::Limited)]
    #[case(call(libc::SYS_fcntl, [3, 7, 0, 0, 0, 0]), Patience::Unlimited)]
    #[case(call(libc::SYS_clone, [0x4111, 0, 0, 0, 0, 0]), Patience::Unlimited)]
    #[case(call(libc::SYS_clone, [0x0011, 0, 0, 0, 0, 0]), Patience::Limited)]
    fn only_calls_without_a_time_out_are_unlimited(#[case] call: Call, #[case] patience: Patience) {
        assert_eq!(call.patience(), patience);
    }

    #[rstest]
    #[case(call(libc::SYS_ppoll, [1, 1, 0x7f00, 0, 0, 0]), Some(TimeOut::Timespec(0x7f00)))]
    #[case(call(libc::SYS_epoll_pwait, [1, 1, 1, 100, 0, 0]), Some(TimeOut::Given(Duration::from_millis(100))))]
    #[case(call(libc::SYS_clock_nanosleep, [1, 0, 7, 0, 0, 0]), Some(TimeOut::Timespec(7)))]
    #[case(call(libc::SYS_clock_nanosleep, [1, 1, 7, 0, 0, 0]), Some(TimeOut::Moment(7, libc::CLOCK_MONOTONIC)))]
    #[case(call(libc::SYS_futex, [1, 0x80, 0, 7, 0, 0]), Some(TimeOut::Timespec(7)))]
    #[case(call(libc::SYS_futex, [1, 0x89, 0, 7, 0, 0]), Some(TimeOut::Moment(7, libc::CLOCK_MONOTONIC)))]
    #[case(call(libc::SYS_futex, [1, 0x189, 0, 7, 0, 0]), Some(TimeOut::Moment(7, libc::CLOCK_REALTIME)))]
    #[case(call(libc::SYS_restart_syscall, [0; 6]), None)]
    fn the_time_of_a_limited_call_is_found(#[case] call: Call, #[case] time_out: Option<TimeOut>) {
        assert_eq!(call.time_out(), time_out);
    }

    #[test]
    fn a_32_bit_program_is_not_judged_by_our_numbers() {
        let call = Call { stack: 0xffff_0000, ..call(libc::SYS_accept, [3; 6]) };
        assert_eq!(call.patience(), Patience::Limited);
    }
}
