//! Generations of removal: the records of what collectors condemn, and the places on which sessions
//! must therefore not rely.
//!
//! Spec: `format-spec/13-commit.md`.

use std::collections::{BTreeMap, HashSet};

pub use super::records::trim;
use super::records::{self, Stamp};
use crate::format::entry::Timestamp;
use crate::format::generation::{CollectorRecord, Condemned, Done, RecordContent, Removal};
use crate::id::{ObjectId, SnapshotId};
use crate::repo::error::{Error, Result};
use crate::repo::index::{Avoided, ChunkIndex, Run};
use crate::repo::objects::layout;
use crate::repo::open::Repository;
use crate::repo::open::witness::Witness;
use crate::store::Class;

/// Most listings of `gc/`, as long as listed records are trimmed before they are read.
pub(in crate::repo) const LISTINGS_MAX: usize = 8;

/// State of a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GenerationState {
    /// It has no verdict; the removal that it condemns may or may not happen.
    Open(Removal),
    /// Its verdict is to remove nothing.
    Cancelled,
    /// Its verdict is to remove this; the collector is at work, or died.
    Unfinished(Removal),
    /// Its verdict is carried out.
    Done,
}

/// The listed records of a generation, by their word.
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

/// A listing of `gc/`.
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
                Some(Stamp { len_bytes: object.len_bytes, modified_s: object.modified_s });
        }
        // Trimming removes a generation's records one by one, `condemned` last; without it the rest
        // does not count.
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

    /// Returns the state of a generation of this listing, at the time of the listing.
    pub fn state(&self, repository: &Repository, number: u64) -> Result<GenerationState> {
        let words = self.words(number);
        if words.verdict.is_none() {
            return Ok(GenerationState::Open(self.condemned(repository, number)?.removal));
        }
        match self.read(repository, number, "verdict")?.content {
            RecordContent::Go(_) if words.done.is_some() => Ok(GenerationState::Done),
            RecordContent::Go(removal) => Ok(GenerationState::Unfinished(removal)),
            _ => Ok(GenerationState::Cancelled),
        }
    }

    /// Returns the removal that a generation of this listing condemns; an empty one if it was
    /// cancelled.
    pub(in crate::repo) fn removal(&self, repository: &Repository, number: u64) -> Result<Removal> {
        let word = if self.words(number).verdict.is_some() { "verdict" } else { "condemned" };
        Ok(match self.read(repository, number, word)?.content {
            RecordContent::Condemned(condemned) => condemned.removal,
            RecordContent::Go(removal) => removal,
            _ => Removal::default(),
        })
    }

    /// Returns whether the highest generation is open or unfinished, so that packs may be removed
    /// now.
    pub fn is_at_work(&self, repository: &Repository) -> Result<bool> {
        match self.highest() {
            0 => Ok(false),
            highest => Ok(matches!(
                self.state(repository, highest)?,
                GenerationState::Open(_) | GenerationState::Unfinished(_)
            )),
        }
    }

    /// Returns the generation below which records may have been trimmed.
    pub fn oldest(&self, repository: &Repository) -> Result<u64> {
        match self.highest() {
            0 => Ok(0),
            highest => Ok(self.condemned(repository, highest)?.oldest),
        }
    }

    /// Returns the packs that recorded verdicts remove.
    ///
    /// Their names are used up: such a pack that is listed was created again, too late to be relied
    /// on.
    pub fn removed_packs(&self, repository: &Repository) -> Result<HashSet<ObjectId>> {
        Ok(self
            .verdicts(repository)?
            .iter()
            .flat_map(|removal| &removal.packs)
            .map(|victim| victim.name)
            .collect())
    }

    /// Returns the snapshots that recorded verdicts drop.
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

    /// Returns the time at which a generation was opened, by the clock of its collector.
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
    /// Takes time in proportion to the listed generations, however far apart their numbers are.
    pub(in crate::repo) fn require_all(&self, repository: &Repository, first: u64) -> Result<()> {
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

    /// Returns whether a listed generation was cancelled; repairs report lost chunks by cancelled
    /// generations.
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

    /// Reads a record, from the local copy if the listing shows the same one.
    fn read(
        &self,
        repository: &Repository,
        number: u64,
        word: &'static str,
    ) -> Result<CollectorRecord> {
        match *self.words(number).of(word) {
            Some(stamp) => records::read_as_listed(repository, number, word, stamp),
            None => records::read_from_store(repository, number, word),
        }
    }
}

/// Returns the packs that collectors removed or are removing, and the runs that are so old that the
/// record of a removal of their packs may have been trimmed.
pub fn removed(index: &ChunkIndex) -> Result<Avoided> {
    let repository = index.repository();
    let generations = Generations::list(repository)?;
    let oldest = generations.oldest(repository)?;
    let (done, clean) = generations.newest_done(repository)?;
    let mut avoided = Avoided::default();
    // A generation without a verdict removes nothing, so its packs do not count: if they are
    // missing, they are lost. (A repair that died may have opened it.)
    for number in
        generations.numbers().filter(|number| *number >= oldest && !generations.is_open(*number))
    {
        avoided.packs.extend(
            generations.removal(repository, number)?.packs.iter().map(|victim| victim.name),
        );
    }
    let effective =
        |run: &Run| run.toc().generation.max(if clean.contains(&run.name()) { done } else { 0 });
    let runs = index.set().runs();
    avoided.stale_runs = runs
        .iter()
        .filter(|run| effective(run) < oldest.saturating_sub(1))
        .map(|run| run.name())
        .collect();
    Ok(avoided)
}

/// Opens a generation; returns false if another collector has already opened one with this number.
pub fn condemn(
    repository: &Repository,
    number: u64,
    now: Timestamp,
    condemned: Condemned,
) -> Result<bool> {
    Ok(records::write(repository, number, now, RecordContent::Condemned(condemned))?.is_none())
}

/// Writes the verdict of a generation, and returns the removal of this verdict, or of one that was
/// there before.
pub fn decide(
    repository: &Repository,
    number: u64,
    now: Timestamp,
    removal: Option<Removal>,
) -> Result<Option<Removal>> {
    let content = removal.clone().map_or(RecordContent::Cancel, RecordContent::Go);
    match records::write(repository, number, now, content)? {
        None => Ok(removal),
        Some(bytes) => match records::parse(repository, number, "verdict", &bytes)?.content {
            RecordContent::Go(removal) => Ok(Some(removal)),
            _ => Ok(None),
        },
    }
}

/// Records that a generation is finished, and which runs are clean.
pub fn finish(
    repository: &Repository,
    number: u64,
    now: Timestamp,
    runs: Vec<ObjectId>,
) -> Result<()> {
    records::write(repository, number, now, RecordContent::Done(Done { runs })).map(drop)
}
