//! The director: chooses the next actor, and lets the observer look at the outcome.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use drumlin::store::{Action, Class, Key};
use rand::RngExt;
use rand::rngs::SmallRng;

use super::actors::{ACTORS, SLEEPER, SimulatedClock};
use super::oracle::Oracle;
use super::scheduler::{Call, Turn};

/// The seed's hand in one history.
pub struct Director {
    pub oracle: Oracle,
    pub random: SmallRng,
    pub clock: Arc<SimulatedClock>,
    /// How likely each call goes wrong.
    pub faults: f64,
    /// Whether anybody may be slow.
    pub is_harsh: bool,
    /// How likely whoever had the last turn has the next one too.
    pub haste: f64,
    /// How many calls the sleeper makes before it falls asleep until all others are done.
    pub sleeps_after: Option<u64>,
    /// Before which turn each actor has none.
    pub asleep_until: [u64; ACTORS],
    pub last: usize,
    /// Every turn, in words.
    pub trace: Vec<String>,
    pub turns: u64,
    /// Of all that happened.
    pub digest: blake3::Hasher,
    pub outcome: Result<(), String>,
    /// What was created or removed since the observer looked, and by whom.
    pub touched: Option<(Key, usize)>,
    /// In which turn each actor listed the records of collectors last.
    pub listed: [u64; ACTORS],
}

impl Director {
    pub fn decide(&mut self, calls: &[&Call]) -> (usize, Turn) {
        self.observe();
        self.turns += 1;
        self.clock.pass(1);
        let position = self.choose(calls);
        let turn = match self.random.random_range(0..3) {
            // After a violation everybody dies, so that the history ends.
            _ if self.outcome.is_err() => Turn::Die,
            _ if !self.random.random_bool(self.faults) => Turn::Go,
            0 => Turn::Fail,
            1 => Turn::Lose,
            _ => Turn::Die,
        };
        let call = calls[position];
        self.last = call.actor;
        self.fall_asleep(call.actor);
        if matches!(call.action, Action::Create | Action::Remove) {
            self.touched = call.key.clone().map(|key| (key, call.actor));
        }
        if (call.action, call.class) == (Action::List, Class::Collector) {
            self.listed[call.actor] = self.turns;
        }
        let line = format!("{} {turn:?} {call:?}", self.turns);
        self.digest.update(line.as_bytes());
        self.trace.push(line);
        (position, turn)
    }

    /// Chooses a call of one who is awake, if anybody is.
    fn choose(&mut self, calls: &[&Call]) -> usize {
        let is_awake = |at: &usize| self.asleep_until[calls[*at].actor] <= self.turns;
        let mut awake: Vec<usize> = (0..calls.len()).filter(is_awake).collect();
        if awake.is_empty() {
            awake = (0..calls.len()).collect();
        }
        if self.random.random_bool(self.haste)
            && let Some(again) = awake.iter().find(|at| calls[**at].actor == self.last)
        {
            return *again;
        }
        awake[self.random.random_range(0..awake.len())]
    }

    /// Now and then somebody is slow: between any two calls of one, others may do very much.
    fn fall_asleep(&mut self, actor: usize) {
        if self.is_harsh && self.random.random_ratio(1, 16) {
            self.asleep_until[actor] = self.turns + self.random.random_range(10..300);
        }
        if let (SLEEPER, Some(left)) = (actor, &mut self.sleeps_after) {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.asleep_until[actor] = u64::MAX;
            }
        }
    }

    /// Lets the observer look at what was touched, if anything was.
    fn observe(&mut self) {
        let touched = self.touched.take();
        let (turn, listed) =
            (self.turns, touched.as_ref().map_or(u64::MAX, |(_, actor)| self.listed[*actor]));
        self.look(|oracle| {
            oracle.take_losses(turn, listed);
            touched.map_or(Ok(()), |(key, _)| oracle.observe_one(&key))
        });
    }

    /// Lets the observer look at everything.
    pub fn observe_all(&mut self) {
        self.look(Oracle::observe);
    }

    fn look(&mut self, look: impl FnOnce(&mut Oracle) -> Result<(), String>) {
        if self.outcome.is_ok() {
            let looked = catch_unwind(AssertUnwindSafe(|| look(&mut self.oracle)));
            self.outcome = looked
                .unwrap_or_else(|_| Err("the observer cannot read what is stored".to_owned()));
        }
    }
}
