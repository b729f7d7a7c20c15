//! The runner's side of a stage.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use super::protocol::{Record, Request};

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

/// Plays one request in a stage of its own. `observe` gets every record as it comes; the last one is returned.
pub fn play(request: &Request, mut observe: impl FnMut(&Record)) -> Result<Record, StageError> {
    let program = std::env::current_exe().map_err(StageError::Start)?;
    let child = Command::new(program)
        .arg("stage")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(StageError::Start)?;
    let mut stage = Stage { child };
    let (Some(mut lifeline), Some(records)) = (stage.child.stdin.take(), stage.child.stdout.take()) else {
        return Err(StageError::Lost("it has no pipes".into()));
    };
    let mut line = serde_json::to_vec(request).map_err(|error| StageError::Lost(error.to_string()))?;
    line.push(b'\n');
    lifeline.write_all(&line).map_err(StageError::Start)?;
    for line in BufReader::new(records).lines() {
        let line = line.map_err(|error| StageError::Lost(error.to_string()))?;
        let record = serde_json::from_str(&line).map_err(|error| StageError::Lost(error.to_string()))?;
        observe(&record);
        match record {
            Record::Event { .. } => {}
            Record::Refused(why) => return Err(StageError::Refused(why)),
            Record::Panicked(why) => return Err(StageError::Lost(why)),
            Record::Played(_) | Record::Probed(_) => {
                // It ends by itself now; wait, so that nothing of it is left when the next one starts.
                let _ = stage.child.wait();
                return Ok(record);
            }
        }
    }
    let status = stage.child.wait().map_err(|error| StageError::Lost(error.to_string()))?;
    Err(StageError::Lost(format!("it ended before the play did ({status})")))
}

/// A stage that is ended when it goes out of scope.
struct Stage {
    child: Child,
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Init follows by PDEATHSIG and because its lifeline is closed, and takes everything with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
