//! forkspec plays scenarios against concurrent TCP servers and their clients, and judges what it observes.

#[cfg(not(unix))]
compile_error!(
    "forkspec needs a Unix: what it tests is fork, signals, zombies and descriptors, and Windows has none of them. \
     Use the Windows Subsystem for Linux."
);

#[cfg(unix)]
pub mod catalogue;
#[cfg(unix)]
pub mod cli;
#[cfg(unix)]
pub mod matrix;
#[cfg(unix)]
pub mod observe;
#[cfg(unix)]
pub mod play;
#[cfg(unix)]
pub mod report;
#[cfg(unix)]
pub mod run;
#[cfg(unix)]
pub mod scenario;
#[cfg(unix)]
pub mod stage;
#[cfg(unix)]
pub mod subject;
#[cfg(unix)]
pub mod tcp;
