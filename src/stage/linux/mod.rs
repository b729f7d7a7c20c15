//! The stage on Linux.

mod init;
mod isolation;
mod network;
mod programs;

pub use init::{Surroundings, enter, tell};
pub use programs::{Console, HANDED_OVER, Spawn, SpawnError, spawn};
