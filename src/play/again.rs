//! The look again after the last step: a server that only seemed to pass is found out.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::scene::Scene;
use super::steps::{Leftover, Miss, Stop, Topic};
use super::verdict::Ordinary;
use super::wording::plural;
use crate::scenario::Role;

impl Scene {
    /// Is the server alive, listening, serving a fresh client that leaves no more behind than any other does? Has any
    /// process crashed? A server that is no echo server has to be there for one more client, and that is all.
    pub fn look_again(&mut self, echoes: bool) -> Result<(), Stop> {
        self.clear_away()?;
        let crashed = self.known.iter().find_map(|((pid, _), known)| Some((*pid, &known.program, known.crash()?)));
        // Who is the player's own child may be reaped before it is seen as a zombie.
        let crashed = crashed
            .or_else(|| self.programs.iter().find_map(|(name, program)| Some((program.pid, name, program.crash()?))))
            .map(|(pid, program, signal)| format!("process {pid} of {program} was ended by {signal}"));
        if let Some(observed) = crashed {
            return again(Topic::Crash, "no process has crashed", observed);
        }
        let Some((name, program)) = self.server() else { return Ok(()) };
        if program.end_was_asked_for {
            return Ok(());
        }
        let name = name.clone();
        if let Some(end) = program.end {
            return again(Topic::Crash, format!("{name} still runs after the last step"), format!("it {end}"));
        }
        let mut before = self.leftovers(&name)?;
        self.note("looking again: one more client");
        let to = self.address();
        if !echoes {
            return self.reach("one more client", to);
        }
        let Some(ordinary) = self.request.ordinary else {
            // Not even an ordinary client can leave this server as it should: other scenarios are about that.
            return self.call("one more client", to);
        };
        self.visit("one more client", to)?;
        self.settle()?;
        let mut after = self.leftovers(&name)?;
        if after.exceeds(before, ordinary) {
            // What a server opens for its very first client is no loss: the next one tells.
            before = after;
            self.visit("and one more", to)?;
            self.settle()?;
            after = self.leftovers(&name)?;
        }
        // A server that reaps at its next accept always has the last client's child left: no more than it had.
        if after.zombies - before.zombies > ordinary.zombies {
            let observed = format!("now {}", plural(after.zombies as u64, "zombie", "zombies"));
            return again(Topic::Leftover(Leftover::Zombies), "one more client leaves no zombie behind", observed);
        }
        if after.descriptors - before.descriptors > ordinary.descriptors {
            let observed = format!("{} descriptors before it came, {} now", before.descriptors, after.descriptors);
            return again(
                Topic::Leftover(Leftover::Descriptors),
                "one more client leaves no descriptor open",
                observed,
            );
        }
        Ok(())
    }

    /// What ordinary clients leave behind on this server: the difference that the second of two makes.
    /// `at_first`: the children that it had before its first client.
    pub fn ordinary(&mut self, at_first: usize) -> Result<Ordinary, Stop> {
        let Some(name) = self.server().map(|(name, _)| name.clone()) else { return Ok(Ordinary::default()) };
        let to = self.address();
        self.visit("first ordinary client", to)?;
        self.settle()?;
        let before = self.leftovers(&name)?;
        self.visit("second ordinary client", to)?;
        self.settle()?;
        let after = self.leftovers(&name)?;
        // Fewer than before is nothing that the next client has to do too.
        let more = |after: i64, before: i64| (after - before).max(0);
        Ok(Ordinary {
            zombies: more(after.zombies, before.zombies),
            descriptors: more(after.descriptors, before.descriptors),
            helpers: if after.helpers > before.helpers { 0 } else { more(after.helpers, at_first as i64) },
        })
    }

    /// Ends what the scenario has left open, so that the server has nothing else to do.
    fn clear_away(&mut self) -> Result<(), Stop> {
        let view = self.look()?;
        for process in view.processes.iter().filter(|process| process.state == 'T') {
            // It may be gone by now; then there is nothing to continue.
            let _ = kill(Pid::from_raw(process.pid), Signal::SIGCONT);
        }
        self.peers.values_mut().for_each(super::peer::Peer::close);
        // A client whose server is the runner has just seen it leave: both at once would be a race.
        if self.listeners.is_empty() {
            let clients = self.programs.values_mut().filter(|program| program.role == Role::Client);
            clients.for_each(|program| program.end_input());
        }
        self.stir();
        self.settle()?;
        self.look()?;
        Ok(())
    }

    /// What there is of it now.
    fn leftovers(&mut self, name: &str) -> Result<Ordinary, Stop> {
        let view = self.look()?;
        let family: Vec<i32> = self.family(&view, name).iter().map(|process| process.pid).collect();
        let zombies =
            view.processes.iter().filter(|process| process.is_zombie() && family.contains(&process.parent)).count();
        let process = self.programs.get(name).and_then(|program| view.process(program.pid));
        let descriptors = match process {
            // It can have ended since the look: then the server is gone, which is said elsewhere.
            Some(process) => self.processes.descriptors(process).map_or(0, |table| table.len()),
            None => 0,
        };
        let helpers = process.map_or(0, |process| view.live_children(process.pid));
        Ok(Ordinary { zombies: zombies as i64, descriptors: descriptors as i64, helpers: helpers as i64 })
    }
}

fn again(topic: Topic, expected: impl Into<String>, observed: impl Into<String>) -> Result<(), Stop> {
    Err(Stop::Miss(Box::new(Miss { span: None, expected: expected.into(), observed: observed.into(), topic })))
}
