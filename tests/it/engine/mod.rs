//! Each operation on a repository: backup, check, forget, prune, repair, retention, browsing.

mod backup; // incremental backups equal full ones
mod browse; // looking into snapshots
mod check; // `check` of sound repositories
mod check_trees; // `check` of trees that a restore refuses
mod collector_records; // records of collectors
mod commit_protocol; // a collector during a backup
mod dead_collectors; // collectors that died after their verdict
mod dumps; // dumps as files of a snapshot
mod dumps_placed; // dumps that choose their files, or need not be made
mod forget; // forgetting beside other commands
mod ignore_rules; // ignore rules equal git's
mod late_runs; // index runs that come late or twice
mod no_room; // repositories without room
mod partial_index; // lookups in remote index runs
mod prune; // prunes, deaths, concurrency
mod random_trees; // random trees, files that change while read
mod repair; // repair of the index and packs
mod repair_snapshots; // `repair --snapshots`
mod request_counts; // requests per command
mod retention; // retention rules
mod retention_guard; // guard against forgetting too much
mod trash; // trash, tombstones, undelete
