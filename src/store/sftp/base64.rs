//! Base64, as files of keys have it.

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Returns bytes as text, filled up with `=`.
pub(super) fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let word = three.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte))
            << (8 * (3 - three.len()));
        for digit in 0..4 {
            let value = word >> (18 - 6 * digit) & 63;
            out.push(if digit <= three.len() { char::from(DIGITS[value as usize]) } else { '=' });
        }
    }
    out
}

/// Returns the bytes of a text, in which blanks and ends of lines do not count; `None` if it is
/// none that [`encode`] makes.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let mut out = Vec::with_capacity(digits.len() / 4 * 3);
    let mut fours = digits.chunks(4).peekable();
    while let Some(four) = fours.next() {
        let filling = four.iter().rev().take_while(|byte| **byte == b'=').count();
        if four.len() < 4 || filling > 2 || (filling > 0 && fours.peek().is_some()) {
            return None;
        }
        let mut word = 0u32;
        for digit in &four[..4 - filling] {
            word =
                word << 6 | u32::try_from(DIGITS.iter().position(|known| known == digit)?).ok()?;
        }
        word <<= 6 * filling;
        if word & ((1 << (8 * filling)) - 1) != 0 {
            return None;
        }
        out.extend_from_slice(&word.to_be_bytes()[1..4 - filling]);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()));
        }
        assert_eq!(decode("Zm9v\nYm Fy").as_deref(), Some(&b"foobar"[..]));
        for text in ["Z", "Zg", "Zg=", "Z===", "====", "Zh==", "Zm9=", "Zg==Zg==", "Zm-v", "Zm9v="]
        {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
