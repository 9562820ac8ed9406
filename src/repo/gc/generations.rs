//! Generations of removal: what collectors condemned, and which places must therefore not be relied
//! on.
//!
//! Spec: `format-spec/13-commit.md`.

use std::collections::{BTreeMap, HashSet};

use crate::container::seal_single;
use crate::format::codec::DecodeError;
use crate::format::container::ContainerKind;
use crate::format::entry::Timestamp;
use crate::format::generation::{CollectorRecord, Condemned, Done, RecordContent, Removal};
use crate::id::{ObjectId, SnapshotId};
use crate::repo::error::{Error, Result};
use crate::repo::index::{Avoided, Run};
use crate::repo::objects::create_once::{Put, put};
use crate::repo::objects::layout;
use crate::repo::objects::sized_read::{read_listed, read_small};
use crate::repo::open::witness::Witness;
use crate::repo::open::{Repository, check_writable};
use crate::repo::read::reader::Reader;
use crate::store::{Class, Key};

/// The group of local copies of records, which never change.
const CACHE_GROUP: &str = "gc";
/// How often `gc/` is listed again because a record was trimmed under the listing.
pub(in crate::repo) const LISTINGS_MAX: usize = 8;

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

/// What a listing says of a record: its length and, if the store tells, when it was made.
type Stamp = (u64, Option<i64>);

/// Which records of a generation are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Words {
    condemned: Option<Stamp>,
    verdict: Option<Stamp>,
    done: Option<Stamp>,
}

impl Words {
    fn of(&mut self, word: &str) -> &mut Option<Stamp> {
        match word {
            "condemned" => &mut self.condemned,
            "verdict" => &mut self.verdict,
            _ => &mut self.done,
        }
    }
}

/// One listing of `gc/`.
#[derive(Debug, PartialEq, Eq)]
pub struct Generations(BTreeMap<u64, Words>);

impl Generations {
    /// Lists `gc/`.
    pub fn list(repository: &Repository) -> Result<Self> {
        let mut found: BTreeMap<u64, Words> = BTreeMap::new();
        let known = repository.witness().generation();
        for object in repository.store().list(Class::Collector, "")? {
            let Some((number, word)) = layout::generation_of(&object.name) else {
                continue;
            };
            *found.entry(number).or_default().of(word) =
                Some((object.len_bytes, object.modified_s));
        }
        // Trimming takes a generation's records one by one; what is left of one does not count.
        found.retain(|_, words| words.condemned.is_some());
        let found = Self(found);
        Witness::compare_generation(repository.location(), known, found.highest())?;
        Ok(found)
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
        let words = self.words(number);
        if words.verdict.is_none() {
            return Ok(State::Open(self.condemned(repository, number)?.removal));
        }
        match self.read(repository, number, "verdict")?.content {
            RecordContent::Go(_) if words.done.is_some() => Ok(State::Done),
            RecordContent::Go(removal) => Ok(State::Unfinished(removal)),
            _ => Ok(State::Cancelled),
        }
    }

    /// Returns what a generation of this listing condemns; nothing if it was cancelled.
    pub(in crate::repo) fn removal(&self, repository: &Repository, number: u64) -> Result<Removal> {
        let word = if self.words(number).verdict.is_some() { "verdict" } else { "condemned" };
        Ok(match self.read(repository, number, word)?.content {
            RecordContent::Condemned(condemned) => condemned.removal,
            RecordContent::Go(removal) => removal,
            _ => Removal::default(),
        })
    }

    /// Returns whether a generation is open or unfinished, so that packs may be going.
    pub fn is_at_work(&self, repository: &Repository) -> Result<bool> {
        match self.highest() {
            0 => Ok(false),
            highest => Ok(matches!(
                self.state(repository, highest)?,
                State::Open(_) | State::Unfinished(_)
            )),
        }
    }

    /// Returns the generation below which records may be gone.
    pub fn oldest(&self, repository: &Repository) -> Result<u64> {
        match self.highest() {
            0 => Ok(0),
            highest => Ok(self.condemned(repository, highest)?.oldest),
        }
    }

    /// Returns the packs that verdicts on record remove. Their names are over: one that is there
    /// was created again, too late.
    pub fn removed_packs(&self, repository: &Repository) -> Result<HashSet<ObjectId>> {
        Ok(self
            .verdicts(repository)?
            .iter()
            .flat_map(|removal| &removal.packs)
            .map(|victim| victim.name)
            .collect())
    }

    /// Returns the snapshots that verdicts on record drop.
    pub fn dropped(&self, repository: &Repository) -> Result<HashSet<SnapshotId>> {
        Ok(self.verdicts(repository)?.into_iter().flat_map(|removal| removal.snapshots).collect())
    }

    fn verdicts(&self, repository: &Repository) -> Result<Vec<Removal>> {
        let decided = self.0.iter().filter(|(_, words)| words.verdict.is_some());
        decided.map(|(number, _)| self.removal(repository, *number)).collect()
    }

    /// Returns the newest finished generation and its clean runs.
    pub(in crate::repo) fn newest_done(
        &self,
        repository: &Repository,
    ) -> Result<(u64, HashSet<ObjectId>)> {
        let Some(number) =
            self.0.iter().rev().find(|(_, words)| words.done.is_some()).map(|(number, _)| *number)
        else {
            return Ok((0, HashSet::new()));
        };
        match self.read(repository, number, "done")?.content {
            RecordContent::Done(done) => Ok((number, done.runs.into_iter().collect())),
            _ => Ok((0, HashSet::new())),
        }
    }

    /// Returns when a generation was opened, by the clock of its collector.
    pub fn opened(&self, repository: &Repository, number: u64) -> Result<Timestamp> {
        Ok(self.read(repository, number, "condemned")?.created)
    }

    fn condemned(&self, repository: &Repository, number: u64) -> Result<Condemned> {
        match self.read(repository, number, "condemned")?.content {
            RecordContent::Condemned(condemned) => Ok(condemned),
            _ => unreachable!("parse compares the word"),
        }
    }

    /// Fails with `RolledBack` if one of the generations from `first` to the highest is not listed.
    ///
    /// Takes as long as there are listed ones, however far apart their numbers are.
    pub(in crate::repo) fn demand_all(&self, repository: &Repository, first: u64) -> Result<()> {
        let listed = self.0.range(first..).map(|(number, _)| *number);
        match listed.zip(first..).find(|(number, wanted)| number != wanted) {
            None => Ok(()),
            Some((_, missing)) => {
                let what = layout::generation_key(missing, "condemned").to_string();
                Err(Error::RolledBack { location: repository.location().to_owned(), what })
            }
        }
    }

    /// Returns whether a listed generation is finished.
    pub(in crate::repo) fn is_done(&self, number: u64) -> bool {
        self.words(number).done.is_some()
    }

    /// Returns whether a listed generation has no verdict yet.
    pub(in crate::repo) fn is_open(&self, number: u64) -> bool {
        self.0.contains_key(&number) && self.words(number).verdict.is_none()
    }

    /// Returns whether a listed generation was cancelled, as those are with which repairs say that
    /// something was lost.
    ///
    /// Spec: `format-spec/13-commit.md`, section 5.1.
    pub(in crate::repo) fn is_cancelled(
        &self,
        repository: &Repository,
        number: u64,
    ) -> Result<bool> {
        if self.words(number).verdict.is_none() {
            return Ok(false);
        }
        Ok(matches!(self.read(repository, number, "verdict")?.content, RecordContent::Cancel))
    }

    fn words(&self, number: u64) -> Words {
        self.0.get(&number).copied().unwrap_or_default()
    }

    /// Reads a record; from a local copy only if that is of what is listed now.
    ///
    /// Records never change, but a repository may have been put back to an older state, and its
    /// next generation has a number that was used before.
    fn read(
        &self,
        repository: &Repository,
        number: u64,
        word: &'static str,
    ) -> Result<CollectorRecord> {
        let key = layout::generation_key(number, word);
        let (len_bytes, copy_name) = match *self.words(number).of(word) {
            Some((len_bytes, Some(modified_s))) => {
                (len_bytes, format!("{}.{len_bytes}.{modified_s}", key.name))
            }
            Some((len_bytes, None)) => return read_whole(repository, (number, word), len_bytes),
            None => return read_from_store(repository, number, word),
        };
        let copy = repository.cache().read(CACHE_GROUP, &copy_name);
        if let Some(record) = copy.and_then(|bytes| parse(repository, number, word, &bytes).ok()) {
            return Ok(record);
        }
        let bytes = read_listed(repository.store(), &key, len_bytes)?;
        let record = parse(repository, number, word, &bytes)?;
        let _ = repository.cache().write(CACHE_GROUP, &copy_name, &bytes);
        Ok(record)
    }
}

/// Returns the packs that collectors removed or are removing, and the runs that may name packs
/// which nobody knows to be removed.
pub fn removed(reader: &Reader) -> Result<Avoided> {
    let repository = reader.repository();
    let generations = Generations::list(repository)?;
    let oldest = generations.oldest(repository)?;
    let (done, clean) = generations.newest_done(repository)?;
    let mut avoided = Avoided::default();
    // Nothing is removed under one without a verdict: what is missing then is lost, and a repair
    // that died may have opened it.
    for number in
        generations.numbers().filter(|number| *number >= oldest && !generations.is_open(*number))
    {
        avoided.packs.extend(
            generations.removal(repository, number)?.packs.iter().map(|victim| victim.name),
        );
    }
    let effective =
        |run: &Run| run.toc().generation.max(if clean.contains(&run.name()) { done } else { 0 });
    let runs = reader.index().runs();
    avoided.stale_runs = runs
        .iter()
        .filter(|run| effective(run) < oldest.saturating_sub(1))
        .map(|run| run.name())
        .collect();
    Ok(avoided)
}

/// Opens a generation; returns false if somebody else opened one of this number.
pub fn condemn(
    repository: &Repository,
    number: u64,
    now: Timestamp,
    condemned: Condemned,
) -> Result<bool> {
    Ok(write(repository, number, now, RecordContent::Condemned(condemned))?.is_none())
}

/// Decides about a generation, and returns what is removed: by this verdict, or by one that was
/// there before.
pub fn decide(
    repository: &Repository,
    number: u64,
    now: Timestamp,
    removal: Option<Removal>,
) -> Result<Option<Removal>> {
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
pub fn finish(
    repository: &Repository,
    number: u64,
    now: Timestamp,
    runs: Vec<ObjectId>,
) -> Result<()> {
    write(repository, number, now, RecordContent::Done(Done { runs })).map(drop)
}

/// Removes the records of one generation, the one that counts last.
pub fn trim(repository: &Repository, number: u64) -> Result<()> {
    for word in ["done", "verdict", "condemned"] {
        repository.store().remove(&layout::generation_key(number, word))?;
    }
    let prefix = format!("{number}.");
    let copies = repository.cache().names(CACHE_GROUP);
    copies
        .iter()
        .filter(|name| name.starts_with(&prefix))
        .for_each(|name| repository.cache().remove(CACHE_GROUP, name));
    Ok(())
}

fn write(
    repository: &Repository,
    number: u64,
    now: Timestamp,
    content: RecordContent,
) -> Result<Option<Vec<u8>>> {
    check_writable(repository.config())?;
    let key = layout::generation_key(number, content.word());
    let record = CollectorRecord { number, created: now, content };
    let bytes = record.encode();
    // What no reader takes must not be there: it would stop all writers and collectors for good.
    if CollectorRecord::decode(&bytes).map_err(Error::malformed(&key))? != record {
        return Err(Error::WrongContent { object: key.to_string() });
    }
    let sealed = seal_single(
        repository.keyring(),
        ContainerKind::CollectorRecord,
        &repository.random_32()?,
        &bytes,
    );
    match put(repository.store(), &key, &sealed.bytes)? {
        Put::Made => {
            repository.witness().saw_generation(number);
            Ok(None)
        }
        Put::Exists(bytes) => Ok(Some(bytes)),
    }
}

/// Reads a record that is listed with this length from the store, whatever the cache holds, and
/// verifies it.
pub(in crate::repo) fn read_whole(
    repository: &Repository,
    (number, word): (u64, &str),
    len_bytes: u64,
) -> Result<CollectorRecord> {
    let bytes = read_listed(repository.store(), &layout::generation_key(number, word), len_bytes)?;
    parse(repository, number, word, &bytes)
}

/// Reads a record from the store, whatever the cache holds, and verifies it.
pub(in crate::repo) fn read_from_store(
    repository: &Repository,
    number: u64,
    word: &str,
) -> Result<CollectorRecord> {
    parse(
        repository,
        number,
        word,
        &read_small(repository.store(), &layout::generation_key(number, word))?,
    )
}

fn parse(
    repository: &Repository,
    number: u64,
    word: &str,
    bytes: &[u8],
) -> Result<CollectorRecord> {
    let key: Key = layout::generation_key(number, word);
    let plain = repository
        .open_single(ContainerKind::CollectorRecord, bytes)
        .map_err(Error::damaged(&key))?;
    let record = CollectorRecord::decode(&plain).map_err(Error::malformed(&key))?;
    if record.number != number || record.content.word() != word {
        return Err(Error::malformed(&key)(DecodeError::new(
            "collector's record",
            "in another's place",
        )));
    }
    repository.witness().saw_generation(number);
    Ok(record)
}
