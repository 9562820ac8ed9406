//! Goal: every command, option, exit code, JSON field and main error text of the contract. Method:
//! the real program in a scratch home.

mod archive; // `restore --to-tar`, `--to-zip`
mod backup; // `backup`: excludes, streams, apps
mod bad_sectors; // disks with bad sectors
mod check; // `check`, `stats`
mod config; // configuration file, environment
mod cost; // `cost`
mod diff_history_find_du; // `diff`, `history`, `find`, `du`
mod forget; // `forget`, `undelete`, trash
mod hidden_snapshots; // snapshots that a store hides
mod init; // `init`, and secrets
mod key;
mod key_shares; // `key`
mod library; // the library's front door, its examples
mod limits_and_requests; // limits of speed, counts of requests
mod lost_sources; // sources that have lost their files
mod nested_sources; // sources that contain each other
#[cfg(feature = "s3")]
mod no_exclusive_create; // servers that do not create exclusively
mod nothing_kept; // no home, no cache
mod odd_files; // files that are hard to read
mod other_file_systems; // mounts below a source, full disks
mod output; // help, JSON, progress, quiet
mod planted_links; // links in a repository or cache
mod prune; // `prune`
mod quickstart; // `quickstart`
mod remote_costs; // requests and round trips to remote stores
mod remote_repositories; // real servers, and no answer
mod repair; // `repair`
mod restore; // `restore`
mod restore_in_place; // `restore` to where files came from
mod signals; // Ctrl-C
mod snapshot_names; // `latest` and other names of snapshots
mod snapshots_ls_cat; // `snapshots`, `ls`, `cat`
mod sources; // `backup`: sources that are named
mod spared_folders; // folders that a restore leaves alone
#[cfg(feature = "sftp")]
mod ssh_config; // SSH configuration
mod terminal; // prompts, colours, progress
mod unexpanded_tilde; // `~` in quotes
mod witness; // memory of a place, rollback
