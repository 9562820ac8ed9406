//! Returning freed memory to the system.

/// Pieces of memory at least as long as this go back as soon as they are freed, in bytes: segments
/// do, and most answers to the kernel are shorter.
#[cfg(target_env = "gnu")]
const RETURNED_LEN_MIN_BYTES: i32 = 256 << 10;

/// Makes the allocator of this process give long pieces back whenever they are freed.
///
/// Left alone, glibc's keeps them from the first one on that was freed, in places of several
/// threads, and so between other things that they lie idle for long: that is several times what is
/// in use. Other allocators do without.
pub fn set_mmap_threshold() {
    #[cfg(target_env = "gnu")]
    // SAFETY: this sets a number of the allocator's, under the allocator's lock, and touches no
    // memory that is in use.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, RETURNED_LEN_MIN_BYTES);
    }
}
