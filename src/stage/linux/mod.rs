//! The stage on Linux.

mod init;
mod isolation;
mod network;
mod programs;

pub use init::{Surroundings, enter, tell};
pub use programs::{Console, Spawn, SpawnError, spawn};
