//! Where one scenario is played: a process of its own and, on Linux, namespaces of its own.
//!
//! ```text
//! forkspec                 one thread per job; never forks itself
//!   └─ forkspec stage      executed anew for each play; makes the namespaces
//!        └─ init           PID 1 of the stage: reaps orphans, ends when the runner does
//!             └─ player    plays the scenario and streams what happens
//!                  └─ the subject's programs
//! ```

mod host;
mod protocol;

#[cfg(target_os = "linux")]
mod linux;

#[cfg(target_os = "linux")]
pub use linux::{Console, Spawn, SpawnError, Surroundings, enter, spawn, tell};

pub use host::{StageError, play};
pub use protocol::{Isolation, Record, Request, Task};
