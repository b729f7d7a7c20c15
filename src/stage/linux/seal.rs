//! What the programs of a job cannot change: everything but what `files` lays over it.
//!
//! Root's files stay root's in a user namespace that root has made: without a seal a program could write to the settings
//! of the kernel, to devices, and to any file.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::files;

/// The devices that every program may use.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
const PTS: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NOEXEC);
const NOTHING: Option<&Path> = None;

/// Gives a job a view of the files of its own, in which nothing can be written to but the folders of the user that `files`
/// cannot lay anything over. A kernel before 5.12 cannot do that recursively: then only devices are hidden.
pub fn seal(is_root: bool) -> Result<(), String> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(|errno| format!("unshare(mount): {errno}"))?;
    mount(NOTHING, "/", NOTHING, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NOTHING)
        .map_err(|errno| format!("making mounts private: {errno}"))?;
    let shared = files::shared();
    // A user's programs may open the devices that the user may. Root's must not open root's.
    if !is_root || own_devices().is_err() {
        // The terminals of the job, and nobody else's. Refused: then they are the machine's.
        let _ = terminals();
    }
    if set_attributes(Path::new("/"), libc::MOUNT_ATTR_RDONLY, 0).is_ok() {
        // Each stage seals its own, when it has set up its network there.
        let _ = set_attributes(Path::new("/proc"), 0, libc::MOUNT_ATTR_RDONLY);
        for folder in shared {
            let bound = mount(Some(&folder), &folder, NOTHING, MsFlags::MS_BIND | MsFlags::MS_REC, NOTHING);
            let _ = bound.and_then(|()| set_attributes(&folder, 0, libc::MOUNT_ATTR_RDONLY));
        }
    }
    Ok(())
}

/// Seals the settings of the kernel, and what else root can write to under /proc.
pub fn seal_proc() {
    let _ = set_attributes(Path::new("/proc"), libc::MOUNT_ATTR_RDONLY, 0);
}

/// Terminals that nobody else has.
fn terminals() -> nix::Result<()> {
    mount(Some("devpts"), "/dev/pts", Some("devpts"), PTS, Some("newinstance,ptmxmode=0666,mode=0620"))
}

/// Lays a /dev over the machine's that has what every program may use.
fn own_devices() -> std::io::Result<()> {
    let there = |name: &&str| File::options().read(true).custom_flags(libc::O_PATH).open(Path::new("/dev").join(name));
    let devices: Vec<(&str, File)> = DEVICES.iter().filter_map(|name| Some((*name, there(name).ok()?))).collect();
    mount(Some("forkspec"), "/dev", Some("tmpfs"), MsFlags::MS_NOSUID, Some("size=64k,mode=755"))?;
    for (name, device) in devices {
        let place = Path::new("/dev").join(name);
        File::create(&place)?;
        let origin = PathBuf::from(format!("/proc/self/fd/{}", device.as_raw_fd()));
        mount(Some(&origin), &place, NOTHING, MsFlags::MS_BIND, NOTHING)?;
    }
    for folder in ["/dev/pts", "/dev/shm"] {
        fs::create_dir(folder)?;
    }
    for (link, target) in [
        ("/dev/ptmx", "pts/ptmx"),
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
    ] {
        symlink(target, link)?;
    }
    mount(
        Some("forkspec"),
        "/dev/shm",
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        Some("size=1m,mode=1777"),
    )?;
    Ok(terminals()?)
}

/// Sets and clears attributes of a mount and of all below it (mount_setattr(2)).
fn set_attributes(path: &Path, set: u64, clear: u64) -> nix::Result<()> {
    let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).map_err(|_| Errno::EINVAL)?;
    let attributes = libc::mount_attr { attr_set: set, attr_clr: clear, propagation: 0, userns_fd: 0 };
    let (folder, size) = (libc::AT_FDCWD, size_of::<libc::mount_attr>());
    // SAFETY: the path ends with a NUL byte, and the structure is as large as it is said to be.
    let done = unsafe {
        libc::syscall(libc::SYS_mount_setattr, folder, path.as_ptr(), libc::AT_RECURSIVE, &raw const attributes, size)
    };
    Errno::result(done).map(drop)
}
