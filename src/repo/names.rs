//! Where each kind of object lies in the store. Spec: `format-spec/01-layout.md`.

use crate::format::container::ContainerKind;
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

/// Returns the key of a numbered config.
pub fn config_key(number: u64) -> Key {
    Key::new(Class::Config, number.to_string())
}

/// Returns the key of a key slot.
pub fn slot_key(id: &SlotId) -> Key {
    Key::new(Class::Keys, id.to_hex())
}

/// Returns the object that the last part of a listed name is about.
pub fn object_id(listed_name: &str) -> Option<ObjectId> {
    ObjectId::from_hex(listed_name.rsplit('/').next()?)
}
