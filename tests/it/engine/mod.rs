//! Each operation on a repository: backup, check, forget, prune, repair, retention, browsing.

pub mod backup; // incremental backups equal full ones
pub mod browse; // looking into snapshots
pub mod check; // `check` of sound repositories
pub mod check_trees; // `check` of trees that a restore refuses
pub mod collector_records; // records of collectors
pub mod commit_protocol; // a collector during a backup
pub mod dead_collectors; // collectors that died after their verdict
pub mod forget; // forgetting beside other commands
pub mod ignore_rules; // ignore rules equal git's
pub mod late_runs; // index runs that come late or twice
pub mod no_room; // repositories without room
pub mod partial_index; // lookups in remote index runs
pub mod prune; // prunes, deaths, concurrency
pub mod random_trees; // random trees, files that change while read
pub mod repair; // repair of the index and packs
pub mod repair_snapshots; // `repair --snapshots`
pub mod request_counts; // requests per command
pub mod retention; // retention rules
pub mod retention_guard; // guard against forgetting too much
pub mod trash; // trash, tombstones, undelete
