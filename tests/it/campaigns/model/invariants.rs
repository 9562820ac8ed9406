//! Invariants: true at every moment; and states that must be reachable.

use super::admin::Admin;
use super::protocol::{Breach, Scenario};
use super::reader;
use super::world::{PARENT, SNAPSHOTS, Set, World, survivors_pack, writers_snapshot};
use super::writer::{self, Writer};

/// Returns what a state violates.
pub fn violation(scenario: &Scenario, world: &World) -> Option<&'static str> {
    let unfinished = world.on_record().filter(|(_, generation)| !generation.is_done);
    let dropped =
        unfinished.fold(Set::default(), |all, (_, generation)| all | generation.removes().1);
    let is_root = |id: &usize| world.slots[*id].snapshot && !dropped.has(*id);
    if !world.named_by(world.runs).meets(world.packs) && (0..SNAPSHOTS).any(|id| is_root(&id)) {
        return Some("a snapshot lacks its chunk (I1)");
    }
    for run in world.runs.members().map(|run| &world.run[run]) {
        let known = world.on_record().filter(|(number, _)| *number < run.stamp);
        let removed =
            known.fold(Set::default(), |all, (_, generation)| all | generation.removes().0);
        if run.names.meets(removed) {
            return Some("a run names a pack that was removed when it says it was not (I9)");
        }
    }
    let open = world.on_record().filter(|(_, generation)| !generation.is_closed());
    // Where this is broken on purpose, what follows from it shall be seen.
    if open.count() > 1
        && !scenario.breaks(Breach::TwoOpen)
        && !scenario.breaks(Breach::TwoWithoutExclusion)
    {
        return Some("two generations are open (I8)");
    }
    if let Admin::Restored(id) = world.admin
        && !world.slots[id as usize].snapshot
    {
        return Some("a snapshot that was brought back is gone");
    }
    (world.reader.next == reader::Next::Alarmed)
        .then_some("a reader reports damage where there is none")
}

/// What must be possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Witness {
    /// A writer finds no conflict while a generation is open or unfinished, and commits.
    CommitBesideRemoval = 1,
    /// A writer stores again what was condemned, and commits.
    ResolveAndCommit = 1 << 1,
    /// Nothing is left when nothing is needed.
    AllCollected = 1 << 2,
    /// A snapshot is committed whose chunk only lies in a pack of survivors.
    RepackAndCommit = 1 << 3,
    /// A snapshot is brought back.
    Undeleted = 1 << 4,
    /// Somebody who comes too late to bring a snapshot back is told so.
    TooLate = 1 << 5,
    /// A writer whose intent expired commits under a new id.
    NewId = 1 << 6,
    /// A writer misses its parent, and commits.
    ParentMissed = 1 << 7,
    /// A snapshot is committed with a subtree of the parent that was not read.
    Reused = 1 << 8,
    /// A reader looks again, and finds its chunk.
    ReaderRetried = 1 << 9,
    /// A snapshot is committed after records were trimmed.
    CommitAfterTrim = 1 << 10,
    /// A snapshot whose creation was not confirmed was dropped; its writer commits under a new id.
    UnsureNewId = 1 << 11,
    /// A commit that was taken for lost was carried out after all, beside the one under the new id.
    CommittedTwice = 1 << 12,
}

/// Returns the bits of the witnesses that a state is.
pub fn witnesses(scenario: &Scenario, world: &World) -> u32 {
    let done = |writer: &&Writer| writer.next == writer::Next::Done;
    let committed = || world.writers.iter().filter(done);
    let survivors = (0..2).any(|collector| world.packs.members().eq([survivors_pack(collector)]));
    let first = |number| &world.slots[writers_snapshot(number, 0)];
    let again = |number: usize| {
        world.writers[number].next == writer::Next::Done && world.writers[number].id > 0
    };
    let both = |number: usize| (0..2).all(|id| world.slots[writers_snapshot(number, id)].snapshot);
    let seen = [
        (Witness::CommitBesideRemoval, committed().any(|writer| writer.beside)),
        (Witness::ResolveAndCommit, committed().any(|writer| writer.resolved)),
        (Witness::AllCollected, world.packs.is_empty()),
        (Witness::RepackAndCommit, survivors && committed().count() > 0),
        (Witness::Undeleted, matches!(world.admin, Admin::Restored(_))),
        (Witness::TooLate, world.admin == Admin::TooLate),
        (Witness::NewId, (0..2).any(|number| again(number) && first(number).aborted)),
        (
            Witness::ParentMissed,
            !world.slots[PARENT].snapshot && committed().any(|writer| writer.resolved),
        ),
        (Witness::Reused, committed().any(|writer| writer.reuses)),
        (
            Witness::ReaderRetried,
            world.reader.next == reader::Next::Done && world.reader.has_doubted,
        ),
        (Witness::CommitAfterTrim, world.log_trimmed > 0 && committed().count() > 0),
        (Witness::CommittedTwice, (0..2).any(both)),
        (
            Witness::UnsureNewId,
            scenario.unknown_commit
                && (0..2).any(|number| again(number) && !first(number).is_filled()),
        ),
    ];
    seen.iter().filter(|(_, is_seen)| *is_seen).fold(0, |bits, (witness, _)| bits | *witness as u32)
}
