//! Observation on macOS: libproc, sysctl, kqueue. What tells a stage's processes and reads the kernel's records is pure
//! and compiled for the tests of every system.

mod layouts;
mod members;
mod records;

#[cfg(target_os = "macos")]
mod ends;
#[cfg(target_os = "macos")]
mod kernel;
#[cfg(target_os = "macos")]
mod processes;
#[cfg(target_os = "macos")]
mod sockets;
#[cfg(target_os = "macos")]
mod wait;

#[cfg(target_os = "macos")]
pub use ends::EndWatch;
#[cfg(target_os = "macos")]
pub use processes::ProcessTable;
#[cfg(target_os = "macos")]
pub use sockets::SocketTable;
#[cfg(target_os = "macos")]
pub use wait::wait;

/// The system that this is.
#[cfg(target_os = "macos")]
pub const HERE: crate::scenario::Platform = crate::scenario::Platform::MacOs;
