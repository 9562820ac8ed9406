//! Each operation on a repository: backup, check, forget, prune, repair, retention, browsing.

pub mod backup;
pub mod browse;
pub mod check;
pub mod check_trees;
pub mod collector_records;
pub mod commit_protocol;
pub mod cost;
pub mod dead_collectors;
pub mod forget;
pub mod ignore_rules;
pub mod late_runs;
pub mod no_room;
pub mod partial_index;
pub mod prune;
pub mod repair;
pub mod repair_snapshots;
pub mod retention;
pub mod retention_guard;
pub mod roundtrip;
pub mod trash;
