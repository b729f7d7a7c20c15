//! Files of one's own: what a stage's programs write, no other stage and no later run sees.
//!
//! Two servers that lock the same file or bind the same Unix domain socket would be in each other's way. A name made of
//! the process number does not help: every stage has the same ones.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::geteuid;

/// Where programs of all users write.
const FOR_ALL: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];
/// Where daemons write, and where the sockets of others are: who connects through a layer finds nobody.
const OF_DAEMONS: [&str; 2] = ["/run", "/var/log"];
/// What is mounted there can be hidden.
const NEEDLESS: [&str; 8] = [
    "/run/credentials",
    "/run/docker",
    "/run/lock",
    "/run/netns",
    "/run/shm",
    "/run/snapd",
    "/run/systemd",
    "/run/user",
];
/// How much the programs of a stage can write, in all.
const MOST: &str = "size=256m";
const FLAGS: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV);

/// A folder before anything is laid over it.
struct Folder {
    path: PathBuf,
    device: u64,
    mode: u32,
    opened: File,
}

/// Lays a layer of the stage's own over the home, the working directory and the folders for temporary files (overlayfs):
/// programs see what is there, and what they write is kept in memory until the stage ends. A folder that the kernel does
/// not let us do that with, or in which something is mounted, stays shared.
pub fn layer() {
    let folders = folders();
    let Some(hidden) =
        FOR_ALL.map(Path::new).into_iter().find(|path| folders.iter().any(|folder| folder.path == *path))
    else {
        return;
    };
    // The memory has to be somewhere: in one of the folders, whose own layer then hides it.
    if mount(Some("forkspec"), hidden, Some("tmpfs"), FLAGS, Some(MOST)).is_err() {
        return;
    }
    let mut layered: Vec<&Folder> = Vec::new();
    if let Ok(memory) = open(hidden) {
        for (number, folder) in folders.iter().enumerate() {
            if !layered.iter().any(|outer| folder.is_covered_by(outer)) && lay(folder, &memory, number).is_ok() {
                layered.push(folder);
            }
        }
    }
    if !layered.iter().any(|folder| hidden.starts_with(&folder.path)) {
        let _ = umount2(hidden, MntFlags::MNT_DETACH);
    }
    // The working directory is still the one beneath.
    if let Ok(path) = env::current_dir() {
        let _ = env::set_current_dir(path);
    }
}

/// The folders that programs are likely to write in, the outer ones first.
fn folders() -> Vec<Folder> {
    let mounted = mount_points();
    let own = own_folders();
    let of_daemons =
        OF_DAEMONS.map(PathBuf::from).into_iter().filter(|path| !own.iter().any(|own| own.starts_with(path)));
    let mut paths: Vec<PathBuf> =
        own.iter().cloned().chain(of_daemons).filter(|path| !has_mounts(path, &mounted)).collect();
    paths.sort();
    paths.dedup();
    paths.into_iter().filter_map(|path| Folder::of(path).ok()).collect()
}

/// The home, the working directory and the folders for temporary files, as far as they are there.
fn own_folders() -> Vec<PathBuf> {
    let own = [env::var_os("HOME"), env::var_os("TMPDIR")].into_iter().flatten().map(PathBuf::from);
    let all = own.chain(env::current_dir()).chain(FOR_ALL.map(PathBuf::from));
    all.filter_map(|path| path.canonicalize().ok()).collect()
}

/// Those of them that nothing can be laid over, the root folder excepted: they stay shared.
pub fn shared() -> Vec<PathBuf> {
    let mounted = mount_points();
    own_folders().into_iter().filter(|path| path != Path::new("/") && has_mounts(path, &mounted)).collect()
}

/// Whether something is mounted in a folder that has to stay in sight.
fn has_mounts(folder: &Path, mounted: &[PathBuf]) -> bool {
    let needless = |point: &Path| NEEDLESS.iter().any(|needless| point.starts_with(needless));
    mounted.iter().any(|point| point != folder && point.starts_with(folder) && !needless(point))
}

impl Folder {
    fn of(path: PathBuf) -> io::Result<Folder> {
        let opened = open(&path)?;
        let metadata = opened.metadata()?;
        Ok(Folder { path, device: metadata.dev(), mode: metadata.mode(), opened })
    }

    /// Whether what is laid over another folder serves this one as well: it is inside, and whoever writes to it can have
    /// copies made of the folders between the two. Nobody's folder cannot be copied (EOVERFLOW).
    fn is_covered_by(&self, outer: &Folder) -> bool {
        let user = geteuid().as_raw();
        let is_ours = |path: &Path| fs::metadata(path).is_ok_and(|metadata| metadata.uid() == user);
        self.path.starts_with(&outer.path)
            && self.device == outer.device
            && self.path.ancestors().take_while(|path| *path != outer.path).all(is_ours)
    }
}

fn open(folder: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(folder)
}

/// Lays a new folder of `memory` over this one. All are named by descriptor: a path can have characters that mean
/// something else in a mount's options, and what it led to may be hidden by now.
fn lay(folder: &Folder, memory: &File, number: usize) -> io::Result<()> {
    let by_descriptor = |file: &File| format!("/proc/self/fd/{}", file.as_raw_fd());
    let place = by_descriptor(memory);
    let (upper, work) = (format!("{place}/{number}"), format!("{place}/{number}.work"));
    fs::create_dir(&upper)?;
    fs::set_permissions(&upper, Permissions::from_mode(folder.mode & 0o7777))?;
    fs::create_dir(&work)?;
    let lower = by_descriptor(&folder.opened);
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work},userxattr");
    Ok(mount(Some("forkspec"), &folder.path, Some("overlay"), FLAGS, Some(options.as_str()))?)
}

/// Where something is mounted (proc_pid_mountinfo(5)).
fn mount_points() -> Vec<PathBuf> {
    let table = fs::read("/proc/self/mountinfo").unwrap_or_default();
    let points = table.split(|byte| *byte == b'\n').filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    points.map(|point| PathBuf::from(OsString::from_vec(unescaped(point)))).collect()
}

/// A blank, a tab, a line feed and a backslash are written as three octal digits.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let code = (*first == b'\\').then(|| after.get(..3)).flatten();
        let code = code.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_read_as_they_are() {
        assert_eq!(unescaped(br"/a\040b\134c\"), b"/a b\\c\\");
    }
}
