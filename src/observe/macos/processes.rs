//! Processes and their descriptors, through libproc.

use std::cell::RefCell;
use std::io;

use super::kernel;
use super::members::{Row, Seen};
use super::records::{
    BsdProcess, FD_SOCKET, FD_VNODE, bsd_process, descriptor_types, identity_of_socket, is_datagram_socket,
    path_of_file, sockets, threads, words_and_environment, words_for_type,
};
use crate::observe::{ChildSignal, Descriptor, DescriptorKind, Horizon, Motion, Process, Restless, Stillness};
use crate::tcp::TcpState;

/// The processes of a stage, or of the whole machine.
#[derive(Debug, Clone)]
pub struct ProcessTable {
    stage: Option<Stage>,
}

/// What tells a stage's processes from others.
#[derive(Debug, Clone)]
struct Stage {
    root: i32,
    mark: String,
    since: u64,
    seen: RefCell<Seen>,
}

impl ProcessTable {
    /// The descendants of the calling process, and what carries this entry in its environment; the calling process itself
    /// is not shown.
    pub fn below_caller(mark: &str) -> io::Result<ProcessTable> {
        let root = std::process::id() as i32;
        let since = read(root).ok_or_else(io::Error::last_os_error)?.started;
        Ok(ProcessTable { stage: Some(Stage { root, mark: mark.to_owned(), since, seen: RefCell::default() }) })
    }

    /// All processes of the machine.
    pub fn machine() -> io::Result<ProcessTable> {
        Ok(ProcessTable { stage: None })
    }

    /// The processes, in the order of their start.
    pub fn list(&self) -> io::Result<Vec<Process>> {
        let all: Vec<BsdProcess> = kernel::processes()?.into_iter().filter_map(read).collect();
        let mut processes: Vec<Process> = match &self.stage {
            None => all.iter().map(show).collect(),
            Some(stage) => stage.members(&all).into_iter().map(|place| show(&all[place])).collect(),
        };
        processes.sort_by_key(|process| (process.started, process.pid));
        Ok(processes)
    }

    /// What is left of a stage when its play is over: its processes, and whoever listens on its port, has lost its parent
    /// and was started during the play.
    pub fn leftovers(&self, port: u16) -> io::Result<Vec<Process>> {
        let mut left = self.list()?;
        let Some(stage) = self.stage.as_ref().filter(|_| port != 0) else { return Ok(left) };
        let list = sockets(&kernel::connections()?);
        let here = list.iter().filter(|socket| socket.state == TcpState::Listen && socket.pair.local.port() == port);
        let listeners: Vec<DescriptorKind> = here.map(|socket| DescriptorKind::Socket(socket.inode)).collect();
        if listeners.is_empty() {
            return Ok(left);
        }
        let user = nix::unistd::Uid::current().as_raw();
        let all = kernel::processes()?.into_iter().filter_map(read);
        for process in all.filter(|one| one.parent == 1 && one.user == user && one.started >= stage.since) {
            let process = show(&process);
            let table = self.descriptors(&process).unwrap_or_default();
            let listens = table.iter().any(|descriptor| listeners.contains(&descriptor.kind));
            if listens && left.iter().all(|other| other.pid != process.pid) {
                left.push(process);
            }
        }
        Ok(left)
    }

    /// The open descriptors of a process, by number.
    pub fn descriptors(&self, process: &Process) -> io::Result<Vec<Descriptor>> {
        if process.is_zombie() {
            return Ok(Vec::new());
        }
        let bytes = kernel::descriptors(process.pid)?;
        let mut descriptors: Vec<Descriptor> = descriptor_types(&bytes)
            .map(|(number, kind)| Descriptor { number, kind: kind_of(process.pid, number, kind) })
            .collect();
        descriptors.sort_by_key(|descriptor| descriptor.number);
        Ok(descriptors)
    }

    /// Whether a process has a datagram socket (UDP) open.
    pub fn has_datagram_socket(&self, process: &Process) -> bool {
        let bytes = kernel::descriptors(process.pid).unwrap_or_default();
        descriptor_types(&bytes)
            .filter(|(_, kind)| *kind == FD_SOCKET)
            .filter_map(|(number, _)| kernel::socket(process.pid, number))
            .any(|socket| is_datagram_socket(&socket))
    }

    /// The system calls that the threads of a process sleep in: macOS does not show them.
    pub fn asleep_in(&self, _: &Process) -> Vec<String> {
        Vec::new()
    }

    /// The descriptors that its threads sleep in reading from: not to be seen here.
    pub fn reads_from(&self, _: &Process) -> Vec<i32> {
        Vec::new()
    }

    /// The value of an environment variable that the process was started with.
    pub fn environment(&self, process: &Process, name: &str) -> Option<String> {
        let (_, environment) = words_and_environment(&kernel::arguments(process.pid)?)?;
        environment.iter().find_map(|entry| entry.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
    }

    /// The command line of a process, as ps shows it.
    pub fn command(&self, process: &Process) -> Option<String> {
        let (words, _) = words_and_environment(&kernel::arguments(process.pid)?)?;
        (!words.is_empty()).then(|| words.join(" "))
    }

    /// Whether the tasks of these processes can run by themselves: that cannot be seen, so deadlines decide.
    pub fn stillness<'p>(
        &self,
        _: impl IntoIterator<Item = &'p Process>,
        _: Option<Horizon>,
    ) -> Result<Stillness, Restless> {
        Err(Restless("rest cannot be seen on macOS".into()))
    }

    /// What tasks have done: what may wake them cannot be seen.
    pub fn motions(&self, processes: &[Process], _: Horizon) -> Option<Vec<Motion>> {
        Some(processes.iter().map(|process| Motion { unseen: true, ..Motion::unknown(process.pid) }).collect())
    }

    /// What a process does with SIGCHLD: macOS does not show it.
    pub fn child_signal(&self, _: &Process) -> Option<ChildSignal> {
        None
    }

    /// Whether SIGSTOP has reached a process.
    pub fn has_stopped(&self, process: &Process) -> bool {
        read(process.pid).is_some_and(|now| now.started == process.started && now.stopped)
    }
}

impl Stage {
    /// The places of the members.
    fn members(&self, all: &[BsdProcess]) -> Vec<usize> {
        let user = nix::unistd::Uid::current().as_raw();
        let rows: Vec<Row> = all
            .iter()
            .map(|process| Row {
                pid: process.pid,
                parent: process.parent,
                // A zombie has none any more.
                session: kernel::session(process.pid).unwrap_or(0),
                started: process.started,
            })
            .collect();
        let users: std::collections::HashMap<i32, u32> = all.iter().map(|one| (one.pid, one.user)).collect();
        let marked =
            |row: &Row| row.started >= self.since && users.get(&row.pid) == Some(&user) && carries(row.pid, &self.mark);
        self.seen.borrow_mut().members(&rows, self.root, marked)
    }
}

fn carries(pid: i32, mark: &str) -> bool {
    let known = kernel::arguments(pid).and_then(|bytes| words_and_environment(&bytes));
    known.is_some_and(|(_, environment)| environment.iter().any(|entry| entry == mark))
}

fn read(pid: i32) -> Option<BsdProcess> {
    bsd_process(&kernel::process(pid)?)
}

fn show(process: &BsdProcess) -> Process {
    let task = if process.zombie.is_some() { None } else { kernel::task(process.pid) };
    let (threads, running) = task.and_then(|bytes| threads(&bytes)).unwrap_or((1, 0));
    let state = match (process.zombie, process.stopped) {
        (Some(_), _) => 'Z',
        (None, true) => 'T',
        (None, false) if running > 0 => 'R',
        (None, false) => 'S',
    };
    Process {
        pid: process.pid,
        seen_as: process.pid,
        parent: process.parent,
        state,
        name: process.name.clone(),
        started: process.started,
        threads,
        end: process.zombie,
    }
}

/// What a descriptor refers to.
fn kind_of(pid: i32, number: i32, fdtype: u32) -> DescriptorKind {
    let (identity, path) = match fdtype {
        FD_SOCKET => (kernel::socket(pid, number).and_then(|bytes| identity_of_socket(&bytes)), None),
        FD_VNODE => (None, kernel::file(pid, number).and_then(|bytes| path_of_file(&bytes))),
        _ => (None, None),
    };
    match identity {
        Some(identity) => DescriptorKind::Socket(identity),
        None => DescriptorKind::Other(path.unwrap_or_else(|| words_for_type(fdtype))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_seen_with_its_parent_its_descriptors_and_its_end() {
        let table = ProcessTable::below_caller("FORKSPEC_STAGE=a test").unwrap();
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let pid = child.id() as i32;
        let find = || table.list().unwrap().into_iter().find(|process| process.pid == pid);
        let found = find().unwrap();
        assert_eq!(found.parent, std::process::id() as i32);
        assert!(table.descriptors(&found).unwrap().len() >= 3);
        drop(child.stdin.take());
        while !find().unwrap().is_zombie() {}
        assert_eq!(find().unwrap().end, Some(crate::observe::End::Exited(0)));
        child.wait().unwrap();
        assert!(table.list().unwrap().iter().all(|process| process.pid != found.pid));
    }

    #[test]
    fn an_orphan_in_a_session_of_its_own_is_known_by_its_mark() {
        let mark = format!("FORKSPEC_STAGE={}", std::process::id());
        let table = ProcessTable::below_caller(&mark).unwrap();
        let script = "(exec perl -e 'use POSIX; setsid; sleep 60') & echo $!";
        let mut shell = std::process::Command::new("sh")
            .args(["-c", script])
            .env("FORKSPEC_STAGE", std::process::id().to_string())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        io::BufRead::read_line(&mut io::BufReader::new(shell.stdout.take().unwrap()), &mut line).unwrap();
        let pid: i32 = line.trim().parse().unwrap();
        // Now it is an orphan.
        shell.wait().unwrap();
        let found = table.list().unwrap().into_iter().any(|process| process.pid == pid);
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        assert!(found);
    }
}
