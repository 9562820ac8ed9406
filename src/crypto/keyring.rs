//! All keys of a repository, derived from its master, each held by what it may be used for. Spec:
//! `format-spec/03-primitives.md`.

use super::container_keys::{ContainerKeys, OpenKeys, RecordKeys, SealKeys};
use super::id_keys::IdKeys;
use super::kdf::derive;
use super::signing::{self, SignKeys};
use super::slot::SlotKeys;
use crate::format::container::ContainerKind;
use crate::id::RepositoryId;

/// What a full key can do; erased when dropped.
///
/// Code takes the part that it needs ([`IdKeys`], [`SealKeys`], ...), never all of it.
pub struct Keyring {
    ids: IdKeys,
    containers: ContainerKeys,
    sign: SignKeys,
    slots: SlotKeys,
}

impl Keyring {
    /// Derives every key of repository `repository` from `master`.
    pub fn new(master: &[u8; 32], repository: RepositoryId) -> Self {
        let slot_info = derive("slot info", &[master, &repository.0]);
        Self {
            ids: IdKeys::new(master, repository),
            containers: ContainerKeys::new(master, repository),
            sign: SignKeys::new(master, repository),
            slots: SlotKeys::new(repository, slot_info),
        }
    }

    /// Returns what names chunks and cuts files.
    pub fn ids(&self) -> &IdKeys {
        &self.ids
    }

    /// Returns what seals packs.
    pub fn seal_packs(&self) -> &SealKeys {
        &self.containers.seal_packs
    }

    /// Returns what opens packs.
    pub fn open_packs(&self) -> &OpenKeys {
        &self.containers.open_packs
    }

    /// Returns what opens containers of a kind.
    pub fn open(&self, kind: ContainerKind) -> &OpenKeys {
        match kind {
            ContainerKind::Data | ContainerKind::Meta => self.open_packs(),
            _ => self.records().open(),
        }
    }

    /// Returns what seals and opens records.
    pub fn records(&self) -> &RecordKeys {
        &self.containers.records
    }

    /// Returns what signs.
    pub fn sign(&self) -> &SignKeys {
        &self.sign
    }

    /// Returns what seals and opens the information in key slots.
    pub fn slots(&self) -> &SlotKeys {
        &self.slots
    }

    /// Returns a short name for this repository's keys, for people to compare.
    pub fn fingerprint(&self) -> [u8; 32] {
        signing::fingerprint(&self.sign.public(), self.slots.repository())
    }
}
