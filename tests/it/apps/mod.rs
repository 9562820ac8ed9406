//! Apps: dumps of databases and commands, runs, and what is remembered of them. Real servers.

mod commands; // commands whose output is backed up
mod config; // `config check`, `config show`, included files
mod containers; // the engine of containers
#[cfg(all(feature = "s3", feature = "sqlite"))]
mod cost; // requests to a distant store
mod daemon; // the daemon, and several runs at once
mod failures; // runs in which something goes wrong
mod kept_files; // a sink that keeps files in memory
mod mariadb_backup; // the unpacker of mariadb-backup's stream
mod metrics; // metrics, as Prometheus reads them
pub mod mysql; // dumps of MariaDB
mod notify; // notifications of runs and schedules
pub mod postgres; // dumps of PostgreSQL
mod run; // `run` and `apps`
mod run_logs; // logs of runs, and the journal
mod sqlite; // copies of SQLite databases
mod subversion; // dumps of Subversion repositories
mod subversion_runs; // runs that dump only what changed of Subversion
mod transient; // failures that may pass by themselves
