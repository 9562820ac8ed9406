//! Probe of a store: whether it creates exclusively, and has the properties that every store must
//! have.
//!
//! Spec: `format-spec/12-store.md`, section 4; consequences: `format-spec/13-commit.md`, section 9.

use std::ops::{Range, RangeInclusive};
use std::sync::Barrier;
use std::thread;

use super::Repository;
use super::notes;
use crate::id::encode_hex;
use crate::repo::error::{Error, Result};
use crate::repo::objects::parallel;
use crate::repo::objects::random::system_32;
use crate::store::{Class, ErrorKind, Key, Store, StoreError};

/// Number of threads that create one name at once: as many as the store serves at once, within
/// these bounds. More threads would only come after the race.
const CREATORS: RangeInclusive<usize> = 4..=8;
/// Number of races: a server that checks and then creates passed one race of three when it was
/// measured.
const RACES: usize = 8;
/// Name of the local note about a store that was found not to be exclusive.
const NOTE: &str = "replaces objects";
/// Age by the store's clock after which objects of other probes count as left over, in seconds.
const LEFT_BEHIND_S: i64 = 24 * 3600;

/// Returns whether a repository's store creates exclusively: this probe found no failure, and no
/// earlier one on this machine did.
///
/// Creates and removes nine small objects. Fails with [`Error::UnusableStore`] if the store does
/// not read, list or remove correctly what it created, and with the store's error if it refuses a
/// request.
pub fn is_exclusive(repository: &Repository) -> Result<bool> {
    if !probe(repository.store())? {
        remember(repository)?;
        return Ok(false);
    }
    // The result of a race depends on chance, so an earlier failure outweighs the success now.
    Ok(notes::load(repository, NOTE).is_none())
}

/// Notes on this machine that a repository's store is not exclusive.
pub fn remember(repository: &Repository) -> Result<()> {
    notes::save(repository, NOTE, &[])
}

/// Probes a store, which need not hold a repository; returns whether it creates exclusively.
pub fn probe(store: &dyn Store) -> Result<bool> {
    let id = encode_hex(&system_32()?[..16]);
    let keys: Vec<Key> =
        (0..=RACES).map(|number| Key::new(Class::Probe, format!("{id}.{number}"))).collect();
    let probed = try_all(store, &id, &keys);
    let removed = parallel::for_each(store, &keys, |key| store.remove(key))?;
    let is_exclusive = probed?;
    removed.into_iter().collect::<std::result::Result<(), _>>()?;
    for is_missing in parallel::for_each(store, &keys, |key| is_missing(store.read(key)))? {
        require(store, is_missing?, "what was removed can still be read")?;
    }
    require(store, store.list(Class::Probe, &id)?.is_empty(), "what was removed is still listed")?;
    Ok(is_exclusive)
}

/// Tries reads, ranges, a listing, and then exclusive creation, one after another and in races.
fn try_all(store: &dyn Store, id: &str, keys: &[Key]) -> Result<bool> {
    let first = system_32()?;
    store.create(&keys[0], &first)?;
    let read =
        || parallel::for_each(store, &[0..32, 5..9, 31..32], |range| read(store, &keys[0], range));
    let (read, listed) = parallel::both(store, read, || store.list(Class::Probe, id));
    let (read, listed) = (read?.into_iter().collect::<Result<Vec<_>>>()?, listed?);
    require(store, read[0] == first, "it does not return what it took")?;
    require(
        store,
        read[1] == first[5..9] && read[2] == first[31..],
        "a range is not that of the object",
    )?;
    let shows =
        |object: &crate::store::Listed| (&object.name, object.len_bytes) == (&keys[0].name, 32);
    require(
        store,
        listed.len() == 1 && shows(&listed[0]),
        "a listing does not show what was just created",
    )?;
    remove_left_behind(store, listed[0].modified_s)?;
    let again = was_created(store.create(&keys[0], &system_32()?[..24]))?;
    if again || store.read(&keys[0])? != first {
        return Ok(false);
    }
    if store.has_create_race() {
        // Passed races prove nothing for a server that is known to fail some.
        return Ok(false);
    }
    let mut won = Vec::with_capacity(RACES);
    for key in &keys[1..] {
        match race_winner(store, key)? {
            Some(number) => won.push((key, [number; 32])),
            None => return Ok(false),
        }
    }
    let is_right =
        parallel::for_each(store, &won, |(key, bytes)| Ok::<_, Error>(store.read(key)? == bytes))?;
    is_right.into_iter().try_fold(true, |all, is_right| Ok(all && is_right?))
}

/// Reads a range of an object of 32 bytes; all of them by a read of the whole object.
fn read(store: &dyn Store, key: &Key, range: &Range<u64>) -> Result<Vec<u8>> {
    if *range == (0..32) {
        return Ok(store.read(key)?);
    }
    let mut part = Vec::new();
    store.read_into(key, range.clone(), &mut part)?;
    Ok(part)
}

/// Lets several threads create an object at once, and returns the number of the one that succeeded;
/// `None` if several did.
fn race_winner(store: &dyn Store, key: &Key) -> Result<Option<u8>> {
    let creators =
        u8::try_from(store.properties().parallelism.clamp(*CREATORS.start(), *CREATORS.end()))
            .unwrap_or(u8::MAX);
    let barrier = Barrier::new(usize::from(creators));
    let race = |number: u8| {
        barrier.wait();
        was_created(store.create(key, &[number; 32]))
    };
    let results: Vec<Result<bool>> = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..creators).map(|number| scope.spawn(move || race(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(Err(Error::Stopped))).collect()
    });
    let results = results.into_iter().collect::<Result<Vec<bool>>>()?;
    let winners: Vec<u8> = (0..creators)
        .zip(results)
        .filter_map(|(number, has_won)| has_won.then_some(number))
        .collect();
    require(store, !winners.is_empty(), "it says that an object exists which nobody made")?;
    Ok((winners.len() == 1).then(|| winners[0]))
}

/// Returns whether a `create` created the object; false if it existed.
fn was_created(created: std::result::Result<(), StoreError>) -> Result<bool> {
    match created {
        Err(error) if error.kind == ErrorKind::Exists => Ok(false),
        created => Ok(created.map(|()| true)?),
    }
}

fn is_missing(read: std::result::Result<Vec<u8>, StoreError>) -> Result<bool> {
    match read {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(true),
        read => Ok(read.map(|_| false)?),
    }
}

/// Removes objects that dead probes left more than a day before `now_s`, the store's time. Objects
/// with other names are not touched.
fn remove_left_behind(store: &dyn Store, now_s: Option<i64>) -> Result<()> {
    let Some(now_s) = now_s else {
        return Ok(());
    };
    for object in store.list(Class::Probe, "")? {
        let is_old =
            object.modified_s.is_some_and(|made_s| now_s.saturating_sub(made_s) > LEFT_BEHIND_S);
        if is_old && is_probe(&object.name) {
            store.remove(&Key::new(Class::Probe, object.name))?;
        }
    }
    Ok(())
}

/// Returns whether a name is that of a probe's object: 32 hex digits, a dot and a number.
fn is_probe(name: &str) -> bool {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let parts = name.split_once('.');
    parts.is_some_and(|(id, number)| {
        id.len() == 32
            && id.bytes().all(is_hex)
            && number.parse::<usize>().is_ok_and(|number| number <= RACES)
    })
}

fn require(store: &dyn Store, is_met: bool, what: &'static str) -> Result<()> {
    let location = || store.location().to_owned();
    if is_met { Ok(()) } else { Err(Error::UnusableStore { location: location(), what }) }
}
