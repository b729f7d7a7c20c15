//! The stage on Linux.

mod allowance;
mod descriptors;
mod files;
mod init;
mod isolation;
mod limits;
mod network;
mod process;
mod seal;

pub use allowance::Allowance;
pub use init::usher;
pub use isolation::prepare;
pub use limits::set_limit;
pub use process::{
    adopt_orphans, adopter, allow_window, announce_segments, close_inherited, close_on_exec_from, deliver_input,
    die_with_parent, drop_privileges, hide_from_debuggers, slave_of,
};

use super::protocol::Isolation;

/// What is tried, best first.
pub const LADDER: &[Isolation] = &Isolation::ALL;
