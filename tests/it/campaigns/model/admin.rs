//! Snapshots are forgotten, time passes, and one of them is brought back.

use super::protocol::{Breach, Scenario, Stage};
use super::world::{Set, Slot, Tombstone, Verdict, World};

/// How far bringing a snapshot back has come.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Admin {
    /// Nobody wants one back.
    #[default]
    Idle,
    /// The tombstone of this snapshot is removed; the log has to be asked.
    Unmarked(u8),
    /// This snapshot was said to be back.
    Restored(u8),
    /// It was said to be too late.
    TooLate,
    /// A collector is deciding about this one, and cannot be stopped.
    Undecided(u8),
}

/// Tells what can happen to snapshots now.
pub fn steps(scenario: &Scenario, world: &World, stage: &mut Stage<'_>) {
    for id in scenario.forget.members().filter(|id| world.slots[*id].snapshot) {
        let mut after = *world;
        let slot: &mut Slot = &mut after.slots[id];
        match slot.tombstone {
            // What was brought back is not forgotten a second time: that would be nothing new.
            Tombstone::None if world.admin == Admin::Idle => {
                // How long the trash window is matters only to who may bring the snapshot back.
                slot.tombstone = if scenario.undelete { Tombstone::Fresh } else { Tombstone::Due };
                stage.step("forgets a snapshot", Set::of(id), after);
            }
            Tombstone::Fresh => {
                slot.tombstone = Tombstone::Due;
                stage.step("lets the trash window pass", Set::of(id), after);
            }
            _ => {}
        }
        let mut after = *world;
        if scenario.undelete
            && world.admin == Admin::Idle
            && world.slots[id].tombstone != Tombstone::None
        {
            after.slots[id].tombstone = Tombstone::None;
            after.admin = Admin::Unmarked(id as u8);
            stage.step("removes a tombstone", Set::of(id), after);
        }
    }
    if let Admin::Unmarked(id) = world.admin {
        look(scenario, world, id, stage);
    }
    if let Admin::Undecided(id) = world.admin {
        let mut after = *world;
        after.admin = Admin::Idle;
        if world.slots[id as usize].snapshot {
            after.slots[id as usize].tombstone = Tombstone::Due;
        }
        stage.step("puts the tombstone back", Set::of(id as usize), after);
    }
}

/// Asks the log whether a collector is about to drop the snapshot, and stops it if there is time.
fn look(scenario: &Scenario, world: &World, id: u8, stage: &mut Stage<'_>) {
    let mut after = *world;
    let doomed = Set::of(id as usize);
    let naming = world.last_generation().filter(|last| last.drops.meets(doomed));
    after.admin = match naming.map(|last| last.verdict) {
        Some(Verdict::Open)
            if !scenario.exclusive && !scenario.breaks(Breach::CancelWithoutExclusion) =>
        {
            Admin::Undecided(id)
        }
        Some(Verdict::Open) => {
            after.log[world.log_len as usize - 1].verdict = Verdict::Cancel;
            Admin::Restored(id)
        }
        Some(Verdict::Go(_, drops)) if drops.meets(doomed) => Admin::TooLate,
        Some(Verdict::Torn) => return,
        _ if !world.slots[id as usize].snapshot => Admin::TooLate,
        _ => Admin::Restored(id),
    };
    stage.step("asks the log whether the snapshot is back", doomed, after);
}
