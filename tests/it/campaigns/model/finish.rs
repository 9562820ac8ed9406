//! A collector carries out a verdict (C7). Several may do so at once, and any of them may wake up
//! when all was done long ago.

use super::collector::{self, Collector, Next};
use super::protocol::{Breach, Scenario, Stage};
use super::world::{Intent, Run, Set, Slot, World, merged_run, survivors_pack};

/// Tells what a collector can do now that the verdict says Go.
pub fn steps(scenario: &Scenario, world: &World, number: usize, stage: &mut Stage<'_>) {
    let collector = world.collectors[number];
    let mut after = *world;
    let me = &mut after.collectors[number];
    match collector.next {
        Next::DropSnapshots => {
            me.next = if scenario.breaks(Breach::PacksBeforeIndex) {
                Next::ListPacks
            } else {
                Next::ListRuns
            };
            for id in collector.drops.members() {
                after.slots[id] = Slot { aborted: world.slots[id].aborted, ..Slot::default() };
                after.intents[id] = Intent::default();
            }
            stage.step("C7 drops snapshots", collector.drops, after);
        }
        Next::ListPacks if scenario.breaks(Breach::PacksBeforeIndex) => {
            me.next = Next::ListRuns;
            me.index = world.packs;
            stage.step("C7 lists packs", world.packs, after);
        }
        Next::ListRuns => {
            me.next = Next::ListPacks;
            me.listed = world.runs;
            if scenario.breaks(Breach::PacksBeforeIndex) {
                compare(scenario, world, me, collector.index);
            }
            stage.step("C7 lists runs", world.runs, after);
        }
        // A run that vanished before it was read: the listing is made again.
        Next::ListPacks if !(collector.listed - world.runs).is_empty() => {
            me.next = Next::ListRuns;
            me.listed = Set::default();
            stage.step("C7 finds that a run vanished", collector.listed, after);
        }
        Next::ListPacks => {
            compare(scenario, world, me, collector::places(scenario, world));
            if scenario.breaks(Breach::SurvivorsUnpublished) {
                me.index |= world.packs & Set::of(survivors_pack(number));
            }
            stage.step("C7 lists packs", world.packs, after);
        }
        Next::Merge => {
            me.next = Next::RemoveRuns;
            me.index = Set::default();
            let run = Run {
                names: collector.index,
                replaces: collector.listed,
                stamp: collector.generation + 1,
            };
            let place = merged_run(number, collector.generation);
            me.clean |= Set::of(place);
            after.add_run(place, run);
            stage.step("C7 publishes a run of packs", run.names, after);
        }
        Next::RemoveRuns => {
            me.next = Next::RemovePacks;
            me.listed = Set::default();
            after.remove_runs(collector.listed);
            stage.step("C7 removes runs", collector.listed, after);
        }
        Next::RemovePacks => {
            me.next = Next::RecordDone;
            (me.victims, me.drops) = Default::default();
            after.packs -= collector.victims;
            stage.step("C7 removes packs", collector.victims, after);
        }
        Next::RecordDone => {
            let record = &mut after.log[collector.generation as usize];
            if !record.is_done && collector.generation >= world.log_trimmed {
                record.is_done = true;
                record.clean = collector.clean & world.runs;
            }
            *me = collector.anew();
            stage.step("C7 records that the generation is done", Set::default(), after);
        }
        _ => {}
    }
}

/// Finds out which runs must be replaced, what the new one will name, and which are clean.
fn compare(scenario: &Scenario, world: &World, me: &mut Collector, packs: Set) {
    let runs = me.listed;
    let names = |run: usize| world.run[run].names;
    let is_over =
        |run: usize| names(run).meets(world.over()) && !scenario.breaks(Breach::ReturnedPacksCount);
    let is_replaced =
        |run: &usize| scenario.merge_all || names(*run).meets(me.victims) || is_over(*run);
    let replaced =
        runs.members().filter(is_replaced).fold(Set::default(), |all, run| all | Set::of(run));
    let is_clean = |run: &usize| (names(*run) - packs).is_empty() && !replaced.has(*run);
    me.clean = runs.members().filter(is_clean).fold(Set::default(), |all, run| all | Set::of(run));
    me.index = (world.named_by(replaced) & packs) - me.victims;
    me.listed = replaced;
    me.next = if replaced.is_empty() { Next::RemoveRuns } else { Next::Merge };
}
