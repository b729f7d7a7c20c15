//! Processes and their descriptors, through `/proc` (proc(5)).

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read};

use crate::observe::{Descriptor, DescriptorKind, End, Process};

use super::calls::Call;

/// The processes of a stage.
#[derive(Debug, Clone)]
pub enum ProcessTable {
    /// `/proc` shows the stage's processes and no others.
    Own,
    /// `/proc` shows other processes too: only descendants of this one count, `translate` where the ids that
    /// it shows are not those by which the stage's processes know each other.
    Below {
        /// The process at the root, by the id that `/proc` shows.
        root: i32,
        /// Whether the stage has a process namespace of its own.
        translate: bool,
    },
}

impl ProcessTable {
    /// The calling process and its descendants; orphans are among them where it adopts them. Nothing needs to be marked.
    pub fn below_caller(_mark: &str) -> io::Result<ProcessTable> {
        Ok(ProcessTable::Below { root: ProcessTable::own_id()?, translate: false })
    }

    /// All processes that `/proc` shows.
    pub fn machine() -> io::Result<ProcessTable> {
        Ok(ProcessTable::Own)
    }

    /// What is left of a stage when its play is over: its processes, which cannot get away from who adopts them.
    pub fn leftovers(&self, _port: u16) -> io::Result<Vec<Process>> {
        self.list()
    }

    /// All processes of the stage, the runner's own among them, in the order of their start.
    pub fn list(&self) -> io::Result<Vec<Process>> {
        let mut processes = Vec::new();
        match self {
            ProcessTable::Own => {
                for entry in fs::read_dir("/proc")? {
                    let number = entry?.file_name().to_str().and_then(|name| name.parse().ok());
                    processes.extend(number.and_then(read_process));
                }
            }
            ProcessTable::Below { root, translate } => {
                descend(*root, &mut processes);
                if *translate {
                    translate_ids(&mut processes);
                }
            }
        }
        processes.sort_by_key(|process| (process.started, process.seen_as));
        Ok(processes)
    }

    /// The open descriptors of a process, by number.
    pub fn descriptors(&self, process: &Process) -> io::Result<Vec<Descriptor>> {
        let mut descriptors = Vec::new();
        let folder = format!("/proc/{}/fd", process.seen_as);
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // A descriptor can be closed while we read the table.
            let Ok(link) = fs::read_link(entry.path()) else { continue };
            let link = link.to_string_lossy();
            let inode = link.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']')?.parse().ok());
            let kind = inode.map_or_else(|| DescriptorKind::Other(link.into_owned()), DescriptorKind::Socket);
            descriptors.push(Descriptor { number, kind });
        }
        descriptors.sort_by_key(|descriptor| descriptor.number);
        Ok(descriptors)
    }

    /// Whether a process has a datagram socket (UDP) open that is bound or connected: its network's `/proc/PID/net/udp`.
    pub fn has_datagram_socket(&self, process: &Process) -> bool {
        let table = |name| fs::read_to_string(format!("/proc/{}/net/{name}", process.seen_as)).unwrap_or_default();
        let text = table("udp") + &table("udp6");
        let inodes: Vec<u64> = text.lines().filter_map(|line| line.split_whitespace().nth(9)?.parse().ok()).collect();
        let descriptors = self.descriptors(process).unwrap_or_default();
        descriptors
            .iter()
            .any(|descriptor| matches!(descriptor.kind, DescriptorKind::Socket(inode) if inodes.contains(&inode)))
    }

    /// The system calls that the threads of a process sleep in, by the names that scenarios use; `?` for others.
    pub fn asleep_in(&self, process: &Process) -> Vec<String> {
        calls(process)
            .map(|call| call.family().map_or_else(|| format!("call {}", call.number), str::to_owned))
            .collect()
    }

    /// The descriptors that its threads sleep in reading from.
    pub fn reads_from(&self, process: &Process) -> Vec<i32> {
        calls(process).filter(|call| call.family() == Some("read")).map(|call| call.arguments[0] as i32).collect()
    }

    /// The value of an environment variable that the process was started with.
    pub fn environment(&self, process: &Process, name: &str) -> Option<String> {
        let bytes = fs::read(format!("/proc/{}/environ", process.seen_as)).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        text.split('\0').find_map(|entry| entry.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
    }

    /// The command line of a process, as ps shows it.
    pub fn command(&self, process: &Process) -> Option<String> {
        let bytes = fs::read(format!("/proc/{}/cmdline", process.seen_as)).ok()?;
        let words: Vec<_> =
            bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty()).map(String::from_utf8_lossy).collect();
        (!words.is_empty()).then(|| words.join(" "))
    }

    /// The id of the calling process as `/proc` shows it.
    pub fn own_id() -> io::Result<i32> {
        let link = fs::read_link("/proc/self")?;
        link.to_str().and_then(|name| name.parse().ok()).ok_or_else(|| io::Error::other("/proc/self is not a number"))
    }
}

/// Reads a file of `/proc` in one go: such a file has no length beforehand.
pub(super) fn read_text(path: &str) -> io::Result<String> {
    let mut buffer = [0u8; 4096];
    let length = File::open(path)?.read(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// The system calls that a process's threads sleep in.
fn calls(process: &Process) -> impl Iterator<Item = Call> {
    let pid = process.seen_as;
    let line = move |task| read_text(&format!("/proc/{pid}/task/{task}/syscall")).ok();
    task_ids(pid).into_iter().filter_map(line).filter_map(|line| Call::parse(&line))
}

/// The threads of a process.
pub(super) fn task_ids(pid: i32) -> Vec<i32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

fn read_process(pid: i32) -> Option<Process> {
    let mut process = parse_stat(&read_text(&format!("/proc/{pid}/stat")).ok()?)?;
    if process.state == 'Z' && process.threads > 1 {
        // The main thread has ended (pthread_exit), and has nothing open any more; the process lives on in the others.
        let living = task_ids(pid).into_iter().filter_map(|task| {
            let thread = parse_stat(&read_text(&format!("/proc/{pid}/task/{task}/stat")).ok()?)?;
            (thread.state != 'Z').then_some((thread.state, task))
        });
        // One that runs stands for all.
        if let Some((state, task)) = living.min_by_key(|(state, task)| (*state != 'R', *task)) {
            (process.state, process.seen_as) = (state, task);
        }
    }
    Some(process)
}

/// The name stands in parentheses and may hold parentheses itself: the fields begin behind the last one.
fn parse_stat(line: &str) -> Option<Process> {
    let (start, end) = (line.find('(')?, line.rfind(')')?);
    let pid = line[..start].trim().parse().ok()?;
    let fields: Vec<&str> = line[end + 1..].split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    // fields[0] is field 3 of proc(5).
    let mut process = Process {
        pid,
        seen_as: pid,
        parent: fields.get(1)?.parse().ok()?,
        state: fields.first()?.chars().next()?,
        name: line[start + 1..end].to_owned(),
        started: number(19)?,
        threads: number(17)?,
        end: None,
    };
    if process.is_zombie() {
        process.end = number(49).map(|status| End::from_wait_status(status as i32));
    }
    Some(process)
}

/// A process whose parent ends while we look is in the parent's list no more, and was not in the list of the root, which
/// it is handed to: so the root's list is read again, until it has nobody new.
fn descend(root: i32, processes: &mut Vec<Process>) {
    let mut waiting = vec![root];
    let mut seen = HashSet::new();
    while !waiting.is_empty() {
        while let Some(pid) = waiting.pop() {
            if seen.insert(pid) {
                processes.extend(read_process(pid));
                waiting.extend(children_of(pid));
            }
        }
        waiting.extend(children_of(root).into_iter().filter(|child| !seen.contains(child)));
    }
}

/// The children of a process. One that ends while its parent's list is read can hide the next one (proc(5)): the list is
/// read until it stays as it is.
fn children_of(pid: i32) -> Vec<i32> {
    let mut last = children_listed(pid);
    let mut all: HashSet<i32> = last.iter().copied().collect();
    for _ in 0..MOST_READINGS {
        let now = children_listed(pid);
        all.extend(&now);
        if now == last {
            break;
        }
        last = now;
    }
    all.into_iter().collect()
}

/// So often a list of children is read that changes all the time.
const MOST_READINGS: usize = 8;

fn children_listed(pid: i32) -> Vec<i32> {
    let mut children = Vec::new();
    // Room for what is there, so that it comes in as few pieces as can be.
    let mut text = String::with_capacity(1 << 14);
    for task in task_ids(pid) {
        text.clear();
        // It may have ended.
        let _ =
            File::open(format!("/proc/{pid}/task/{task}/children")).and_then(|mut list| list.read_to_string(&mut text));
        children.extend(text.split_whitespace().flat_map(str::parse::<i32>));
    }
    children
}

/// Replaces the ids that `/proc` shows by those of the innermost namespace: the last of `NSpid`.
fn translate_ids(processes: &mut [Process]) {
    let inner = |pid: i32| -> Option<i32> {
        let status = read_text(&format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
        line.split_whitespace().last()?.parse().ok()
    };
    let ids: Vec<(i32, i32)> =
        processes.iter().filter_map(|process| Some((process.pid, inner(process.pid)?))).collect();
    let find = |seen: i32| ids.iter().find(|(outer, _)| *outer == seen).map_or(0, |(_, inner)| *inner);
    for process in processes {
        process.pid = find(process.pid);
        process.parent = find(process.parent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_is_parsed() {
        let mut fields = vec!["0"; 50];
        fields[0] = "Z";
        fields[1] = "11";
        fields[17] = "1";
        fields[19] = "777";
        fields[49] = "256";
        let line = format!("14 (a) (b) S) {}", fields.join(" "));
        let process = parse_stat(&line).unwrap();
        assert_eq!((process.pid, process.parent, process.state, process.name.as_str()), (14, 11, 'Z', "a) (b) S"));
        assert_eq!(process.end, Some(End::Exited(1)));
        assert!(process.is_zombie());
    }

    #[test]
    fn a_process_whose_main_thread_alone_has_ended_is_no_zombie() {
        let mut fields = vec!["0"; 50];
        (fields[0], fields[17]) = ("Z", "2");
        let process = parse_stat(&format!("14 (server) {}", fields.join(" "))).unwrap();
        assert_eq!(process.state, 'Z');
        assert_eq!(process.end, None);
        assert!(!process.is_zombie(), "another thread has its descriptors open");
    }

    #[test]
    fn the_tree_below_a_process_has_its_children() {
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let own = ProcessTable::own_id().unwrap();
        let table = ProcessTable::Below { root: own, translate: false };
        let list = table.list().unwrap();
        let found = list.iter().find(|process| process.pid == child.id() as i32).unwrap();
        assert_eq!(found.parent, own);
        assert!(table.descriptors(found).unwrap().len() >= 3);
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn a_datagram_socket_that_a_process_has_open_is_known() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut child = std::process::Command::new("cat").stdin(std::os::fd::OwnedFd::from(socket)).spawn().unwrap();
        let mut other = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let has = |child: &std::process::Child| {
            let list = ProcessTable::Own.list().unwrap();
            let process = list.into_iter().find(|process| process.pid == child.id() as i32).unwrap();
            ProcessTable::Own.has_datagram_socket(&process)
        };
        // The second one inherits nothing of it: it is close-on-exec in this process.
        let found = (has(&child), has(&other));
        for one in [&mut child, &mut other] {
            one.kill().unwrap();
            one.wait().unwrap();
        }
        assert_eq!(found, (true, false));
    }
}
