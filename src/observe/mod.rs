//! What can be seen of processes, sockets and descriptors, and whether anything can still happen.

mod processes;
mod rest;
mod sockets;

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(target_os = "macos", test))]
mod macos;

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
use elsewhere as platform;
#[cfg(target_os = "linux")]
use linux as platform;
#[cfg(target_os = "macos")]
use macos as platform;

pub use platform::{EndWatch, HERE, ProcessTable, SocketTable, wait};
pub use processes::{ChildSignal, Descriptor, DescriptorKind, End, Process};
pub use rest::{Deeds, Horizon, Motion, Restless, Stillness, all_have_done, sockets_at_rest};
pub use sockets::{Pair, Socket, Timer};
