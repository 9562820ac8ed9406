//! Retention policies: which snapshots are kept, and why. Values in, decisions out, no clock and no
//! store.
//!
//! Every rule keeps on its own; a snapshot goes if no rule keeps it. Rules look at one series of
//! snapshots at a time, newest first. Two properties hold for every policy, and are tested:
//!
//! * **No drift.** Applying a policy every day keeps what applying it once at the end would keep.
//!   So it does not matter when or how often it runs.
//! * **Time stops for a series without new snapshots.** Ages count from its newest snapshot,
//!   not from now, so a host that was switched off years ago loses nothing.
//!
//! A snapshot whose date contradicts when the store got it ([`trust`]) is kept, named, and not
//! counted: it cannot push a good one out.

pub mod calendar;
pub mod decay;
pub mod guard;
mod parse;
mod plan;
mod policy;
pub mod rhythm;
mod rules;
pub mod simulate;
pub mod trust;

pub use self::decay::Decay;
pub use self::parse::{parse_span, span_text};
pub use self::plan::plan;
pub use self::policy::Policy;
pub use self::rules::{DatedSnapshot, Decision, Keep, Miss, Period};
pub use self::trust::{DateVerdict, Doubt};

#[cfg(test)]
mod tests;
