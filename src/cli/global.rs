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
pub(super) struct Global {
    /// Repository: a folder, URL or name [env: DRUMLIN_REPOSITORY]
    ///
    /// A folder, s3://bucket/prefix, sftp://user@host:port/path, or the NAME of a [repository.NAME]
    /// in the configuration.
    #[arg(long, short = 'r', global = true, value_name = "URL-or-NAME")]
    pub repo: Option<OsString>,

    /// Configuration file [env: DRUMLIN_CONFIG]
    ///
    /// The default is drumlin.toml in $XDG_CONFIG_HOME/drumlin, then in /etc/drumlin.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Read the configuration from a copy that the daemon made
    #[arg(long, global = true, value_name = "FILE", hide = true)]
    pub config_copy: Option<PathBuf>,

    /// Read the password from FILE [env: DRUMLIN_PASSWORD_FILE]
    ///
    /// DRUMLIN_PASSWORD holds the password itself.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        conflicts_with_all = ["password_command", "key_file"],
    )]
    pub password_file: Option<PathBuf>,

    /// Read the password from a command [env: DRUMLIN_PASSWORD_COMMAND]
    #[arg(long, global = true, value_name = "COMMAND", conflicts_with = "key_file")]
    pub password_command: Option<String>,

    /// Open with a key file or recovery kit [env: DRUMLIN_KEY_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub key_file: Option<PathBuf>,

    /// Folder for local copies of indexes [env: DRUMLIN_CACHE_DIR]
    ///
    /// The default is $XDG_CACHE_HOME/drumlin. It may be deleted at any time.
    #[arg(long, global = true, value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,

    /// Accept a repository that is older than it was
    ///
    /// Use it after you restored a copy of the repository. This machine remembers the copy.
    #[arg(long, global = true)]
    pub accept_rollback: bool,

    /// Accept another repository at this place
    ///
    /// This machine remembers it instead of the one that was there.
    #[arg(long, global = true)]
    pub accept_new_repository: bool,

    /// Require this fingerprint, or one that begins so
    ///
    /// 32 hex digits at least. The default is as configured.
    #[arg(long, global = true, value_name = "HEX", value_parser = parse_fingerprint)]
    pub fingerprint: Option<Fingerprint>,

    /// Try only the key with this id, or with ids that begin so
    ///
    /// `drumlin key list` shows the ids.
    #[arg(long, global = true, value_name = "ID")]
    pub key: Option<String>,

    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    pub json: bool,

    /// Print progress, warnings and errors as JSON lines to stderr
    #[arg(long, global = true)]
    pub json_progress: bool,

    /// Print only errors, losses and what was asked for
    #[arg(long, short = 'q', global = true)]
    pub quiet: bool,

    /// Print more
    #[arg(long, short = 'v', global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,

    /// Show no progress
    #[arg(long, global = true)]
    pub no_progress: bool,

    /// Use this many threads [default: one per processor]
    #[arg(
        long,
        global = true,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=1024),
    )]
    pub threads: Option<u16>,

    /// Limit uploads per second: 500k, 2MiB, none
    ///
    /// The default is as configured, else no limit.
    #[arg(long, global = true, value_name = "RATE", value_parser = parse_rate)]
    pub limit_upload: Option<u64>,

    /// Limit downloads per second
    #[arg(long, global = true, value_name = "RATE", value_parser = parse_rate)]
    pub limit_download: Option<u64>,

    /// Transfers at once to and from a server
    ///
    /// The default is as configured, else 8 for a bucket and 4 for SFTP.
    #[arg(long, global = true, value_name = "N", value_parser = parse_connections)]
    pub connections: Option<usize>,
}

impl Global {
    /// Takes from the environment what the command line does not say. A variable that is empty is
    /// as if it was not set.
    pub(super) fn complete(mut self, env: &Environment) -> Self {
        self.repo = self.repo.or_else(|| env.get("DRUMLIN_REPOSITORY").map(OsStr::to_owned));
        self.config = self.config.or_else(|| env.path("DRUMLIN_CONFIG"));
        self.cache_dir = self.cache_dir.or_else(|| env.path("DRUMLIN_CACHE_DIR"));
        self
    }

    /// Returns the command line by which a child process opens the same repositories.
    ///
    /// What came from the environment comes to it from there, too, or by these options. Options
    /// that concern output are the caller's.
    pub(super) fn for_child(&self) -> Vec<OsString> {
        let mut line: Vec<OsString> = Vec::new();
        let mut add = |name: &str, value: Option<OsString>| {
            line.extend(value.map(|value| {
                let mut option = OsString::from(format!("--{name}="));
                option.push(value);
                option
            }));
        };
        let path = |path: &Option<PathBuf>| path.clone().map(PathBuf::into_os_string);
        let number = |number: Option<u64>| number.map(|number| OsString::from(number.to_string()));
        let rate = |rate: Option<u64>| match rate {
            Some(u64::MAX) => Some("none".into()),
            rate => number(rate),
        };
        add("repo", self.repo.clone());
        match &self.config_copy {
            Some(copy) => add("config-copy", Some(copy.into())),
            None => add("config", path(&self.config)),
        }
        add("password-file", path(&self.password_file));
        add("password-command", self.password_command.clone().map(OsString::from));
        add("key-file", path(&self.key_file));
        add("cache-dir", path(&self.cache_dir));
        let fingerprint = self.fingerprint.as_ref().map(|fingerprint| {
            fingerprint.0.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
        });
        add("fingerprint", fingerprint);
        add("key", self.key.clone().map(OsString::from));
        add("threads", number(self.threads.map(u64::from)));
        add("limit-upload", rate(self.limit_upload));
        add("limit-download", rate(self.limit_download));
        add("connections", number(self.connections.map(|count| count as u64)));
        let flags = [
            ("--accept-rollback", self.accept_rollback),
            ("--accept-new-repository", self.accept_new_repository),
            ("--json-progress", self.json_progress),
            ("--quiet", self.quiet),
        ];
        line.extend(
            flags.into_iter().filter(|(_, is_given)| *is_given).map(|(flag, _)| flag.into()),
        );
        line.extend((0..self.verbose).map(|_| "--verbose".into()));
        line
    }

    /// Returns the options that concern output.
    pub(super) fn ui_options(&self) -> UiOptions {
        UiOptions {
            json: self.json,
            json_progress: self.json_progress,
            quiet: self.quiet,
            no_progress: self.no_progress,
            verbose: self.verbose,
        }
    }

    /// Returns how many threads to use.
    pub(super) fn threads(&self) -> usize {
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or_else(all, usize::from)
    }
}

/// Program and version, as stored in what it writes.
pub(super) const PROGRAM: &str = concat!("drumlin ", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        global: Global,
    }

    /// Each option of the definition, or it is an option of output that the caller decides.
    #[test]
    fn a_child_gets_every_option() {
        let given = "--repo=r --config=c --password-file=p --cache-dir=d --accept-rollback \
                     --accept-new-repository --fingerprint=00112233445566778899aabbccddeeff \
                     --key=ab --threads=3 --limit-upload=none --limit-download=7 --connections=5 \
                     --json-progress --quiet -vv";
        let parse = |line: Vec<OsString>| {
            let all = std::iter::once(OsString::from("drumlin")).chain(line);
            Line::try_parse_from(all).unwrap().global
        };
        let global = parse(given.split_whitespace().map(OsString::from).collect());
        let child = parse(global.for_child());
        assert_eq!(format!("{global:?}"), format!("{child:?}"));
        for (line, kept) in
            [("--key-file=k", "k"), ("--password-command=w", "w"), ("--config-copy=x", "x")]
        {
            let child = parse(parse(vec![line.into()]).for_child());
            let values =
                [child.key_file, child.password_command.map(PathBuf::from), child.config_copy];
            assert_eq!(values.into_iter().flatten().collect::<Vec<_>>(), [PathBuf::from(kept)]);
        }
        let names: Vec<String> = <Line as clap::CommandFactory>::command()
            .get_arguments()
            .filter_map(|option| option.get_long().map(str::to_owned))
            .collect();
        let tried = format!("{given} --key-file --password-command --config-copy --verbose");
        let of_output = ["json", "no-progress"];
        for name in names.iter().filter(|name| !of_output.contains(&name.as_str())) {
            assert!(tried.contains(&format!("--{name}")), "--{name} is not given to children");
        }
    }
}
