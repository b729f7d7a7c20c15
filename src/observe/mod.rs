//! What can be seen of processes, sockets and descriptors, and whether anything can still happen.

mod processes;
mod rest;
mod sockets;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as platform;

pub use platform::{PidFd, ProcessTable, SocketTable};
pub use processes::{ChildSignal, Descriptor, DescriptorKind, End, Process};
pub use rest::{Deeds, Horizon, Motion, Restless, Stillness, all_have_done, sockets_at_rest};
pub use sockets::{Pair, Socket, Timer};
