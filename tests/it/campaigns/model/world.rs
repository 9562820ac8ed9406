//! The model's state: the objects in the store, and the step of each writer and collector.
//!
//! There is one chunk, which every snapshot needs. Every pack holds a copy of it, so what matters
//! of a pack is whether it is there and who names it. All sets are bits, and everything that can
//! ever exist has a fixed number.

use std::fmt;
use std::ops::{BitAnd, BitOr, BitOrAssign, Sub, SubAssign};

use super::admin::Admin;
use super::collector::Collector;
use super::reader::Reader;
use super::writer::Writer;

/// Writers, and collectors, at most.
pub const ACTORS: usize = 2;
/// Places that a writer may give its chunk, and ids under which it may try to commit: the first,
/// and another.
pub const ATTEMPTS: usize = 2;
/// Generations at most.
pub const GENERATIONS: usize = 3;
/// Runs that can ever be: one from before, one per upload of a writer, and per collector one of
/// survivors and one per generation.
pub const RUNS: usize = 1 + ACTORS * ATTEMPTS + ACTORS * (1 + GENERATIONS);
/// Snapshots that can ever be: the parent, and one per id of a writer.
pub const SNAPSHOTS: usize = 1 + ACTORS * ATTEMPTS;

/// The snapshot from before, which needs the chunk.
pub const PARENT: usize = 0;
/// The pack from before.
pub const OLD_PACK: usize = 0;
/// A second copy from before, in a scenario that has it.
pub const SECOND_OLD_PACK: usize = 1;
/// The run from before, which names the packs from before.
pub const OLD_RUN: usize = 0;

/// Returns the pack that a writer uploads, first or again.
pub fn writers_pack(writer: usize, attempt: u8) -> usize {
    2 + writer * ATTEMPTS + attempt as usize
}

/// Returns the pack into which a collector copies survivors.
pub fn survivors_pack(collector: usize) -> usize {
    2 + ACTORS * ATTEMPTS + collector
}

/// Returns the run that a writer publishes, first or again.
pub fn writers_run(writer: usize, attempt: u8) -> usize {
    1 + writer * ATTEMPTS + attempt as usize
}

/// Returns the run that names a collector's survivors.
pub fn survivors_run(collector: usize) -> usize {
    1 + ACTORS * ATTEMPTS + collector * (1 + GENERATIONS)
}

/// Returns the run into which a collector merges others in a generation.
pub fn merged_run(collector: usize, generation: u8) -> usize {
    survivors_run(collector) + 1 + generation as usize
}

/// Returns the first or second id under which a writer tries to commit.
pub fn writers_snapshot(writer: usize, attempt: u8) -> usize {
    1 + writer * ATTEMPTS + attempt as usize
}

/// A set of packs, runs or snapshots.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Set(pub u16);

impl Set {
    /// Returns the set with one member.
    pub fn of(member: usize) -> Self {
        Self(1 << member)
    }

    /// Returns whether something is in the set.
    pub fn has(self, member: usize) -> bool {
        self.0 & 1 << member != 0
    }

    /// Returns whether nothing is in the set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns whether the sets have a member in common.
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Returns the members.
    pub fn members(self) -> impl Iterator<Item = usize> {
        (0..16).filter(move |member| self.has(*member))
    }

    /// Returns the set of the lowest member alone, or the empty set.
    pub fn first(self) -> Self {
        Self(self.0 & self.0.wrapping_neg())
    }
}

impl BitOr for Set {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Set {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl BitAnd for Set {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Sub for Set {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl SubAssign for Set {
    fn sub_assign(&mut self, other: Self) {
        self.0 &= !other.0;
    }
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.members()).finish()
    }
}

/// An index run.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Run {
    /// The packs in which it places the chunk.
    pub names: Set,
    /// The runs that it replaces.
    pub replaces: Set,
    /// How many generations its maker knew: it names no pack that one of those removed.
    pub stamp: u8,
}

/// The commit slot of a snapshot, and the tombstone beside it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Slot {
    /// A snapshot is there.
    pub snapshot: bool,
    /// `Aborted` is there; on a store that creates exclusively never beside a snapshot.
    pub aborted: bool,
    /// Whether it is forgotten.
    pub tombstone: Tombstone,
}

impl Slot {
    /// Returns whether the slot is filled.
    pub fn is_filled(&self) -> bool {
        self.snapshot || self.aborted
    }
}

/// A mark that a snapshot is forgotten.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Tombstone {
    /// It is not forgotten.
    #[default]
    None,
    /// It is, and may still be brought back.
    Fresh,
    /// It is, and the trash window is over.
    Due,
}

/// What a session relies on: all its intents together.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Intent {
    /// There is one in the store.
    pub is_there: bool,
    /// The packs that it names.
    pub packs: Set,
    /// It names the parent.
    pub parent: bool,
}

/// The outcome of a generation.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// None yet.
    #[default]
    Open,
    /// An object with a part of its bytes: its author is writing, or died while it was.
    Torn,
    /// Nothing is removed.
    Cancel,
    /// These packs and these snapshots are removed.
    Go(Set, Set),
}

/// A generation of the collectors' log.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Generation {
    /// The packs that are condemned.
    pub condemned: Set,
    /// The forgotten snapshots that are to be dropped.
    pub drops: Set,
    /// That many generations, from the first on, may be gone from the log.
    pub oldest: u8,
    /// What was decided.
    pub verdict: Verdict,
    /// All that was decided has been done.
    pub is_done: bool,
    /// Runs that name no pack that this generation or an earlier one removed.
    pub clean: Set,
}

impl Generation {
    /// Returns whether nothing is left to do in it.
    pub fn is_closed(&self) -> bool {
        self.is_done || self.verdict == Verdict::Cancel
    }

    /// Returns the packs and snapshots that it condemns.
    pub fn condemns(&self) -> (Set, Set) {
        match self.verdict {
            Verdict::Open | Verdict::Torn => (self.condemned, self.drops),
            Verdict::Cancel => Default::default(),
            Verdict::Go(packs, snapshots) => (packs, snapshots),
        }
    }

    /// Returns the packs and snapshots that it removes for certain.
    pub fn removes(&self) -> (Set, Set) {
        if let Verdict::Go(packs, snapshots) = self.verdict {
            (packs, snapshots)
        } else {
            Default::default()
        }
    }
}

/// All there is at a moment.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct World {
    /// The packs in the store.
    pub packs: Set,
    /// The runs in the store.
    pub runs: Set,
    /// What each of them says.
    pub run: [Run; RUNS],
    /// The intents, by snapshot.
    pub intents: [Intent; SNAPSHOTS],
    /// The commit slots.
    pub slots: [Slot; SNAPSHOTS],
    /// The slots whose creation was sent and is on its way.
    pub late: Set,
    /// The packs whose creation was sent twice; the second one is on its way.
    pub repeated: Set,
    /// The collectors' log.
    pub log: [Generation; GENERATIONS],
    /// How many generations it has.
    pub log_len: u8,
    /// The records of that many of them are gone, from the first on.
    pub log_trimmed: u8,
    /// The writers.
    pub writers: [Writer; ACTORS],
    /// The collectors.
    pub collectors: [Collector; ACTORS],
    /// Who forgets and brings back.
    pub admin: Admin,
    /// Who restores.
    pub reader: Reader,
}

impl World {
    /// Returns the generations on record, with their numbers.
    pub fn on_record(&self) -> impl DoubleEndedIterator<Item = (u8, &Generation)> {
        (self.log_trimmed..self.log_len).map(|number| (number, &self.log[number as usize]))
    }

    /// Returns whether a record is unreadable.
    pub fn has_torn_record(&self) -> bool {
        self.on_record().any(|(_, generation)| generation.verdict == Verdict::Torn)
    }

    /// Returns the packs that verdicts on record remove: none of them is a place of the chunk,
    /// there or not.
    pub fn over(&self) -> Set {
        self.on_record().fold(Set::default(), |all, (_, generation)| all | generation.removes().0)
    }

    /// Returns the last generation, if there is one.
    pub fn last_generation(&self) -> Option<&Generation> {
        self.on_record().next_back().map(|(_, generation)| generation)
    }

    /// Returns the packs that some runs name, without the runs that one of them replaces.
    pub fn named_by(&self, runs: Set) -> Set {
        self.valid(runs).members().fold(Set::default(), |all, run| all | self.run[run].names)
    }

    /// Returns the runs that no other replaces.
    pub fn valid(&self, runs: Set) -> Set {
        runs - runs.members().fold(Set::default(), |all, run| all | self.run[run].replaces)
    }

    /// Puts a run into the store.
    pub fn add_run(&mut self, number: usize, run: Run) {
        // A run that is gone never comes back, so what replaced it does not matter any more.
        let replaces = run.replaces & self.runs;
        self.run[number] = Run { replaces, ..run };
        self.runs |= Set::of(number);
    }

    /// Removes runs from the store.
    pub fn remove_runs(&mut self, runs: Set) {
        self.runs -= runs;
        for (number, run) in self.run.iter_mut().enumerate() {
            run.replaces -= runs;
            if runs.has(number) {
                *run = Run::default();
            }
        }
        for generation in &mut self.log {
            generation.clean -= runs;
        }
    }

    /// Removes old records of the log.
    pub fn trim(&mut self, until: u8) {
        self.log_trimmed = self.log_trimmed.max(until);
        self.log[..self.log_trimmed as usize].fill(Generation::default());
    }
}
