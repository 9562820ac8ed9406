//! Key slots as objects: making them, and trying a secret on them. Spec: `format-spec/10-keys.md`.

use zeroize::Zeroizing;

use super::error::{Error, Result, random_32};
use super::names;
use crate::crypto::keyring::Keyring;
use crate::crypto::slot::{Secret, slot_id, unwrap, wrap};
use crate::format::limits;
use crate::format::slot::{Bundle, Slot, SlotInfo, SlotKdf};
use crate::id::{RepositoryId, SlotId};
use crate::store::{Class, Key, Store};

/// What an opened slot yields.
pub(super) struct OpenedSlot {
    pub repository: RepositoryId,
    pub master: Zeroizing<[u8; 32]>,
    pub slot_name: String,
    pub slot_bytes: Vec<u8>,
}

/// Wraps the master key under a secret and stores the slot; durable when this returns.
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

/// Tries a secret on the slots in the store, those first that cost least.
///
/// So a slot that somebody planted to exhaust this machine is only tried when no other opens.
pub(super) fn open_any(store: &dyn Store, secret: &Secret) -> Result<Option<OpenedSlot>> {
    let mut listed = store.list(Class::Keys, "")?;
    listed.retain(|object| object.len_bytes <= limits::SLOT_LEN_MAX_BYTES as u64);
    listed.sort_by(|a, b| a.name.cmp(&b.name));
    let (mut slots, mut refused) = (Vec::new(), None);
    for object in listed.into_iter().take(limits::SLOTS_MAX) {
        let key = Key::new(Class::Keys, object.name);
        let bytes = store.read(&key)?;
        match Slot::decode(&bytes) {
            Ok(slot) => slots.push((slot, key, bytes)),
            Err(error) => refused = Some(Error::malformed(&key)(error)),
        }
    }
    slots.sort_by_key(|(slot, ..)| slot.kdf.cost());
    for (slot, key, slot_bytes) in slots {
        match unwrap(&slot, secret) {
            Ok(Some(Bundle::Full { master })) => {
                let master = Zeroizing::new(master);
                return Ok(Some(OpenedSlot { repository: slot.repository, master, slot_name: key.name, slot_bytes }));
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
