//! Key slots as objects: creating them, and trying a secret on them.
//!
//! Spec: `format-spec/10-keys.md`.

use zeroize::Zeroizing;

use crate::crypto::slot::{Secret, SlotKeys, Wrapping, slot_id, unwrap, wrap};
use crate::format::codec::DecodeError;
use crate::format::limits;
use crate::format::slot::{Bundle, Slot, SlotInfo, SlotKdf};
use crate::id::{RepositoryId, SlotId};
use crate::repo::error::{Error, Result};
use crate::repo::objects::layout;
use crate::repo::objects::parallel;
use crate::repo::objects::random::system_32;
use crate::repo::objects::sized_read::read_whole;
use crate::store::{Class, Key, Listed, Store};

/// Content of an opened key slot.
pub(in crate::repo) struct OpenedSlot {
    pub repository: RepositoryId,
    pub master: Zeroizing<[u8; 32]>,
    pub slot_name: String,
    pub slot_bytes: Vec<u8>,
}

/// A key slot to be created.
pub(in crate::repo) struct NewSlot<'a> {
    /// Its label and time of creation.
    pub info: &'a SlotInfo,
    /// The secret that opens it.
    pub secret: &'a Secret,
    /// The derivation of its key from the secret.
    pub kdf: SlotKdf,
}

/// Wraps the master key under a secret and stores the slot, which is durable when this returns.
pub(in crate::repo) fn create_slot(
    store: &dyn Store,
    keys: &SlotKeys,
    master: &[u8; 32],
    new: &NewSlot,
) -> Result<SlotId> {
    let bundle = Bundle::Full { master: *master };
    let wrapping = Wrapping { secret: new.secret, kdf: new.kdf, salt: system_32()? };
    let slot = wrap(keys, &bundle, new.info, &wrapping).map_err(Error::malformed("key slot"))?;
    let id = slot_id(&slot);
    store.create(&layout::slot_key(&id), &slot.encode())?;
    Ok(id)
}

/// The key slots of a store.
pub(in crate::repo) struct Slots {
    /// Each slot, or the error if it cannot be read.
    read: Vec<(Key, Result<Slot>)>,
    /// Number of slots that were not read.
    unread: usize,
}

impl Slots {
    pub(crate) fn is_empty(&self) -> bool {
        self.read.is_empty()
    }

    /// Returns the repository of each that was read.
    pub(crate) fn repositories(&self) -> Vec<RepositoryId> {
        self.read.iter().filter_map(|(_, slot)| Some(slot.as_ref().ok()?.repository)).collect()
    }
}

/// Most objects of `keys/` that are read: a store without a key can add any number.
const READ_MAX: usize = 1024;
/// Most work for a slot that is not chosen by name, in KiB of memory times passes: five times that
/// of `strong`.
const WORK_MAX_KIB: u64 = 10 << 20;
/// Most work for all slots together, in the same unit.
const ALL_WORK_MAX_KIB: u64 = 64 << 20;

/// Choice and order of the key slots that are tried.
pub(in crate::repo) struct SlotChoice<'a> {
    /// Name of the one that opened the repository last, which is tried first.
    pub last: Option<&'a str>,
    /// Start of the name of the only one to try.
    pub only: Option<&'a str>,
}

/// Reads the slots, except those that are too long to be one.
///
/// If there are too many, reads the one that opened last and then the oldest, because an attacker's
/// came later.
pub(in crate::repo) fn read_all(store: &dyn Store, choice: &SlotChoice) -> Result<Slots> {
    let mut listed = store.list(Class::Keys, "")?;
    listed.retain(|object| object.len_bytes <= limits::SLOT_LEN_MAX_BYTES as u64);
    listed.retain(|object| choice.only.is_none_or(|only| object.name.starts_with(only)));
    listed.sort_by_cached_key(|object| {
        let is_last = choice.last == Some(&object.name);
        (!is_last, SlotId::from_hex(&object.name).is_none(), object.modified_s, object.name.clone())
    });
    let unread = listed.len().saturating_sub(READ_MAX);
    listed.truncate(READ_MAX);
    let slots = parallel::for_each(store, &listed, |object| read_slot(store, object))?;
    let read =
        listed.into_iter().map(|object| Key::new(Class::Keys, object.name)).zip(slots).collect();
    Ok(Slots { read, unread })
}

/// Tries a secret on the slot that opened last and then on the others, the cheapest first, until
/// one opens and `accept` accepts it.
///
/// Of slots with equal cost, the oldest is tried first. Fails with `TooManyKeys` if none opened and
/// some were not tried because they are too many or too costly. So a slot that was planted to
/// exhaust this machine is tried only if no other opens. A damaged slot, or one from another
/// repository of the same owner, does not hide a good one.
pub(in crate::repo) fn open_any<T>(
    slots: Slots,
    secret: &Secret,
    choice: &SlotChoice,
    accept: impl Fn(&OpenedSlot) -> Result<T>,
) -> Result<Option<(OpenedSlot, T)>> {
    let Slots { read, unread } = slots;
    let (mut slots, mut refused) = (Vec::new(), None);
    for (key, slot) in read {
        match slot {
            Ok(slot) => slots.push((slot, key)),
            Err(error) => refused = Some(error),
        }
    }
    slots.sort_by_key(|(slot, key)| (choice.last != Some(&key.name), slot.kdf.cost()));
    let (mut work, mut tried, mut untried) = (0, 0, unread);
    for (slot, key) in slots {
        let cost = if matches!(secret, Secret::Passphrase(_)) { slot.kdf.cost() } else { 0 };
        let is_dear =
            cost > WORK_MAX_KIB || work + cost > ALL_WORK_MAX_KIB || tried == limits::SLOTS_MAX;
        if cost > 0 && is_dear && choice.only.is_none() {
            untried += 1;
            continue;
        }
        work += cost;
        tried += usize::from(cost > 0);
        let master = match unwrap(&slot, secret) {
            Ok(Some(Bundle::Full { master })) => Zeroizing::new(master),
            Ok(None) => {
                // The name is a hash of the parts that decide whether a secret fits.
                if slot_id(&slot).to_hex() != key.name {
                    refused.get_or_insert(Error::malformed(&key)(DecodeError::new(
                        "key slot",
                        "damaged, or under another's name",
                    )));
                }
                continue;
            }
            Err(error) => {
                refused.get_or_insert(Error::malformed(&key)(error));
                continue;
            }
        };
        let opened = OpenedSlot {
            repository: slot.repository,
            master,
            slot_name: key.name,
            slot_bytes: slot.encode(),
        };
        match accept(&opened) {
            Ok(accepted) => return Ok(Some((opened, accepted))),
            Err(error) => refused = Some(error),
        }
    }
    if untried > 0 {
        return Err(Error::TooManyKeys { untried });
    }
    // The fault of a slot is an error only if no other slot opened.
    refused.map_or(Ok(None), Err)
}

/// Reads one listed slot; fails without reading if it is longer than any slot can be.
pub(in crate::repo) fn read_slot(store: &dyn Store, object: &Listed) -> Result<Slot> {
    let key = Key::new(Class::Keys, object.name.clone());
    if object.len_bytes > limits::SLOT_LEN_MAX_BYTES as u64 {
        return Err(Error::malformed(&key)(DecodeError::new("key slot", "longer than the limit")));
    }
    let bytes = read_whole(store, &key, object.len_bytes)?;
    Slot::decode(&bytes).map_err(Error::malformed(&key))
}

/// Tries a secret on one slot's bytes.
pub(in crate::repo) fn open_slot(bytes: &[u8], secret: &Secret) -> Option<Bundle> {
    unwrap(&Slot::decode(bytes).ok()?, secret).ok()?
}
