//! Object locks: extension of the locks that protect needed objects against removal, in stores that
//! have locks.
//!
//! Spec: `format-spec/12-store.md`, section 6.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use super::generations::Generations;
use crate::format::entry::Timestamp;
use crate::format::generation::Victim;
use crate::format::run::PackClass;
use crate::id::{ObjectId, SnapshotId};
use crate::monitor::Monitor;
use crate::repo::error::{Error, Result};
use crate::repo::objects::layout;
use crate::repo::open::Repository;
use crate::store::{Class, ErrorKind, Key};
use crate::sync::{self, lock};

const DAY_S: i64 = 24 * 3600;

/// Objects that need not stay locked, in addition to those that generations condemn.
#[derive(Clone, Debug, Default)]
pub struct Unneeded {
    /// Packs without needed chunks.
    pub packs: HashSet<ObjectId>,
    /// Snapshots that are no roots any more.
    pub snapshots: HashSet<SnapshotId>,
}

/// Result of extending locks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LockReport {
    /// Time until which all needed objects are locked now, in seconds since 1970.
    pub until_s: i64,
    /// Number of needed objects.
    pub objects: u64,
    /// Their total length in bytes.
    pub bytes: u64,
    /// Number of objects whose locks were extended, or would be in a dry run.
    pub extended: u64,
    /// Their total length in bytes.
    pub extended_bytes: u64,
}

/// Returns the number of days for which the store locks new objects; `None` if it locks none.
pub fn days(repository: &Repository) -> Option<u32> {
    repository.store().archive()?.lock_days()
}

/// Returns the end of the day (UTC) that is `span_s` after `now`, in seconds since 1970, so that
/// all runs of one day extend to the same moment.
pub fn end_of_day(now: Timestamp, span_s: i64) -> i64 {
    (now.seconds.saturating_add(span_s).div_euclid(DAY_S) + 1).saturating_mul(DAY_S)
}

/// Extends the locks of all needed objects to `until_s`, in seconds since 1970, unless they end
/// later.
///
/// Can be interrupted and repeated. A dry run changes nothing. Fails with [`Error::NoLocks`] if the
/// store has no locks.
pub fn extend(
    repository: &Repository,
    unneeded: &Unneeded,
    until_s: i64,
    is_dry_run: bool,
    monitor: &Monitor,
) -> Result<LockReport> {
    let archive = repository.store().archive().filter(|archive| archive.lock_days().is_some());
    let archive = archive
        .ok_or_else(|| Error::NoLocks { location: repository.store().location().to_owned() })?;
    let needed = needed(repository, unneeded)?;
    let count = |objects: u64| monitor.files_total.store(objects, Ordering::Relaxed);
    monitor.files_done.store(0, Ordering::Relaxed);
    count(needed.len() as u64);
    let (extended, extended_bytes) = (AtomicU64::new(0), AtomicU64::new(0));
    for_each(repository, &needed, monitor, &|(key, len_bytes)| {
        let was_extended = match is_dry_run {
            true => {
                archive.locked_until(key).map(|ends| ends.is_none_or(|ends_s| ends_s < until_s))
            }
            false => archive.extend_lock(key, until_s),
        };
        match was_extended {
            // A collector has removed it meanwhile.
            Err(error) if error.kind == ErrorKind::NotFound => {}
            was_extended => {
                if was_extended? {
                    extended.fetch_add(1, Ordering::Relaxed);
                    extended_bytes.fetch_add(*len_bytes, Ordering::Relaxed);
                }
            }
        }
        monitor.files_done.fetch_add(1, Ordering::Relaxed);
        Ok(())
    })?;
    Ok(LockReport {
        until_s,
        objects: needed.len() as u64,
        bytes: needed.iter().map(|(_, len_bytes)| len_bytes).sum(),
        extended: extended.into_inner(),
        extended_bytes: extended_bytes.into_inner(),
    })
}

/// Returns how many of these packs are still locked, and when the last lock ends, in seconds since
/// 1970.
///
/// A pack counts as not locked if the server does not tell: the figures are only reported.
pub fn still_locked(
    repository: &Repository,
    victims: &[Victim],
    now: Timestamp,
    monitor: &Monitor,
) -> Result<(u64, Option<i64>)> {
    let Some(archive) =
        repository.store().archive().filter(|archive| archive.lock_days().is_some())
    else {
        return Ok((0, None));
    };
    let ends = Mutex::new(Vec::new());
    for_each(repository, victims, monitor, &|victim| {
        let asked = archive.locked_until(&layout::pack_key(victim.class, &victim.name));
        let end_s = asked.ok().flatten().filter(|end_s| *end_s > now.seconds);
        lock(&ends).extend(end_s);
        Ok(())
    })?;
    let ends = sync::into_inner(ends);
    Ok((ends.len() as u64, ends.iter().max().copied()))
}

/// Lists the objects that must stay locked, with their lengths in bytes.
fn needed(repository: &Repository, unneeded: &Unneeded) -> Result<Vec<(Key, u64)>> {
    let generations = Generations::list(repository)?;
    let mut packs = generations.removed_packs(repository)?;
    let mut snapshots = generations.dropped(repository)?;
    if generations.highest() > 0 {
        let last = generations.removal(repository, generations.highest())?;
        packs.extend(last.packs.iter().map(|victim| victim.name));
        snapshots.extend(last.snapshots);
    }
    packs.extend(&unneeded.packs);
    snapshots.extend(&unneeded.snapshots);
    let is_needed = |class: Class, name: &str| match class {
        Class::Config | Class::Keys | Class::Index => true,
        Class::Data | Class::Meta => layout::object_id(name).is_some_and(|id| !packs.contains(&id)),
        Class::Snapshots if layout::tombstone_of(name).is_some() => false,
        Class::Snapshots => {
            let session = layout::protection_of(name).or_else(|| SnapshotId::from_hex(name));
            session.is_none_or(|session| !snapshots.contains(&session))
        }
        Class::Intents | Class::Collector | Class::Probe => false,
    };
    let mut found = Vec::new();
    let (data, meta) = (layout::store_class(PackClass::Data), layout::store_class(PackClass::Meta));
    for class in [Class::Config, Class::Keys, Class::Index, Class::Snapshots, meta, data] {
        let listed = repository
            .store()
            .list(class, "")?
            .into_iter()
            .filter(|object| is_needed(class, &object.name));
        found.extend(listed.map(|object| (Key::new(class, object.name), object.len_bytes)));
    }
    Ok(found)
}

/// Calls `act` for each item, with as many threads as suit the store; stops at the first failure
/// and returns it.
fn for_each<T: Sync>(
    repository: &Repository,
    items: &[T],
    monitor: &Monitor,
    act: &(dyn Fn(&T) -> Result<()> + Sync),
) -> Result<()> {
    let (next, failure) = (AtomicUsize::new(0), Mutex::new(None));
    let lock = || lock(&failure);
    let work = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            if monitor.is_cancelled() || lock().is_some() {
                return;
            }
            if let Err(error) = act(item) {
                lock().get_or_insert(error);
            }
        }
    };
    let threads = repository.store().properties().parallelism.clamp(1, items.len().max(1));
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    if monitor.is_cancelled() {
        return Err(Error::Cancelled);
    }
    lock().take().map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_end_with_a_day() {
        let at = |seconds| Timestamp { seconds, nanos: 0 };
        assert_eq!(end_of_day(at(0), 0), DAY_S);
        assert_eq!(end_of_day(at(DAY_S - 1), 30 * DAY_S), 31 * DAY_S);
        assert_eq!(end_of_day(at(DAY_S), 30 * DAY_S), 32 * DAY_S);
    }
}
