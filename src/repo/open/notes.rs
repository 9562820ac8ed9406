//! Small notes of this machine about a repository: the last snapshot per source set, and what was
//! verified when.
//!
//! Each is authenticated with a key of the repository and is only a hint; losing one costs a
//! re-read.

use super::Repository;
use crate::repo::error::Result;

const MAC_LEN_BYTES: usize = 32;

/// Keeps `bytes` under `name`.
pub fn save(repository: &Repository, name: &str, bytes: &[u8]) -> Result<()> {
    let mut stored = mac_of(repository, name, bytes).to_vec();
    stored.extend_from_slice(bytes);
    repository.cache().write("state", &file_name(name), &stored)
}

/// Forgets a note.
pub fn remove(repository: &Repository, name: &str) {
    repository.cache().remove("state", &file_name(name));
}

/// Returns what was kept under `name`; `None` if nothing was, or if it was changed by anybody else.
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
