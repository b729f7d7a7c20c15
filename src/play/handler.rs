//! Which process handles a peer's connection.

use super::known::Identity;
use super::scene::{Scene, View};
use super::verdict::Outcome;
use super::watch::{Finding, Manner, Waited};
use crate::observe::{Process, Socket};
use crate::scenario::{Model, Role, Timing};
use crate::tcp::TcpState;

impl Scene {
    /// Finds the process that owns the server's end of a connection, and remembers it. The connection is a peer's, or
    /// the one that a client has made.
    ///
    /// Right after accept the listening process owns it, after fork two processes do, and then the child alone: while
    /// the listening process is among the owners, the answer is taken at rest. If it keeps the connection even
    /// then, the handler is the first process that was made for it.
    pub fn handler(&mut self, peer: &str) -> Result<Result<Identity, String>, Outcome> {
        if let Some(identity) = self.handlers.get(peer).copied() {
            self.serves_alone(peer, identity)?;
            return Ok(Ok(identity));
        }
        let started = self.server().map(|(_, program)| program.pid);
        let alone = matches!(self.request.model, Some(Model::Thread | Model::Event | Model::Iterative));
        let mut found = None;
        let waited = self.watch(Manner::Settles, Timing::Natural, true, |scene, view| {
            let Some(view) = view else { return Ok(Finding::NotYet(String::new())) };
            let owners = scene.server_end_owners(view, peer);
            let choice = owners.iter().find(|process| Some(process.pid) != started).or(owners.first());
            found = choice.map(|process| (process.pid, process.started));
            // One owner that waits for its client is the handler; one that runs, or waits for a child, may be on its way
            // to hand the connection on, as in a double fork.
            let waits = |process: &Process| {
                let asleep = scene.processes.asleep_in(process);
                !asleep.is_empty() && !asleep.iter().any(|call| call == "wait")
            };
            let settled = match owners.as_slice() {
                [] => false,
                [only] => alone || (Some(only.pid) != started && waits(only)),
                _ => alone,
            };
            Ok(match (found, settled) {
                (Some(_), true) => Finding::Settled,
                (Some(_), false) => Finding::Holds,
                (None, _) => Finding::NotYet(scene.ownerless(view, peer)),
            })
        })?;
        Ok(match (found, waited) {
            (Some(identity), _) => {
                self.handlers.insert(peer.to_owned(), identity);
                self.note(format!("process {} handles {peer}", identity.0));
                self.serves_alone(peer, identity)?;
                Ok(identity)
            }
            (None, Waited::Failed(observed)) => Err(observed),
            (None, Waited::Held) => Err("nothing was seen".into()),
        })
    }

    /// A worker that serves several clients at a time takes them all along: what a scenario wants to do to the handler of
    /// one of them cannot be done.
    fn serves_alone(&mut self, peer: &str, handler: Identity) -> Result<(), Outcome> {
        if self.request.model != Some(Model::Prefork) {
            return Ok(());
        }
        let view = self.look()?;
        let has = |other: &str| self.server_end_owners(&view, other).iter().any(|owner| owner.pid == handler.0);
        match self.peers.keys().find(|other| *other != peer && has(other)) {
            None => Ok(()),
            Some(other) => Err(Outcome::Skip(format!(
                "process {} serves {peer} and {other} at once: what is done to it is done to both",
                handler.0
            ))),
        }
    }

    /// The processes of the server that have the server's end of a peer's connection open.
    pub fn server_end_owners<'v>(&self, view: &'v View, peer: &str) -> Vec<&'v Process> {
        let Some(pair) = self.pair(peer) else { return Vec::new() };
        self.owners_of_end(view, pair.reversed())
    }

    /// The processes that a handler has made and that have one of its connections open like it, as a shell's command has.
    pub fn partners<'v>(&self, view: &'v View, handler: &Process) -> Vec<&'v Process> {
        let port = self.request.port;
        let is_own = |socket: &&Socket| {
            socket.pair.local.port() == port
                && socket.state != TcpState::Listen
                && socket.inode != 0
                && self.holds(handler, socket.inode)
        };
        let own: Vec<&Socket> = view.sockets.iter().filter(is_own).collect();
        let shares = |process: &&Process| {
            process.pid != handler.pid
                && view.descends(process.pid, handler.pid)
                && own.iter().any(|socket| self.holds(process, socket.inode))
                && !view.listeners(port).any(|socket| self.holds(process, socket.inode))
        };
        view.processes.iter().filter(shares).collect()
    }

    /// The connection of a peer or of a client, by name.
    pub fn pair(&self, name: &str) -> Option<crate::observe::Pair> {
        let peer = self.peers.get(name).map(|peer| peer.pair);
        peer.or_else(|| self.programs.get(name)?.pair)
    }

    fn ownerless(&self, view: &View, name: &str) -> String {
        let Some(pair) = self.pair(name) else { return format!("{name} has made no connection to the port") };
        match view.state(pair.reversed()) {
            TcpState::Gone => format!("the server's end of {name}'s connection is gone"),
            state @ (TcpState::FinWait1 | TcpState::FinWait2 | TcpState::Closing | TcpState::TimeWait) => {
                format!("no process owns the server's end of {name}'s connection ({state}): the server has closed it")
            }
            state if self.programs.values().any(|program| program.role == Role::Server && program.end.is_none()) => {
                format!("no process owns the server's end of {name}'s connection ({state}): it was not accepted")
            }
            state => format!("no process owns the server's end of {name}'s connection ({state}): the server has ended"),
        }
    }
}
