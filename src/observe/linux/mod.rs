//! Observation on Linux: `/proc`, sock_diag, pidfds.

mod calls;
mod pidfd;
mod proc;
mod sock_diag;
mod stillness;
#[cfg(test)]
mod stillness_tests;
mod wait;

pub use pidfd::PidFd as EndWatch;
pub use proc::ProcessTable;
pub use sock_diag::SocketTable;
pub use wait::wait;

/// The system that this is.
pub const HERE: crate::scenario::Platform = crate::scenario::Platform::Linux;
