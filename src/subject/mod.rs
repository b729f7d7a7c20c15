//! The programs under test: their commands, and the file that can hold them.

mod command;
mod manifest;
mod port;

pub use command::{CommandError, client_command, reference, resolve, split};
pub use manifest::{Manifest, ManifestError, Part};
pub use port::Port;
