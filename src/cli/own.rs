//! The program's own folders: no backup should hold them, and no restore touch them.

use std::path::{Path, PathBuf};

/// Returns what the program made in the folder for local copies. Whatever else lies there belongs to somebody else.
pub fn in_cache(cache_dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(cache_dir) else {
        return Vec::new();
    };
    let mut own: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter(|entry| is_own(entry.file_name().as_encoded_bytes()))
        .map(|entry| entry.path())
        .collect();
    own.sort();
    own
}

/// Returns the same for a backup: a folder that holds nothing else is left out as a whole.
pub fn in_cache_to_leave_out(cache_dir: &Path) -> Vec<PathBuf> {
    let own = in_cache(cache_dir);
    let all = std::fs::read_dir(cache_dir).map_or(0, Iterator::count);
    if own.is_empty() || own.len() < all { own } else { vec![cache_dir.to_path_buf()] }
}

/// Returns whether the folder's name is that of a repository's copies, or of the list of places.
fn is_own(name: &[u8]) -> bool {
    let is_hex = |part: &[u8], len: usize| part.len() == len && part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let mut parts = name.splitn(2, |byte| *byte == b'-');
    name == b"locations" || parts.next().is_some_and(|id| is_hex(id, 32)) && parts.next().is_some_and(|place| is_hex(place, 16))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_program_made_is_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let copies = folder.path().join(format!("{}-{}", "0a".repeat(16), "b1".repeat(8)));
        let places = folder.path().join("locations");
        assert!(in_cache(folder.path()).is_empty() && in_cache(&places).is_empty());
        std::fs::create_dir(&copies).unwrap();
        std::fs::create_dir(&places).unwrap();
        assert_eq!(in_cache(folder.path()), [copies.clone(), places.clone()]);
        assert_eq!(in_cache_to_leave_out(folder.path()), [folder.path()]);
        std::fs::create_dir(folder.path().join("photographs")).unwrap();
        assert_eq!(in_cache_to_leave_out(folder.path()), [copies, places]);
    }
}
