//! Steps that cannot work where they stand, whatever the subject does: it must not be blamed for them.

use std::collections::BTreeSet;

use super::action::{Action, Role, Step, Target};
use super::mistake::Mistake;

/// The mistakes in the order of valid steps.
pub fn mistakes(steps: &[Step]) -> Vec<Mistake> {
    let mut order = Order::default();
    let misplaced = |step| order.next(step).map(|(message, help)| Mistake::new(message, step.span.clone()).help(help));
    steps.iter().filter_map(misplaced).collect()
}

/// What is so before a step.
#[derive(Default)]
struct Order<'s> {
    servers: BTreeSet<&'s str>,
    /// Programs whose standard input is a terminal: after Control-D it can be typed on.
    terminals: BTreeSet<&'s str>,
    /// Peers whose sockets are closed.
    closed: BTreeSet<&'s str>,
    /// Peers that have sent their FIN.
    silent: BTreeSet<&'s str>,
    /// Programs whose standard input has ended.
    unfed: BTreeSet<&'s str>,
}

/// What is wrong and what to do about it.
type Misplaced = (String, &'static str);

impl<'s> Order<'s> {
    fn next(&mut self, step: &'s Step) -> Option<Misplaced> {
        match &step.action {
            Action::Start(start) => {
                if start.role == Role::Server {
                    self.servers.insert(&start.name);
                }
                if start.terminal {
                    self.terminals.insert(&start.name);
                }
            }
            Action::Connect { .. } | Action::Visits { .. } if self.servers.is_empty() => {
                let message = "no server has been started at this step".into();
                return Some((message, "an earlier step has to start it: { start = \"server\" }"));
            }
            Action::Send { peers, .. } | Action::Echo { peers } => {
                return self.is_closed(peers).or_else(|| self.is_silent(peers));
            }
            Action::HalfClose { peers } => {
                let misplaced = self.is_closed(peers).or_else(|| self.is_silent(peers));
                self.silent.extend(peers.iter().map(String::as_str));
                return misplaced;
            }
            Action::Close { peers } | Action::Reset { peers } => {
                let misplaced = self.is_closed(peers);
                self.closed.extend(peers.iter().map(String::as_str));
                return misplaced;
            }
            Action::StopReading { peers } | Action::ResumeReading { peers } => return self.is_closed(peers),
            Action::Type { programs, .. } => return self.is_unfed(programs),
            Action::EndInput { programs } => {
                let misplaced = self.is_unfed(programs);
                self.unfed.extend(programs.iter().map(String::as_str).filter(|name| !self.terminals.contains(name)));
                return misplaced;
            }
            Action::Signal { targets, .. } | Action::Expect { targets, .. } => return self.is_no_handler(targets),
            _ => {}
        }
        None
    }

    fn is_closed(&self, peers: &[String]) -> Option<Misplaced> {
        let peer = peers.iter().find(|peer| self.closed.contains(peer.as_str()))?;
        Some((format!("`{peer}` was closed by an earlier step"), "connect another peer, or move this step up"))
    }

    fn is_silent(&self, peers: &[String]) -> Option<Misplaced> {
        let peer = peers.iter().find(|peer| self.silent.contains(peer.as_str()))?;
        Some((
            format!("`{peer}` has sent its FIN at an earlier step"),
            "nothing can be sent after it; move this step up",
        ))
    }

    fn is_unfed(&self, programs: &[String]) -> Option<Misplaced> {
        let program = programs.iter().find(|program| self.unfed.contains(program.as_str()))?;
        let message = format!("the input of `{program}` has ended at an earlier step");
        Some((message, "what is typed afterwards does not arrive; move this step up"))
    }

    fn is_no_handler(&self, targets: &[Target]) -> Option<Misplaced> {
        let of_server =
            |target: &&Target| matches!(target, Target::Handler(name) if self.servers.contains(name.as_str()));
        let target = targets.iter().find(of_server)?;
        let help = "a handler is that of a peer or of a client: `c1.handler`; all of a server's are `server.children`";
        Some((format!("`{target}` means nothing: a server has many connections"), help))
    }
}
