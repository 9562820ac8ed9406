//! End of a text of any length.

/// Bytes that are kept.
pub(super) const TAIL_LEN_BYTES: usize = 4 << 10;

/// The last 4 KiB of what was pushed.
#[derive(Default)]
pub(super) struct Tail(Vec<u8>);

impl Tail {
    /// Adds bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL_LEN_BYTES)..]);
        // Seldom, because the bytes move.
        if self.0.len() > 4 * TAIL_LEN_BYTES {
            self.0.drain(..self.0.len() - TAIL_LEN_BYTES);
        }
    }

    /// Returns the end as text, without space around it.
    pub(super) fn text(&self) -> String {
        let end = &self.0[self.0.len().saturating_sub(TAIL_LEN_BYTES)..];
        String::from_utf8_lossy(end).trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bytes_are_kept_whatever_the_pieces() {
        let text: Vec<u8> =
            (0..50_000u32).map(|at| b'a' + u8::try_from(at % 26).unwrap()).collect();
        let end = String::from_utf8(text[text.len() - TAIL_LEN_BYTES..].to_vec()).unwrap();
        for piece in [1, 7, 4096, 16_384, 50_000] {
            let mut tail = Tail::default();
            text.chunks(piece).for_each(|piece| tail.push(piece));
            assert_eq!(tail.text(), end, "pieces of {piece}");
            assert!(tail.0.len() <= 4 * TAIL_LEN_BYTES);
        }
        let mut tail = Tail::default();
        tail.push(b"\n caf\xe9 \n");
        assert_eq!(tail.text(), "caf\u{fffd}");
    }
}
