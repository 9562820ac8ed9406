//! Padded length of containers, so that the length reveals little.
//!
//! Spec: `format-spec/04-container.md`, section "Padding".

/// Coarsest rounding in bytes.
const GRANULARITY_MAX_BYTES: u64 = 64 << 10;

/// Returns `len_bytes` rounded up to a multiple of the smaller of 64 KiB and its Padmé granularity.
///
/// Padmé keeps `log2(log2(len)) + 1` significant bits, which wastes at most 12 % on small
/// containers; the cap keeps the waste of a full 32 MiB pack below 0.2 %.
pub fn padded_len(len_bytes: u64) -> u64 {
    if len_bytes < 2 {
        return len_bytes;
    }
    let exponent = u64::from(len_bytes.ilog2());
    let kept_bits = u64::from(exponent.max(1).ilog2()) + 1;
    let granularity = (1u64 << exponent.saturating_sub(kept_bits)).min(GRANULARITY_MAX_BYTES);
    len_bytes.next_multiple_of(granularity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waste_is_bounded() {
        for len in (1..200_000u64).chain([32 << 20, (32 << 20) + 1, 5_000_000]) {
            let padded = padded_len(len);
            assert!(padded >= len && padded - len < 65_536);
            assert!((padded - len) as f64 <= 0.12 * len as f64 + 1.0, "{len} -> {padded}");
        }
        assert_eq!(padded_len(33_000_000) % 65_536, 0);
        assert_eq!((padded_len(0), padded_len(1), padded_len(2)), (0, 1, 2));
    }
}
