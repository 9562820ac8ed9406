//! Alignment of read buffers: where in memory the kernel copies fast.
//!
//! It copies with one instruction of the processor (`rep movsb`), which takes two to four times as
//! long where the target begins a few bytes after the source, counted within pages. Files are read
//! from the beginning of a page, and large allocations begin 16 bytes after one: the usual case is
//! the slow one.

/// Bytes of a page.
const PAGE_LEN_BYTES: usize = 4096;
/// Copies are fast from this offset in a page on.
const QUICK_FROM_BYTES: usize = 64;

/// Returns how many bytes at the start of some memory are best left unused, if whole pages of a
/// file are read into it.
pub fn slow_start(memory: *const u8) -> usize {
    QUICK_FROM_BYTES.saturating_sub(memory.addr() % PAGE_LEN_BYTES)
}

/// The most that [`slow_start`] returns.
pub const SLOW_START_MAX_BYTES: usize = QUICK_FROM_BYTES;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_begins_far_enough_behind_a_page() {
        let at = |address: usize| slow_start(std::ptr::without_provenance(address));
        assert_eq!([0, 16, 63, 64, 4095, 4096, 4112].map(at), [64, 48, 1, 0, 0, 64, 48]);
    }
}
