//! What is to be played.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::shard::{Shard, Share};
use crate::scenario::{Action, Model, Payload, Role, Scenario, Suite};
use crate::stage::{Isolation, Launch};

/// The settings of a run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The server's command.
    pub server: Vec<String>,
    /// The client's command.
    pub client: Vec<String>,
    /// Which of them are judged; with none given, the reference programs are.
    pub judged: BTreeSet<Role>,
    /// Which of them were given; the others are the reference programs.
    pub given: BTreeSet<Role>,
    /// How the server is started.
    pub launch: Launch,
    /// The port that the server listens on; 0: the one that it is seen to listen on.
    pub port: u16,
    /// The model, if it is declared.
    pub model: Option<Model>,
    /// How many scenarios are played at a time.
    pub jobs: usize,
    /// How often each scenario is played.
    pub repeat: u32,
    /// How stages are kept apart; `None`: as well as can be.
    pub isolation: Option<Isolation>,
    /// Called once if the run waits for another one to leave this port of the machine's own network.
    pub waiting: fn(u16),
}

/// The scenarios of a run, in the order of their ids.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The scenarios.
    pub scenarios: Vec<Arc<Scenario>>,
    /// Which part of what was wanted they are, if they are a part.
    pub share: Option<Share>,
}

impl Plan {
    /// The order in which to begin with so many threads: what takes long first, so that none waits for the last one. One
    /// alone plays them as they are listed, and each result can be shown at once.
    pub fn order(&self, threads: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.scenarios.len()).collect();
        if threads > 1 {
            order.sort_by_key(|index| std::cmp::Reverse(effort(&self.scenarios[*index])));
        }
        order
    }

    /// The wanted scenarios that judge one of the given programs.
    pub fn new(suite: Suite, judged: &BTreeSet<Role>, wanted: impl Fn(&Scenario) -> bool) -> Plan {
        let judges = |scenario: &Scenario| scenario.tests.intersection(judged).next().is_some();
        let scenarios = suite.scenarios.into_iter().filter(|scenario| judges(scenario) && wanted(scenario));
        Plan { scenarios: scenarios.map(Arc::new).collect(), share: None }
    }

    /// One part of it, for one of several machines.
    pub fn shard(self, shard: Shard) -> Plan {
        let share = Share::of(shard, self.scenarios.iter().map(|scenario| &**scenario));
        Plan { scenarios: shard.part(self.scenarios), share: Some(share) }
    }
}

/// A guess at how long a scenario takes, in visits: a connection is one, and so are some 64 KiB.
fn effort(scenario: &Scenario) -> usize {
    let bytes = |payload: &Payload| payload.len() >> 16;
    let step = |action: &Action| match action {
        Action::Visits { count } => *count as usize,
        Action::Connect { peers, .. } => peers.len(),
        Action::Send { data, peers, .. } => bytes(data) * peers.len(),
        Action::Type { text, .. } => bytes(text),
        _ => 0,
    };
    scenario.steps.iter().map(|one| step(&one.action)).sum()
}
