//! Schedules: the moments at which apps are backed up. Pure, without clock, files and time zones of
//! its own.
//!
//! A schedule is a set of *slots*, computed from the calendar and never from "last run and so much
//! more": so it does not matter when or how often it is looked at, and two machines agree. A run
//! belongs to a slot; the app's state holds the newest slot that is *settled*. Slots that were
//! slept through collapse into one run. Three properties are tested over simulated years:
//!
//! * Each slot is run once, or counted as missed, and never run twice.
//! * Changes of summer time lose no slot and repeat none.
//! * A clock that is wrong for a while costs at most what [`Clock`] says aloud.

mod calendar;
mod cron;
mod due;
mod error;
mod grammar;
mod rule;
mod spread;

pub use self::calendar::Schedule;
pub use self::due::{CLOCK_MIN_S, Clock, Due, FirstRun, Habits, Missed, Past, due};
pub use self::error::ScheduleError;
pub use self::grammar::parse;
pub use self::spread::Spread;

#[cfg(test)]
mod tests;
