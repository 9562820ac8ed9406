//! Key slots as objects: making them, and trying a secret on them. Spec: `format-spec/10-keys.md`.

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

/// What an opened slot yields.
pub(in crate::repo) struct OpenedSlot {
    pub repository: RepositoryId,
    pub master: Zeroizing<[u8; 32]>,
    pub slot_name: String,
    pub slot_bytes: Vec<u8>,
}

/// A slot that is to be made.
pub(in crate::repo) struct NewSlot<'a> {
    /// What it says about itself.
    pub info: &'a SlotInfo,
    /// What opens it.
    pub secret: &'a Secret,
    /// How its key is derived from that.
    pub kdf: SlotKdf,
}

/// Wraps the master key under a secret and stores the slot; durable when this returns.
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

/// The slots of a store.
pub(in crate::repo) struct Slots {
    /// Each, or why it cannot be read.
    read: Vec<(Key, Result<Slot>)>,
    /// How many others there are that were not read.
    unread: usize,
}

impl Slots {
    pub fn is_empty(&self) -> bool {
        self.read.is_empty()
    }

    /// Returns the repository of each that was read.
    pub fn repositories(&self) -> Vec<RepositoryId> {
        self.read.iter().filter_map(|(_, slot)| Some(slot.as_ref().ok()?.repository)).collect()
    }
}

/// How many objects of `keys/` are read at most: a store without a key can add some without end.
const READ_MAX: usize = 1024;
/// Work that a slot may cost unless it is asked for by name, in KiB of memory times passes: five
/// times that of `strong`.
const WORK_MAX_KIB: u64 = 10 << 20;
/// Work that all slots together may cost.
const ALL_WORK_MAX_KIB: u64 = 64 << 20;

/// Which slots are tried, and which of them first.
pub(in crate::repo) struct SlotChoice<'a> {
    /// The one that opened the repository last.
    pub last: Option<&'a str>,
    /// The start of the name of the only one.
    pub only: Option<&'a str>,
}

/// Reads the slots, except those that are too long to be one.
///
/// Where there are very many, the one that opened last and then the oldest are read: what an
/// attacker planted came later.
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

/// Tries a secret on slots, the one that opened last and then those that cost least, until one
/// opens and `accept` agrees with it.
///
/// Of equally dear ones the oldest is tried first. Fails with `TooManyKeys` if none opened and some
/// were not tried: they are too many, or too dear. So a slot that was planted to exhaust this
/// machine is only tried when no other opens; and neither a damaged slot, nor one that came from
/// another repository of the same owner, stands in the way of a good one.
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
                // Its name is made of what decides whether a secret fits.
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
    // What is wrong with a slot is only worth telling when no other slot opened.
    refused.map_or(Ok(None), Err)
}

/// Reads one slot, whose length the listing tells: what is too long to be one is not read.
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
