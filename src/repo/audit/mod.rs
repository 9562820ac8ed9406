//! Audit of the objects in the store, independent of local copies, for `check`, `repair` and
//! `stats`.
//!
//! An object that vanishes between listing and reading was removed by another process, and is no
//! fault.

pub mod drafts;
mod records;
pub mod salvage;
mod snapshots;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

pub use self::records::generations;
pub use self::snapshots::{AllSnapshots, all_snapshots};

use super::cache;
use super::error::{Error, Result};
use super::gc::intents;
use super::index::IndexSet;
use super::objects::bad_sectors::read_around;
use super::objects::layout;
use super::objects::sized_read::{read_listed, read_there};
use super::open::key_slots::read_slot;
use super::open::keys;
use super::open::{Repository, decode_config};
use super::read::reader::Reader;
use crate::container::name_of;
use crate::crypto::slot::slot_id;
use crate::format::run::{PackClass, PackRef};
use crate::format::slot::Slot;
use crate::id::{ObjectId, SlotId};
use crate::store::{Class, Key, Listed};

/// Bytes of one read of an object that is not kept in memory.
const PIECE_LEN_BYTES: u64 = 4 << 20;
/// Most listings of the index, as long as listed runs are removed before they are read.
const LISTINGS_MAX: usize = 5;

/// A faulty object.
#[derive(Debug)]
pub struct Fault {
    /// Name of the object.
    pub object: String,
    /// The fault.
    pub error: Error,
}

/// Findings in one class of objects.
#[derive(Default)]
pub struct Findings {
    /// Number of objects that were examined.
    pub seen: u64,
    /// Faulty objects.
    pub faults: Vec<Fault>,
    /// Names that belong to no object of the class.
    pub foreign: Vec<String>,
    /// Other facts that the user should know.
    pub notices: Vec<String>,
}

impl Findings {
    /// Notes the result of one object; returns only errors that are not damage.
    fn note<T>(&mut self, key: &Key, outcome: Result<T>) -> Result<Option<T>> {
        match outcome {
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) if error.is_damage() => {
                self.faults.push(Fault { object: key.to_string(), error })
            }
            Err(error) => return Err(error),
            Ok(value) => {
                self.seen += 1;
                return Ok(Some(value));
            }
        }
        self.seen += 1;
        Ok(None)
    }
}

/// Reads and verifies every config.
pub fn configs(repository: &Repository) -> Result<Findings> {
    let mut findings = Findings::default();
    for object in repository.store().list(Class::Config, "")? {
        let key = Key::new(Class::Config, object.name.clone());
        match key.name.parse::<u64>().ok().filter(|number| number.to_string() == key.name) {
            Some(number) => {
                let bytes = read_listed(repository.store(), &key, object.len_bytes);
                let config = bytes
                    .and_then(|bytes| decode_config(repository.records().open(), &bytes, number));
                findings.note(&key, config)?;
            }
            None => findings.foreign.push(key.to_string()),
        }
    }
    Ok(findings)
}

/// Reads every key slot and verifies all of it that can be verified without its secret.
pub fn slots(repository: &Repository) -> Result<Findings> {
    let mut findings = Findings::default();
    for object in repository.store().list(Class::Keys, "")? {
        let key = Key::new(Class::Keys, object.name.clone());
        if SlotId::from_hex(&key.name).is_none() {
            findings.foreign.push(key.to_string());
            continue;
        }
        let slot = read_slot(repository.store(), &object);
        let is_anothers =
            |slot: &Slot| slot.repository != repository.id() && slot_id(slot).to_hex() == key.name;
        if slot.as_ref().is_ok_and(is_anothers) {
            // An interrupted `init` of another repository left it.
            findings.notices.push(format!("{key} is a key of another repository"));
            continue;
        }
        findings.note(&key, slot.and_then(|slot| keys::verify(repository, &key.name, &slot)))?;
    }
    Ok(findings)
}

/// Reads and verifies every intent.
pub fn intents(repository: &Repository) -> Result<Findings> {
    let mut findings = Findings::default();
    for object in repository.store().list(Class::Intents, "")? {
        let key = Key::new(Class::Intents, object.name.clone());
        match layout::intent_of(&key.name) {
            Some((session, number)) => {
                findings
                    .note(&key, intents::read(repository, &session, number, object.len_bytes))?;
            }
            None => findings.foreign.push(key.to_string()),
        }
    }
    Ok(findings)
}

/// Reads and verifies every index run in the store, and returns a reader whose index consists of
/// exactly the good ones.
///
/// The local copies that it uses are compared with the store's objects; damaged ones are replaced.
pub fn index(repository: &Arc<Repository>) -> Result<(Arc<Reader>, Findings)> {
    for _ in 0..LISTINGS_MAX {
        let mut findings = Findings::default();
        let mut good = Vec::new();
        let mut vanished = false;
        for object in repository.store().list(Class::Index, "")? {
            let key = Key::new(Class::Index, object.name.clone());
            let Some(name) = layout::object_id(&object.name) else {
                findings.foreign.push(key.to_string());
                continue;
            };
            match read_there(repository.store(), &key, || {
                check_run(repository, &key, name, object.len_bytes)
            }) {
                Err(error) if error.is_not_found() => vanished = true,
                outcome => good.extend(findings.note(&key, outcome)?),
            }
        }
        if !vanished {
            let set = IndexSet::open_these(repository.cache(), repository.records(), &good)?;
            let replaced: HashSet<ObjectId> =
                set.runs().iter().flat_map(|run| run.toc().replaces.clone()).collect();
            // A damaged run that was replaced has been repaired.
            let is_needed =
                |fault: &Fault| !replaced.iter().any(|name| fault.object.ends_with(&name.to_hex()));
            findings.faults.retain(is_needed);
            return Ok((Reader::with_index(repository, set), findings));
        }
        // A collector merged runs: the new run was not in this listing.
    }
    Err(Error::Threads("the index kept changing while it was listed".to_owned()))
}

fn check_run(
    repository: &Repository,
    key: &Key,
    name: ObjectId,
    len_bytes: u64,
) -> Result<ObjectId> {
    let wrong = || Error::WrongContent { object: key.to_string() };
    let mut hasher = blake3::Hasher::new();
    let mut piece = Vec::new();
    let mut at = 0;
    while at < len_bytes {
        piece.clear();
        let end = len_bytes.min(at + PIECE_LEN_BYTES);
        repository.store().read_into(key, at..end, &mut piece)?;
        hasher.update(&piece);
        at = end;
    }
    if ObjectId(*hasher.finalize().as_bytes()) != name {
        return Err(wrong());
    }
    if repository.cache().hash_of("index", &name.to_hex()) != Some(name) {
        let bytes = repository.store().read(key)?;
        if name_of(&bytes) != name {
            return Err(wrong());
        }
        repository.cache().write("index", &name.to_hex(), &bytes)?;
        repository.cache().remove("filter", &name.to_hex());
    }
    IndexSet::open_these(repository.cache(), repository.records(), &[name]).map(|_| name)
}

/// The packs of one class in the store.
#[derive(Default)]
pub struct PackListing {
    /// Length of each pack in bytes.
    pub len_bytes: HashMap<ObjectId, u64>,
    /// Names that belong to no pack.
    pub foreign: Vec<String>,
}

/// Lists the packs of a class.
pub fn packs(repository: &Repository, class: PackClass) -> Result<PackListing> {
    let mut listing = PackListing::default();
    for Listed { name, len_bytes, .. } in repository.store().list(layout::store_class(class), "")? {
        match layout::object_id(&name).filter(|id| layout::pack_key(class, id).name == name) {
            Some(id) => {
                listing.len_bytes.insert(id, len_bytes);
            }
            None => listing.foreign.push(Key::new(layout::store_class(class), name).to_string()),
        }
    }
    Ok(listing)
}

/// Reads a listed pack into `out`; if that fails because of bad sectors, reads it again piece by
/// piece.
///
/// Fails if pieces are still unreadable; then `out` has zeros in their place.
pub fn read_listed_pack(
    repository: &Repository,
    class: PackClass,
    name: &ObjectId,
    listed_len: u64,
    out: &mut Vec<u8>,
) -> Result<()> {
    let key = layout::pack_key(class, name);
    let store = repository.store();
    match read_there(store, &key, || read_pack(repository, class, name, listed_len, out)) {
        // The bytes around a bad sector may be intact, and a second read may even succeed.
        Err(error) if error.is_unreadable() => match read_around(store, &key, listed_len, out)? {
            true => Ok(()),
            false => Err(error),
        },
        read => read,
    }
}

/// Returns whether the first byte of a pack can be read.
pub fn is_readable(repository: &Repository, pack: &PackRef) -> Result<bool> {
    let key = layout::pack_key(pack.class, &pack.name);
    match repository.store().read_into(&key, 0..1, &mut Vec::new()).map_err(Error::from) {
        Err(error) if error.is_damage() => Ok(false),
        read => read.map(|()| true),
    }
}

/// Returns those of `packs` that a listed run still names; the others were removed on purpose,
/// after their runs.
pub fn still_named(reader: &Reader, packs: Vec<PackRef>) -> Result<Vec<PackRef>> {
    if packs.is_empty() {
        return Ok(packs);
    }
    let listed = reader.repository().store().list(Class::Index, "")?;
    let listed: HashSet<ObjectId> =
        listed.iter().filter_map(|object| layout::object_id(&object.name)).collect();
    let runs = reader.index().runs();
    let live = runs.iter().filter(|run| listed.contains(&run.name()));
    let named: HashSet<ObjectId> =
        live.flat_map(|run| &run.toc().packs).map(|pack| pack.name).collect();
    Ok(packs.into_iter().filter(|pack| named.contains(&pack.name)).collect())
}

/// Replaces `out` by a pack's bytes in the store, without verifying them.
pub fn read_pack(
    repository: &Repository,
    class: PackClass,
    name: &ObjectId,
    len: u64,
    out: &mut Vec<u8>,
) -> Result<()> {
    out.clear();
    Ok(repository.store().read_into(&layout::pack_key(class, name), 0..len, out)?)
}

/// Makes the local copy of a pack with trees equal to the verified `bytes`, so that a damaged copy
/// cannot make reads of trees fail.
pub fn refresh_meta_copy(repository: &Repository, pack: &PackRef, bytes: &[u8]) -> Result<()> {
    let name = pack.name.to_hex();
    if repository.cache().read(cache::TREES, &name).is_some_and(|copy| copy == bytes) {
        return Ok(());
    }
    repository.cache().write_trees(&name, bytes).map(drop)
}

/// Space of one class in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassUsage {
    /// Name of the class's directory.
    pub folder: &'static str,
    /// Number of its objects.
    pub objects: u64,
    /// Their total length in bytes.
    pub bytes: u64,
}

/// Returns the space of each class in the store.
pub fn usage(repository: &Repository) -> Result<Vec<ClassUsage>> {
    let of_class = |class: &Class| -> Result<ClassUsage> {
        let listed = repository.store().list(*class, "")?;
        let bytes = listed.iter().map(|object| object.len_bytes).sum();
        Ok(ClassUsage { folder: class.dir_name(), objects: listed.len() as u64, bytes })
    };
    Class::ALL.iter().map(of_class).collect()
}
