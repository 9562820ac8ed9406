//! Opening of a repository: configuration, key slots, and this machine's memory of the place.

pub(in crate::repo) mod configs;
mod init;
pub(in crate::repo) mod key_slots;
pub mod keys;
pub mod notes;
mod opening;
pub mod probe;
mod repository;
mod skipped_runs;
mod store_questions;
mod verified_cache;
pub mod witness;

pub(in crate::repo) use configs::{check_writable, decode_config};
pub use init::{InitOptions, NewIdentity};

pub use opening::{Expected, OpenOptions};
pub use repository::Repository;
pub(in crate::repo) use verified_cache::Signed;
