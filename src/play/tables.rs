//! The stage at one moment, as ps and netstat show it.

use super::scene::{Scene, View};
use super::verdict::Tables;
use crate::tcp::TcpState;

/// The most lines of a table; the rest is counted.
const MOST: usize = 24;
/// The most lines of what a program said.
const MOST_SAID: usize = 6;

impl Scene {
    /// Makes the tables of one view.
    pub fn tables(&self, view: &View) -> Tables {
        Tables { processes: self.process_lines(view), sockets: self.socket_lines(view), stderr: self.said() }
    }

    fn process_lines(&self, view: &View) -> Vec<String> {
        let mut lines = vec![format!("  {:>5} {:>5} {:<4} {:<12} {}", "PID", "PPID", "STAT", "ASLEEP IN", "COMMAND")];
        for process in &view.processes {
            let mut asleep = self.processes.asleep_in(process);
            asleep.dedup();
            let command = match process.is_zombie() {
                true => format!("[{}] <defunct>", process.name),
                false => self.processes.command(process).unwrap_or_else(|| process.name.clone()),
            };
            let command: String = command.chars().take(48).collect();
            let asleep = if process.state == 'S' { asleep.join(",") } else { String::new() };
            let mark = if process.is_zombie() { "▸" } else { " " };
            let parent = if process.parent == self.init() { "1".to_owned() } else { process.parent.to_string() };
            lines.push(format!("{mark} {:>5} {parent:>5} {:<4} {asleep:<12} {command}", process.pid, process.state));
        }
        cut(lines)
    }

    fn socket_lines(&self, view: &View) -> Vec<String> {
        let head = format!(
            "  {:>6} {:>6} {:<21} {:<21} {:<11} {}",
            "Recv-Q", "Send-Q", "Local Address", "Foreign Address", "State", "Open in"
        );
        let mut lines = vec![head];
        let port = self.request.port;
        let mut sockets: Vec<_> = view.sockets.iter().collect();
        sockets.retain(|socket| {
            let ours = socket.pair.local.port() == port || socket.pair.remote.port() == port;
            ours || (socket.state == TcpState::Listen && self.request.isolation.has_own_network())
        });
        // TIME_WAIT is the usual trace of clients that have gone: last.
        sockets.sort_by_key(|socket| (socket.state == TcpState::TimeWait, socket.state != TcpState::Listen));
        for socket in sockets {
            let peer = self.peers.iter().find(|(_, peer)| peer.pair == socket.pair).map(|(name, _)| name.clone());
            let owners: Vec<String> =
                self.owners(view, socket.inode).iter().map(|process| process.pid.to_string()).collect();
            let open_in = peer.unwrap_or_else(|| if owners.is_empty() { "-".into() } else { owners.join(",") });
            let remote = match socket.state {
                TcpState::Listen => "*:*".to_owned(),
                _ => socket.pair.remote.to_string(),
            };
            let local = match socket.pair.local {
                address if address.ip().is_unspecified() => format!("*:{}", address.port()),
                address => address.to_string(),
            };
            lines.push(format!(
                "  {:>6} {:>6} {local:<21} {remote:<21} {:<11} {open_in}",
                socket.unread, socket.unsent, socket.state
            ));
        }
        cut(lines)
    }

    fn said(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, program) in &self.programs {
            let kept = program.stderr.kept();
            let tail = &kept[kept.len().saturating_sub(2048)..];
            let all: Vec<&[u8]> = tail.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
            let last = &all[all.len().saturating_sub(MOST_SAID)..];
            if last.len() < all.len() || tail.len() < kept.len() {
                lines.push(format!("{name}: … (earlier lines are left out)"));
            }
            lines.extend(last.iter().map(|line| format!("{name}: {}", readable(line))));
        }
        lines
    }
}

/// What a program has printed, in its own letters; what is none is escaped.
fn readable(line: &[u8]) -> String {
    let mut shown = String::new();
    for part in line.utf8_chunks() {
        for letter in part.valid().chars() {
            if letter.is_control() || letter == '\\' {
                let mut bytes = [0; 4];
                shown += &letter.encode_utf8(&mut bytes).as_bytes().escape_ascii().to_string();
            } else {
                shown.push(letter);
            }
        }
        shown += &part.invalid().escape_ascii().to_string();
    }
    shown
}

fn cut(mut lines: Vec<String>) -> Vec<String> {
    if lines.len() > MOST + 1 {
        let left_out = lines.len() - MOST - 1;
        lines.truncate(MOST + 1);
        lines.push(format!("… and {left_out} more"));
    }
    lines
}
