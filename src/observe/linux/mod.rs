//! Observation on Linux: `/proc`, sock_diag, pidfds.

mod calls;
mod pidfd;
mod proc;
mod sock_diag;
mod stillness;
#[cfg(test)]
mod stillness_tests;

pub use pidfd::PidFd;
pub use proc::ProcessTable;
pub use sock_diag::SocketTable;
