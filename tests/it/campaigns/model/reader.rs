//! A restore while everything else runs (`format-spec/13-commit.md`, section 5). It may be slow,
//! and it may fail when its snapshot is dropped; but it must not take what went away for damage.

use super::protocol::{Breach, Scenario, Stage};
use super::world::{Generation, Set, World};

/// What a reader does next.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Next {
    /// Lists snapshots and chooses one.
    #[default]
    Choose,
    /// Lists and fetches the index.
    ListIndex,
    /// Reads the chunk.
    Read,
    /// Finds out why there is no place of the chunk.
    Doubt,
    /// Nothing: it has what it wanted.
    Done,
    /// Nothing: its snapshot was dropped.
    Dropped,
    /// Nothing: it has told that the repository is damaged.
    Alarmed,
}

/// Where a reader stands.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Reader {
    /// What it does next.
    pub next: Next,
    /// The snapshot that it restores.
    snapshot: u8,
    /// Packs that it did not find.
    missed: Set,
    /// Runs that were there when the listing began.
    from: Option<Set>,
    /// The runs of its last listing.
    runs: Set,
    /// The length of the log when the listing began, if nobody was removing anything.
    quiet: Option<u8>,
    /// The runs of the listing before, and the length of the log, if it was quiet all the time.
    before: Option<(Set, u8)>,
    /// Where the chunk may be.
    places: Set,
    /// It had to look again.
    pub has_doubted: bool,
}

/// Tells what the reader can do now.
pub fn steps(scenario: &Scenario, world: &World, stage: &mut Stage<'_>) {
    let reader = world.reader;
    let mut after = *world;
    let me = &mut after.reader;
    match reader.next {
        Next::Choose => {
            for (id, _) in world.slots.iter().enumerate().filter(|(_, slot)| slot.snapshot) {
                after.reader = Reader { next: Next::ListIndex, snapshot: id as u8, ..reader };
                stage.step("chooses a snapshot", Set::of(id), after);
            }
        }
        Next::ListIndex => list_index(scenario, world, stage),
        Next::Read if reader.places.is_empty() => {
            me.next = Next::Doubt;
            stage.step("finds no place of its chunk", Set::default(), after);
        }
        Next::Read => {
            for place in reader.places.members() {
                let me = &mut after.reader;
                *me = Reader {
                    next: Next::Done,
                    has_doubted: reader.has_doubted,
                    ..Reader::default()
                };
                if !world.packs.has(place) {
                    *me = Reader {
                        next: Next::ListIndex,
                        missed: reader.missed | Set::of(place),
                        has_doubted: true,
                        ..reader
                    };
                    me.places = Set::default();
                }
                stage.step("reads pack", Set::of(place), after);
            }
        }
        Next::Doubt => {
            let now =
                quiet(world).filter(|len| reader.quiet == Some(*len)).map(|len| (reader.runs, len));
            let is_same =
                (now.is_some() && now == reader.before) || scenario.breaks(Breach::ReaderGivesUp);
            me.next = match (world.slots[reader.snapshot as usize].snapshot, is_same) {
                (false, _) => Next::Dropped,
                (true, true) => Next::Alarmed,
                (true, false) => Next::ListIndex,
            };
            me.before = now;
            me.has_doubted = true;
            stage.step(
                "asks whether its snapshot is there, the index the same, and the log quiet",
                Set::default(),
                after,
            );
        }
        Next::Done | Next::Dropped | Next::Alarmed => {}
    }
}

/// Returns the length of the log if every generation is closed.
fn quiet(world: &World) -> Option<u8> {
    world.last_generation().is_none_or(Generation::is_closed).then_some(world.log_len)
}

fn list_index(scenario: &Scenario, world: &World, stage: &mut Stage<'_>) {
    let mut after = *world;
    let me = &mut after.reader;
    let from = match me.from.take() {
        None if scenario.slow_listing => {
            me.from = Some(world.runs);
            me.quiet = quiet(world);
            stage.step("begins to list the index", world.runs, after);
            return;
        }
        Some(from) => from,
        None => {
            me.quiet = quiet(world);
            world.runs
        }
    };
    me.next = Next::Read;
    for runs in [world.runs, world.runs & from] {
        after.reader.runs = runs;
        after.reader.places = world.named_by(runs) - world.reader.missed;
        if scenario.breaks(Breach::ReaderKnowsOnePlace) {
            for place in world.named_by(runs).members() {
                after.reader.places = Set::of(place) - world.reader.missed;
                stage.step("has fetched the index and chooses", after.reader.places, after);
            }
            continue;
        }
        stage.step("has fetched the index; it names", after.reader.places, after);
    }
}
