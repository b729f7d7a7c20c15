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
mod protocol;

#[cfg(target_os = "linux")]
mod linux;

#[cfg(target_os = "linux")]
pub use linux::{Console, HANDED_OVER, Spawn, SpawnError, Surroundings, enter, set_limit, spawn, tell};

pub use host::{Stage, StageError};
pub use protocol::{Isolation, Launch, Record, Request, Task};
