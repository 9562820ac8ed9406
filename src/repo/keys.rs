//! Key slots in the store: list, add, remove, open. Spec: `format-spec/10-keys.md`.

use super::error::{Error, Result};
use super::names;
use super::open::{Repository, check_writable};
use super::slots::create_slot;
use crate::crypto::slot::{Secret, open_info};
use crate::format::slot::{Slot, SlotInfo, SlotKdf};
use crate::id::SlotId;
use crate::store::Class;

/// A key slot as people see it.
pub struct SlotDescription {
    /// Its name in the store.
    pub id: SlotId,
    /// What opens it.
    pub kdf: SlotKdf,
    /// Name and date; an error means that no holder of the repository's keys made it.
    pub info: Result<SlotInfo>,
    /// Whether it opened this repository now.
    pub in_use: bool,
}

/// Lists all key slots.
pub fn list(repository: &Repository) -> Result<Vec<SlotDescription>> {
    let mut slots = Vec::new();
    for object in repository.store().list(Class::Keys, "")? {
        let Some(id) = SlotId::from_hex(&object.name) else {
            continue;
        };
        let key = names::slot_key(&id);
        let slot = Slot::decode(&repository.store().read(&key)?).map_err(Error::malformed(&key))?;
        let info = open_info(repository.keyring(), &slot).map_err(Error::malformed(&key));
        slots.push(SlotDescription { id, kdf: slot.kdf, info, in_use: repository.slot_name() == object.name });
    }
    slots.sort_by_key(|slot| (slot.info.as_ref().map(|info| info.created).unwrap_or_default(), slot.id));
    Ok(slots)
}

/// Adds a slot that opens the same keys with another secret.
pub fn add(repository: &Repository, info: &SlotInfo, secret: (&Secret, SlotKdf)) -> Result<SlotId> {
    check_writable(repository.config())?;
    create_slot(repository.store(), repository.keyring(), repository.master(), info, secret)
}

/// Removes a slot by its name or the start of it; the last one stays.
///
/// Whoever used it and kept the master key can still read everything: only a new repository helps against that.
pub fn remove(repository: &Repository, id_prefix: &str) -> Result<SlotId> {
    let slots = list(repository)?;
    let mut matching = slots.iter().filter(|slot| slot.id.to_hex().starts_with(id_prefix));
    let slot = matching.next().ok_or(Error::NotFound { what: "key", text: id_prefix.to_owned() })?;
    if matching.next().is_some() {
        return Err(Error::Ambiguous { what: "key", text: id_prefix.to_owned() });
    }
    // What no holder of the keys made opens nothing, so it does not count.
    let left = slots.iter().filter(|other| other.id != slot.id && other.info.is_ok());
    if left.count() == 0 {
        return Err(Error::LastKey);
    }
    repository.store().remove(&names::slot_key(&slot.id))?;
    repository.cache().remove("open", &slot.id.to_hex());
    Ok(slot.id)
}
