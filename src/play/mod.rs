//! Plays a scenario: does its steps, waits for what it expects, and judges.

mod again;
mod capture;
mod diagnosis;
mod expect;
mod handler;
mod outbox;
mod peer;
mod player;
mod probe;
mod program;
mod scene;
mod steps;
mod superserver;
mod tables;
mod verdict;
mod watch;

pub use player::play;
pub use verdict::{Failure, Ordinary, Outcome, ProbeResult, Tables};
