//! Keys that seal and open containers, apart from each other and for packs apart from records.
//! Spec: `format-spec/04-container.md` and `format-spec/03-primitives.md`.
//!
//! *Packs* hold chunks: content and directories. *Records* are everything else: index runs,
//! snapshots, intents, prune records, configs. A backup needs the records, and to seal packs; only
//! a reader opens packs.

use super::kdf::{Key, derive};
use crate::format::container::ContainerKind;
use crate::id::RepositoryId;

/// Which containers a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Packs,
    Records,
}

impl Scope {
    /// Makes sure that keys are used for what they are for: a mistake of the program, never of
    /// what is stored, because a container's kind follows from its place.
    fn demand(self, kind: ContainerKind) {
        let is_pack = matches!(kind, ContainerKind::Data | ContainerKind::Meta);
        assert_eq!(is_pack, self == Self::Packs, "{self:?} keys are not for {kind:?}");
    }
}

/// Seals containers: packs, or records.
#[derive(Clone)]
pub struct SealKeys {
    scope: Scope,
    repository: RepositoryId,
    root: Key,
    hedge: Key,
}

impl SealKeys {
    /// Returns the repository that the keys belong to.
    pub fn repository(&self) -> RepositoryId {
        self.repository
    }

    /// Returns the salt and the key of a new container.
    ///
    /// The salt is unique if either `random` or the content is.
    pub fn new_container(
        &self,
        kind: ContainerKind,
        random: &[u8; 32],
        content_digest: &[u8; 32],
    ) -> ([u8; 32], Key) {
        self.scope.demand(kind);
        let mut hasher = blake3::Hasher::new_keyed(&self.hedge);
        hasher.update(random);
        hasher.update(content_digest);
        let salt = *hasher.finalize().as_bytes();
        let key = container_key(&self.root, kind, &salt);
        (salt, key)
    }
}

/// Opens containers: packs, or records.
#[derive(Clone)]
pub struct OpenKeys {
    scope: Scope,
    repository: RepositoryId,
    root: Key,
}

impl OpenKeys {
    /// Returns the repository that the keys belong to.
    pub fn repository(&self) -> RepositoryId {
        self.repository
    }

    /// Returns the key of the container with this salt and kind.
    pub fn container_key(&self, kind: ContainerKind, salt: &[u8; 32]) -> Key {
        self.scope.demand(kind);
        container_key(&self.root, kind, salt)
    }
}

fn container_key(root: &Key, kind: ContainerKind, salt: &[u8; 32]) -> Key {
    derive("container key", &[&**root, salt, &[kind as u8]])
}

/// Seals and opens records, and keeps local copies: every holder of a key needs these.
pub struct RecordKeys {
    seal: SealKeys,
    open: OpenKeys,
    cache: Key,
}

impl RecordKeys {
    /// Returns what seals records.
    pub fn seal(&self) -> &SealKeys {
        &self.seal
    }

    /// Returns what opens records.
    pub fn open(&self) -> &OpenKeys {
        &self.open
    }

    /// Returns the key that seals local copies and notes.
    pub fn cache_key(&self) -> &Key {
        &self.cache
    }
}

/// All keys for containers, before they are handed out one by one.
pub(super) struct ContainerKeys {
    pub seal_packs: SealKeys,
    pub open_packs: OpenKeys,
    pub records: RecordKeys,
}

impl ContainerKeys {
    pub(super) fn new(master: &[u8; 32], repository: RepositoryId) -> Self {
        let key = |purpose: &str| derive(purpose, &[master, &repository.0]);
        let (root, hedge) = (key("pack root"), key("salt hedge"));
        let seal = |scope| SealKeys { scope, repository, root: root.clone(), hedge: hedge.clone() };
        let open = |scope| OpenKeys { scope, repository, root: root.clone() };
        Self {
            seal_packs: seal(Scope::Packs),
            open_packs: open(Scope::Packs),
            records: RecordKeys {
                seal: seal(Scope::Records),
                open: open(Scope::Records),
                cache: key("local cache"),
            },
        }
    }
}

/// Returns the public commitment to a container's or slot's key.
pub fn commitment(key: &Key) -> [u8; 32] {
    *derive("commitment", &[&**key])
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [(ContainerKind, bool); 4] = [
        (ContainerKind::Data, true),
        (ContainerKind::Meta, true),
        (ContainerKind::IndexRun, false),
        (ContainerKind::Snapshot, false),
    ];

    #[test]
    fn keys_are_refused_for_what_they_are_not_for() {
        let keys = ContainerKeys::new(&[1; 32], RepositoryId([2; 16]));
        let panics =
            |run: &dyn Fn()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err();
        for (kind, is_pack) in KINDS {
            let seals =
                |keys: &SealKeys| !panics(&|| drop(keys.new_container(kind, &[0; 32], &[0; 32])));
            let opens = |keys: &OpenKeys| !panics(&|| drop(keys.container_key(kind, &[0; 32])));
            assert_eq!(seals(&keys.seal_packs), is_pack, "{kind:?}");
            assert_eq!(opens(&keys.open_packs), is_pack, "{kind:?}");
            assert_eq!(seals(keys.records.seal()), !is_pack, "{kind:?}");
            assert_eq!(opens(keys.records.open()), !is_pack, "{kind:?}");
        }
    }

    #[test]
    fn local_copies_have_a_key_of_their_own() {
        let cache = |master, id| {
            **ContainerKeys::new(&[master; 32], RepositoryId([id; 16])).records.cache_key()
        };
        let key = cache(1, 2);
        assert!(key != [0; 32] && key == cache(1, 2) && key != cache(2, 2) && key != cache(1, 1));
    }
}
