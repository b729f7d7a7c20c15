//! What is done to processes: signals and limits.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::expect::Subject;
use super::known::Identity;
use super::scene::{Scene, View};
use super::steps::{Stop, Topic, miss, trouble};
use super::watch::{Finding, Manner, Waited};
use crate::observe::{DescriptorKind, Process};
use crate::scenario::{Scarce, SignalKind, Target, Timing};
use crate::stage::set_limit;

/// No longer than this does the kernel take to close what a killed process had open. What another process is being
/// sent over a Unix socket stays open for longer.
const LAST_CLOSE: Duration = Duration::from_secs(1);

impl Scene {
    pub fn signal(&mut self, target: &Target, kind: SignalKind) -> Result<(), Stop> {
        let subjects = match self.subjects(target)? {
            Ok(subjects) => subjects,
            Err(observed) => return miss(Topic::Handler, format!("a process that is {target}"), observed),
        };
        let signal = match kind {
            SignalKind::Kill(signal) => signal,
            SignalKind::Stop => Signal::SIGSTOP,
            SignalKind::Continue => Signal::SIGCONT,
        };
        for subject in subjects {
            let others = match (&subject, kind) {
                (Subject::Program(name), SignalKind::Kill(_)) => self.others_of_client(name)?,
                (Subject::Process(identity, _), _) => self.others_of_handler(*identity)?,
                _ => Vec::new(),
            };
            self.signal_one(&subject, signal)?;
            for other in others {
                match self.signal_one(&other, signal) {
                    // It has ended with the first one.
                    Err(Stop::Miss(_)) => {}
                    done => done?,
                }
            }
        }
        Ok(())
    }

    /// The processes of a client beside the one that was started that have its connection open: when the client is killed,
    /// they are. It may have two, or a shell that waits for it.
    fn others_of_client(&mut self, name: &str) -> Result<Vec<Subject>, Stop> {
        let Some(program) = self.programs.get(name) else { return Ok(Vec::new()) };
        let (pair, started) = (program.pair, program.pid);
        let view = self.look()?;
        let owners = pair.map(|pair| self.owners_of_end(&view, pair)).unwrap_or_default();
        Ok(owners.into_iter().filter(|owner| owner.pid != started).map(one_more).collect())
    }

    /// What a handler has made to serve its client with it: whatever is done to the one is done to all.
    fn others_of_handler(&mut self, identity: Identity) -> Result<Vec<Subject>, Stop> {
        let view = self.look()?;
        let Some(handler) = view.process(identity.0) else { return Ok(Vec::new()) };
        Ok(self.partners(&view, handler).into_iter().map(one_more).collect())
    }

    pub fn signal_one(&mut self, subject: &Subject, signal: Signal) -> Result<(), Stop> {
        let view = self.look()?;
        let pid = match subject {
            Subject::Program(name) => {
                self.programs.get(name).filter(|program| program.end.is_none()).map(|program| program.pid)
            }
            Subject::Process(identity, _) => self.known.get(identity).filter(|known| !known.gone).map(|_| identity.0),
            Subject::Peer(_) => None,
        };
        let has_ended = || miss(Topic::Handler, format!("{} runs", subject.label()), "it has ended already");
        let Some(pid) = pid else { return has_ended() };
        let ends = !matches!(signal, Signal::SIGSTOP | Signal::SIGCONT);
        if ends {
            for known in self.known.iter_mut().filter(|((known, _), _)| *known == pid).map(|(_, known)| known) {
                known.end_was_asked_for = true;
            }
            if let Subject::Program(name) = subject
                && let Some(program) = self.programs.get_mut(name)
            {
                program.end_was_asked_for = true;
            }
        }
        let own = if signal == Signal::SIGKILL { self.sockets_of_nobody_else(&view, pid) } else { Vec::new() };
        match kill(Pid::from_raw(pid), signal) {
            Ok(()) => {}
            Err(Errno::ESRCH) => return has_ended(),
            Err(errno) => return trouble(format!("sending {signal} to process {pid}: {errno}")),
        }
        self.stir();
        self.note(format!("{} gets {signal}", subject.label()));
        let done = |scene: &Scene, view: &View| match (signal, view.process(pid)) {
            (_, None) => true,
            (Signal::SIGKILL, Some(process)) => process.is_zombie(),
            (Signal::SIGSTOP, Some(process)) => process.is_zombie() || scene.processes.has_stopped(process),
            _ => true,
        };
        let waited = self.watch(Manner::Arrives, Timing::Natural, true, |scene, view| {
            let took_effect = view.is_some_and(|view| done(scene, view));
            Ok(if took_effect { Finding::Holds } else { Finding::NotYet("no effect".into()) })
        })?;
        match waited {
            Waited::Held => self.wait_until_closed(&own),
            Waited::Failed(why) => trouble(format!("{signal} has not reached process {pid}: {why}")),
        }
    }

    /// The sockets that a process has open, and no other one has.
    fn sockets_of_nobody_else(&self, view: &View, pid: i32) -> Vec<u64> {
        let table = view.process(pid).and_then(|process| self.processes.descriptors(process).ok()).unwrap_or_default();
        let sockets = table.iter().filter_map(|descriptor| match descriptor.kind {
            DescriptorKind::Socket(inode) => Some(inode),
            _ => None,
        });
        sockets.filter(|inode| self.owners(view, *inode).len() == 1).collect()
    }

    /// A process closes its sockets before it can be seen to have ended; not so what the kernel still does for it by
    /// io_uring, whose ring goes a moment later.
    fn wait_until_closed(&mut self, inodes: &[u64]) -> Result<(), Stop> {
        let since = Instant::now();
        while !inodes.is_empty()
            && since.elapsed() < LAST_CLOSE
            && self.list_sockets()?.iter().any(|socket| inodes.contains(&socket.inode))
        {
            self.wait(Duration::from_millis(1));
            self.pump();
        }
        Ok(())
    }

    /// The soft limit of descriptors is the number that no new descriptor may reach: the lowest one that is free.
    pub fn exhaust(&mut self, name: &str, of: Scarce) -> Result<(), Stop> {
        self.settle()?;
        let view = self.look()?;
        let process = self.programs.get(name).and_then(|program| view.process(program.pid));
        let Some(process) = process else { return miss(Topic::Handler, format!("{name} runs"), "it has ended") };
        let soft = match of {
            Scarce::Descriptors => {
                let taken: Vec<i32> =
                    self.processes.descriptors(process)?.iter().map(|descriptor| descriptor.number).collect();
                (0..).find(|number| !taken.contains(number)).unwrap_or_default() as u64
            }
            Scarce::Processes => {
                self.processes_of_this_user()?;
                1
            }
        };
        let old = set_limit(process.pid, of, soft)?;
        if let Some(program) = self.programs.get_mut(name) {
            program.limits.push((of, old));
        }
        self.note(match of {
            Scarce::Descriptors => format!("{name} can have no descriptor from number {soft} on"),
            Scarce::Processes => format!("{name} can make no process"),
        });
        Ok(())
    }

    pub fn relieve(&mut self, name: &str) -> Result<(), Stop> {
        if let Some(program) = self.programs.get_mut(name) {
            for (of, soft) in std::mem::take(&mut program.limits).into_iter().rev() {
                // It may have ended because of the limit; the next step will show it.
                let _ = set_limit(program.pid, of, soft);
            }
        }
        self.note(format!("{name} has its limits back"));
        Ok(())
    }
}

fn one_more(process: &Process) -> Subject {
    Subject::Process((process.pid, process.started), format!("process {}", process.pid))
}
