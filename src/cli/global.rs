//! Options that every command takes.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::Args;

use crate::settings::environment::Environment;
use crate::settings::values::{Fingerprint, parse_connections, parse_fingerprint, parse_rate};
use crate::ui::UiOptions;

/// Global options.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Repository: a folder, s3://bucket/prefix, sftp://user@host:port/path, or the NAME of a
    /// [repository.NAME] in the configuration [env: DRUMLIN_REPOSITORY]
    #[arg(long, short = 'r', global = true, value_name = "URL-or-NAME")]
    pub repo: Option<OsString>,

    /// Configuration file [default: drumlin.toml in $XDG_CONFIG_HOME/drumlin, then in /etc/drumlin]
    /// [env: DRUMLIN_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// File that holds the repository's password [env: DRUMLIN_PASSWORD_FILE; DRUMLIN_PASSWORD
    /// holds the password itself]
    #[arg(long, global = true, value_name = "FILE", conflicts_with_all = ["password_command", "key_file"])]
    pub password_file: Option<PathBuf>,

    /// Command that prints the repository's password [env: DRUMLIN_PASSWORD_COMMAND]
    #[arg(long, global = true, value_name = "COMMAND", conflicts_with = "key_file")]
    pub password_command: Option<String>,

    /// Key file or recovery kit that opens the repository [env: DRUMLIN_KEY_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub key_file: Option<PathBuf>,

    /// Folder for local copies of indexes; it may be deleted at any time [default:
    /// $XDG_CACHE_HOME/drumlin] [env: DRUMLIN_CACHE_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,

    /// Go on with a repository that is older than this machine remembers it: a copy that was put
    /// back on purpose. The copy is remembered
    #[arg(long, global = true)]
    pub accept_rollback: bool,

    /// Go on with another repository than the one that this machine remembers at this place, and
    /// remember it instead
    #[arg(long, global = true)]
    pub accept_new_repository: bool,

    /// The repository must have this fingerprint, or one that begins so, with 32 hex digits at
    /// least [default: as configured]
    #[arg(long, global = true, value_name = "HEX", value_parser = parse_fingerprint)]
    pub fingerprint: Option<Fingerprint>,

    /// Try only the key whose id, as `key list` shows it, begins so
    #[arg(long, global = true, value_name = "ID")]
    pub key: Option<String>,

    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    pub json: bool,

    /// Print progress, warnings and errors as JSON lines on standard error
    #[arg(long, global = true)]
    pub json_progress: bool,

    /// Print nothing but errors and what was asked for
    #[arg(long, short = 'q', global = true)]
    pub quiet: bool,

    /// Say more
    #[arg(long, short = 'v', global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,

    /// Show no progress
    #[arg(long, global = true)]
    pub no_progress: bool,

    /// Threads that work at once [default: one per processor]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,

    /// Send at most so much in a second: 500k, 2MiB, none [default: as configured, else no limit]
    #[arg(long, global = true, value_name = "RATE", value_parser = parse_rate)]
    pub limit_upload: Option<u64>,

    /// Receive at most so much in a second
    #[arg(long, global = true, value_name = "RATE", value_parser = parse_rate)]
    pub limit_download: Option<u64>,

    /// Transfers at once, from and to a bucket or another machine [default: as configured, else 8
    /// or 4]
    #[arg(long, global = true, value_name = "N", value_parser = parse_connections)]
    pub connections: Option<usize>,
}

impl Global {
    /// Takes from the environment what the command line does not say. A variable that is empty is
    /// as if it was not set.
    pub fn complete(mut self, env: &Environment) -> Self {
        self.repo = self.repo.or_else(|| env.get("DRUMLIN_REPOSITORY").map(OsStr::to_owned));
        self.config = self.config.or_else(|| env.path("DRUMLIN_CONFIG"));
        self.cache_dir = self.cache_dir.or_else(|| env.path("DRUMLIN_CACHE_DIR"));
        self
    }

    /// Returns the options that concern output.
    pub fn ui_options(&self) -> UiOptions {
        UiOptions {
            json: self.json,
            json_progress: self.json_progress,
            quiet: self.quiet,
            no_progress: self.no_progress,
            verbose: self.verbose,
        }
    }

    /// Returns how many threads to use.
    pub fn threads(&self) -> usize {
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or_else(all, usize::from)
    }
}

/// Program and version, as stored in what it writes.
pub const PROGRAM: &str = concat!("drumlin ", env!("CARGO_PKG_VERSION"));
