//! Goal: if any actor dies, sleeps or is late at any moment, nothing that a snapshot needs is ever
//! removed.
//!
//! Method: the protocol of `format-spec/13-commit.md` as a model, in which every call of the store
//! is a step and every order of the steps of all who take part is tried. To die is not to go on; to
//! sleep is to go on at any later time; no step knows the time. The invariants are checked after
//! every step. Each state that must be possible must be reached (else a model in which nothing
//! happens would be safe), and a protocol with any one rule broken must be caught (else the rule,
//! or the model, would be idle).
//!
//! `DRUMLIN_MODEL_LONG=1` (`make model-long`) explores larger configurations to their ends, of
//! which otherwise only the beginnings.

mod admin; // forgetting, bringing back, time
mod checker; // breadth-first search of all states
mod collector; // collector, C1 to C6
mod expiry; // expiry of sessions, intents and records
mod finish; // collector, C7
mod invariants; // invariants and reachable states
mod protocol; // actors and rules
mod reader; // restore
mod scenarios; // configurations, and one broken rule each
mod world; // the model's state
mod writer; // backup

use std::time::Instant;

use self::checker::{Outcome, explore};
use self::invariants::Witness;
use self::protocol::{Scenario, Step};

/// States that a configuration may have: 40 bytes each, and about 400 for those at the rim of the
/// search.
const STATES_MAX: usize = 5_000_000;
/// The same for the larger ones.
const STATES_LONG_MAX: usize = 40_000_000;
/// States of the larger ones that are always explored, nearest first.
const STATES_BEGIN: usize = 100_000;

fn explored(scenario: &Scenario, states_max: usize) -> Outcome<Step> {
    let start = Instant::now();
    let outcome = explore(scenario, states_max);
    let name = scenario.breach.map_or(scenario.name.to_owned(), |breach| format!("{breach:?}"));
    let end = outcome.violation.as_ref().map_or("safe", |(violation, _)| violation);
    let (states, steps, depth) = (outcome.states, outcome.steps, outcome.depth);
    let seconds = start.elapsed().as_secs_f64();
    println!("{name}: {states} states, {steps} steps, {depth} deep, {seconds:.1} s: {end}");
    outcome
}

/// Asserts that a configuration is explored whole, and nothing is violated in it.
fn assert_safe(scenario: &Scenario, states_max: usize) -> u32 {
    let outcome = explored(scenario, states_max);
    if let Some((violation, way)) = outcome.violation {
        let way: Vec<String> = way.iter().map(|step| format!("  {step:?}")).collect();
        panic!("{}: {violation} after {} steps:\n{}", scenario.name, way.len(), way.join("\n"));
    }
    assert!(outcome.is_complete, "{}: more than {states_max} states", scenario.name);
    outcome.witnesses
}

#[test]
fn the_protocol_is_safe_and_all_that_should_happen_can() {
    for (scenario, wanted) in scenarios::real() {
        let seen = assert_safe(&scenario, STATES_MAX);
        let unseen: Vec<&Witness> =
            wanted.iter().filter(|witness| seen & **witness as u32 == 0).collect();
        assert!(unseen.is_empty(), "{}: not seen: {unseen:?}", scenario.name);
    }
}

#[test]
fn every_broken_rule_is_caught() {
    for scenario in scenarios::broken() {
        let outcome = explored(&scenario, STATES_MAX);
        let (_, way) =
            outcome.violation.unwrap_or_else(|| panic!("{:?} is not noticed", scenario.breach));
        assert!(
            way.len() >= 10,
            "{:?} is noticed before anything could happen: {way:?}",
            scenario.breach
        );
    }
}

#[test]
fn what_is_broken_is_safe_as_long_as_it_is_whole() {
    let known: Vec<Scenario> =
        scenarios::real().iter().map(|(scenario, _)| whole(scenario)).collect();
    for scenario in scenarios::broken() {
        // Two collectors, and expiry, are what a store without exclusive creation forbids: there,
        // only keeping the rule is safe.
        if scenario.exclusive && !known.contains(&whole(&scenario)) {
            assert_safe(&whole(&scenario), STATES_MAX);
        }
    }
}

/// Returns a configuration without a name in which no rule is broken.
fn whole(scenario: &Scenario) -> Scenario {
    Scenario { name: "whole", breach: None, ..*scenario }
}

#[test]
fn larger_configurations_are_safe() {
    for scenario in scenarios::large() {
        if std::env::var_os("DRUMLIN_MODEL_LONG").is_some() {
            assert_safe(&scenario, STATES_LONG_MAX);
        } else {
            let outcome = explored(&scenario, STATES_BEGIN);
            assert!(
                outcome.violation.is_none() && outcome.states > STATES_BEGIN,
                "{:?}",
                outcome.violation
            );
        }
    }
}
