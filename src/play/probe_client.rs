//! Whether a client ever keeps a processor busy with nothing to do, found out by watching it.

use std::time::Duration;

use super::probe::{line, start};
use super::scene::Scene;
use super::steps::Stop;
use super::verdict::{Outcome, ProbeResult};
use crate::observe::Horizon;
use crate::scenario::{Action, Role};

/// A program that needs more of a processor before it connects is slow in all that it does: its spinning could not be
/// told from its work soon enough to be worth it.
const QUICK_START: Duration = Duration::from_millis(10);

impl Scene {
    /// Starts the client twice: one is served until its input has ended, the other one's server leaves it.
    pub fn probe_client(&mut self) -> Result<ProbeResult, Outcome> {
        match self.client_spins() {
            Ok(spins) => Ok(ProbeResult { spins, ..ProbeResult::default() }),
            // The scenarios will say so.
            Err(Stop::Miss(_)) => Ok(ProbeResult::default()),
            Err(Stop::Outcome(outcome)) => Err(outcome),
        }
    }

    fn client_spins(&mut self) -> Result<bool, Stop> {
        let (client, served) = (vec!["client".to_owned()], vec!["served".to_owned()]);
        let (on, left) = ("desk".to_owned(), vec!["left".to_owned()]);
        self.act(&Action::Listen { name: on.clone(), narrow: false })?;
        self.act(&start(Role::Client, "client"))?;
        self.settle()?;
        if self.processor_time()? > QUICK_START {
            return Ok(false);
        }
        self.act(&Action::Accept { peers: served.clone(), on: on.clone() })?;
        self.act(&Action::Echo { peers: served.clone() })?;
        Ok(self.spins_after(&Action::Type { programs: client.clone(), text: line() })?
            || self.spins_after(&Action::EndInput { programs: client })?
            || self.spins_after(&Action::Close { peers: served })?
            || {
                self.act(&start(Role::Client, "another client"))?;
                self.act(&Action::Accept { peers: left.clone(), on })?;
                self.spins_after(&Action::Close { peers: left })?
            })
    }

    /// Whether something keeps a processor busy after this, and goes on.
    fn spins_after(&mut self, action: &Action) -> Result<bool, Stop> {
        self.act(action)?;
        self.is_kept_busy()
    }

    /// How much processor time the programs have used that live.
    fn processor_time(&mut self) -> Result<Duration, Stop> {
        let processes = self.list_processes()?;
        let motions = self.processes.motions(&processes, Horizon::NONE).unwrap_or_default();
        Ok(motions.iter().filter_map(|task| task.used).sum())
    }
}
