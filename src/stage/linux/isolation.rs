//! Namespaces: one set per stage (namespaces(7), user_namespaces(7)).

use std::fs;
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

use crate::stage::Isolation;

/// The user that root becomes inside, so that the subject loses root's capabilities when it is executed.
const INSIDE: u32 = 1000;

/// Leaves the machine's namespaces for new ones, as the isolation says. The process namespace takes in the children
/// made from now on.
pub fn leave(isolation: Isolation) -> Result<(), String> {
    if isolation == Isolation::None {
        return Ok(());
    }
    if isolation != Isolation::Root {
        own_users()?;
    }
    own_network()?;
    let flags = CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
    unshare(flags).map_err(|errno| format!("unshare(PID, mount, IPC, UTS): {errno}"))
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

/// A network whose hash table of connections is small: reading it whole is 10 to 20 times faster. The size is taken
/// from the namespace that the new one is made in, hence two of them; a kernel without the setting (before 6.1) is
/// only slower.
fn own_network() -> Result<(), String> {
    let new = || unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| format!("unshare(network): {errno}"));
    new()?;
    if fs::write("/proc/sys/net/ipv4/tcp_child_ehash_entries", "1024").is_ok() { new() } else { Ok(()) }
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
    mount(Some("proc"), "/proc", Some("proc"), flags, nothing).map_err(|errno: Errno| format!("mounting /proc: {errno}"))
}
