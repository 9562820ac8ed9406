//! All keys of a repository, derived from its master. Spec: `format-spec/03-primitives.md`.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use super::kdf::{Key, derive, derive_into};
use crate::format::container::{ChunkKind, ContainerKind};
use crate::id::{ChunkId, RepositoryId};

/// What a full bundle can derive; cheap to share, erased when dropped.
pub struct Keyring {
    repository: RepositoryId,
    pack_root: Key,
    hedge: Key,
    id_keys: [Key; 3],
    split: Key,
    slot_info: Key,
    cache: Key,
    gear: Zeroizing<[u64; 256]>,
    signing: SigningKey,
}

/// Text before the bytes that a snapshot's signature covers.
const SNAPSHOT_SIGNATURE_PREFIX: &[u8] = b"drumlin snapshot";
/// Text before the bytes that a tombstone's signature covers.
const TOMBSTONE_SIGNATURE_PREFIX: &[u8] = b"drumlin tombstone";
/// Text before the bytes that a protection's signature covers.
const PROTECTION_SIGNATURE_PREFIX: &[u8] = b"drumlin protection";

impl Keyring {
    /// Derives every key of repository `repository` from `master`.
    pub fn new(master: &[u8; 32], repository: RepositoryId) -> Self {
        let key = |purpose: &str| derive(purpose, &[master, &repository.0]);
        let mut gear_bytes = Zeroizing::new([0; 2048]);
        derive_into("chunker gear", &[master, &repository.0], &mut *gear_bytes);
        let mut gear = Zeroizing::new([0; 256]);
        for (word, bytes) in gear.iter_mut().zip(gear_bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(bytes.try_into().expect("8 bytes"));
        }
        Self {
            repository,
            pack_root: key("pack root"),
            hedge: key("salt hedge"),
            id_keys: [key("chunk id data"), key("chunk id tree"), key("chunk id list")],
            split: key("tree split"),
            slot_info: key("slot info"),
            cache: key("local cache"),
            gear,
            signing: SigningKey::from_bytes(&key("signing")),
        }
    }

    /// Returns the repository that the keys belong to.
    pub fn repository(&self) -> RepositoryId {
        self.repository
    }

    /// Returns the id of a chunk. Spec: `format-spec/05-ids.md`.
    pub fn chunk_id(&self, kind: ChunkKind, plaintext: &[u8]) -> ChunkId {
        ChunkId(*blake3::keyed_hash(&self.id_keys[kind as usize], plaintext).as_bytes())
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

    /// Returns the key of the container with this salt and kind.
    pub fn container_key(&self, kind: ContainerKind, salt: &[u8; 32]) -> Key {
        derive("container key", &[&*self.pack_root, salt, &[kind as u8]])
    }

    /// Returns a container's salt: unique if either the randomness or the content is.
    pub fn container_salt(&self, random: &[u8; 32], content_digest: &[u8; 32]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.hedge);
        hasher.update(random);
        hasher.update(content_digest);
        *hasher.finalize().as_bytes()
    }

    /// Returns the key that seals the information of key slots.
    pub fn slot_info_key(&self) -> &Key {
        &self.slot_info
    }

    /// Returns the key that seals local state.
    pub fn cache_key(&self) -> &Key {
        &self.cache
    }

    /// Returns a short name for this repository's keys, for people to compare.
    pub fn fingerprint(&self) -> [u8; 32] {
        *derive("fingerprint", &[self.verifying_key().as_slice(), &self.repository.0])
    }

    /// Returns the public key of this bundle's signatures.
    pub fn verifying_key(&self) -> [u8; 32] {
        self.signing.verifying_key().to_bytes()
    }

    /// Signs an encoded snapshot. Spec: `format-spec/08-snapshots.md`.
    pub fn sign_snapshot(&self, encoded: &[u8]) -> [u8; 64] {
        self.signing.sign(&[SNAPSHOT_SIGNATURE_PREFIX, encoded].concat()).to_bytes()
    }

    /// Returns whether `signature` is `writer`'s over an encoded snapshot.
    pub fn verify_snapshot(writer: &[u8; 32], encoded: &[u8], signature: &[u8; 64]) -> bool {
        is_signed(writer, &[SNAPSHOT_SIGNATURE_PREFIX, encoded].concat(), signature)
    }

    /// Signs an encoded tombstone. Spec: `format-spec/08-snapshots.md`, section 5.
    pub fn sign_tombstone(&self, encoded: &[u8]) -> [u8; 64] {
        self.signing.sign(&[TOMBSTONE_SIGNATURE_PREFIX, encoded].concat()).to_bytes()
    }

    /// Returns whether `signature` is `writer`'s over an encoded tombstone.
    pub fn verify_tombstone(writer: &[u8; 32], encoded: &[u8], signature: &[u8; 64]) -> bool {
        is_signed(writer, &[TOMBSTONE_SIGNATURE_PREFIX, encoded].concat(), signature)
    }

    /// Signs an encoded protection. Spec: `format-spec/08-snapshots.md`, section 6.
    pub fn sign_protection(&self, encoded: &[u8]) -> [u8; 64] {
        self.signing.sign(&[PROTECTION_SIGNATURE_PREFIX, encoded].concat()).to_bytes()
    }

    /// Returns whether `signature` is `writer`'s over an encoded protection.
    pub fn verify_protection(writer: &[u8; 32], encoded: &[u8], signature: &[u8; 64]) -> bool {
        is_signed(writer, &[PROTECTION_SIGNATURE_PREFIX, encoded].concat(), signature)
    }
}

fn is_signed(writer: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let key = VerifyingKey::from_bytes(writer);
    key.is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
}

/// Returns the public commitment to a container's or slot's key.
pub fn commitment(key: &Key) -> [u8; 32] {
    *derive("commitment", &[&**key])
}
