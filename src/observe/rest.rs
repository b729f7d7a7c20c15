//! Rest: nothing can happen any more unless the runner acts.
//!
//! The proof needs two samples of all tasks with equal context-switch counters, the second one showing every task
//! unable to run by itself; between them a table of sockets in which nothing is under way; and after that table nothing
//! to read for the runner. No task ran between the samples, none can be woken by another one, and none by the network.
//! Whatever cannot be seen counts as movement, so the answer "at rest" is never early.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use super::sockets::{Pair, Socket, Timer};
use crate::tcp::TcpState;

/// All tasks of the stage, unable to run by themselves, with their context-switch counters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stillness {
    /// For each task: its id and its two counters.
    pub tasks: Vec<(i32, u64, u64)>,
    /// One of them wakes by itself, but later than anybody waits.
    pub timed: bool,
}

/// Why the stage is not at rest, or cannot be known to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restless(pub String);

impl fmt::Display for Restless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Up to when a sleep with a time-out counts as movement.
#[derive(Debug, Clone, Copy)]
pub struct Horizon {
    /// The most that any task of the stage can have slept: the age of the stage.
    pub slept: Duration,
    /// Nobody waits for longer than this: who sleeps on until then is at rest.
    pub awaited: Duration,
}

impl Horizon {
    /// Every sleep with a time-out is movement, however long it is.
    pub const NONE: Horizon = Horizon { slept: Duration::ZERO, awaited: Duration::MAX };

    /// Whether a sleep of this length lasts until nobody waits any more, whenever it was begun.
    pub fn is_within_sleep(&self, length: Duration) -> bool {
        self.is_within_rest(length.saturating_sub(self.slept))
    }

    /// Whether what is left of a sleep lasts until nobody waits any more.
    pub fn is_within_rest(&self, left: Duration) -> bool {
        left >= self.awaited
    }
}

/// A task, and what it has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Motion {
    /// Its id.
    pub task: i32,
    /// It may do something by itself within the horizon.
    pub moves: bool,
    /// It has a processor, or waits for one.
    pub running: bool,
    /// It is asleep for a time: what wakes it is the clock. A sleep for a page or a lock is none of these.
    pub napping: bool,
    /// It is asleep, and what may wake it cannot be seen.
    pub unseen: bool,
    /// How often it has gone to sleep.
    pub sleeps: u64,
    /// The processor time that it has used, if that can be seen.
    pub used: Option<Duration>,
    /// How long it has waited for a processor that others had, as far as that can be seen.
    pub delayed: Duration,
}

impl Motion {
    /// Of a task of which it is not known what it does: it is just going away.
    pub fn unknown(task: i32) -> Motion {
        let delayed = Duration::ZERO;
        Motion { task, moves: true, running: false, napping: false, unseen: false, sleeps: 0, used: None, delayed }
    }

    /// Whether it can move and has done at least so much since an earlier look.
    fn has_done(&self, before: Option<&Motion>, least: &Deeds, naps: bool) -> bool {
        let sleeps = self.sleeps - before.map_or(0, |before| before.sleeps.min(self.sleeps));
        let earlier = before.and_then(|before| before.used).unwrap_or_default();
        let used = self.used.map_or(Duration::ZERO, |used| used.saturating_sub(earlier));
        (naps && sleeps >= least.sleeps) || used >= least.used
    }
}

/// What a task does in vain before it is believed that it changes nothing.
#[derive(Debug, Clone, Copy)]
pub struct Deeds {
    /// It has woken and gone back to sleep so often,
    pub sleeps: u64,
    /// or it has used so much processor time.
    pub used: Duration,
    /// Whether a task is believed whose waking cannot be seen.
    pub unseen: bool,
}

/// Whether each task that moves has done so much between two looks, the first one by task. The sleeps count of those that `nap` between short
/// pieces of work; a program that starts sleeps as well, for what it reads.
pub fn all_have_done(before: &HashMap<i32, Motion>, now: &[Motion], least: &Deeds, nap: impl Fn(i32) -> bool) -> bool {
    now.iter().filter(|motion| motion.moves).all(|motion| {
        (motion.unseen && least.unseen) || motion.has_done(before.get(&motion.task), least, nap(motion.task))
    })
}

/// A keepalive timer that fires later than this is none as far as a scenario goes: 60 s, the longest deadline.
const FAR_AWAY_MS: u32 = 60_000;

/// Whether anything is under way between sockets. The caller passes all sockets of the stage's network.
pub fn sockets_at_rest(sockets: &[Socket]) -> Result<(), Restless> {
    let ends: HashMap<Pair, &Socket> = sockets.iter().map(|socket| (socket.pair, socket)).collect();
    for socket in sockets {
        let far = ends.get(&socket.pair.reversed());
        let under_way = match (socket.state, socket.timer) {
            // The window is closed because the other end does not read what it has: whoever wants to read there has been
            // woken already, so more of it wakes nobody, nor does the FIN behind it. Anything else than that is movement.
            (_, Timer::Probe) if far.is_some_and(|far| far.unread > 0) => continue,
            (_, Timer::Probe) => "probes a closed window",
            (TcpState::SynSent | TcpState::SynRecv | TcpState::FinWait1 | TcpState::Closing | TcpState::LastAck, _) => {
                "is in a passing state"
            }
            (_, Timer::Retransmit) => "waits for an acknowledgment",
            (TcpState::Established | TcpState::CloseWait, Timer::Keepalive(left)) if left < FAR_AWAY_MS => {
                "has a keepalive timer"
            }
            // A RST has no timer: until it arrives, one end is there and the other is not.
            (TcpState::Established | TcpState::CloseWait, _) if far.is_none() => {
                "has lost its other end and does not know yet"
            }
            _ => continue,
        };
        return Err(Restless(format!("{} in {} {under_way}", socket.pair, socket.state)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn socket(local: u16, remote: u16, state: TcpState, timer: Timer) -> Socket {
        let address = |port| format!("127.0.0.1:{port}").parse().unwrap();
        let pair = Pair { local: address(local), remote: address(remote) };
        Socket { pair, state, timer, inode: 1, unread: 0, unsent: 0 }
    }

    #[rstest]
    #[case(TcpState::Established, Timer::Off, true)]
    #[case(TcpState::Established, Timer::Retransmit, false)]
    #[case(TcpState::Established, Timer::Probe, false)]
    #[case(TcpState::Established, Timer::Keepalive(7_200_000), true)]
    #[case(TcpState::Established, Timer::Keepalive(900), false)]
    #[case(TcpState::FinWait1, Timer::Off, false)]
    #[case(TcpState::LastAck, Timer::Retransmit, false)]
    #[case(TcpState::FinWait2, Timer::Keepalive(900), true)]
    #[case(TcpState::TimeWait, Timer::TimeWait, true)]
    #[case(TcpState::SynSent, Timer::Retransmit, false)]
    #[case(TcpState::CloseWait, Timer::Off, true)]
    fn a_socket_is_at_rest_when_nothing_is_under_way(
        #[case] state: TcpState,
        #[case] timer: Timer,
        #[case] rest: bool,
    ) {
        let sockets = [socket(1, 2, state, timer), socket(2, 1, TcpState::Established, Timer::Off)];
        assert_eq!(sockets_at_rest(&sockets).is_ok(), rest);
    }

    fn motion(moves: bool, sleeps: u64, used: u64) -> Motion {
        let used = Some(Duration::from_millis(used));
        Motion { moves, napping: true, sleeps, used, ..Motion::unknown(1) }
    }

    #[rstest]
    #[case::a_poller_that_has_woken(motion(true, 13, 0), true, true)]
    #[case::a_program_that_reads_its_libraries(motion(true, 13, 0), false, false)]
    #[case::a_sleeper_that_has_not_woken(motion(true, 10, 0), true, false)]
    #[case::one_that_runs_on(motion(true, 10, 80), false, true)]
    #[case::one_that_had_no_processor(motion(true, 10, 31), false, false)]
    #[case::one_that_does_not_move(motion(false, 10, 0), false, true)]
    #[case::one_that_cannot_be_seen(Motion { unseen: true, ..motion(true, 10, 0) }, true, false)]
    fn a_task_is_believed_when_it_has_moved_in_vain(#[case] now: Motion, #[case] naps: bool, #[case] believed: bool) {
        let least = Deeds { sleeps: 3, used: Duration::from_millis(50), unseen: false };
        assert_eq!(all_have_done(&HashMap::from([(1, motion(true, 10, 30))]), &[now], &least, |_| naps), believed);
    }

    #[rstest]
    #[case(Duration::from_secs(60), true)]
    #[case(Duration::from_secs(3), true)]
    #[case(Duration::from_millis(2999), false)]
    fn a_sleep_that_may_end_while_we_wait_is_movement(#[case] length: Duration, #[case] rest: bool) {
        let horizon = Horizon { slept: Duration::from_secs(1), awaited: Duration::from_secs(2) };
        assert_eq!(horizon.is_within_sleep(length), rest);
        assert!(!Horizon::NONE.is_within_sleep(length));
    }

    #[rstest]
    #[case::more_data(TcpState::Established)]
    #[case::a_fin_behind_it(TcpState::FinWait1)]
    #[case::the_last_fin_behind_it(TcpState::LastAck)]
    fn a_closed_window_is_at_rest_while_the_other_end_does_not_read(#[case] state: TcpState) {
        let mut sockets = [socket(1, 2, state, Timer::Probe), socket(2, 1, TcpState::Established, Timer::Off)];
        assert!(sockets_at_rest(&sockets).is_err());
        sockets[1].unread = 4096;
        assert!(sockets_at_rest(&sockets).is_ok());
    }

    #[test]
    fn a_lone_end_means_that_a_reset_is_under_way() {
        assert!(sockets_at_rest(&[socket(1, 2, TcpState::Established, Timer::Off)]).is_err());
        assert!(sockets_at_rest(&[socket(1, 2, TcpState::TimeWait, Timer::TimeWait)]).is_ok());
    }
}
