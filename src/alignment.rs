//! Alignment of read buffers for fast copies by the kernel.
//!
//! The kernel copies with one instruction (`rep movsb`), which takes two to four times as long if
//! the target's offset in its page is a few bytes larger than the source's. Files are read from the
//! beginning of a page, and large allocations begin 16 bytes after one, so the usual case is slow.

/// Bytes of a page.
const PAGE_LEN_BYTES: usize = 4096;
/// Smallest page offset of the target with fast copies.
const QUICK_FROM_BYTES: usize = 64;

/// Returns the bytes to leave unused at the start of a buffer into which whole pages of a file are
/// read.
pub fn padding(memory: *const u8) -> usize {
    QUICK_FROM_BYTES.saturating_sub(memory.addr() % PAGE_LEN_BYTES)
}

/// The most that [`padding`] returns.
pub const PADDING_MAX_BYTES: usize = QUICK_FROM_BYTES;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padded_buffers_begin_far_enough_after_a_page() {
        let at = |address: usize| padding(std::ptr::without_provenance(address));
        assert_eq!([0, 16, 63, 64, 4095, 4096, 4112].map(at), [64, 48, 1, 0, 0, 64, 48]);
    }
}
