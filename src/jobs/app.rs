//! A backup of a configured app, or of sources that the caller names.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use super::dumps::{self, AppDumps, DumpConditions};
use super::error::Result;
use super::patterns::Surroundings;
use crate::backup::{self, BackupOptions, BackupReport, DumpSource, ExcludeOptions};
use crate::compress::Compression;
use crate::connect::{self, Connector, RepositoryPlace, host, own_dirs};
use crate::format::config::Profile;
use crate::format::snapshot::Consistency;
use crate::monitor::Monitor;
use crate::repo::Repository;
use crate::repo::write::Checkpoints;
use crate::rules::{Case, Pattern};
use crate::settings::Settings;
use crate::settings::app::AppSettings;
use crate::settings::sources::SourceSettings;
use crate::settings::values::Chunker;
use crate::sources::manifest::SharedRecord;
use crate::sources::special;
use crate::text;

/// Options of the caller in addition to the configuration.
#[derive(Clone, Debug, Default)]
pub struct Additions {
    /// Patterns of excluded files; each should match something.
    pub excludes: Vec<Pattern>,
    /// Patterns of files that are read even if they look unchanged.
    pub always_read: Vec<Pattern>,
    /// Name of the file that stores standard input; `None` if it is not read.
    pub stdin: Option<String>,
    /// Reads and counts, but stores nothing.
    pub dry_run: bool,
    /// Makes a snapshot even if nothing has changed.
    pub always_snapshot: bool,
    /// Reads every file, even if it looks unchanged.
    pub read_all: bool,
    /// Trusts times and lengths alone, not inode numbers.
    pub ignore_inode: bool,
    /// Uses less memory, at some cost of speed.
    pub low_memory: bool,
    /// Number of threads.
    pub threads: usize,
    /// Program and version, as stored in the snapshot.
    pub program: String,
}

/// A backup to run: the configuration merged with the caller's options.
pub struct Job {
    /// The app, empty for none.
    pub app: String,
    /// Its settings, merged with the defaults and the caller's values.
    pub settings: AppSettings,
    /// Further options of the caller.
    pub additions: Additions,
    /// Its dumps, planned by [`Job::plan_dumps`].
    pub dumps: AppDumps,
}

impl Job {
    /// Makes a job without dumps.
    pub fn new(app: String, settings: AppSettings, additions: Additions) -> Self {
        Self { app, settings, additions, dumps: AppDumps::default() }
    }

    /// Plans the dumps, and returns what will be recorded of each.
    pub fn plan_dumps(
        &mut self,
        mut conditions: DumpConditions,
    ) -> Result<Vec<SharedRecord>, connect::Error> {
        self.dumps = dumps::plan(&self.settings, &mut conditions)?;
        Ok(std::mem::take(&mut self.dumps.records))
    }

    /// Returns the settings of an app, merged with the defaults; without its sources if the caller
    /// names some.
    ///
    /// Fails if there is nothing to back up.
    pub fn settings_of(
        settings: &Settings,
        app: Option<&str>,
        has_source: bool,
    ) -> Result<AppSettings, connect::Error> {
        let configured = app.and_then(|app| settings.apps.get(app));
        let mut merged = match (configured, has_source) {
            (Some(app), _) => app.clone().with_defaults(&settings.defaults),
            (None, true) => AppSettings::default().with_defaults(&settings.defaults),
            (None, false) => return Err(nothing_to_back_up(settings, app)),
        };
        if has_source {
            merged.paths = Vec::new();
            merged.sources = SourceSettings::default();
        } else if let Some(app) = app {
            let why = match (merged.run.hooks.is_none(), merged.stop.is_empty()) {
                (true, true) => return Ok(merged),
                (false, _) => "has commands around its backup, which this does not run",
                (true, false) => "has containers that stand still, which this does not stop",
            };
            let error = connect::Error::usage(format!("app `{app}` {why}"));
            return Err(error.hint(format!("`drumlin run {app}` does that")));
        }
        Ok(merged)
    }

    /// Returns the configured repository's name. `is_named`: the caller names one.
    pub fn repository(&self, is_named: bool) -> Result<Option<&str>, connect::Error> {
        match self.settings.repositories.as_slice() {
            [_, _, ..] if !is_named && !self.app.is_empty() => {
                let why = format!(
                    "app `{}` has several repositories, which this version does not support yet",
                    self.app
                );
                Err(connect::Error::usage(why).hint("give --repo NAME for one of them"))
            }
            names => Ok(names.first().map(String::as_str)),
        }
    }

    /// Takes the snapshot.
    pub fn run(
        self,
        connector: &Connector,
        place: &RepositoryPlace,
        repository: &Arc<Repository>,
        monitor: &Arc<Monitor>,
    ) -> Result<BackupReport> {
        let options = self.options(connector, place, repository, monitor)?;
        Ok(backup::run(repository, options, monitor)?)
    }

    fn options(
        self,
        connector: &Connector,
        place: &RepositoryPlace,
        repository: &Repository,
        monitor: &Arc<Monitor>,
    ) -> Result<BackupOptions, connect::Error> {
        let mut own_folders = connector.own_dirs(place);
        own_folders.extend(own_dirs::in_cache_to_leave_out(&connector.cache_dir(place)));
        let anywhere = Surroundings { home: connector.env.home(), ..Surroundings::default() };
        let patterns = self.patterns(&anywhere)?;
        let configured = words(&self.settings.always_read);
        let Self { app, settings, additions, dumps: planned } = self;
        let stdin = additions.stdin.as_deref().map(|name| special::stdin_source(name, monitor));
        let mut dumps: Vec<DumpSource> = stdin.into_iter().chain(planned.dumps).collect();
        let paths =
            plan_special(settings.paths, settings.read_special == Some(true), &mut dumps, monitor)?;
        let excludes = settings.excludes;
        Ok(BackupOptions {
            consistency: match (paths.is_empty(), settings.run.is_snapshot == Some(true)) {
                (true, _) => Consistency::Dump,
                (false, true) => Consistency::FileSystemSnapshot,
                (false, false) => Consistency::Live,
            },
            paths,
            follow_sources: settings.follow_sources == Some(true),
            allow_empty: settings.allow_empty == Some(true),
            root: settings.run.root,
            dumps,
            left_out: planned.left_out,
            tags: settings.tags,
            host: settings.host.unwrap_or_else(host::host_name),
            user: host::user_name(),
            app,
            program: additions.program,
            excludes: ExcludeOptions {
                patterns,
                caches: excludes.caches.unwrap_or(false),
                if_present: excludes.if_present,
                larger_than: excludes.larger_than,
                ignore_files: excludes.ignore_files,
                one_file_system: excludes.one_file_system.unwrap_or(false),
                always_read: [anywhere.patterns(&configured, &[]), additions.always_read].concat(),
                own_folders,
            },
            chunker: settings
                .chunker
                .map(|chunker| profile_of(chunker, repository.config().profile)),
            compression: settings.compression.unwrap_or(Compression::DEFAULT),
            dry_run: additions.dry_run,
            always_snapshot: additions.always_snapshot,
            read_all: additions.read_all,
            ignore_inodes: additions.ignore_inode,
            threads: additions.threads,
            low_memory: additions.low_memory,
            clock: Arc::new(text::now),
            checkpoints: Checkpoints::default(),
        })
    }

    /// Returns all patterns, including those in files: the configuration's, which do not depend on
    /// the current directory, then the caller's, which should match something.
    pub(super) fn patterns(&self, anywhere: &Surroundings) -> Result<Vec<Pattern>, connect::Error> {
        let configured = &self.settings.excludes;
        let mut patterns =
            anywhere.patterns(&words(&configured.patterns), &words(&configured.folded_patterns));
        for file in &configured.pattern_files {
            patterns.append(&mut anywhere.patterns_in(file, Case::Exact)?);
        }
        patterns.iter_mut().for_each(|pattern| pattern.is_general = true);
        patterns.extend(self.additions.excludes.iter().cloned());
        Ok(patterns)
    }
}

fn words(patterns: &[String]) -> Vec<OsString> {
    patterns.iter().map(OsString::from).collect()
}

fn nothing_to_back_up(settings: &Settings, app: Option<&str>) -> connect::Error {
    let Some(app) = app else {
        return connect::Error::usage("nothing to back up was named")
            .hint("give a PATH, --stdin, --command or --app");
    };
    let known: Vec<&str> = settings.apps.keys().map(String::as_str).collect();
    let error = connect::Error::usage(format!(
        "there is no [app.{app}] in the configuration, and no PATH was given"
    ));
    if known.is_empty() {
        error
    } else {
        error.hint(format!("the configuration has {}", known.join(", ")))
    }
}

/// Plans to read the special files among the paths, if `reads_special`; returns the other paths.
fn plan_special(
    paths: Vec<PathBuf>,
    reads_special: bool,
    dumps: &mut Vec<DumpSource>,
    monitor: &Arc<Monitor>,
) -> Result<Vec<PathBuf>, connect::Error> {
    let mut others = Vec::with_capacity(paths.len());
    for path in paths {
        if !(reads_special && special::is_special(&path)) {
            others.push(path);
            continue;
        }
        let fail = |error| connect::Error::file("read", &path, error);
        dumps.push(special::file_source(&path, monitor).map_err(fail)?);
    }
    Ok(others)
}

fn profile_of(chunker: Chunker, own: Profile) -> Profile {
    match (chunker, own) {
        (Chunker::Fixed, _) => Profile::Fixed,
        (Chunker::ContentDefined, Profile::Fixed) => Profile::Standard,
        (Chunker::ContentDefined, own) => own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunkers_keep_the_repository_s_sizes() {
        assert_eq!(profile_of(Chunker::ContentDefined, Profile::Large), Profile::Large);
        assert_eq!(profile_of(Chunker::ContentDefined, Profile::Fixed), Profile::Standard);
        assert_eq!(profile_of(Chunker::Fixed, Profile::Small), Profile::Fixed);
    }
}
