//! Local notes of this machine about a repository, such as the last snapshot of each series.
//!
//! Each is authenticated with a key of the repository, and is only a hint: losing one costs time.

use super::Repository;
use crate::repo::error::Result;

const MAC_LEN_BYTES: usize = 32;

/// Writes a note.
pub fn save(repository: &Repository, name: &str, bytes: &[u8]) -> Result<()> {
    let mut stored = mac_of(repository, name, bytes).to_vec();
    stored.extend_from_slice(bytes);
    repository.cache().write("state", &file_name(name), &stored)
}

/// Removes a note.
pub fn remove(repository: &Repository, name: &str) {
    repository.cache().remove("state", &file_name(name));
}

/// Returns a note; `None` if there is none, or if its authentication fails.
pub fn load(repository: &Repository, name: &str) -> Option<Vec<u8>> {
    let mut stored = repository.cache().read("state", &file_name(name))?;
    if stored.len() < MAC_LEN_BYTES {
        return None;
    }
    let bytes = stored.split_off(MAC_LEN_BYTES);
    (stored == mac_of(repository, name, &bytes)).then_some(bytes)
}

fn file_name(name: &str) -> String {
    blake3::hash(name.as_bytes()).to_hex()[..32].to_owned()
}

fn mac_of(repository: &Repository, name: &str, bytes: &[u8]) -> [u8; MAC_LEN_BYTES] {
    let mut hasher = blake3::Hasher::new_keyed(repository.records().cache_key());
    hasher
        .update(b"state")
        .update(&(name.len() as u64).to_le_bytes())
        .update(name.as_bytes())
        .update(bytes);
    *hasher.finalize().as_bytes()
}
