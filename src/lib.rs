//! Drumlin: deduplicating, encrypted backups.

pub mod backup;
pub mod browse;
pub mod chunker;
pub mod compress;
pub mod container;
pub mod crypto;
pub mod format;
pub mod id;
pub mod maintain;
pub mod monitor;
pub mod os;
pub mod repo;
pub mod store;
