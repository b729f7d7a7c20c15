//! What an earlier scenario has left on the port, where the network is the machine's own.
//!
//! A server that was the first to close leaves its connections in TIME_WAIT (UNPv1 §2.7), and until they are gone a server
//! that does not set SO_REUSEADDR cannot bind the port (§7.5). That is asked for by a scenario of its own; no other one
//! may fail because of what was played before it. A command that takes `{port}` gets a fresh one each time. For any other
//! the runner waits, but only when the server has shown that it cannot start.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::scene::Scene;
use super::steps::{Stop, trouble};
use super::watch::{Finding, Manner, Waited};
use crate::observe::Socket;
use crate::scenario::{Role, Start, Timing};
use crate::stage::Launch;
use crate::tcp::TcpState;

/// TIME_WAIT lasts for a minute on Linux and for half of one on macOS, and FIN_WAIT_2 can come before it for as long.
const LONGEST: Duration = Duration::from_secs(150);
/// Between two looks at the port.
const PAUSE: Duration = Duration::from_millis(50);

impl Scene {
    /// Starts a program; a server that cannot have its port yet is started again when it can.
    pub fn start(&mut self, start: &Start) -> Result<(), Stop> {
        let shared = !self.request.isolation.has_own_network();
        if !shared || start.role != Role::Server || self.server().is_some() {
            return self.start_once(start);
        }
        self.have_port()?;
        // The runner's own listening socket sets SO_REUSEADDR.
        if self.request.launch == Launch::Inetd || self.lingering()? == 0 {
            return self.start_once(start);
        }
        if !start.until_listening {
            // Whether it has failed to start is not looked at here.
            self.outwait()?;
            return self.start_once(start);
        }
        match self.start_once(start) {
            Err(Stop::Miss(_)) => {
                self.withdraw(&start.name)?;
                self.outwait()?;
                self.start_once(start)
            }
            done => done,
        }
    }

    /// Waits until somebody who sets SO_REUSEADDR can bind the port. On Linux that does not help against connections of a
    /// server that had not set it.
    pub fn have_port(&mut self) -> Result<(), Stop> {
        if self.port_is_free()? { Ok(()) } else { self.outwait() }
    }

    /// How many connections on the port belong to nobody any more.
    pub fn lingering(&mut self) -> Result<usize, Stop> {
        let port = self.request.port;
        let left = |socket: &&Socket| {
            socket.pair.local.port() == port && socket.inode == 0 && socket.state != TcpState::Listen
        };
        Ok(if port == 0 { 0 } else { self.list_sockets()?.iter().filter(left).count() })
    }

    /// Waits until they are gone.
    fn outwait(&mut self) -> Result<(), Stop> {
        let (since, port) = (Instant::now(), self.request.port);
        self.note(format!(
            "port {port} has connections in TIME_WAIT from an earlier scenario: waiting until they are gone"
        ));
        while self.lingering()? > 0 {
            if since.elapsed() > LONGEST {
                return trouble(format!(
                    "connections of an earlier scenario are on port {port} after {} s still; a server that takes {{port}} as an argument gets a fresh one each time",
                    LONGEST.as_secs()
                ));
            }
            self.pump();
            self.wait(PAUSE);
        }
        self.waited(since.elapsed());
        Ok(())
    }

    /// Takes a program off the stage, as if it had never been on it.
    fn withdraw(&mut self, name: &str) -> Result<(), Stop> {
        self.note(format!("{name} could not start while an earlier scenario's connections are in TIME_WAIT"));
        let owned = name.to_owned();
        let waited = self.watch(Manner::Arrives, Timing::Natural, true, |scene, view| {
            let Some(view) = view else { return Ok(Finding::NotYet(String::new())) };
            for known in scene.known.values_mut().filter(|known| known.program == owned) {
                known.end_was_asked_for = true;
            }
            let family: Vec<i32> = scene.family(view, &owned).iter().map(|process| process.pid).collect();
            for pid in &family {
                // It may be gone by now; then there is nothing to kill.
                let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
            }
            Ok(if family.is_empty() { Finding::Holds } else { Finding::NotYet("it runs".into()) })
        })?;
        match waited {
            Waited::Held => {
                self.programs.remove(name);
                Ok(())
            }
            Waited::Failed(why) => trouble(format!("{name} could not be taken off the stage: {why}")),
        }
    }
}
