//! A collector, one call of the store at a time (`format-spec/13-commit.md`, section 4): planning
//! and judging, C1 to C6. Finishing, C7, is in `finish`.

use super::finish;
use super::protocol::{Breach, Scenario, Stage};
use super::world::{
    Generation, PARENT, Run, SNAPSHOTS, Set, Tombstone, Verdict, World, survivors_pack,
    survivors_run,
};

/// What a collector does next.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Next {
    /// C1: lists the log.
    #[default]
    ListLog,
    /// C2: lists intents.
    ListIntents,
    /// C2: lists snapshots and tombstones.
    ListSnapshots,
    /// C3: fetches the index.
    SyncIndex,
    /// C3: lists packs, and makes a plan.
    Plan,
    /// C3: uploads the pack of survivors.
    CopySurvivors,
    /// C3: publishes the run that names it.
    PublishSurvivors,
    /// C4: creates the record that condemns.
    Condemn,
    /// C5: lists intents again.
    IntentsAgain,
    /// C5: lists snapshots and tombstones again.
    SnapshotsAgain,
    /// C5: fetches the index again.
    IndexAgain,
    /// C5 and C6: lists packs again, and creates the verdict.
    Judge,
    /// C6: writes the rest of a verdict that can be seen already.
    CompleteVerdict,
    /// C7: removes the slots of dropped snapshots.
    DropSnapshots,
    /// C7: lists and fetches runs.
    ListRuns,
    /// C7: lists packs.
    ListPacks,
    /// C7: creates the run that replaces others.
    Merge,
    /// C7: removes the runs that it replaces.
    RemoveRuns,
    /// C7: removes packs.
    RemovePacks,
    /// C7: creates the record that all is done.
    RecordDone,
    /// Nothing: there have been enough generations.
    Stopped,
}

/// Where a collector stands.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Collector {
    /// What it does next.
    pub next: Next,
    /// Its generation.
    pub generation: u8,
    /// Packs that intents name.
    relied: Set,
    /// An intent names the parent.
    keeps_parent: bool,
    /// Snapshots that need the chunk.
    snapshots: Set,
    /// Those that needed it when it planned: they need not be marked again.
    marked: Set,
    /// Runs that were there when a slow listing began.
    listing_from: Option<Set>,
    /// Packs that the index names; in C7, what the merged run will name.
    pub index: Set,
    /// Runs that it listed; in C7, those that will be replaced.
    pub listed: Set,
    /// In C7, runs that name no pack that was removed.
    pub clean: Set,
    /// Packs that are to be removed.
    pub victims: Set,
    /// Forgotten snapshots that are to be dropped.
    pub drops: Set,
    /// It has copied survivors.
    has_copied: bool,
}

impl Collector {
    /// Returns a collector that starts over.
    pub fn anew(self) -> Self {
        Self { has_copied: self.has_copied, ..Self::default() }
    }

    /// Returns a collector that has no use for its listings any more.
    fn without_listings(self) -> Self {
        let Self { next, generation, victims, drops, has_copied, .. } = self;
        Self { next, generation, victims, drops, has_copied, ..Self::default() }
    }
}

/// Tells what a collector can do now.
pub fn steps(scenario: &Scenario, world: &World, number: usize, stage: &mut Stage<'_>) {
    let collector = world.collectors[number];
    let mut after = *world;
    let me = &mut after.collectors[number];
    match collector.next {
        Next::ListLog => list_log(scenario, world, number, stage),
        Next::ListIntents => {
            list_intents(scenario, world, me);
            me.next = Next::ListSnapshots;
            stage.step("C2 lists intents; they rely on packs", me.relied, after);
        }
        Next::ListSnapshots => {
            list_snapshots(scenario, world, me);
            me.next = if scenario.breaks(Breach::IndexBeforeRoots) {
                Next::Plan
            } else {
                Next::SyncIndex
            };
            stage.step("C2 lists snapshots; needed by", me.snapshots, after);
        }
        Next::SyncIndex => {
            let is_early = scenario.breaks(Breach::IndexBeforeRoots);
            let next = if is_early { Next::ListIntents } else { Next::Plan };
            sync_index(scenario, world, number, next, stage);
        }
        Next::Plan => plan(scenario, world, number, stage),
        Next::CopySurvivors | Next::PublishSurvivors => {
            copy_survivors(scenario, world, number, stage)
        }
        Next::Condemn => condemn(scenario, world, number, stage),
        Next::IntentsAgain => {
            list_intents(scenario, world, me);
            me.next = if scenario.breaks(Breach::SnapshotsBeforeIntents) {
                Next::IndexAgain
            } else {
                Next::SnapshotsAgain
            };
            stage.step("C5 lists intents; they rely on packs", me.relied, after);
        }
        Next::SnapshotsAgain => {
            list_snapshots(scenario, world, me);
            let is_final = scenario.breaks(Breach::DropAtOnce);
            let there = me.snapshots | me.drops;
            me.drops = if is_final { collector.drops } else { me.drops & collector.drops };
            if !scenario.breaks(Breach::NewlyDueIgnored) {
                // What has become due since is dropped by no generation yet.
                me.snapshots = there - me.drops;
            }
            me.next = if scenario.breaks(Breach::SnapshotsBeforeIntents) {
                Next::IntentsAgain
            } else {
                Next::IndexAgain
            };
            stage.step("C5 lists snapshots; dropped are", me.drops, after);
        }
        Next::IndexAgain if scenario.breaks(Breach::NoIndexAfterCondemning) => {
            me.next = Next::Judge;
            stage.step("C5 keeps the index that it has", me.index, after);
        }
        Next::IndexAgain => sync_index(scenario, world, number, Next::Judge, stage),
        Next::Judge => judge(scenario, world, number, stage),
        Next::CompleteVerdict => {
            let record = &mut after.log[collector.generation as usize];
            record.verdict = verdict(collector.victims, collector.drops);
            go_on(me, record.verdict);
            stage.step("C6 writes the rest of its verdict", Set::default(), after);
        }
        Next::Stopped => {}
        _ => finish::steps(scenario, world, number, stage),
    }
}

/// C1: begins, takes part in an open generation, or finishes a decided one.
fn list_log(scenario: &Scenario, world: &World, number: usize, stage: &mut Stage<'_>) {
    let mut after = *world;
    let me = &mut after.collectors[number];
    let last = world
        .last_generation()
        .filter(|last| !last.is_closed() && !scenario.breaks(Breach::TwoOpen));
    let Some(last) = last else {
        me.generation = world.log_len;
        me.next = if scenario.breaks(Breach::IndexBeforeRoots) {
            Next::SyncIndex
        } else {
            Next::ListIntents
        };
        if world.log_len >= scenario.generations {
            *me = Collector { next: Next::Stopped, ..Collector::default() };
        }
        stage.step("C1 lists the log", Set::default(), after);
        return;
    };
    me.generation = world.log_len - 1;
    (me.victims, me.drops) = last.condemns();
    match last.verdict {
        Verdict::Torn if scenario.breaks(Breach::TornIsGo) => {
            me.next = Next::DropSnapshots;
            stage.step("C1 takes a torn verdict for Go with", last.condemned, after);
        }
        // It may still be completed: nothing can be done. A later listing may find it whole.
        Verdict::Torn => {}
        Verdict::Go(victims, _) => {
            me.next = Next::DropSnapshots;
            stage.step("C1 goes on to finish a generation that removes", victims, after);
        }
        Verdict::Open | Verdict::Cancel => {
            me.next = Next::IntentsAgain;
            stage.step("C1 takes part in the generation that condemns", last.condemned, after);
        }
    }
}

fn list_intents(scenario: &Scenario, world: &World, me: &mut Collector) {
    let intents = world.intents.iter().filter(|intent| intent.is_there);
    me.keeps_parent = !scenario.breaks(Breach::IntentParentIgnored)
        && intents.clone().any(|intent| intent.parent);
    me.relied = intents.fold(Set::default(), |all, intent| all | intent.packs);
}

/// Notes what is to be dropped, and that all others need the chunk.
fn list_snapshots(scenario: &Scenario, world: &World, me: &mut Collector) {
    let there = (0..SNAPSHOTS).filter(|id| world.slots[*id].snapshot);
    let due = |id: &usize| {
        world.slots[*id].tombstone == Tombstone::Due && !(*id == PARENT && me.keeps_parent)
    };
    let (drops, snapshots): (Vec<_>, Vec<_>) = there.partition(due);
    me.drops = drops.into_iter().fold(Set::default(), |all, id| all | Set::of(id));
    me.snapshots = snapshots.into_iter().fold(Set::default(), |all, id| all | Set::of(id));
    if scenario.breaks(Breach::SnapshotsBeforeIntents) {
        me.keeps_parent = false;
    }
}

/// Fetches the index, in one moment or, where listings take time, in two.
fn sync_index(
    scenario: &Scenario,
    world: &World,
    number: usize,
    next: Next,
    stage: &mut Stage<'_>,
) {
    let mut after = *world;
    let me = &mut after.collectors[number];
    if !scenario.slow_listing {
        (me.index, me.next) = (world.named_by(world.runs), next);
        stage.step("fetches the index; it names", me.index, after);
        return;
    }
    let Some(from) = me.listing_from.take() else {
        me.listing_from = Some(world.runs);
        stage.step("begins to list the index", Set::default(), after);
        return;
    };
    me.next = next;
    for seen in [world.runs, world.runs & from] {
        after.collectors[number].index = world.named_by(seen);
        stage.step("has fetched the index; it names", after.collectors[number].index, after);
    }
}

/// Chooses victims: all but what is relied on and one copy of what is needed, or all but a new
/// copy.
fn plan(scenario: &Scenario, world: &World, number: usize, stage: &mut Stage<'_>) {
    let collector = world.collectors[number];
    let is_listed = !scenario.breaks(Breach::UnlistedCopiesCount);
    let copies =
        if is_listed { collector.index & places(scenario, world) } else { collector.index };
    let mut after = *world;
    let me = &mut after.collectors[number];
    *me = Collector {
        marked: collector.snapshots,
        next: Next::Condemn,
        ..collector.without_listings()
    };
    me.victims = world.packs - collector.relied;
    let tolerates =
        scenario.breaks(Breach::MissingTolerated) || scenario.breaks(Breach::IndexBeforeRoots);
    if copies.is_empty() && !collector.snapshots.is_empty() && !tolerates {
        *me = collector.anew();
        stage.step("C3 misses a chunk and starts over", Set::default(), after);
        return;
    }
    if copies.is_empty() || collector.snapshots.is_empty() {
        propose(scenario, number, &after, stage);
        return;
    }
    let victims = me.victims;
    for copy in copies.members() {
        after.collectors[number].victims = victims - Set::of(copy);
        propose(scenario, number, &after, stage);
    }
    if scenario.repack && !collector.has_copied {
        after.collectors[number].victims = victims;
        after.collectors[number].next = Next::CopySurvivors;
        stage.step("C3 plans to copy the chunk and to remove", victims, after);
    }
}

/// Returns the packs that are listed and that no verdict removes, be they there again or still.
pub fn places(scenario: &Scenario, world: &World) -> Set {
    if scenario.breaks(Breach::ReturnedPacksCount) {
        world.packs
    } else {
        world.packs - world.over()
    }
}

fn propose(scenario: &Scenario, number: usize, after: &World, stage: &mut Stage<'_>) {
    let mut after = *after;
    let me = &mut after.collectors[number];
    let victims = me.victims;
    if victims.is_empty() && me.drops.is_empty() && !scenario.idle {
        // Nothing can be gained now; it may look again later.
        *me = me.anew();
    }
    stage.step("C3 plans to remove", victims, after);
}

fn copy_survivors(scenario: &Scenario, world: &World, number: usize, stage: &mut Stage<'_>) {
    let mut after = *world;
    let me = &mut after.collectors[number];
    let pack = Set::of(survivors_pack(number));
    me.has_copied = true;
    if me.next == Next::CopySurvivors {
        me.next = if scenario.breaks(Breach::SurvivorsUnpublished) {
            Next::Condemn
        } else {
            Next::PublishSurvivors
        };
        after.packs |= pack;
        stage.step("C3 copies the chunk to pack", pack, after);
    } else {
        me.next = Next::Condemn;
        let is_late = scenario.breaks(Breach::SurvivorsStampedLate);
        let stamp = if is_late { me.generation + 1 } else { me.generation };
        after.add_run(survivors_run(number), Run { names: pack, stamp, ..Run::default() });
        stage.step("C3 publishes the run of pack", pack, after);
    }
}

/// C4: opens a generation, unless somebody else did.
fn condemn(scenario: &Scenario, world: &World, number: usize, stage: &mut Stage<'_>) {
    let collector = world.collectors[number];
    let mut after = *world;
    let is_closed = world.last_generation().is_none_or(Generation::is_closed);
    let takes_next =
        scenario.breaks(Breach::TwoOpen) || (scenario.breaks(Breach::StalePlan) && is_closed);
    let mut place = collector.generation;
    if world.log_len > place {
        if takes_next && world.log_len < scenario.generations {
            place = world.log_len;
        } else if scenario.exclusive || place < world.log_trimmed {
            // Where the name is free again because the record was trimmed, a look at the log tells
            // that it is over.
            after.collectors[number] = collector.anew();
            stage.step(
                "C4 finds that its generation exists and starts over",
                Set::default(),
                after,
            );
            return;
        }
    }
    let me = &mut after.collectors[number];
    me.generation = place;
    me.next = if scenario.breaks(Breach::SnapshotsBeforeIntents) {
        Next::SnapshotsAgain
    } else {
        Next::IntentsAgain
    };
    if scenario.breaks(Breach::NoLookAfterCondemning) {
        me.next = Next::Judge;
    }
    let oldest = if scenario.trim { place } else { 0 };
    after.log[place as usize] = Generation {
        condemned: collector.victims,
        drops: collector.drops,
        oldest,
        ..Generation::default()
    };
    after.log_len = world.log_len.max(place + 1);
    stage.step("C4 condemns", collector.victims, after);
}

/// C5 and C6: spares what has to be spared and creates the verdict, unless somebody else did.
fn judge(scenario: &Scenario, world: &World, number: usize, stage: &mut Stage<'_>) {
    let collector = world.collectors[number];
    let place = collector.generation as usize;
    let mut after = *world;
    let me = &mut after.collectors[number];
    let is_over = collector.generation < world.log_trimmed;
    let is_new = is_over || world.log[place].verdict == Verdict::Open;
    let replaces = !scenario.exclusive || scenario.breaks(Breach::VerdictReplaced);
    if is_over && !scenario.breaks(Breach::TrimmedVerdict) {
        // The name was free again; a look at the log after creating it tells that the generation is
        // over.
        *me = collector.anew();
        stage.step("C6 finds that its generation is over", Set::default(), after);
        return;
    }
    if !is_new && !replaces {
        go_on(me, world.log[place].verdict);
        stage.step("C6 finds a verdict", Set::default(), after);
        return;
    }
    let (victims, drops) = spare(scenario, world, &collector);
    if scenario.torn {
        *me = Collector {
            next: Next::CompleteVerdict,
            victims,
            drops,
            ..collector.without_listings()
        };
        after.log[place].verdict = Verdict::Torn;
        stage.step("C6 writes the first bytes of its verdict, to remove", victims, after);
        return;
    }
    go_on(me, verdict(victims, drops));
    if !is_over {
        after.log[place].verdict = verdict(victims, drops);
    }
    stage.step("C6 decides to remove", victims, after);
}

fn verdict(victims: Set, drops: Set) -> Verdict {
    if victims.is_empty() && drops.is_empty() {
        Verdict::Cancel
    } else {
        Verdict::Go(victims, drops)
    }
}

/// Does what a verdict says.
fn go_on(me: &mut Collector, verdict: Verdict) {
    *me = match verdict {
        Verdict::Go(victims, drops) => {
            Collector { next: Next::DropSnapshots, victims, drops, ..me.without_listings() }
        }
        _ => me.anew(),
    };
}

/// Returns the victims without what an intent relies on, and without one copy of what is needed if
/// there would be none.
fn spare(scenario: &Scenario, world: &World, collector: &Collector) -> (Set, Set) {
    if scenario.breaks(Breach::NoLookAfterCondemning) {
        return (collector.victims, collector.drops);
    }
    let mut victims = collector.victims - collector.relied;
    let copies = collector.index & places(scenario, world);
    let is_copied = scenario.breaks(Breach::SurvivorsUnpublished) && collector.has_copied;
    let needing = collector.snapshots - collector.marked;
    if needing.is_empty() || !(copies - victims).is_empty() || is_copied {
        return (victims, collector.drops);
    }
    let tolerates = scenario.breaks(Breach::MissingTolerated)
        || scenario.breaks(Breach::NoIndexAfterCondemning);
    if copies.is_empty() && !tolerates {
        // A listing may have missed it: nothing is removed.
        return Default::default();
    }
    victims -= (copies & victims).first();
    (victims, collector.drops)
}
