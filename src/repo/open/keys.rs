//! Management of key slots: list, add, remove.
//!
//! Spec: `format-spec/10-keys.md`.

use super::key_slots::{NewSlot, create_slot, read_slot};
use super::{Repository, check_writable};
use crate::crypto::slot::{Secret, open_info, slot_id};
use crate::format::slot::{Slot, SlotInfo, SlotKdf};
use crate::id::SlotId;
use crate::repo::error::{Error, Result};
use crate::store::{Class, Key};

/// Description of a key slot for people.
pub struct SlotDescription {
    /// Name of its object: an id in hex, unless the object is foreign.
    pub name: String,
    /// The kind of its secret; `None` if the slot cannot be decoded.
    pub kdf: Option<SlotKdf>,
    /// Label and date; an error if it is damaged, or no holder of the repository's keys made it.
    pub info: Result<SlotInfo>,
    /// Whether it opened this repository in this process.
    pub in_use: bool,
}

/// Lists all key slots, including damaged and foreign ones.
pub fn list(repository: &Repository) -> Result<Vec<SlotDescription>> {
    let mut slots = Vec::new();
    for object in repository.store().list(Class::Keys, "")? {
        let slot = match read_slot(repository.store(), &object) {
            Err(error) if error.is_not_found() => continue,
            slot => slot,
        };
        let kdf = slot.as_ref().ok().map(|slot| slot.kdf);
        let info = slot.and_then(|slot| verify(repository, &object.name, &slot));
        slots.push(SlotDescription {
            in_use: repository.slot_name() == object.name,
            name: object.name,
            kdf,
            info,
        });
    }
    slots.sort_by_cached_key(|slot| {
        (slot.info.as_ref().map(|info| info.created).unwrap_or_default(), slot.name.clone())
    });
    Ok(slots)
}

/// Verifies all of a slot that can be verified without its secret, and returns its label and date.
pub(in crate::repo) fn verify(
    repository: &Repository,
    name: &str,
    slot: &Slot,
) -> Result<SlotInfo> {
    let key = Key::new(Class::Keys, name);
    if slot_id(slot).to_hex() != name || slot.repository != repository.id() {
        return Err(Error::WrongContent { object: key.to_string() });
    }
    open_info(repository.slot_keys(), slot).map_err(Error::malformed(&key))
}

/// Adds a key slot for another secret.
pub fn add(
    repository: &Repository,
    info: &SlotInfo,
    secret: &Secret,
    kdf: SlotKdf,
) -> Result<SlotId> {
    check_writable(repository.config())?;
    let new = NewSlot { info, secret, kdf };
    create_slot(repository.store(), repository.slot_keys(), repository.master(), &new)
}

/// Removes a slot, intact or damaged, by its name or the start of it. Fails with `LastKey` for the
/// last one that opens.
///
/// A person who kept the master key can still read everything; only a new repository helps against
/// that. Returns the slot's name.
pub fn remove(repository: &Repository, prefix: &str) -> Result<String> {
    let slots = list(repository)?;
    let mut matching: Vec<_> = slots.iter().filter(|slot| slot.name.starts_with(prefix)).collect();
    if matching.iter().any(|slot| slot.name == prefix) {
        matching.retain(|slot| slot.name == prefix);
    }
    let name = match matching[..] {
        [slot] => &slot.name,
        [] => return Err(Error::NotFound { what: "key", text: prefix.to_owned() }),
        _ => return Err(Error::Ambiguous { what: "key", text: prefix.to_owned() }),
    };
    // A slot that no holder of the keys made opens nothing, so it does not count. The one that
    // opened this repository counts, even if the rest of it is damaged.
    let is_left =
        |other: &SlotDescription| other.name != *name && (other.info.is_ok() || other.in_use);
    if !slots.iter().any(is_left) {
        return Err(Error::LastKey);
    }
    repository.store().remove(&Key::new(Class::Keys, name.clone()))?;
    repository.cache().remove("open", name);
    Ok(name.clone())
}
