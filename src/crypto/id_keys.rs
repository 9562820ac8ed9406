//! Keys that name and cut content: chunk ids, chunk boundaries, node boundaries. Spec:
//! `format-spec/05-ids.md` and `format-spec/07-trees.md`.
//!
//! Who holds them can tell which chunk has which id, and opens nothing.

use zeroize::Zeroizing;

use super::kdf::{Key, derive, derive_into};
use crate::format::container::ChunkKind;
use crate::id::{ChunkId, RepositoryId};

/// Names chunks and decides where files and nodes are cut.
pub struct IdKeys {
    of_kinds: [Key; 3],
    split: Key,
    gear: Zeroizing<[u64; 256]>,
}

impl IdKeys {
    pub(super) fn new(master: &[u8; 32], repository: RepositoryId) -> Self {
        let key = |purpose: &str| derive(purpose, &[master, &repository.0]);
        let mut gear_bytes = Zeroizing::new([0; 2048]);
        derive_into("chunker gear", &[master, &repository.0], &mut *gear_bytes);
        let mut gear = Zeroizing::new([0; 256]);
        for (word, bytes) in gear.iter_mut().zip(gear_bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(bytes.try_into().expect("8 bytes"));
        }
        Self {
            of_kinds: [key("chunk id data"), key("chunk id tree"), key("chunk id list")],
            split: key("tree split"),
            gear,
        }
    }

    /// Returns the id of a chunk. Spec: `format-spec/05-ids.md`.
    pub fn chunk_id(&self, kind: ChunkKind, plaintext: &[u8]) -> ChunkId {
        ChunkId(*blake3::keyed_hash(&self.of_kinds[kind as usize], plaintext).as_bytes())
    }

    /// Returns the secret table that cuts files into chunks.
    pub fn gear(&self) -> &[u64; 256] {
        &self.gear
    }

    /// Returns the hash of a name or reference that decides whether a node ends after it.
    pub fn split_hash(&self, bytes: &[u8]) -> u32 {
        let hash = blake3::keyed_hash(&self.split, bytes);
        u32::from_le_bytes(hash.as_bytes()[..4].try_into().expect("4 bytes"))
    }

    /// Returns the hard-link group of an inode in one state: the same in every snapshot, and
    /// meaningless without the key.
    pub fn hard_link_group(&self, device: &[u8; 32], inode: u64, described: &[u8]) -> u64 {
        let mut hasher = blake3::Hasher::new_keyed(&self.split);
        hasher.update(b"hard link").update(device).update(&inode.to_le_bytes()).update(described);
        u64::from_le_bytes(hasher.finalize().as_bytes()[..8].try_into().expect("8 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_hard_links_depend_on_key_device_inode_and_state() {
        let group = |master, device, inode, described: &[u8]| {
            let keys = IdKeys::new(&[master; 32], RepositoryId([2; 16]));
            keys.hard_link_group(&[device; 32], inode, described)
        };
        let one = group(1, 3, 4, b"state");
        assert_eq!(one, group(1, 3, 4, b"state"));
        for other in [
            group(2, 3, 4, b"state"),
            group(1, 4, 4, b"state"),
            group(1, 3, 5, b"state"),
            group(1, 3, 4, b"other"),
        ] {
            assert_ne!(one, other);
        }
    }
}
