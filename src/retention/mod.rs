//! Retention policies: decide which snapshots are kept, and why. Pure, without clock and store.
//!
//! Every rule keeps snapshots independently; a snapshot goes if no rule keeps it. Rules apply to
//! one series of snapshots at a time, newest first. Two properties hold for every policy, and are
//! tested:
//!
//! * **No drift.** Applying a policy every day keeps the same snapshots as applying it once at the
//!   end. So it does not matter when or how often it runs.
//! * **No ageing without new snapshots.** Ages count from the newest snapshot of a series, not from
//!   now, so a host that was switched off years ago loses nothing.
//!
//! A snapshot whose date contradicts the time at which it was stored ([`trust`]) is kept, reported,
//! and not counted: it cannot displace a good one.

pub mod calendar;
pub mod decay;
mod decision;
pub mod guard;
mod parse;
mod plan;
mod policy;
pub mod rhythm;
pub mod simulate;
pub mod trust;

pub use self::decay::Decay;
pub use self::decision::{DatedSnapshot, Decision, Keep, Miss, Period};
pub use self::parse::{parse_span, span_text};
pub use self::plan::plan;
pub use self::policy::Policy;
pub use self::trust::{DateVerdict, Doubt};

#[cfg(test)]
mod tests;
