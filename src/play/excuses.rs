//! Excuses: why a server is not to blame for what a scenario has missed.

use std::net::IpAddr;

use super::expect::Subject;
use super::peer::Peer;
use super::scene::{Scene, View};
use super::steps::{Miss, Stop, Topic};
use crate::observe::Process;
use crate::scenario::{Action, CheckKind, Model, Role};

impl Scene {
    /// Why a server is not to blame for what was missed while something was done, if it is not.
    pub fn excuse(&mut self, miss: &Miss, action: Option<&Action>, view: &View) -> Result<Option<String>, Stop> {
        Ok(match (&miss.topic, action) {
            (Topic::Check(CheckKind::Receives(_), subject), _) => match self.has_no_thread_left(view)? {
                None => self.was_given_to_stopped_worker(view, subject.label()),
                why => why,
            },
            (Topic::Check(CheckKind::Exits(_) | CheckKind::Says(_), Subject::Program(name)), _) => {
                self.reports_elsewhere(view, name)
            }
            (Topic::Check(CheckKind::ListensOn(_), Subject::Program(name)), _) => self.was_told_where(name),
            (Topic::Connect, Some(Action::Connect { address: Some(address), .. })) => {
                self.listens_elsewhere(view, address)
            }
            _ => None,
        })
    }

    /// A daemon's first process leaves before it can fail, and a shell has a status of its own: what a second server finds
    /// out, where the first one is such a program, is told to a log.
    fn reports_elsewhere(&self, view: &View, second: &str) -> Option<String> {
        let (first, program) = self.server()?;
        let is_server = self.programs.get(second).is_some_and(|program| program.role == Role::Server);
        let listens = !self.listeners_of(view, second).is_empty();
        (first != second && is_server && program.adopted && !listens).then(|| {
            format!("the process that was started as {first} is not the one that listens: what becomes of {second} is not told by its status")
        })
    }

    /// A server whose command has the address in it listens where it was told to.
    fn was_told_where(&self, name: &str) -> Option<String> {
        let told = self.request.server.iter().any(|word| word.contains("{host}"));
        told.then(|| format!("{name} was told to listen on {}: its command has {{host}}", self.address().ip()))
    }

    /// A server that listens on addresses of its choice cannot be reached through others.
    fn listens_elsewhere(&self, view: &View, address: &str) -> Option<String> {
        let address: IpAddr = address.parse().ok()?;
        let (name, _) = self.server()?;
        let own: Vec<IpAddr> = view.listeners(self.request.port).map(|socket| socket.pair.local.ip()).collect();
        let chosen = !own.is_empty() && own.iter().all(|ip| !ip.is_unspecified() && *ip != address);
        let own: Vec<String> = own.iter().map(IpAddr::to_string).collect();
        chosen.then(|| format!("{name} listens on {} only: it cannot be reached through {address}", own.join(" and ")))
    }

    /// A pool of threads (UNPv1 §30.11, §30.12) serves as many clients at a time as it has threads, and the others wait for
    /// their turn: a scenario with more clients says nothing about it. It shows when one that is served leaves, and one
    /// that has waited gets its answer.
    pub fn has_no_thread_left(&mut self, view: &View) -> Result<Option<String>, Stop> {
        const READING: [&str; 4] = ["read", "poll", "select", "epoll_wait"];
        let Some((name, server)) = self.server() else { return Ok(None) };
        let Some(process) = view.process(server.pid) else { return Ok(None) };
        let asleep = self.processes.asleep_in(process);
        let readers = asleep.iter().filter(|call| READING.contains(&call.as_str())).count();
        let name = name.to_owned();
        let is_answered = |peer: &Peer| peer.inbox.received() > 0;
        let named = |wanted: &dyn Fn(&Peer) -> bool| {
            let peers = self.peers.iter().filter(|(_, peer)| is_open(peer) && wanted(peer));
            peers.map(|(name, _)| name.clone()).collect::<Vec<_>>()
        };
        let served = named(&is_answered);
        let waiting = named(&|peer| !is_answered(peer) && peer.outbox.total > 0);
        // Each of those that are served has a thread that waits for what it says. One that waits for a lock serves nobody.
        let each_has_its_own = asleep.is_empty() || readers >= served.len();
        let (Some(first), 2..) = (served.first(), served.len()) else { return Ok(None) };
        if self.request.model != Some(Model::Thread) || waiting.is_empty() || !each_has_its_own {
            return Ok(None);
        }
        self.act(&Action::Close { peers: vec![first.clone()] })?;
        self.settle()?;
        let next = waiting.iter().find(|name| self.peers.get(*name).is_some_and(is_answered));
        Ok(next.map(|next| {
            format!(
                "{name} serves {} clients at a time, and who comes next has to wait: {next} had its answer when {first} \
                 had left",
                served.len()
            )
        }))
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
        self.peers.values().filter(|peer| is_open(peer) && peer.inbox.received() > 0).count()
    }
}

fn is_open(peer: &Peer) -> bool {
    peer.is_open() && peer.ended.is_none()
}
