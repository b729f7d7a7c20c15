//! The stage on Linux.

mod descriptors;
mod init;
mod isolation;
mod limits;
mod network;
mod programs;

pub use init::{Surroundings, enter, tell};
pub use limits::set_limit;
pub use programs::{Console, HANDED_OVER, Spawn, SpawnError, spawn};
