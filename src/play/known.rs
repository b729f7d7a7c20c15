//! The subject's processes that were ever seen: which program each belongs to, and how it ended.

use nix::sys::signal::Signal;

use super::program::Program;
use super::scene::{Scene, View};
use crate::observe::{End, EndWatch, Process};
use crate::scenario::Role;

/// A process, for good: its id and its start.
pub type Identity = (i32, u64);

/// A process of the subject that was seen.
#[derive(Debug)]
pub struct Known {
    /// The program that it belongs to.
    pub program: String,
    /// It was an orphan about to end, and did not tell its program any more.
    pub guessed: bool,
    /// The process that made it.
    pub parent: i32,
    /// Tells of its end.
    pub watch: Option<EndWatch>,
    /// How it ended, if that was seen.
    pub end: Option<End>,
    /// It was told of its end; one notice is enough.
    pub ending: bool,
    /// It has ended and was reaped.
    pub gone: bool,
    /// The runner has sent it a signal that ends it.
    pub end_was_asked_for: bool,
    /// It was seen as a zombie.
    pub was_zombie: bool,
}

/// Signals that end a program because of its own fault.
const CRASHES: [Signal; 7] =
    [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGABRT, Signal::SIGSYS, Signal::SIGTRAP];

impl Known {
    /// The signal that only a mistake of its own can have ended it by.
    pub fn crash(&self) -> Option<Signal> {
        crash(self.end?).filter(|_| !self.end_was_asked_for)
    }
}

/// The signal that only a program's own mistake can have ended it by.
pub fn crash(end: End) -> Option<Signal> {
    match end {
        End::Signalled(number) => Signal::try_from(number).ok().filter(|signal| CRASHES.contains(signal)),
        _ => None,
    }
}

impl Scene {
    /// Gets to know new processes, and notices which ones have ended.
    pub fn meet(&mut self, processes: &[Process]) {
        let (mut notes, mut ended) = (Vec::new(), Vec::new());
        for process in processes {
            let identity = (process.pid, process.started);
            if !self.known.contains_key(&identity) {
                let (program, guessed) = self.program_of(process);
                if self.programs.get(&program).is_none_or(|started| started.pid != process.pid) {
                    notes.push(format!("{program}: process {} has made process {}", process.parent, process.pid));
                }
                let watch = EndWatch::open(process.pid).ok();
                let known = Known {
                    program,
                    guessed,
                    parent: process.parent,
                    watch,
                    end: None,
                    ending: false,
                    gone: false,
                    end_was_asked_for: false,
                    was_zombie: false,
                };
                self.known.insert(identity, known);
            }
            let Some(known) = self.known.get_mut(&identity) else { continue };
            if process.is_zombie() && !known.was_zombie {
                known.was_zombie = true;
                known.end = process.end;
                ended.push((process.pid, known.program.clone(), known.end));
                let how = process.end.map_or_else(|| "has ended".to_owned(), |end| end.to_string());
                notes.push(format!(
                    "process {} {how}; it is a zombie until its parent {} reaps it",
                    process.pid, process.parent
                ));
            }
        }
        let present: Vec<Identity> = processes.iter().map(|process| (process.pid, process.started)).collect();
        for (identity, known) in self.known.iter_mut().filter(|(_, known)| !known.gone) {
            if present.contains(identity) {
                continue;
            }
            known.gone = true;
            let started = self.programs.get(&known.program).is_some_and(|program| program.pid == identity.0);
            known.end = known.end.or_else(|| known.watch.as_ref().and_then(EndWatch::end));
            known.watch = None;
            ended.push((identity.0, known.program.clone(), known.end));
            if !started {
                let how = known.end.map_or_else(|| "has ended".to_owned(), |end| end.to_string());
                notes.push(match known.was_zombie {
                    true => format!("process {} is reaped", identity.0),
                    false => format!("process {} {how} and is reaped", identity.0),
                });
            }
        }
        for (pid, name, end) in ended {
            // The player reaps what it has started itself, and learns the end then.
            if let Some(program) = self.programs.get_mut(&name)
                && program.pid == pid
                && program.adopted
            {
                program.end = program.end.or(end).or(Some(End::Unknown));
                program.ended_in.get_or_insert(self.step);
            }
        }
        for note in notes {
            self.note(note);
        }
    }

    /// A daemon: the process that was started has left with 0, and one that it has made serves on.
    pub fn follow_daemons(&mut self, view: &View) {
        let port = self.request.port;
        let left = |program: &Program| {
            program.role == Role::Server
                && program.end == Some(End::Exited(0))
                && !program.has_started
                && !program.end_was_asked_for
        };
        let names: Vec<String> =
            self.programs.iter().filter(|(_, program)| left(program)).map(|(name, _)| name.clone()).collect();
        for name in names {
            let family = self.family(view, &name);
            let serves = |process: &&&Process| view.listeners(port).any(|socket| self.holds(process, socket.inode));
            let heir = family.iter().find(serves).map(|process| process.pid);
            if let (Some(program), Some(pid)) = (self.programs.get_mut(&name), heir) {
                program.adopt(pid);
                self.note(format!("{name} has left, as daemons do, and process {pid} serves"));
            }
        }
    }

    /// A server may be started by a shell, or by `timeout`, which only waits for it. Then the server is the one process
    /// that listens, or the one that has made all others that do.
    pub fn pass_over_wrapper(&mut self, name: &str, view: &View) {
        let port = self.request.port;
        let serves = |process: &&Process| view.listeners(port).all(|socket| self.holds(process, socket.inode));
        let serving: Vec<&Process> = self.family(view, name).into_iter().filter(serves).collect();
        let made_all = |first: &&&Process| serving.iter().all(|process| view.descends(process.pid, first.pid));
        let head = serving.iter().find(made_all).map(|process| process.pid);
        if let (Some(program), Some(pid)) = (self.programs.get_mut(name), head)
            && program.pid != pid
            && !program.adopted
            && !serving.iter().any(|process| process.pid == program.pid)
        {
            program.adopt(pid);
            self.note(format!("{name} is process {pid}: the one that was started does not listen itself"));
        }
    }

    /// The program that a process belongs to: its parent's, or what its environment says. Whether that is a guess.
    fn program_of(&self, process: &Process) -> (String, bool) {
        let started = self.programs.iter().find(|(_, program)| program.pid == process.pid);
        if let Some((name, _)) = started {
            return (name.clone(), false);
        }
        let parent = self.known.iter().find(|((pid, _), known)| !known.gone && *pid == process.parent);
        let parent = parent.map(|(_, known)| known);
        if let Some(known) = parent.filter(|known| !known.guessed) {
            return (known.program.clone(), false);
        }
        if let Some(name) = self.processes.environment(process, "FORKSPEC_PROGRAM") {
            return (name, false);
        }
        let guess = parent.map(|known| &known.program).or_else(|| self.server().map(|(name, _)| name));
        (guess.cloned().unwrap_or_default(), true)
    }

    /// The processes of a program, the one that was started among them.
    pub fn family<'v>(&self, view: &'v View, program: &str) -> Vec<&'v Process> {
        let belongs = |process: &&Process| {
            self.known.get(&(process.pid, process.started)).is_some_and(|known| known.program == program)
        };
        view.processes.iter().filter(belongs).collect()
    }
}
