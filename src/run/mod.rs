//! A run: the scenarios of a suite, each on a stage of its own, and their verdicts.

mod plan;
mod result;
mod runner;
mod shard;
mod slots;
mod turn;

pub use plan::{Plan, Settings};
pub use result::{Environment, Event, Played, Run, SubjectInfo, Verdict};
pub use runner::{RunError, Setting, millis, run};
pub use shard::{Shard, Share, hash_of_ids};
