//! Limits of a program that runs already (prlimit(2)).

use std::io;

use crate::scenario::Scarce;

/// Sets the soft limit of a process; returns the one that it had.
pub fn set_limit(pid: i32, of: Scarce, soft: u64) -> io::Result<u64> {
    let resource = match of {
        Scarce::Descriptors => libc::RLIMIT_NOFILE,
        Scarce::Processes => libc::RLIMIT_NPROC,
    };
    let mut old = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: with no new limit the call only fills in `old`, which is ours.
    if unsafe { libc::prlimit(pid, resource, std::ptr::null(), &raw mut old) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let new = libc::rlimit { rlim_cur: soft.min(old.rlim_max), rlim_max: old.rlim_max };
    // SAFETY: with no old limit the call only reads `new`, which is ours.
    if unsafe { libc::prlimit(pid, resource, &raw const new, std::ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(old.rlim_cur)
}
