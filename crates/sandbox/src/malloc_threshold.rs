//! Returning freed memory to the operating system.

/// Makes the C library map each large allocation separately, so that it is returned to the system when freed.
///
/// Large allocations are mostly request bodies and prompts. By default, glibc raises its mmap threshold up to
/// 32 MiB whenever a mapped allocation is freed, and keeps smaller freed allocations for reuse. An explicitly
/// set threshold stays fixed (mallopt(3), `M_MMAP_THRESHOLD`). Does nothing with C libraries other than
/// glibc.
pub fn return_large_allocations() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    set_threshold();
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "listed in xtask/tests/house.rs")]
fn set_threshold() {
    /// Far above the size of frequent allocations: mapping costs a system call and a page fault for each
    /// page.
    const MAPPED_FROM_BYTES: libc::c_int = 1 << 20;
    // SAFETY: the call takes two numbers, keeps no pointer and may be made at any time. If it fails, nothing
    // changes.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM_BYTES);
    }
}

/// Returns the pages of freed small allocations to the operating system.
///
/// By default, glibc keeps them unless they are at the end of its heap (malloc_trim(3)). Takes milliseconds for
/// each 100 MB that were freed, so call it only after many allocations were freed together. Does nothing with C
/// libraries other than glibc.
pub fn return_freed_allocations() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    trim();
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "listed in xtask/tests/house.rs")]
fn trim() {
    // SAFETY: the call takes a number, keeps no pointer and may be made at any time on any thread. It changes no
    // allocation.
    unsafe {
        libc::malloc_trim(0);
    }
}
