//! Searches for faults: models, simulations, kills, crashes, random histories. `make *-long` runs
//! them longer.

pub mod crash;
#[cfg(feature = "s3")]
pub mod fleet;
pub mod kill;
pub mod losses;
pub mod model;
pub mod oracle;
pub mod scale;
pub mod simulation;
