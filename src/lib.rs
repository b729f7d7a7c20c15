//! forkspec plays scenarios against concurrent TCP servers and their clients, and judges what it observes.

pub mod catalogue;
pub mod observe;
pub mod play;
pub mod scenario;
pub mod stage;
pub mod tcp;
