//! Where one scenario is played: a process of its own and, on Linux, namespaces of its own.
//!
//! ```text
//! forkspec                 one thread per job; never forks itself
//!   └─ forkspec stage      one per job, executed anew and so with one thread; forks for each play
//!        └─ usher          makes the namespaces of one play
//!             └─ init      PID 1 of the stage: reaps orphans, ends when the runner does
//!                  └─ player    plays the scenario and streams what happens
//!                       └─ the subject's programs
//! ```

mod host;
mod plain;
mod programs;
mod protocol;
mod serve;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod posix;

#[cfg(target_os = "linux")]
use linux as platform;
#[cfg(not(target_os = "linux"))]
use posix as platform;

pub use platform::{Allowance, LADDER, allow_window, announce_segments, deliver_input, hide_from_debuggers, set_limit};
pub use programs::{Console, HANDED_OVER, Spawn, SpawnError, spawn};
pub use serve::{Surroundings, enter, tell};

pub use host::{Stage, StageError};
pub use protocol::{Isolation, Launch, Record, Request, Task};
