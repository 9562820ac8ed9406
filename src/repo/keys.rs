//! Key slots in the store: list, add, remove, open. Spec: `format-spec/10-keys.md`.

use zeroize::Zeroizing;

use super::error::{Error, Result, random_32};
use super::names;
use super::open::Repository;
use crate::crypto::keyring::Keyring;
use crate::crypto::slot::{Secret, open_info, slot_id, unwrap, wrap};
use crate::format::limits;
use crate::format::slot::{Bundle, Slot, SlotInfo, SlotKdf};
use crate::id::{RepositoryId, SlotId};
use crate::store::{Class, Key, Store};

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

/// What an opened slot yields.
pub(super) struct OpenedSlot {
    pub repository: RepositoryId,
    pub master: Zeroizing<[u8; 32]>,
    pub slot_name: String,
    pub slot_bytes: Vec<u8>,
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
    if slots.len() == 1 {
        return Err(Error::LastKey);
    }
    repository.store().remove(&names::slot_key(&slot.id))?;
    repository.cache().remove("open", &slot.id.to_hex());
    Ok(slot.id)
}

pub(super) fn create_slot(
    store: &dyn Store,
    keyring: &Keyring,
    master: &[u8; 32],
    info: &SlotInfo,
    (secret, kdf): (&Secret, SlotKdf),
) -> Result<SlotId> {
    let bundle = Bundle::Full { master: *master };
    let slot = wrap(keyring, &bundle, info, secret, (kdf, random_32()?)).map_err(Error::malformed("key slot"))?;
    let id = slot_id(&slot);
    store.create(&names::slot_key(&id), &slot.encode())?;
    Ok(id)
}

/// Tries a secret on the slots in the store, in the order of their names.
pub(super) fn open_any(store: &dyn Store, secret: &Secret) -> Result<Option<OpenedSlot>> {
    let mut listed = store.list(Class::Keys, "")?;
    listed.sort_by(|a, b| a.name.cmp(&b.name));
    let mut refused = None;
    for object in listed.into_iter().take(limits::SLOTS_MAX) {
        let key = Key::new(Class::Keys, object.name.clone());
        let bytes = store.read(&key)?;
        let slot = match Slot::decode(&bytes) {
            Ok(slot) => slot,
            Err(error) => {
                refused = Some(Error::malformed(&key)(error));
                continue;
            }
        };
        match unwrap(&slot, secret) {
            Ok(Some(Bundle::Full { master })) => {
                let master = Zeroizing::new(master);
                return Ok(Some(OpenedSlot { repository: slot.repository, master, slot_name: object.name, slot_bytes: bytes }));
            }
            Ok(None) => {}
            Err(error) => refused = Some(Error::malformed(&key)(error)),
        }
    }
    // A damaged slot is only worth telling when no other slot opened.
    refused.map_or(Ok(None), Err)
}

/// Tries a secret on one slot's bytes.
pub(super) fn open_slot(bytes: &[u8], secret: &Secret) -> Option<Bundle> {
    unwrap(&Slot::decode(bytes).ok()?, secret).ok()?
}
