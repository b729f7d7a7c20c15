//! The stage on Linux.

mod init;
mod isolation;
mod network;
mod programs;

pub use init::{Surroundings, enter};
pub use programs::{Console, Spawn, SpawnError, spawn};
