//! A pool of threads made before the first client comes (UNPv1 §30.11, §30.12).

use super::peer::Peer;
use super::scene::{Scene, View};
use crate::scenario::Model;

impl Scene {
    /// Why a server is not to blame for clients that get nothing: it has as many threads as ever, each serves a client, and
    /// the others wait for their turn. A scenario with more clients than threads says nothing about it.
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

    /// How many clients have had an answer and are still there.
    pub fn served_at_once(&self) -> usize {
        self.open_peers().filter(|peer| peer.inbox.received() > 0).count()
    }

    fn open_peers(&self) -> impl Iterator<Item = &Peer> {
        self.peers.values().filter(|peer| peer.is_open() && peer.ended.is_none())
    }
}
