//! The runner's side of a stage.

use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::protocol::{Isolation, Record, Request};

/// So often it is looked whether the user wants no more of it, in milliseconds.
const LOOK_AT_INTERRUPT: u16 = 200;

/// Why a stage gave no result.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// It could not be started.
    #[error("the stage could not be started: {0}")]
    Start(#[source] io::Error),
    /// The environment refuses this isolation.
    #[error("{0}")]
    Refused(String),
    /// It died, or sent something that is none of its words.
    #[error("the stage was lost: {0}")]
    Lost(String),
}

/// A process that makes a stage for one play after another. It ends when it goes out of scope, and with it everything
/// on its stage.
pub struct Stage {
    child: Child,
    lifeline: ChildStdin,
    records: BufReader<ChildStdout>,
}

impl Stage {
    /// Starts it. The kernel ties it to the calling thread, which must not end before it.
    pub fn start(isolation: Isolation) -> Result<Stage, StageError> {
        let program = std::env::current_exe().map_err(StageError::Start)?;
        let mut child = Command::new(program)
            .args(["stage", isolation.name()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(StageError::Start)?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(lifeline), Some(records)) => Ok(Stage { child, lifeline, records: BufReader::new(records) }),
            _ => Err(StageError::Lost("it has no pipes".into())),
        }
    }

    /// Plays one request. `observe` gets every record as it comes; the result is returned when nothing of the play is
    /// left. Once `interrupted` is set nothing more is waited for. After an error the stage is of no further use.
    pub fn play(
        &mut self,
        request: &Request,
        interrupted: &AtomicBool,
        mut observe: impl FnMut(&Record),
    ) -> Result<Record, StageError> {
        let lost = |error: &dyn std::fmt::Display| StageError::Lost(error.to_string());
        let mut line = serde_json::to_vec(request).map_err(|error| lost(&error))?;
        line.push(b'\n');
        // If it has ended already, its last words say more than the broken pipe.
        let _ = self.lifeline.write_all(&line);
        let mut result = None;
        while let Some(line) = self.next_line(interrupted)? {
            let record = serde_json::from_str(&line).map_err(|error| lost(&error))?;
            observe(&record);
            match record {
                Record::Event { .. } | Record::Yields { .. } | Record::Waited(_) => {}
                Record::Refused(why) => return Err(StageError::Refused(why)),
                Record::Panicked(why) => return Err(StageError::Lost(why)),
                Record::Played(_) | Record::Probed(_) => result = Some(record),
                Record::Cleared => {
                    return result.ok_or_else(|| StageError::Lost("the player ended before the play did".into()));
                }
            }
        }
        let status = self.child.wait().map_err(|error| lost(&error))?;
        Err(StageError::Lost(format!("it ended before the play did ({status})")))
    }

    /// The next line that the stage says; `None` when it has ended.
    fn next_line(&mut self, interrupted: &AtomicBool) -> Result<Option<String>, StageError> {
        let lost = |why: &dyn std::fmt::Display| StageError::Lost(why.to_string());
        while self.records.buffer().is_empty() {
            let mut stage = [PollFd::new(self.records.get_ref().as_fd(), PollFlags::POLLIN)];
            match poll(&mut stage, PollTimeout::from(LOOK_AT_INTERRUPT)) {
                Ok(1..) => break,
                Ok(_) | Err(nix::errno::Errno::EINTR) if interrupted.load(Ordering::Relaxed) => {
                    return Err(lost(&"it was interrupted"));
                }
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(lost(&errno)),
            }
        }
        let mut line = String::new();
        let length = self.records.read_line(&mut line).map_err(|error| lost(&error))?;
        Ok((length > 0).then_some(line))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Init follows by PDEATHSIG and because its lifeline is closed, and takes everything with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
