//! The questions that are asked of the kernel: libproc (`<libproc.h>`) and sysctl(3). They answer with bytes.

use std::ffi::CStr;
use std::io;
use std::ptr::null_mut;

use super::layouts::{ProcBsdInfo, ProcFdInfo, ProcTaskInfo, SOCKET_FD_INFO, VNODE_FD_INFO};

/// PROC_PIDFD… (sys/proc_info.h)
const PIDFD_VNODE_PATH: libc::c_int = 2;
const PIDFD_SOCKET: libc::c_int = 3;
/// The argument of PROC_PIDTBSDINFO with which zombies are shown too.
const ZOMBIES_TOO: u64 = 1;

/// The ids of all processes of the machine, zombies among them.
pub fn processes() -> io::Result<Vec<i32>> {
    // SAFETY: without a buffer the call returns how many there are.
    let about = unsafe { libc::proc_listallpids(null_mut(), 0) };
    if about <= 0 {
        return Err(io::Error::last_os_error());
    }
    let mut ids = vec![0i32; about as usize + 64];
    let size = ids.len() * size_of::<i32>();
    // SAFETY: the kernel writes at most so many bytes into `ids`.
    let count = unsafe { libc::proc_listallpids(ids.as_mut_ptr().cast(), size as libc::c_int) };
    if count < 0 {
        return Err(io::Error::last_os_error());
    }
    ids.truncate(count as usize);
    Ok(ids)
}

/// A struct proc_bsdinfo.
pub fn process(pid: i32) -> Option<Vec<u8>> {
    about_process(pid, libc::PROC_PIDTBSDINFO, ZOMBIES_TOO, size_of::<ProcBsdInfo>())
}

/// A struct proc_taskinfo; not for zombies, which have no task.
pub fn task(pid: i32) -> Option<Vec<u8>> {
    about_process(pid, libc::PROC_PIDTASKINFO, 0, size_of::<ProcTaskInfo>())
}

/// A struct proc_fdinfo for each open descriptor.
pub fn descriptors(pid: i32) -> io::Result<Vec<u8>> {
    let mut room = 64;
    loop {
        let size = room * size_of::<ProcFdInfo>();
        let bytes = about_process(pid, libc::PROC_PIDLISTFDS, 0, size).ok_or_else(io::Error::last_os_error)?;
        // A full buffer may not hold all of them.
        if bytes.len() < size {
            return Ok(bytes);
        }
        room *= 4;
    }
}

fn about_process(pid: i32, flavor: libc::c_int, argument: u64, size: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0u8; size];
    // SAFETY: the kernel writes at most `size` bytes into `bytes`.
    let length = unsafe { libc::proc_pidinfo(pid, flavor, argument, bytes.as_mut_ptr().cast(), size as libc::c_int) };
    bytes.truncate(usize::try_from(length).ok().filter(|length| *length > 0)?);
    Some(bytes)
}

/// A struct socket_fdinfo about a descriptor that is a socket.
pub fn socket(pid: i32, descriptor: i32) -> Option<Vec<u8>> {
    about_descriptor(pid, descriptor, PIDFD_SOCKET, SOCKET_FD_INFO)
}

/// A struct vnode_fdinfowithpath about a descriptor that is a file.
pub fn file(pid: i32, descriptor: i32) -> Option<Vec<u8>> {
    about_descriptor(pid, descriptor, PIDFD_VNODE_PATH, VNODE_FD_INFO)
}

fn about_descriptor(pid: i32, descriptor: i32, flavor: libc::c_int, size: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0u8; size];
    // SAFETY: the kernel writes at most `size` bytes into `bytes`.
    let length =
        unsafe { libc::proc_pidfdinfo(pid, descriptor, flavor, bytes.as_mut_ptr().cast(), size as libc::c_int) };
    bytes.truncate(usize::try_from(length).ok().filter(|length| *length > 0)?);
    Some(bytes)
}

/// The words and the environment of a process: `kern.procargs2`, for processes of the caller's user.
pub fn arguments(pid: i32) -> Option<Vec<u8>> {
    let mut name = [libc::CTL_KERN, libc::KERN_PROCARGS2, pid];
    let mut most: libc::c_int = 0;
    let mut size = size_of::<libc::c_int>();
    let mut most_name = [libc::CTL_KERN, libc::KERN_ARGMAX];
    // SAFETY: the name has two parts, and the kernel writes one int.
    let answer =
        unsafe { libc::sysctl(most_name.as_mut_ptr(), 2, (&raw mut most).cast(), &raw mut size, null_mut(), 0) };
    let mut size = usize::try_from(most).ok().filter(|most| answer == 0 && *most > 0)?;
    let mut bytes = vec![0u8; size];
    // SAFETY: the name has three parts, and the kernel writes at most `size` bytes into `bytes`.
    let answer = unsafe { libc::sysctl(name.as_mut_ptr(), 3, bytes.as_mut_ptr().cast(), &raw mut size, null_mut(), 0) };
    bytes.truncate(size);
    (answer == 0).then_some(bytes)
}

/// The list of TCP's protocol control blocks: `net.inet.tcp.pcblist_n`.
pub fn connections() -> io::Result<Vec<u8>> {
    const NAME: &CStr = c"net.inet.tcp.pcblist_n";
    loop {
        let mut size = 0;
        // SAFETY: without a buffer the call says how many bytes it would write, with room to spare.
        if unsafe { libc::sysctlbyname(NAME.as_ptr(), null_mut(), &raw mut size, null_mut(), 0) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let mut bytes = vec![0u8; size];
        // SAFETY: the kernel writes at most `size` bytes into `bytes`.
        let answer =
            unsafe { libc::sysctlbyname(NAME.as_ptr(), bytes.as_mut_ptr().cast(), &raw mut size, null_mut(), 0) };
        if answer == 0 {
            bytes.truncate(size);
            return Ok(bytes);
        }
        // There are more now than there were a moment ago: once again.
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::ENOMEM) {
            return Err(error);
        }
    }
}

/// The session of a process (getsid(2)).
pub fn session(pid: i32) -> Option<i32> {
    // SAFETY: takes an integer and returns one.
    let session = unsafe { libc::getsid(pid) };
    (session >= 0).then_some(session)
}
