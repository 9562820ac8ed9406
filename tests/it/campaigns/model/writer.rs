//! A backup, one call of the store at a time (`format-spec/13-commit.md`, section 3). It may stop
//! for ever at any step, which is what dying means, or go on at any later time, which is what
//! sleeping means.

use super::protocol::{Breach, Scenario, Stage};
use super::world::{
    ATTEMPTS, GENERATIONS, Intent, PARENT, Run, Set, Verdict, World, writers_pack, writers_run,
    writers_snapshot,
};

/// What a writer does next.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Next {
    /// Lists snapshots, to find a parent.
    #[default]
    FindParent,
    /// W1: lists the log.
    ListLog,
    /// W2: lists and fetches the index.
    SyncIndex,
    /// W3: decides where its chunk is: in a pack that it knows, in a new one, or in what the parent
    /// has.
    Place,
    /// W3: publishes the run of its new pack.
    Publish,
    /// W4: creates an intent.
    Intend,
    /// W5: lists the log again.
    LookAgain,
    /// W5: lists snapshots, to see whether the parent is there.
    CheckParent,
    /// W7: creates the snapshot.
    Commit,
    /// Was not told whether the snapshot was created.
    Unsure,
    /// Nothing: it has committed.
    Done,
    /// Nothing: it has failed, without a snapshot.
    GaveUp,
}

/// What a writer knows of the log while it fetches the index.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Horizon {
    /// What each generation condemns.
    condemned: [Set; GENERATIONS],
    /// The newest that is done, counted from one, and the runs that it found clean.
    clean: (u8, Set),
    /// Records of that many generations may be gone.
    oldest: u8,
}

/// Where a writer stands.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Writer {
    /// What it does next.
    pub next: Next,
    /// Whether its chunk is stored first or again.
    pub upload: u8,
    /// Whether it commits under its first or another id.
    pub id: u8,
    /// Generations that it knew in W1.
    pub seen: u8,
    horizon: Horizon,
    /// Packs that it may rely on.
    usable: Set,
    /// Packs that it relies on.
    pub relied: Set,
    /// It knows a parent.
    knows_parent: bool,
    /// It relies on the parent.
    pub reuses: bool,
    /// It met a conflict.
    pub resolved: bool,
    /// It committed when it had seen an open or unfinished generation.
    pub beside: bool,
}

/// Tells what a writer can do now.
pub fn steps(scenario: &Scenario, world: &World, number: usize, stage: &mut Stage<'_>) {
    let writer = world.writers[number];
    let snapshot = writers_snapshot(number, writer.id);
    let mut after = *world;
    let me = &mut after.writers[number];
    match writer.next {
        Next::FindParent => {
            me.knows_parent = scenario.reuse && world.slots[PARENT].snapshot;
            me.next = Next::ListLog;
            stage.step("lists snapshots to find a parent", Set::default(), after);
        }
        // A record that cannot be read stops it: what that condemns is unknown.
        Next::ListLog | Next::LookAgain
            if world.has_torn_record() && !scenario.breaks(Breach::TornIsCancel) => {}
        Next::ListLog => {
            me.seen = world.log_len;
            me.horizon = horizon(scenario, world);
            me.next = Next::SyncIndex;
            stage.step("W1 lists the log", Set::default(), after);
        }
        Next::SyncIndex => {
            me.usable = usable(scenario, world, &writer.horizon);
            me.horizon = Horizon::default();
            me.next = Next::Place;
            stage.step("W2 fetches the index; usable are packs", me.usable, after);
        }
        Next::Place => place(scenario, world, number, stage),
        Next::Publish => {
            let names = Set::of(writers_pack(number, writer.upload));
            me.relied = names;
            me.next = first_of_commit(scenario);
            after.add_run(
                writers_run(number, writer.upload),
                Run { names, stamp: writer.seen, ..Run::default() },
            );
            stage.step("W3 publishes the run of its pack", names, after);
        }
        Next::Intend => {
            me.next = Next::LookAgain;
            let old = world.intents[snapshot];
            after.intents[snapshot] = Intent {
                is_there: true,
                packs: old.packs | writer.relied,
                parent: old.parent || writer.reuses,
            };
            stage.step("W4 creates an intent that relies on packs", writer.relied, after);
        }
        Next::LookAgain => look_again(scenario, world, number, stage),
        Next::CheckParent => {
            let is_there = world.slots[PARENT].snapshot;
            me.next = Next::Commit;
            if !is_there {
                resolve(me);
            }
            stage.step(
                if is_there { "W5 finds the parent" } else { "W5 misses the parent" },
                Set::default(),
                after,
            );
        }
        Next::Commit => commit(scenario, world, number, stage),
        Next::Unsure => {
            let is_there = world.slots[snapshot].snapshot;
            me.next = if is_there { Next::Done } else { Next::Commit };
            if !is_there && !scenario.breaks(Breach::BlindRepeat) {
                take_new_id(me);
            }
            stage.step(
                if is_there { "finds its snapshot" } else { "finds its slot empty" },
                Set::of(snapshot),
                after,
            );
        }
        Next::Done | Next::GaveUp => {}
    }
}

fn first_of_commit(scenario: &Scenario) -> Next {
    if scenario.breaks(Breach::NoIntent) { Next::LookAgain } else { Next::Intend }
}

/// Returns what can be learned from the log.
fn horizon(scenario: &Scenario, world: &World) -> Horizon {
    let mut horizon = Horizon::default();
    for (number, generation) in world.on_record() {
        let is_ignored = (generation.is_done && scenario.breaks(Breach::DoneForgotten))
            || generation.verdict == Verdict::Torn;
        if !is_ignored {
            horizon.condemned[number as usize] = generation.condemns().0;
        }
        if generation.is_done {
            horizon.clean = (number + 1, generation.clean);
        }
        horizon.oldest = generation.oldest;
    }
    horizon
}

/// Returns the packs that runs name, leaving out stale runs, and of each run what generations above
/// its own condemn.
fn usable(scenario: &Scenario, world: &World, horizon: &Horizon) -> Set {
    let mut usable = Set::default();
    for number in world.valid(world.runs).members() {
        let run = &world.run[number];
        let is_clean = horizon.clean.1.has(number);
        let effective = if is_clean { run.stamp.max(horizon.clean.0) } else { run.stamp };
        if effective < horizon.oldest && !scenario.breaks(Breach::StaleBelieved) {
            continue;
        }
        let above = &horizon.condemned[(effective as usize).min(GENERATIONS)..];
        usable |= run.names - above.iter().fold(Set::default(), |all, condemned| all | *condemned);
    }
    usable
}

fn place(scenario: &Scenario, world: &World, number: usize, stage: &mut Stage<'_>) {
    let writer = world.writers[number];
    let mut after = *world;
    after.writers[number].usable = Set::default();
    after.writers[number].next = first_of_commit(scenario);
    for pack in writer.usable.members() {
        after.writers[number].relied = Set::of(pack);
        stage.step("W3 relies on pack", Set::of(pack), after);
    }
    after.writers[number].relied = Set::default();
    after.writers[number].knows_parent = false;
    if writer.knows_parent {
        after.writers[number].reuses = true;
        stage.step("W3 relies on the parent", Set::default(), after);
    }
    after.writers[number].reuses = false;
    after.writers[number].next = Next::Publish;
    let pack = Set::of(writers_pack(number, writer.upload));
    after.packs |= pack;
    if scenario.repeats {
        after.repeated |= pack;
    }
    stage.step("W3 uploads pack", pack, after);
}

fn look_again(scenario: &Scenario, world: &World, number: usize, stage: &mut Stage<'_>) {
    let writer = world.writers[number];
    let mut after = *world;
    let me = &mut after.writers[number];
    let log = horizon(scenario, world);
    let mut condemned =
        log.condemned.iter().fold(Set::default(), |all, condemned| all | *condemned)
            & writer.relied;
    if scenario.breaks(Breach::NoRescueWhileThere) {
        condemned -= world.packs;
    }
    let drops_parent = writer.reuses
        && world.on_record().any(|(_, generation)| generation.condemns().1.has(PARENT));
    let is_trimmed = world.log_trimmed > writer.seen && !scenario.breaks(Breach::NoRuleT);
    let is_conflict = !condemned.is_empty()
        || is_trimmed
        || (drops_parent && !scenario.breaks(Breach::DoomedParentTaken));
    if is_conflict && !scenario.breaks(Breach::NoSecondLook) {
        resolve(me);
        stage.step("W5 finds a conflict; condemned are", condemned, after);
        return;
    }
    let checks_parent = writer.reuses && !scenario.breaks(Breach::NoRuleP);
    me.next = if checks_parent { Next::CheckParent } else { Next::Commit };
    me.beside = world.last_generation().is_some_and(|last| !last.is_closed());
    stage.step("W5 finds no conflict", Set::default(), after);
}

/// Tells which creations that were on their way can be carried out now.
pub fn arrivals(scenario: &Scenario, world: &World, stage: &mut Stage<'_>) {
    for pack in world.repeated.members().map(Set::of) {
        let mut after = *world;
        after.repeated -= pack;
        after.packs |= pack;
        stage.step("creates a pack again", pack, after);
    }
    for id in world.late.members() {
        let mut after = *world;
        after.late -= Set::of(id);
        if !(scenario.exclusive && world.slots[id].is_filled()) {
            after.slots[id].snapshot = true;
        }
        stage.step("carries out a commit that was sent before", Set::of(id), after);
    }
}

/// W6: looks everything up again and stores again what is condemned; from then on it relies on no
/// parent.
fn resolve(me: &mut Writer) {
    let upload = me.upload + 1;
    *me = Writer { next: Next::ListLog, id: me.id, upload, resolved: true, ..Writer::default() };
    if usize::from(upload) == ATTEMPTS {
        *me = Writer { next: Next::GaveUp, ..Writer::default() };
    }
}

fn take_new_id(me: &mut Writer) {
    me.id += 1;
    me.next = Next::Intend;
    if usize::from(me.id) == ATTEMPTS {
        *me = Writer { next: Next::GaveUp, ..Writer::default() };
    }
}

fn commit(scenario: &Scenario, world: &World, number: usize, stage: &mut Stage<'_>) {
    let snapshot = writers_snapshot(number, world.writers[number].id);
    let mut after = *world;
    if scenario.exclusive && world.slots[snapshot].is_filled() {
        take_new_id(&mut after.writers[number]);
        stage.step("W7 finds its slot filled and takes a new id", Set::of(snapshot), after);
        return;
    }
    if scenario.unknown_commit {
        after.writers[number].next = Next::Unsure;
        after.late |= Set::of(snapshot);
        stage.step("W7 sends its commit, and is not told", Set::of(snapshot), after);
        after.late = world.late;
    }
    after.slots[snapshot].snapshot = true;
    if scenario.breaks(Breach::RepeatedByStore) {
        after.late |= Set::of(snapshot);
    }
    if scenario.unknown_commit {
        stage.step("W7 commits without being told", Set::of(snapshot), after);
    }
    after.writers[number].next = Next::Done;
    stage.step("W7 commits", Set::of(snapshot), after);
}
