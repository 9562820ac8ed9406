//! Paths as bytes.

/// Least length that is rounded up.
const ROUNDED_MIN_BYTES: usize = 4 << 10;

/// Returns the path of `name` in the directory at `path`.
pub(super) fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    let mut joined = empty(path.len() + 1 + name.len());
    joined.extend_from_slice(path);
    joined.push(b'/');
    joined.extend_from_slice(name);
    joined
}

/// Returns the components of a path.
pub(super) fn parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|part| !part.is_empty())
}

/// Returns the last component of a path; nothing for the root.
pub(super) fn name(path: &[u8]) -> &[u8] {
    parts(path).last().unwrap_or_default()
}

/// Returns an empty path with room for this many bytes.
///
/// In deep directories each path is a bit longer than the one above. If each had exactly the room
/// that it needs, none would fit into memory that another freed, and the process would grow with
/// the square of the depth (400 MiB for 50,000 levels).
pub(super) fn empty(len_bytes: usize) -> Vec<u8> {
    Vec::with_capacity(if len_bytes < ROUNDED_MIN_BYTES {
        len_bytes
    } else {
        len_bytes.next_power_of_two()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined_and_long_ones_have_room() {
        assert_eq!(join(b"", b"a"), b"/a");
        assert_eq!(join(b"/a", b"b"), b"/a/b");
        assert_eq!((name(b"/a/b"), name(b"/")), (&b"b"[..], &b""[..]));
        assert_eq!(parts(b"/a//b").collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!(join(&[b'x'; 5000], b"b").capacity(), 8192);
    }
}
