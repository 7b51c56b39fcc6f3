//! How this process gives memory back.

/// Has the C library map large allocations one by one, so that freed bodies and prompts take no memory any more. Does nothing
/// with C libraries other than glibc.
///
/// By default glibc raises its threshold up to 32 MiB with every such allocation that is freed, and keeps what is smaller
/// for later; a threshold that is set stays (mallopt(3), `M_MMAP_THRESHOLD`).
pub fn return_large_allocations() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    set_threshold();
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "listed in xtask/tests/house.rs")]
fn set_threshold() {
    /// Far above what is allocated often: mapping costs a system call and a fault for each page.
    const MAPPED_FROM_BYTES: libc::c_int = 1 << 20;
    // SAFETY: it takes two numbers, keeps no pointer and may be called at any time. Where it fails, all stays as it was.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM_BYTES);
    }
}
