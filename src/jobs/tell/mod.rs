//! Messages about apps: what is told, to whom, and when it leaves.
//!
//! A run writes what it came to into the state of its app, with what waits to be told. After the
//! run, or at the next look by any process, [`Teller::tell`] makes messages of that and puts them
//! into the outbox; [`Teller::deliver`] sends them. None of it can fail a run.

mod absent;
mod digest;
mod events;
mod pings;
mod reach;
mod repositories;
mod row;
mod teller;
mod watch;

pub use pings::Pings;
pub use teller::{Teller, Tried, health, send_test};
pub use watch::Reload;
