//! The protocol as a model: who there is, which rules they keep, and what must always be true.

use std::fmt;

use super::checker::Model;
use super::world::{ACTORS, OLD_PACK, OLD_RUN, PARENT, Run, SECOND_OLD_PACK, Set, World};
use super::{admin, collector, expiry, invariants, reader, writer};

/// A rule that is broken on purpose. Each of these must lead to a violation, or the model would
/// prove nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    /// A writer commits without an intent.
    NoIntent,
    /// A writer does not list the generations again before it commits (I6).
    NoSecondLook,
    /// A writer that relies on the parent does not ask whether it is still there (rule P).
    NoRuleP,
    /// A writer relies on a parent that a generation condemns, while its slot is there.
    DoomedParentTaken,
    /// The collector drops a snapshot that an intent names as parent.
    IntentParentIgnored,
    /// A writer whose pack is condemned goes on if the pack is still there.
    NoRescueWhileThere,
    /// A writer that was not told whether it committed finds the slot empty, and creates it again.
    BlindRepeat,
    /// After condemning, the collector lists snapshots before intents (I5).
    SnapshotsBeforeIntents,
    /// After condemning, the collector looks at nothing again.
    NoLookAfterCondemning,
    /// After condemning, the collector does not look at the index again, and takes what it does not
    /// name for lost.
    NoIndexAfterCondemning,
    /// The collector reads the index before it lists what needs it, and takes what it does not name
    /// for lost.
    IndexBeforeRoots,
    /// The collector lists packs before runs, and leaves out of a merged run the packs that it did
    /// not see.
    PacksBeforeIndex,
    /// The collector removes what it copied before the index names the copies (I2).
    SurvivorsUnpublished,
    /// The run of survivors carries the generation that is only planned.
    SurvivorsStampedLate,
    /// A collector that lost the race for a generation takes the next number with its old plan.
    StalePlan,
    /// A collector opens a generation while another is open (I8).
    TwoOpen,
    /// A verdict replaces another.
    VerdictReplaced,
    /// An unreadable verdict is taken for Cancel.
    TornIsCancel,
    /// An unreadable verdict is taken for Go with all that was condemned.
    TornIsGo,
    /// A dead writer's intent is removed without filling its slot (I7).
    IntentUnburnt,
    /// Aborted slots are tidied away.
    AbortedRemoved,
    /// The records of a generation do not count any more once it is done (I9).
    DoneForgotten,
    /// A copy counts because the index names it, though its pack is not listed.
    UnlistedCopiesCount,
    /// A reader that misses a pack does not look for another place.
    ReaderKnowsOnePlace,
    /// A reader takes what one listing does not name for lost.
    ReaderGivesUp,
    /// Old records are trimmed, and runs of that age are believed all the same.
    StaleBelieved,
    /// Old records are trimmed, and a writer that has not seen them commits all the same (rule T).
    NoRuleT,
    /// A collector whose generation was trimmed creates its verdict, because the name is free.
    TrimmedVerdict,
    /// The collector drops a snapshot whose trash window is over without a second look at its
    /// tombstone.
    DropAtOnce,
    /// After condemning, the collector does not count a snapshot that became due meanwhile.
    NewlyDueIgnored,
    /// The collector takes a chunk that its listing of the index does not name for lost.
    MissingTolerated,
    /// A session expires on a store that does not create exclusively.
    ExpiryWithoutExclusion,
    /// There are two collectors on a store that does not create exclusively.
    TwoWithoutExclusion,
    /// A snapshot is brought back by a verdict on a store that does not create exclusively.
    CancelWithoutExclusion,
    /// The store sends the creation of a commit slot again by itself.
    RepeatedByStore,
    /// A pack that was removed and created again is a place of its chunks, because it is listed.
    ReturnedPacksCount,
}

/// Who takes part, and what can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// Backups.
    pub writers: usize,
    /// Collectors.
    pub collectors: usize,
    /// Generations at most.
    pub generations: u8,
    /// There is a snapshot already.
    pub parent: bool,
    /// There is a pack with the chunk already.
    pub old_pack: bool,
    /// There is a second copy of the chunk already.
    pub second_copy: bool,
    /// Writers may take over a subtree of the parent without reading it.
    pub reuse: bool,
    /// Collectors may copy survivors.
    pub repack: bool,
    /// Intents may expire.
    pub expiry: bool,
    /// Snapshots that may be forgotten.
    pub forget: Set,
    /// A forgotten snapshot may be brought back.
    pub undelete: bool,
    /// A commit may succeed, at once or later, without the writer's knowing.
    pub unknown_commit: bool,
    /// The store may send the creation of a pack again by itself; and intents of sessions that are
    /// over go.
    pub repeats: bool,
    /// A verdict may be seen while it is written.
    pub torn: bool,
    /// Creation fails if the object exists; where it does not, no session expires and there is one
    /// collector.
    pub exclusive: bool,
    /// Records of all generations but the last may be trimmed.
    pub trim: bool,
    /// Collectors open generations in which there is nothing to remove.
    pub idle: bool,
    /// Collectors replace all runs, and not only those that name victims.
    pub merge_all: bool,
    /// A listing of the index may miss what appears while it is made.
    pub slow_listing: bool,
    /// Somebody restores.
    pub reader: bool,
    /// The rule that is broken.
    pub breach: Option<Breach>,
}

impl Scenario {
    /// The least: one snapshot, that can be forgotten; one generation.
    pub const BASE: Self = Self {
        name: "base",
        writers: 1,
        collectors: 1,
        generations: 1,
        parent: true,
        old_pack: true,
        second_copy: false,
        reuse: false,
        repack: false,
        expiry: false,
        forget: Set(1 << PARENT),
        undelete: false,
        unknown_commit: false,
        repeats: false,
        torn: false,
        exclusive: true,
        trim: false,
        idle: false,
        merge_all: false,
        slow_listing: false,
        reader: false,
        breach: None,
    };

    /// Returns whether a rule is broken.
    pub fn breaks(&self, breach: Breach) -> bool {
        self.breach == Some(breach)
    }
}

/// Who does something.
#[derive(Clone, Copy)]
pub enum Who {
    /// A backup.
    Writer(usize),
    /// A collector.
    Collector(usize),
    /// Whoever tidies up intents.
    Expiry,
    /// Who forgets and undeletes.
    Admin,
    /// Who restores.
    Reader,
    /// The store.
    Store,
}

/// Something that happens.
#[derive(Clone, Copy)]
pub struct Step {
    /// Who does it.
    pub who: Who,
    /// What.
    pub what: &'static str,
    /// The packs, runs or the snapshot that it is about.
    pub with: Set,
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.who {
            Who::Writer(number) => write!(f, "writer {number}: ")?,
            Who::Collector(number) => write!(f, "collector {number}: ")?,
            Who::Expiry => f.write_str("expiry: ")?,
            Who::Admin => f.write_str("administrator: ")?,
            Who::Reader => f.write_str("reader: ")?,
            Who::Store => f.write_str("store: ")?,
        }
        f.write_str(self.what)?;
        if self.with.is_empty() { Ok(()) } else { write!(f, " {:?}", self.with) }
    }
}

/// Takes the steps of one actor.
pub struct Stage<'a> {
    /// Who acts.
    pub who: Who,
    visit: &'a mut dyn FnMut(Step, World),
}

impl Stage<'_> {
    /// Tells a step and what the world is like after it.
    pub fn step(&mut self, what: &'static str, with: Set, after: World) {
        (self.visit)(Step { who: self.who, what, with }, after);
    }
}

impl Model for Scenario {
    type State = World;
    type Step = Step;

    fn start(&self) -> World {
        let there = [(OLD_PACK, self.old_pack), (SECOND_OLD_PACK, self.second_copy)];
        let packs = there
            .iter()
            .filter(|(_, is_there)| *is_there)
            .fold(Set::default(), |all, (pack, _)| all | Set::of(*pack));
        let mut world = World {
            packs,
            runs: Set::default(),
            run: Default::default(),
            intents: Default::default(),
            slots: Default::default(),
            late: Set::default(),
            repeated: Set::default(),
            log: Default::default(),
            log_len: 0,
            log_trimmed: 0,
            writers: Default::default(),
            collectors: Default::default(),
            admin: Default::default(),
            reader: Default::default(),
        };
        world.add_run(OLD_RUN, Run { names: packs, ..Run::default() });
        world.slots[PARENT].snapshot = self.parent;
        world
    }

    fn next(&self, world: &World, visit: &mut dyn FnMut(Step, World)) {
        for number in 0..self.writers.min(ACTORS) {
            writer::steps(self, world, number, &mut Stage { who: Who::Writer(number), visit });
        }
        for number in 0..self.collectors.min(ACTORS) {
            collector::steps(
                self,
                world,
                number,
                &mut Stage { who: Who::Collector(number), visit },
            );
        }
        expiry::steps(self, world, &mut Stage { who: Who::Expiry, visit });
        writer::arrivals(self, world, &mut Stage { who: Who::Store, visit });
        admin::steps(self, world, &mut Stage { who: Who::Admin, visit });
        if self.reader {
            reader::steps(self, world, &mut Stage { who: Who::Reader, visit });
        }
    }

    fn violation(&self, world: &World) -> Option<&'static str> {
        invariants::violation(self, world)
    }

    fn witnesses(&self, world: &World) -> u32 {
        invariants::witnesses(self, world)
    }
}
