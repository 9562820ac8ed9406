//! Sessions that seem dead expire, intents of those that are done go, and old records of the log.
//! No clock is asked: each may happen at any time.

use super::protocol::{Breach, Scenario, Stage};
use super::world::{Intent, Set, World};

/// Tells what can be tidied up now.
pub fn steps(scenario: &Scenario, world: &World, stage: &mut Stage<'_>) {
    for (id, (slot, intent)) in world.slots.iter().zip(&world.intents).enumerate() {
        let mut after = *world;
        let may_expire = scenario.exclusive || scenario.breaks(Breach::ExpiryWithoutExclusion);
        if scenario.expiry && intent.is_there && !slot.is_filled() && may_expire {
            after.slots[id].aborted = true;
            stage.step("fills the slot of a session with Aborted", Set::of(id), after);
        }
        let mut after = *world;
        if (scenario.expiry || scenario.repeats)
            && intent.is_there
            && (slot.is_filled() || scenario.breaks(Breach::IntentUnburnt))
        {
            after.intents[id] = Intent::default();
            stage.step("removes an intent", Set::of(id), after);
        }
        let mut after = *world;
        if slot.aborted && !intent.is_there && scenario.breaks(Breach::AbortedRemoved) {
            after.slots[id].aborted = false;
            stage.step("removes an aborted slot", Set::of(id), after);
        }
    }
    let oldest = world.last_generation().map_or(0, |last| last.oldest);
    if oldest > world.log_trimmed {
        let mut after = *world;
        after.trim(oldest);
        stage.step("trims the log", Set::default(), after);
    }
}
