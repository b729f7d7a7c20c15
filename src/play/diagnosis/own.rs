//! Whether the defect that a scenario exists for is the one that shows.

use memchr::memmem;

use super::case::{Case, accepted_by_us, decisive, ended_undisturbed, server_is_gone};
use super::client::of_its_manner;
use super::ending::LONG_SILENCE;
use crate::catalogue::Sign;
use crate::play::scene::waits_for_accept;
use crate::play::steps::Topic;
use crate::scenario::{CheckKind, Model, Role};

/// Mistakes in what is done to data: who has not read it has not made them.
const OF_DATA: [&str; 15] = [
    "bytes-interpreted",
    "counter-overflows",
    "data-taken-for-string",
    "empty-line-lost",
    "eof-in-a-char",
    "extra-byte",
    "fixed-buffer-per-connection",
    "line-buffer-off-by-one",
    "line-ends-altered",
    "line-left-in-stdio-buffer",
    "long-line-cut",
    "short-write-ignored",
    "unbounded-buffer",
    "unfinished-line-lost",
    "waits-for-newline",
];

impl Case<'_> {
    /// The scenario's own defect, where it may be what shows.
    pub fn own(&self) -> Option<String> {
        let defect = crate::catalogue::find(&self.scenario.defect)?;
        let sign = if server_is_gone(self.scene) { Sign::Dead } else { self.evidence.sign };
        if !decisive(self.scenario, self.step)
            || !defect.shows.contains(&sign)
            || self.is_the_old_story()
            // It does not even do right by an ordinary line.
            || (defect.blames == Role::Client.to_string() && of_its_manner(self).is_some())
        {
            return None;
        }
        let matched = self.evidence.matched;
        let fits = match defect.id.as_str() {
            // Where a sum of 16 bits, with its sign or without, grows too large: the last read went beyond.
            "counter-overflows" => (24 << 10..136 << 10).contains(&matched),
            "line-buffer-off-by-one" => self.received() >= 4000 && self.one_byte_differs(),
            // Nothing but its newline was typed or sent, and it is what is missed.
            "client-skips-empty-lines" => self.evidence.sign == Sign::Silence && self.missed().starts_with(b"\n"),
            "one-client-blocks-all" => self.scene.request.model == Some(Model::Event),
            "extra-byte" => self.peer().is_none_or(|peer| peer.inbox.received() > peer.outbox.total),
            "never-accepts" => self.view.sockets.iter().any(waits_for_accept),
            "no-reuseaddr" | "reuseport-instead" => self.peer().is_none(),
            "idle-timeout" => self.peer().and_then(|peer| peer.silence).is_none_or(|silence| silence >= LONG_SILENCE),
            "serves-one-address-only" => matches!(self.evidence.sign, Sign::Fin | Sign::Reset | Sign::Refused),
            // Whose connection stays open, or brings other bytes, has not died.
            "handlers-die-with-parent" => !matches!(self.evidence.sign, Sign::Bytes | Sign::Silence),
            "obeys-words" | "client-obeys-words" => self.lines_taken() >= 2,
            "loses-last-line" => matches!(self.miss.topic, Topic::Check(CheckKind::Receives(_), _)),
            // It differs at a per cent sign.
            "printf-without-format" => {
                let before = self.wanted().get(..matched).unwrap_or_default();
                before.ends_with(b"%") || self.missed().starts_with(b"%")
            }
            "prints-own-input" => matches!(self.miss.topic, Topic::Check(CheckKind::Stdout(_), _)),
            "reads-once-per-line" => matched > 0 || self.evidence.sign != Sign::Bytes,
            "waits-for-end-of-input" => self.peer().is_none_or(|peer| peer.inbox.received() == 0),
            "truncates-long-lines" => matched > 0,
            // What was kept back is not a part that a write did not take: that ends in the middle of a line.
            "client-ignores-short-write" if self.evidence.sign == Sign::Bytes => matched > 0 && self.came_too_early(),
            "client-ignores-short-write" => {
                matched > 0 && self.capture().is_some_and(|capture| !capture.kept().ends_with(b"\n"))
            }
            "ignores-its-address" | "ignores-its-port" | "leaves-before-echo" => {
                self.scene.programs.values().any(|one| one.pair.is_some())
            }
            // A parent that waits in vfork is in state D, and as far from being busy as can be; and so is who sleeps in
            // another call than was expected, unless it naps.
            "busy-loop" => {
                let says = |text: &str| self.miss.observed.contains(text);
                matches!(self.miss.topic, Topic::Check(CheckKind::State(_) | CheckKind::AsleepIn(_), _))
                    && !says("in state D")
                    && (!says("asleep in") || says("asleep in sleep"))
            }
            "waits-once" | "reaps-at-most-two" | "zombie-children" => {
                self.view.processes.iter().any(crate::observe::Process::is_zombie)
            }
            "backlog-too-small" => self.miss.observed.contains("backlog"),
            // Not where data was lost with it: a handler that leaves too early resets as well.
            "reset-instead-of-fin" => !matches!(self.miss.topic, Topic::Check(CheckKind::Receives(_), _)),
            // What follows the gap is what was sent later.
            "short-write-ignored" if self.evidence.sign == Sign::Bytes => matched > 0 && self.came_too_early(),
            "line-left-in-stdio-buffer" | "fixed-buffer-per-connection" | "long-line-cut" | "short-write-ignored" => {
                matched > 0
            }
            "client-resets-at-end" => {
                let gone = |pair| self.view.state(pair) == crate::tcp::TcpState::Gone;
                self.scene.programs.values().filter_map(|one| one.pair).any(gone)
            }
            "shared-state-between-threads" => self.scene.request.model == Some(Model::Thread),
            _ => true,
        };
        fits.then_some(defect.id)
    }

    /// Whether what is missed was so before the scenario did what it is about, or nobody has ever handled the data.
    fn is_the_old_story(&self) -> bool {
        let Some((name, peer)) = self.peer_and_name() else { return false };
        if accepted_by_us(self.scenario, name) {
            return false;
        }
        if !self.is_about(&["limits-clients"]) && ended_undisturbed(self, peer) {
            return true;
        }
        let socket = self.view.socket(peer.pair.reversed());
        let unread = socket.is_some_and(|socket| socket.unread > 0);
        let judges_server = self.scene.request.judged.contains(&Role::Server);
        let serves_nobody = self.scene.request.ordinary.is_none() && judges_server;
        if self.is_about(&OF_DATA) && (serves_nobody || (self.evidence.sign == Sign::Silence && unread)) {
            return true;
        }
        // A server that does not even serve an ordinary client rightly does not fail on an ordinary line because of
        // what is special here.
        let wanted = self.wanted();
        let letters = wanted.strip_suffix(b"\n").unwrap_or_default();
        let is_ordinary = (1..100).contains(&letters.len())
            && letters.iter().all(|letter| (b' '..=b'~').contains(letter))
            && !self.is_about(&["obeys-words"]);
        is_ordinary && serves_nobody
    }

    /// The part of it that did not come.
    fn missed(&self) -> &[u8] {
        self.wanted().get(self.evidence.matched..).unwrap_or_default()
    }

    /// What came instead of that part, and all that followed.
    fn surplus(&self) -> &[u8] {
        self.capture().and_then(|capture| capture.unread().get(self.evidence.matched..)).unwrap_or_default()
    }

    /// Whether one byte is missing, or is another one, and what follows it is right.
    fn one_byte_differs(&self) -> bool {
        const FEW: usize = 8;
        let (came, missed) = (self.surplus(), self.missed());
        let Some(next) = missed.get(1..) else { return false };
        let next = &next[..next.len().min(FEW)];
        let follows = |bytes: &[u8]| bytes.starts_with(next) || next.starts_with(bytes);
        follows(came) || came.get(1..).is_some_and(follows)
    }

    /// Whether what came is what was due later.
    fn came_too_early(&self) -> bool {
        const SOME: usize = 32;
        let came = self.surplus();
        let came = &came[..came.len().min(SOME)];
        memmem::find(self.missed(), came).is_some_and(|at| at > 0)
    }
}
