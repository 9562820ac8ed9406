//! Searches for faults: models, simulations, kills, crashes, random histories. `make *-long` runs
//! them longer.

mod crash; // death of the process at every call of the store
#[cfg(feature = "s3")]
mod fleet; // many machines and collectors in one bucket
mod kill; // real processes, killed or stopped
mod losses; // lost objects, repairs and prunes at random
mod model; // exhaustive search of the commit and collection protocol
mod oracle; // random histories compared with plain models
mod scale; // a simulated month of a fleet
mod simulation; // deterministic simulation of the protocol in the real code
