//! Descriptors that must not be inherited.

/// Closes all descriptors from `first` on, or does with them what `flags` say (close_range(2)).
///
/// It is called by its number because musl, which the released binaries are linked with, has no function for it.
///
/// # Safety
/// Nothing may use a descriptor from `first` on, unless `flags` leave them open.
pub unsafe fn close_from(first: u32, flags: libc::c_uint) {
    // SAFETY: the caller's. A kernel that does not know the call (before 5.9) leaves all of them open.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, flags) };
}
