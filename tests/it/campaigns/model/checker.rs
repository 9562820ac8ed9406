//! An exhaustive search, breadth first: every state that can be reached, each once.
//!
//! States are remembered by 128 bits of hash, 16 bytes each. How a state was reached is not
//! remembered: when a violation is found, the search is repeated up to it, this time with
//! predecessors, so that the trace is a shortest one.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};

/// Something whose behaviour can be explored.
pub trait Model {
    /// All there is at a moment.
    type State: Copy + Eq + Hash;
    /// What can happen next, in words.
    type Step: Copy + Debug;

    /// Returns the state in which everything begins.
    fn start(&self) -> Self::State;

    /// Tells every step that is possible in a state, and the state after it.
    fn next(&self, state: &Self::State, visit: &mut dyn FnMut(Self::Step, Self::State));

    /// Returns what a state violates.
    fn violation(&self, state: &Self::State) -> Option<&'static str>;

    /// Returns a bit for each thing that must be possible and is seen in a state.
    fn witnesses(&self, state: &Self::State) -> u32;
}

/// What a search found.
pub struct Outcome<S> {
    /// Different states.
    pub states: usize,
    /// Steps between them.
    pub steps: u64,
    /// Steps to the state that is farthest from the start.
    pub depth: usize,
    /// All witnesses that were seen.
    pub witnesses: u32,
    /// Whether all states were visited.
    pub is_complete: bool,
    /// The first violation, and the steps that lead to it.
    pub violation: Option<(&'static str, Vec<S>)>,
}

/// Visits every state of a model, or all up to the first violation, or up to `states_max` states
/// (about 40 bytes each).
pub fn explore<M: Model>(model: &M, states_max: usize) -> Outcome<M::Step> {
    let start = model.start();
    let mut seen: HashSet<u128, BuildHasherDefault<Taken>> = HashSet::default();
    let mut outcome = Outcome {
        states: 0,
        steps: 0,
        depth: 0,
        witnesses: 0,
        is_complete: false,
        violation: None,
    };
    let mut now = vec![start];
    seen.insert(hash_of(&start));
    while !now.is_empty() && seen.len() <= states_max {
        let mut after = Vec::new();
        for state in &now {
            outcome.witnesses |= model.witnesses(state);
            if let Some(violation) = model.violation(state) {
                outcome.states = seen.len();
                outcome.violation = Some((violation, way_to(model, hash_of(state))));
                return outcome;
            }
            model.next(state, &mut |_, next| {
                outcome.steps += 1;
                if seen.insert(hash_of(&next)) {
                    after.push(next);
                }
            });
        }
        outcome.depth += usize::from(!after.is_empty());
        now = after;
    }
    outcome.states = seen.len();
    outcome.is_complete = now.is_empty();
    outcome
}

/// By the hash of a state, the hash of a state before it and the step between them; nothing for the
/// start.
type CameFrom<S> = HashMap<u128, Option<(u128, S)>, BuildHasherDefault<Taken>>;

/// Returns a shortest way to the state with this hash.
fn way_to<M: Model>(model: &M, goal: u128) -> Vec<M::Step> {
    let start = model.start();
    let mut came_from: CameFrom<M::Step> = HashMap::default();
    came_from.insert(hash_of(&start), None);
    let mut now = vec![start];
    while !now.is_empty() && !came_from.contains_key(&goal) {
        let mut after = Vec::new();
        for state in &now {
            let from = hash_of(state);
            model.next(state, &mut |step, next| {
                came_from.entry(hash_of(&next)).or_insert_with(|| {
                    after.push(next);
                    Some((from, step))
                });
            });
        }
        now = after;
    }
    let mut way = Vec::new();
    let mut at = goal;
    while let Some(Some((from, step))) = came_from.get(&at) {
        way.push(*step);
        at = *from;
    }
    way.reverse();
    way
}

fn hash_of(state: &impl Hash) -> u128 {
    let mut hasher = Wide { low: 0x9e37_79b9_7f4a_7c15, high: 0xd1b5_4a32_d192_ed03 };
    state.hash(&mut hasher);
    u128::from(hasher.high) << 64 | u128::from(hasher.finish())
}

/// Two independent hashes side by side; each step multiplies into 128 bits and folds them.
struct Wide {
    low: u64,
    high: u64,
}

impl Wide {
    fn mix(&mut self, word: u64) {
        let fold = |a: u64, b: u64| {
            let product = u128::from(a) * u128::from(b);
            (product >> 64) as u64 ^ product as u64
        };
        self.low = fold(self.low ^ word, 0xa076_1d64_78bd_642f).wrapping_add(0xe703_7ed1_a0b4_28db);
        self.high = fold(self.high.rotate_left(23) ^ word, 0x8ebc_6af0_9c88_c6e3)
            .wrapping_add(0x5899_65cc_7537_4cc3);
    }
}

impl Hasher for Wide {
    fn write(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..piece.len()].copy_from_slice(piece);
            self.mix(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.mix(u64::from(number));
    }

    fn write_u16(&mut self, number: u16) {
        self.mix(u64::from(number));
    }

    fn write_usize(&mut self, number: usize) {
        self.mix(number as u64);
    }

    fn finish(&self) -> u64 {
        self.low
    }
}

/// The hash of what is a hash already.
#[derive(Default)]
struct Taken(u64);

impl Hasher for Taken {
    fn write(&mut self, _: &[u8]) {
        unreachable!("only 128-bit numbers are looked up");
    }

    fn write_u128(&mut self, number: u128) {
        self.0 = number as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[test]
fn states_that_differ_have_different_hashes() {
    let hashes: HashSet<u128> = (0..200_000u32)
        .map(|number| hash_of(&(number as u16, (number >> 16) as u8, [7u8; 5])))
        .collect();
    assert_eq!(hashes.len(), 200_000);
    let builder = BuildHasherDefault::<Taken>::default();
    assert_ne!(builder.hash_one(1u128), builder.hash_one(2u128));
}

/// A counter that is increased by one or two up to ten.
struct Counter;

impl Model for Counter {
    type State = u8;
    type Step = u8;

    fn start(&self) -> u8 {
        0
    }

    fn next(&self, state: &u8, visit: &mut dyn FnMut(u8, u8)) {
        for by in [1, 2] {
            if state + by <= 10 {
                visit(by, state + by);
            }
        }
    }

    fn violation(&self, state: &u8) -> Option<&'static str> {
        (*state == 7).then_some("seven")
    }

    fn witnesses(&self, state: &u8) -> u32 {
        1 << state
    }
}

#[test]
fn a_search_ends_with_a_shortest_way_to_the_violation() {
    let outcome = explore(&Counter, 100);
    let (violation, way) = outcome.violation.unwrap();
    assert_eq!((violation, way.len()), ("seven", 4));
    assert_eq!(way.iter().sum::<u8>(), 7);
    assert_eq!(outcome.witnesses & 0b111_1111, 0b111_1111);
}
