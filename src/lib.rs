//! forkspec plays scenarios against concurrent TCP servers and their clients, and judges what it observes.

pub mod catalogue;
pub mod cli;
pub mod matrix;
pub mod observe;
pub mod play;
pub mod report;
pub mod run;
pub mod scenario;
pub mod stage;
pub mod subject;
pub mod tcp;
