//! How a client goes about its work, found out by watching it.

use std::time::Duration;

use super::probe::{line, start};
use super::scene::Scene;
use super::steps::Stop;
use super::verdict::{Outcome, Prints, ProbeResult, Sends};
use crate::observe::Horizon;
use crate::scenario::{Action, Role};

/// A program that needs more of a processor before it connects is slow in all that it does: its spinning could not be
/// told from its work soon enough to be worth it.
const QUICK_START: Duration = Duration::from_millis(10);

impl Scene {
    /// Starts the client twice: one is served until its input has ended, the other one's server leaves it.
    pub fn probe_client(&mut self) -> Result<ProbeResult, Outcome> {
        let mut found = ProbeResult::default();
        match self.observe_client(&mut found) {
            // What was not seen the scenarios will say.
            Ok(()) | Err(Stop::Miss(_)) => Ok(found),
            Err(Stop::Outcome(outcome)) => Err(outcome),
        }
    }

    fn observe_client(&mut self, found: &mut ProbeResult) -> Result<(), Stop> {
        let (client, served) = (vec!["client".to_owned()], vec!["served".to_owned()]);
        let (on, left) = ("desk".to_owned(), vec!["left".to_owned()]);
        self.act(&Action::Listen { name: on.clone(), narrow: false })?;
        self.act(&start(Role::Client, "client"))?;
        let accepted = self.act(&Action::Accept { peers: served.clone(), on: on.clone() });
        found.never_connects = matches!(accepted, Err(Stop::Miss(_)));
        accepted?;
        let is_quick = self.processor_time()? <= QUICK_START;
        self.act(&Action::Echo { peers: served.clone() })?;
        self.act(&Action::Type { programs: client.clone(), text: line() })?;
        found.spins = self.is_kept_busy()? && is_quick;
        let heard = self.heard("served").to_vec();
        found.prints = self.made_of(&heard);
        self.act(&Action::EndInput { programs: client })?;
        found.spins |= self.is_kept_busy()? && is_quick;
        let line = line();
        found.sends = match (heard.as_slice(), self.heard("served")) {
            ([], []) => Sends::Never,
            ([], _) => Sends::AtTheEnd,
            (heard, _) if heard == line.bytes().as_slice() => Sends::Lines,
            (heard, _) if heard == line.bytes().trim_ascii_end() => Sends::Unended,
            _ => Sends::Otherwise,
        };
        self.act(&Action::Close { peers: served })?;
        if found.spins || !is_quick {
            return Ok(());
        }
        found.spins = self.is_kept_busy()?;
        self.act(&start(Role::Client, "another client"))?;
        self.act(&Action::Accept { peers: left.clone(), on })?;
        self.act(&Action::Close { peers: left })?;
        found.spins |= self.is_kept_busy()?;
        Ok(())
    }

    /// What has come from a peer's other side.
    fn heard(&self, peer: &str) -> &[u8] {
        self.peers.get(peer).map_or(&[], |peer| peer.inbox.kept())
    }

    /// What the client has printed, now that this was sent back to it.
    fn made_of(&self, echo: &[u8]) -> Prints {
        let printed = self.programs.get("client").map_or(&[][..], |client| client.stdout.kept());
        match printed {
            [] if !echo.is_empty() => Prints::Nothing,
            printed if printed == echo => Prints::Echo,
            _ => Prints::Otherwise,
        }
    }

    /// How much processor time the programs have used that live.
    fn processor_time(&mut self) -> Result<Duration, Stop> {
        let processes = self.list_processes()?;
        let motions = self.processes.motions(&processes, Horizon::NONE).unwrap_or_default();
        Ok(motions.iter().filter_map(|task| task.used).sum())
    }
}
