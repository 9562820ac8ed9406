//! Goal: every command, option, exit code, JSON field and main error text of the contract. Method:
//! the real program in a scratch home.

mod archive;
mod backup;
mod check;
mod config;
mod cost;
mod dark;
mod distance;
mod forget;
mod hidden;
mod init;
mod key;
mod library;
mod line;
mod links;
mod look;
mod lost;
mod mounts;
mod names;
#[cfg(feature = "s3")]
mod negative;
mod nested;
mod output;
mod prune;
mod quickstart;
mod reading;
mod remote;
mod repair;
mod restore;
mod restore_back;
mod sectors;
mod signals;
mod sources;
mod spared;
#[cfg(feature = "sftp")]
mod ssh;
mod terminal;
mod tilde;
mod versions;
mod witness;
