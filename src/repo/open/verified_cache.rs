//! Cache of containers that this process has opened, and of signatures that it has verified.
//!
//! One operation reads the same few snapshots and records many times. Most of the time for a
//! snapshot goes into its signature, and then into opening its container.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use super::skipped_runs::SkippedRuns;
use crate::container::{ContainerError, open_single};
use crate::crypto::container_keys::OpenKeys;
use crate::format::container::ContainerKind;
use crate::repo::cache::lru::ByteLru;
use crate::sync::lock;

/// Memory for the content of opened containers in bytes: some thousand snapshots.
const CONTENT_BYTES: usize = 2 << 20;
/// Number of signatures that are remembered, with 32 bytes each; the next one clears them all.
const SIGNATURES_MAX: usize = 50_000;

type Hash = [u8; 32];

/// Keeps contents and good signatures by hashes of all their inputs.
pub(crate) struct VerifiedCache {
    contents: Mutex<ByteLru<Hash, Arc<[u8]>>>,
    signatures: Mutex<HashSet<Hash>>,
    /// Report of index runs that are skipped because they are damaged.
    pub skipped_runs: SkippedRuns,
}

/// Signed bytes with their signature.
#[derive(Clone, Copy)]
pub(crate) struct Signed<'a> {
    /// Public key of the writer.
    pub writer: &'a [u8; 32],
    /// The signed bytes.
    pub bytes: &'a [u8],
    /// The signature.
    pub signature: &'a [u8; 64],
}

impl Default for VerifiedCache {
    fn default() -> Self {
        let contents = Mutex::new(ByteLru::new(CONTENT_BYTES));
        Self { contents, signatures: Mutex::default(), skipped_runs: SkippedRuns::default() }
    }
}

impl VerifiedCache {
    /// Opens a container that holds one structure, unless the same was opened before, and returns
    /// the structure's bytes.
    pub(crate) fn content(
        &self,
        keys: &OpenKeys,
        kind: ContainerKind,
        sealed: &[u8],
    ) -> Result<Arc<[u8]>, ContainerError> {
        let hash = hash_of(kind, &[sealed]);
        if let Some(content) = lock(&self.contents).get(&hash) {
            return Ok(content);
        }
        let content: Arc<[u8]> = open_single(keys, kind, sealed)?.into();
        lock(&self.contents).insert(hash, content.clone(), size_of::<Hash>() + content.len());
        Ok(content)
    }

    /// Returns whether a signature of this kind of object is good; calls `verify` unless the same
    /// was good before.
    pub(crate) fn is_signed(
        &self,
        kind: ContainerKind,
        signed: Signed<'_>,
        verify: fn(&[u8; 32], &[u8], &[u8; 64]) -> bool,
    ) -> bool {
        let Signed { writer, bytes, signature } = signed;
        let hash = hash_of(kind, &[writer, signature, bytes]);
        if lock(&self.signatures).contains(&hash) {
            return true;
        }
        let is_good = verify(writer, bytes, signature);
        let mut signatures = lock(&self.signatures);
        if is_good {
            if signatures.len() >= SIGNATURES_MAX {
                signatures.clear();
            }
            signatures.insert(hash);
        }
        is_good
    }
}

/// Hashes parts; all but the last must have a fixed length.
fn hash_of(kind: ContainerKind, parts: &[&[u8]]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[kind as u8]);
    for part in parts {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::seal_single;
    use crate::crypto::keyring::Keyring;
    use crate::crypto::signing;
    use crate::id::RepositoryId;

    #[test]
    fn what_is_remembered_is_exactly_what_was_good() {
        let keyring = Keyring::new(&[1; 32], RepositoryId([2; 16]));
        let sealed =
            seal_single(keyring.records().seal(), ContainerKind::Snapshot, &[3; 32], b"content")
                .bytes;
        let verified = VerifiedCache::default();
        for _ in 0..2 {
            assert_eq!(
                *verified
                    .content(keyring.records().open(), ContainerKind::Snapshot, &sealed)
                    .unwrap(),
                *b"content"
            );
            assert!(
                verified.content(keyring.records().open(), ContainerKind::Intent, &sealed).is_err()
            );
            for at in 0..sealed.len() {
                let mut damaged = sealed.clone();
                damaged[at] ^= 1;
                assert!(
                    verified
                        .content(keyring.records().open(), ContainerKind::Snapshot, &damaged)
                        .is_err()
                );
            }
        }
        let (writer, signature) =
            (keyring.sign().public(), keyring.sign().sign_snapshot(b"snapshot"));
        let (kind, verify) = (ContainerKind::Snapshot, signing::verify_snapshot);
        fn with<'a>(writer: &'a [u8; 32], bytes: &'a [u8], signature: &'a [u8; 64]) -> Signed<'a> {
            Signed { writer, bytes, signature }
        }
        for _ in 0..2 {
            assert!(verified.is_signed(kind, with(&writer, b"snapshot", &signature), verify));
            assert!(!verified.is_signed(kind, with(&writer, b"snapshos", &signature), verify));
            assert!(!verified.is_signed(kind, with(&[0; 32], b"snapshot", &signature), verify));
            let tombstone = signing::verify_tombstone;
            assert!(!verified.is_signed(
                ContainerKind::Tombstone,
                with(&writer, b"snapshot", &signature),
                tombstone
            ));
        }
    }
}
