//! The stage on systems other than Linux: plain processes only.

mod process;

use std::io;

pub use super::plain::usher;
pub use process::{
    adopt_orphans, adopter, allow_window, announce_segments, close_inherited, close_on_exec_from, deliver_input,
    die_with_parent, drop_privileges, hide_from_debuggers, slave_of,
};

use super::protocol::Isolation;
use crate::scenario::Scarce;

/// What is tried: there is one isolation only.
pub const LADDER: &[Isolation] = &[Isolation::None];

/// What the stages of a job have in common: nothing.
pub fn prepare(isolation: Isolation) -> Result<(), String> {
    match isolation {
        Isolation::None => Ok(()),
        _ => Err(format!("namespaces are Linux's; on {} there are plain processes only", std::env::consts::OS)),
    }
}

/// The limits of a program that runs already cannot be changed from outside here; scenarios that need it are skipped.
pub fn set_limit(_: i32, _: Scarce, _: u64) -> io::Result<u64> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

/// How many processes a run may have; here nothing is known of that.
#[derive(Debug, Clone, Copy, Default)]
pub struct Allowance;

impl Allowance {
    /// What this process may have.
    pub fn here() -> Allowance {
        Allowance
    }

    /// How often fork was refused so far: nobody counts it.
    pub fn refused(self) -> u64 {
        0
    }

    /// Why a failure is not to be believed.
    pub fn doubt(self, _: u64) -> Option<String> {
        None
    }
}
