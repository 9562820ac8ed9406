//! Searches for faults: models, simulations, kills, crashes, random histories. `make *-long` runs
//! them longer.

pub mod crash; // death of the process at every call of the store
#[cfg(feature = "s3")]
pub mod fleet; // many machines and collectors in one bucket
pub mod kill; // real processes, killed or stopped
pub mod losses; // lost objects, repairs and prunes at random
pub mod model; // exhaustive search of the commit and collection protocol
pub mod oracle; // random histories compared with plain models
pub mod scale; // a simulated month of a fleet
pub mod simulation; // deterministic simulation of the protocol in the real code
