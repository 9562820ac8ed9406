//! Generations of removal: what collectors condemned, and which places must therefore not be relied on.
//!
//! Spec: `format-spec/13-commit.md`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::error::{Error, Result};
use super::index::{Avoided, Run};
use super::open::{Repository, check_writable};
use super::put::{Put, put};
use super::reader::Reader;
use super::{names, state};
use crate::container::seal_single;
use crate::format::codec::DecodeError;
use crate::format::container::ContainerKind;
use crate::format::entry::Timestamp;
use crate::format::generation::{CollectorRecord, Condemned, Done, RecordContent, Removal};
use crate::id::{ObjectId, SnapshotId};
use crate::store::{Class, Key};

/// The group of local copies of records, which never change.
const CACHE_GROUP: &str = "gc";
/// The local note of the last [`sync`].
const NOTE: &str = "horizon";
/// How often `gc/` is listed again because a record was trimmed under the listing.
const LISTINGS_MAX: usize = 8;

/// How far a generation has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It has no verdict: everything that it condemns may be removed or not.
    Open(Removal),
    /// It removes nothing.
    Cancelled,
    /// This is being removed, or was going to be by a collector that died.
    Unfinished(Removal),
    /// Everything is removed.
    Done,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Words {
    condemned: bool,
    verdict: bool,
    done: bool,
}

/// One listing of `gc/`.
#[derive(Debug, PartialEq, Eq)]
pub struct Generations(BTreeMap<u64, Words>);

impl Generations {
    /// Lists `gc/`.
    pub fn list(repository: &Repository) -> Result<Self> {
        let mut found: BTreeMap<u64, Words> = BTreeMap::new();
        for object in repository.store().list(Class::Collector, "")? {
            let Some((number, word)) = names::generation_of(&object.name) else {
                continue;
            };
            let words = found.entry(number).or_default();
            match word {
                "condemned" => words.condemned = true,
                "verdict" => words.verdict = true,
                _ => words.done = true,
            }
        }
        // Trimming takes a generation's records one by one; what is left of one does not count.
        found.retain(|_, words| words.condemned);
        Ok(Self(found))
    }

    /// Returns the highest generation, 0 if there was none yet.
    pub fn highest(&self) -> u64 {
        self.0.keys().next_back().copied().unwrap_or(0)
    }

    /// Returns the generations, oldest first.
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        self.0.keys().copied()
    }

    /// Returns how far a generation of this listing had come when it was listed.
    pub fn state(&self, repository: &Repository, number: u64) -> Result<State> {
        let words = self.0.get(&number).copied().unwrap_or_default();
        if !words.verdict {
            return Ok(State::Open(condemned(repository, number)?.removal));
        }
        match read(repository, number, "verdict")?.content {
            RecordContent::Go(_) if words.done => Ok(State::Done),
            RecordContent::Go(removal) => Ok(State::Unfinished(removal)),
            _ => Ok(State::Cancelled),
        }
    }

    /// Returns what a generation of this listing condemns; nothing if it was cancelled.
    fn removal(&self, repository: &Repository, number: u64) -> Result<Removal> {
        let word = if self.0.get(&number).is_some_and(|words| words.verdict) { "verdict" } else { "condemned" };
        Ok(match read(repository, number, word)?.content {
            RecordContent::Condemned(condemned) => condemned.removal,
            RecordContent::Go(removal) => removal,
            _ => Removal::default(),
        })
    }

    /// Returns whether a generation is open or unfinished, so that packs may be going.
    pub fn is_at_work(&self, repository: &Repository) -> Result<bool> {
        match self.highest() {
            0 => Ok(false),
            highest => Ok(matches!(self.state(repository, highest)?, State::Open(_) | State::Unfinished(_))),
        }
    }

    /// Returns the generation below which records may be gone.
    pub fn oldest(&self, repository: &Repository) -> Result<u64> {
        match self.highest() {
            0 => Ok(0),
            highest => Ok(condemned(repository, highest)?.oldest),
        }
    }

    /// Returns the packs that verdicts on record remove. Their names are over: one that is there was created again, too late.
    pub fn removed_packs(&self, repository: &Repository) -> Result<HashSet<ObjectId>> {
        Ok(self.verdicts(repository)?.iter().flat_map(|removal| &removal.packs).map(|victim| victim.name).collect())
    }

    /// Returns the snapshots that verdicts on record drop.
    pub fn dropped(&self, repository: &Repository) -> Result<HashSet<SnapshotId>> {
        Ok(self.verdicts(repository)?.into_iter().flat_map(|removal| removal.snapshots).collect())
    }

    fn verdicts(&self, repository: &Repository) -> Result<Vec<Removal>> {
        let decided = self.0.iter().filter(|(_, words)| words.verdict);
        decided.map(|(number, _)| self.removal(repository, *number)).collect()
    }

    /// Returns the newest finished generation and its clean runs.
    fn newest_done(&self, repository: &Repository) -> Result<(u64, HashSet<ObjectId>)> {
        let Some(number) = self.0.iter().rev().find(|(_, words)| words.done).map(|(number, _)| *number) else {
            return Ok((0, HashSet::new()));
        };
        match read(repository, number, "done")?.content {
            RecordContent::Done(done) => Ok((number, done.runs.into_iter().collect())),
            _ => Ok((0, HashSet::new())),
        }
    }
}

/// What a session or collector knows of generations since it listed them.
#[derive(Clone, Debug, Default)]
pub struct Horizon {
    /// The highest generation of the listing.
    pub highest: u64,
    /// What the generations condemn that concern the index as it was then.
    removals: HashMap<u64, Removal>,
}

/// Lists `gc/` and then `index/`, makes the reader's index equal to the latter, and lets it avoid what the former condemns.
///
/// These are steps W1 and W2 of the specification.
pub fn sync(reader: &Reader) -> Result<Horizon> {
    for _ in 1..LISTINGS_MAX {
        match try_sync(reader) {
            // A record was trimmed under the listing.
            Err(error) if error.is_not_found() => {}
            other => return other,
        }
    }
    try_sync(reader)
}

fn try_sync(reader: &Reader) -> Result<Horizon> {
    let repository = reader.repository();
    let generations = Generations::list(repository)?;
    reader.sync()?;
    let highest = generations.highest();
    let mut horizon = Horizon { highest, removals: HashMap::new() };
    if highest == 0 {
        reader.index().avoid(Avoided::default());
        note(reader, highest)?;
        return Ok(horizon);
    }
    let oldest = generations.oldest(repository)?;
    let (done, clean) = generations.newest_done(repository)?;
    let (mut stale_runs, mut least) = (HashSet::new(), highest);
    for run in reader.index().runs() {
        let of_done = if clean.contains(&run.name()) { done } else { 0 };
        let effective = of_done.max(run.toc().generation);
        if effective + 1 < oldest {
            stale_runs.insert(run.name());
        } else {
            least = least.min(effective);
        }
    }
    // Unfinished generations matter to the parent, whatever the index says.
    let is_open = |number: &u64| !generations.0[number].done;
    for number in
        (oldest.max(1)..=highest).filter(|number| *number > least || generations.0.get(number).is_some_and(|_| is_open(number)))
    {
        if !generations.0.contains_key(&number) {
            let what = names::generation_key(number, "condemned").to_string();
            return Err(Error::RolledBack { location: repository.location().to_owned(), what });
        }
        horizon.removals.insert(number, generations.removal(repository, number)?);
    }
    let packs: HashSet<_> = horizon.removals.values().flat_map(|removal| &removal.packs).map(|victim| victim.name).collect();
    if horizon.removals.is_empty() && stale_runs.is_empty() {
        note(reader, highest)?;
    } else {
        state::remove(repository, NOTE);
    }
    reader.index().avoid(Avoided { packs, stale_runs });
    Ok(horizon)
}

/// Notes that nothing up to generation `highest` concerns the index as it is now.
fn note(reader: &Reader, highest: u64) -> Result<()> {
    let mut bytes = highest.to_le_bytes().to_vec();
    reader.index().runs().iter().for_each(|run| bytes.extend_from_slice(&run.name().0));
    state::save(reader.repository(), NOTE, &bytes)
}

/// Returns what was noted at the last [`sync`] of this machine, if it still fits the local index; the store is not asked.
///
/// A session may begin with it: whatever happened since is in generations above, which are looked at before the commit.
pub fn noted(reader: &Reader) -> Option<Horizon> {
    let bytes = state::load(reader.repository(), NOTE)?;
    let (highest, names) = bytes.split_first_chunk::<8>()?;
    let highest = u64::from_le_bytes(*highest);
    let names: HashSet<&[u8]> = names.chunks_exact(ObjectId::LEN_BYTES).collect();
    let fits = |run: &Arc<Run>| run.toc().generation >= highest || names.contains(&run.name().0[..]);
    reader.index().runs().iter().all(fits).then(|| Horizon { highest, removals: HashMap::new() })
}

/// Returns the packs that collectors removed or may be removing, and the runs that may name packs which nobody knows to be removed.
pub fn removed(reader: &Reader) -> Result<Avoided> {
    let repository = reader.repository();
    let generations = Generations::list(repository)?;
    let oldest = generations.oldest(repository)?;
    let (done, clean) = generations.newest_done(repository)?;
    let mut avoided = Avoided::default();
    for number in generations.numbers().filter(|number| *number >= oldest) {
        avoided.packs.extend(generations.removal(repository, number)?.packs.iter().map(|victim| victim.name));
    }
    let effective = |run: &Run| run.toc().generation.max(if clean.contains(&run.name()) { done } else { 0 });
    let runs = reader.index().runs();
    avoided.stale_runs = runs.iter().filter(|run| effective(run) + 1 < oldest).map(|run| run.name()).collect();
    Ok(avoided)
}

/// What a session relies on beside its own work.
pub struct Reliance<'a> {
    /// Packs.
    pub packs: &'a HashSet<ObjectId>,
    /// The parent, if subtrees of it were taken over unread.
    pub parent: Option<SnapshotId>,
}

impl Horizon {
    /// Returns the horizon of whoever relies on nothing but what it will store from now on.
    pub fn at(highest: u64) -> Self {
        Self { highest, removals: HashMap::new() }
    }

    /// Lists `gc/` again and returns whether anything condemns what is relied on, or may have done so unseen (rule T).
    ///
    /// The first half of step W5 of the specification.
    pub fn has_conflict(&self, repository: &Repository, reliance: &Reliance) -> Result<bool> {
        for _ in 1..LISTINGS_MAX {
            match self.try_has_conflict(repository, reliance) {
                Err(error) if error.is_not_found() => {}
                other => return other,
            }
        }
        self.try_has_conflict(repository, reliance)
    }

    fn try_has_conflict(&self, repository: &Repository, reliance: &Reliance) -> Result<bool> {
        let generations = Generations::list(repository)?;
        let highest = generations.highest();
        if highest < self.highest {
            let what = names::generation_key(self.highest, "condemned").to_string();
            return Err(Error::RolledBack { location: repository.location().to_owned(), what });
        }
        if highest > self.highest {
            // The next session had better ask at its beginning.
            state::remove(repository, NOTE);
        }
        if highest > self.highest && generations.oldest(repository)? > self.highest + 1 {
            return Ok(true);
        }
        let names_parent = |removal: &Removal| {
            let drops = |id: &SnapshotId| removal.snapshots.binary_search(id).is_ok();
            reliance.parent.as_ref().is_some_and(drops)
        };
        let condemns =
            |removal: &Removal| names_parent(removal) || removal.packs.iter().any(|victim| reliance.packs.contains(&victim.name));
        if self.removals.values().any(condemns) {
            return Ok(true);
        }
        for number in self.highest + 1..=highest {
            if !generations.0.contains_key(&number) {
                let what = names::generation_key(number, "condemned").to_string();
                return Err(Error::RolledBack { location: repository.location().to_owned(), what });
            }
            if condemns(&generations.removal(repository, number)?) {
                return Ok(true);
            }
        }
        // Also what was known: a collector that slept may have filled the slot of a dropped parent with `Aborted`.
        let mut known = generations.numbers().filter(|number| reliance.parent.is_some() && *number <= self.highest);
        known.try_fold(false, |found, number| Ok(found || names_parent(&generations.removal(repository, number)?)))
    }
}

/// Opens a generation; returns false if somebody else opened one of this number.
pub fn condemn(repository: &Repository, number: u64, now: Timestamp, condemned: Condemned) -> Result<bool> {
    Ok(write(repository, number, now, RecordContent::Condemned(condemned))?.is_none())
}

/// Decides about a generation, and returns what is removed: by this verdict, or by one that was there before.
pub fn decide(repository: &Repository, number: u64, now: Timestamp, removal: Option<Removal>) -> Result<Option<Removal>> {
    let content = removal.clone().map_or(RecordContent::Cancel, RecordContent::Go);
    match write(repository, number, now, content)? {
        None => Ok(removal),
        Some(bytes) => match parse(repository, number, "verdict", &bytes)?.content {
            RecordContent::Go(removal) => Ok(Some(removal)),
            _ => Ok(None),
        },
    }
}

/// Notes that a generation is finished, and which runs are clean.
pub fn finish(repository: &Repository, number: u64, now: Timestamp, runs: Vec<ObjectId>) -> Result<()> {
    write(repository, number, now, RecordContent::Done(Done { runs })).map(drop)
}

/// Removes the records of one generation, the one that counts last.
pub fn trim(repository: &Repository, number: u64) -> Result<()> {
    for word in ["done", "verdict", "condemned"] {
        repository.store().remove(&names::generation_key(number, word))?;
        repository.cache().remove(CACHE_GROUP, &names::generation_key(number, word).name);
    }
    Ok(())
}

/// Returns when a generation was opened, by the clock of its collector.
pub fn opened(repository: &Repository, number: u64) -> Result<Timestamp> {
    Ok(read(repository, number, "condemned")?.created)
}

fn condemned(repository: &Repository, number: u64) -> Result<Condemned> {
    match read(repository, number, "condemned")?.content {
        RecordContent::Condemned(condemned) => Ok(condemned),
        _ => unreachable!("parse compares the word"),
    }
}

fn write(repository: &Repository, number: u64, now: Timestamp, content: RecordContent) -> Result<Option<Vec<u8>>> {
    check_writable(repository.config())?;
    let key = names::generation_key(number, content.word());
    let record = CollectorRecord { number, created: now, content };
    let sealed = seal_single(repository.keyring(), ContainerKind::CollectorRecord, &repository.random_32()?, &record.encode());
    match put(repository.store(), &key, &sealed.bytes)? {
        Put::Made => repository.cache().write(CACHE_GROUP, &key.name, &sealed.bytes).map(|()| None),
        Put::Exists(bytes) => Ok(Some(bytes)),
    }
}

/// Reads a record; from the local copy if there is one, because records never change.
fn read(repository: &Repository, number: u64, word: &'static str) -> Result<CollectorRecord> {
    let key = names::generation_key(number, word);
    let copy = repository.cache().read(CACHE_GROUP, &key.name);
    if let Some(record) = copy.and_then(|bytes| parse(repository, number, word, &bytes).ok()) {
        return Ok(record);
    }
    let bytes = repository.store().read(&key)?;
    let record = parse(repository, number, word, &bytes)?;
    repository.cache().write(CACHE_GROUP, &key.name, &bytes)?;
    Ok(record)
}

/// Reads a record from the store, whatever the cache holds, and verifies it.
pub(super) fn read_from_store(repository: &Repository, number: u64, word: &str) -> Result<CollectorRecord> {
    parse(repository, number, word, &repository.store().read(&names::generation_key(number, word))?)
}

fn parse(repository: &Repository, number: u64, word: &str, bytes: &[u8]) -> Result<CollectorRecord> {
    let key: Key = names::generation_key(number, word);
    let plain = repository.open_single(ContainerKind::CollectorRecord, bytes).map_err(Error::damaged(&key))?;
    let record = CollectorRecord::decode(&plain).map_err(Error::malformed(&key))?;
    if record.number != number || record.content.word() != word {
        return Err(Error::malformed(&key)(DecodeError::new("collector's record", "in another's place")));
    }
    Ok(record)
}
