//! Excuses: why a server of a model is not to blame for a client that gets nothing.

use super::peer::Peer;
use super::scene::{Scene, View};
use crate::observe::Process;
use crate::scenario::Model;

impl Scene {
    /// A server with a pool of threads made before the first client comes (UNPv1 §30.11, §30.12) has as many as ever, each
    /// serves a client, and the others wait for their turn. A scenario with more clients than threads says nothing about
    /// it.
    pub fn has_no_thread_left(&self, view: &View) -> Option<String> {
        if self.request.model != Some(Model::Thread) {
            return None;
        }
        let (name, server) = self.server()?;
        let threads = view.process(server.pid)?.threads;
        let served = self.served_at_once() as u64;
        let waits = |peer: &Peer| peer.inbox.received() == 0 && peer.outbox.total > 0;
        // The main thread may do something else, and so may one that waits for signals.
        let all_serve = served >= 2 && (served..=served + 2).contains(&threads);
        (server.threads == Some(threads) && all_serve && self.open_peers().any(waits)).then(|| {
            format!(
                "{name} has the {threads} threads that it had before its first client: they serve {served} clients at a \
                 time, and who comes next has to wait"
            )
        })
    }

    /// A worker of a prefork server that is stopped has the client, or will get it.
    pub fn was_given_to_stopped_worker(&self, view: &View, peer: &str) -> Option<String> {
        if self.request.model != Some(Model::Prefork) {
            return None;
        }
        let (name, started) = self.server().map(|(name, program)| (name, program.pid))?;
        let socket = view.socket(self.pair(peer)?.reversed())?;
        let is_stopped = |process: &&&Process| process.state == 'T';
        let family = self.family(view, name);
        let stopped = family.iter().find(is_stopped)?;
        let to_stopped_alone = if socket.inode == 0 {
            // It was not accepted, and waits at a socket that no worker but the stopped one accepts from.
            let accepts = |owner: &&Process| owner.pid != started && !owner.is_zombie();
            view.listeners(self.request.port).filter(|listener| listener.unread > 0).any(|listener| {
                let owners = self.owners(view, listener.inode);
                let mut workers = owners.into_iter().filter(accepts).peekable();
                workers.peek().is_some() && workers.all(|worker| worker.state == 'T')
            })
        } else {
            // Or it is on its way to the worker: nobody has it, or still the one that deals out clients.
            self.owners(view, socket.inode).iter().all(|owner| owner.state == 'T' || owner.pid == started)
        };
        to_stopped_alone.then(|| {
            format!(
                "{peer} has come to process {}, which is stopped: how {name} spreads its clients is its own affair",
                stopped.pid
            )
        })
    }

    /// How many clients have had an answer and are still there.
    pub fn served_at_once(&self) -> usize {
        self.open_peers().filter(|peer| peer.inbox.received() > 0).count()
    }

    fn open_peers(&self) -> impl Iterator<Item = &Peer> {
        self.peers.values().filter(|peer| peer.is_open() && peer.ended.is_none())
    }
}
