//! Return of freed memory to the system.

/// Allocations of at least this length are returned when they are freed, in bytes: segments are,
/// most FUSE replies are shorter.
#[cfg(target_env = "gnu")]
const RETURNED_LEN_MIN_BYTES: i32 = 256 << 10;

/// Makes the allocator of this process return long allocations to the system when they are freed.
///
/// By default glibc raises its threshold with the first long allocation that is freed. From then on
/// it keeps them in the arenas of several threads, fragmented and unused for long: several times
/// the memory in use. Other allocators do not need this.
pub fn set_mmap_threshold() {
    #[cfg(target_env = "gnu")]
    // SAFETY: this sets a number of the allocator's, under the allocator's lock, and touches no
    // memory that is in use.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, RETURNED_LEN_MIN_BYTES);
    }
}
