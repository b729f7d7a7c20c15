//! Namespaces: one set per stage (namespaces(7), user_namespaces(7)).

use std::fs;
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

use super::seal::seal;
use crate::stage::Isolation;

/// The user that root becomes inside, so that the subject loses root's capabilities when it is executed.
const INSIDE: u32 = 1000;

/// What the stages of a job have in common: a user namespace, files that cannot be written to, and a network in which
/// nothing happens.
///
/// A network made in this one has a small hash table of connections: reading it whole is 10 to 20 times faster. A kernel
/// without the setting (before 6.1) is only slower.
pub fn prepare(isolation: Isolation) -> Result<(), String> {
    if isolation == Isolation::None {
        return Ok(());
    }
    let is_root = geteuid().is_root();
    if isolation != Isolation::Root {
        own_users()?;
    }
    unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| format!("unshare(network): {errno}"))?;
    let _ = fs::write("/proc/sys/net/ipv4/tcp_child_ehash_entries", "1024");
    seal(is_root)
}

/// What each stage has for itself. The process namespace takes in the children made from now on.
pub fn leave(isolation: Isolation) -> Result<(), String> {
    if isolation == Isolation::None {
        return Ok(());
    }
    let flags = CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    unshare(flags).map_err(|errno| format!("unshare(network, PID, mount, IPC, UTS): {errno}"))
}

fn own_users() -> Result<(), String> {
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    unshare(CloneFlags::CLONE_NEWUSER).map_err(|errno| format!("unshare(user): {errno}"))?;
    let inside = |id: u32| if id == 0 { INSIDE } else { id };
    // The kernel wants setgroups denied before an unprivileged process may map its group.
    for (file, text) in [
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/uid_map", format!("{} {user} 1", inside(user))),
        ("/proc/self/gid_map", format!("{} {group} 1", inside(group))),
    ] {
        fs::write(file, text).map_err(|error| format!("{file}: {error}"))?;
    }
    Ok(())
}

/// Lets a stage have so many processes at most. Below Linux 6.14 the setting is the whole machine's: hands off.
fn bound_processes() {
    // The most that a scenario needs is a few hundred; a server that forks without end is looked at process by process.
    const MOST: &str = "1024";
    let release = nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned());
    let version: Vec<u32> =
        release.unwrap_or_default().split(['.', '-']).take(2).filter_map(|part| part.parse().ok()).collect();
    if version >= vec![6, 14] {
        // Refused: then RLIMIT_NPROC is all there is.
        let _ = fs::write("/proc/sys/kernel/pid_max", MOST);
    }
}

/// Gives the stage its own view of processes; called in the first process of its namespace.
pub fn mount_proc(isolation: Isolation) -> Result<(), String> {
    if isolation == Isolation::None {
        return Ok(());
    }
    let nothing: Option<&Path> = None;
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)
        .map_err(|errno| format!("making mounts private: {errno}"))?;
    if isolation == Isolation::SharedProc {
        return Ok(());
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, nothing)
        .map_err(|errno: Errno| format!("mounting /proc: {errno}"))?;
    bound_processes();
    Ok(())
}
