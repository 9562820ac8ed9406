//! Names of all kinds of objects in the store.
//!
//! Spec: `format-spec/01-layout.md`.

use crate::format::container::ContainerKind;
use crate::format::limits::GENERATION_MAX;
use crate::format::run::PackClass;
use crate::id::{ObjectId, SlotId, SnapshotId};
use crate::store::{Class, Key};

/// Returns the key of a pack.
pub fn pack_key(class: PackClass, name: &ObjectId) -> Key {
    let hex = name.to_hex();
    Key::new(store_class(class), format!("{}/{hex}", &hex[..2]))
}

/// Returns the store's class of a class of packs.
pub fn store_class(class: PackClass) -> Class {
    match class {
        PackClass::Data => Class::Data,
        PackClass::Meta => Class::Meta,
    }
}

/// Returns the kind of container of a class of packs.
pub fn container_kind(class: PackClass) -> ContainerKind {
    match class {
        PackClass::Data => ContainerKind::Data,
        PackClass::Meta => ContainerKind::Meta,
    }
}

/// Returns the key of an index run.
pub fn run_key(level: u32, name: &ObjectId) -> Key {
    Key::new(Class::Index, format!("{level}/{name}"))
}

/// Returns the key of a snapshot's commit slot.
pub fn snapshot_key(id: &SnapshotId) -> Key {
    Key::new(Class::Snapshots, id.to_hex())
}

/// Suffix of a tombstone's name, after the snapshot's id.
const TOMBSTONE_SUFFIX: &str = ".forgotten";

/// Returns the key of a snapshot's tombstone.
pub fn tombstone_key(id: &SnapshotId) -> Key {
    Key::new(Class::Snapshots, format!("{id}{TOMBSTONE_SUFFIX}"))
}

/// Suffix of a protection's name, after the snapshot's id.
const PROTECTION_SUFFIX: &str = ".protected";

/// Returns the key of a snapshot's protection.
pub fn protection_key(id: &SnapshotId) -> Key {
    Key::new(Class::Snapshots, format!("{id}{PROTECTION_SUFFIX}"))
}

/// Returns the snapshot of a protection with this listed name; `None` for other names.
pub fn protection_of(listed_name: &str) -> Option<SnapshotId> {
    SnapshotId::from_hex(listed_name.strip_suffix(PROTECTION_SUFFIX)?)
}

/// Returns the snapshot of a tombstone with this listed name; `None` for other names.
pub fn tombstone_of(listed_name: &str) -> Option<SnapshotId> {
    SnapshotId::from_hex(listed_name.strip_suffix(TOMBSTONE_SUFFIX)?)
}

/// Returns the id of a new session, which is also the id of its snapshot.
pub fn new_session(random: &[u8; 32]) -> SnapshotId {
    SnapshotId(random[..16].try_into().expect("16 bytes"))
}

/// Returns the key of a session's intent.
pub fn intent_key(session: &SnapshotId, number: u64) -> Key {
    Key::new(Class::Intents, format!("{session}.{number}"))
}

/// Returns session and number of an intent with this listed name; `None` for other names.
pub fn intent_of(listed_name: &str) -> Option<(SnapshotId, u64)> {
    let (session, number) = listed_name.split_once('.')?;
    Some((SnapshotId::from_hex(session)?, decimal(number)?))
}

/// Returns the key of a collector's record.
pub fn generation_key(number: u64, word: &str) -> Key {
    Key::new(Class::Collector, format!("{number}.{word}"))
}

/// Returns generation and word of a collector's record with this listed name; `None` for other
/// names, and for numbers above the limit.
pub fn generation_of(listed_name: &str) -> Option<(u64, &'static str)> {
    let (number, word) = listed_name.split_once('.')?;
    let word = ["condemned", "verdict", "done"].into_iter().find(|known| *known == word)?;
    Some((decimal(number).filter(|number| *number <= GENERATION_MAX)?, word))
}

/// Parses a number; `None` unless it is written in the only allowed form.
fn decimal(text: &str) -> Option<u64> {
    text.parse::<u64>().ok().filter(|number| number.to_string() == text)
}

/// Returns the key of a numbered config.
pub fn config_key(number: u64) -> Key {
    Key::new(Class::Config, number.to_string())
}

/// Prefix of the names of the reserve's objects, which no name of a probe has.
pub const RESERVE: &str = "reserve";

/// Returns the key of a key slot.
pub fn slot_key(id: &SlotId) -> Key {
    Key::new(Class::Keys, id.to_hex())
}

/// A directory whose content distinguishes a repository in use from other directories.
pub struct RepositorySign {
    class: Class,
    fits: fn(&str) -> bool,
}

/// All signs of a repository.
pub const REPOSITORY_SIGNS: [RepositorySign; 3] = [
    RepositorySign { class: Class::Config, fits: |name| decimal(name).is_some() },
    RepositorySign { class: Class::Keys, fits: |name| SlotId::from_hex(name).is_some() },
    RepositorySign { class: Class::Snapshots, fits: |name| SnapshotId::from_hex(name).is_some() },
];

impl RepositorySign {
    /// Returns the directory's name.
    pub fn folder(&self) -> &'static str {
        self.class.dir_name()
    }

    /// Returns whether a name in the directory is that of an object.
    pub fn fits(&self, name: &[u8]) -> bool {
        std::str::from_utf8(name).is_ok_and(self.fits)
    }
}

/// Returns the object id in the last part of a listed name.
pub fn object_id(listed_name: &str) -> Option<ObjectId> {
    ObjectId::from_hex(listed_name.rsplit('/').next()?)
}
