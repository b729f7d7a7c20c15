//! Which mistake of the catalogue a failure comes from, as far as what was observed shows it.

mod case;
mod client;
mod echo;
mod ending;
mod evidence;
mod own;
mod server;

pub use case::diagnose;
