//! Plays a scenario: does its steps, waits for what it expects, and judges.

mod again;
mod capture;
mod delays;
mod diagnosis;
mod excuses;
mod expect;
mod force;
mod handler;
mod known;
mod lingering;
mod outbox;
mod peer;
mod player;
mod probe;
mod probe_client;
mod program;
mod quiet;
mod room;
mod scene;
mod start;
mod steps;
mod superserver;
mod tables;
mod traffic;
mod verdict;
mod waiting;
mod watch;
mod wording;

pub use player::play;
pub use verdict::{Answer, Failure, Ordinary, Outcome, Prints, ProbeResult, Sends, Tables};
pub use wording::plural;
