//! Tables `[app.NAME]` and `[defaults]` of the configuration file.

use std::path::PathBuf;

use toml::de::DeValue;

use super::cycle::{CycleSettings, read_cycle};
use super::docker::parse_container;
use super::error::SettingsError;
use super::notify::{PingSettings, read_ping};
use super::run::{RunSettings, parse_schedule_line, read_run};
use super::section::Section;
use super::sources::{SourceSettings, read_sources};
use super::values::{Chunker, parse_chunker, parse_compression, parse_file_name, parse_size};
use crate::compress::Compression;
use crate::retention::{Period, Policy, parse_span};

/// What to leave out of a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExcludeSettings {
    /// Patterns in the syntax of `.gitignore`.
    pub patterns: Vec<String>,
    /// Patterns that ignore case.
    pub folded_patterns: Vec<String>,
    /// Files with such patterns.
    pub pattern_files: Vec<PathBuf>,
    /// Whether directories marked with CACHEDIR.TAG are left out.
    pub caches: Option<bool>,
    /// Directories that hold one of these names are left out.
    pub if_present: Vec<String>,
    /// Files larger than this many bytes are left out.
    pub larger_than: Option<u64>,
    /// Names of files with rules for their own directory, such as `.gitignore`.
    pub ignore_files: Vec<String>,
    /// Whether other file systems are left out.
    pub one_file_system: Option<bool>,
}

/// `[app.NAME]` and `[defaults]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppSettings {
    /// Names of repositories.
    pub repositories: Vec<String>,
    /// What to back up, absolute.
    pub paths: Vec<PathBuf>,
    /// What is dumped.
    pub sources: SourceSettings,
    /// Containers that stand still while files are read.
    pub stop: Vec<String>,
    /// When and how it is run.
    pub run: RunSettings,
    /// Tags of its snapshots.
    pub tags: Vec<String>,
    /// The host's name in its snapshots.
    pub host: Option<String>,
    /// What to leave out.
    pub excludes: ExcludeSettings,
    /// Patterns of files that are read even if they look unchanged.
    pub always_read: Vec<String>,
    /// Whether symbolic links among the paths are followed.
    pub follow_sources: Option<bool>,
    /// Whether special files among the paths are read.
    pub read_special: Option<bool>,
    /// Whether paths without their files, and empty streams, are accepted.
    pub allow_empty: Option<bool>,
    /// The chunker.
    pub chunker: Option<Chunker>,
    /// The compression.
    pub compression: Option<Compression>,
    /// The retention policy.
    pub keep: Option<Policy>,
    /// Whether messages tell of it; `true` if missing.
    pub is_told: Option<bool>,
    /// The service that waits for its runs. The defaults have none: two apps cannot share one.
    pub ping: Option<PingSettings>,
    /// The words of tape rotation that schedule and policy were made of.
    pub cycle: Option<CycleSettings>,
}

impl AppSettings {
    /// Fills missing settings from `defaults`; lists of tags and excludes are joined.
    pub fn with_defaults(mut self, defaults: &AppSettings) -> AppSettings {
        let fill = |own: &mut Vec<String>, other: &[String]| {
            if own.is_empty() {
                own.extend_from_slice(other);
            }
        };
        let has_own = self.keep.is_some() || !self.run.schedule.is_empty();
        self.cycle = self.cycle.or_else(|| defaults.cycle.clone().filter(|_| !has_own));
        fill(&mut self.repositories, &defaults.repositories);
        join(&mut self.tags, &defaults.tags);
        self.host = self.host.or_else(|| defaults.host.clone());
        join(&mut self.always_read, &defaults.always_read);
        self.follow_sources = self.follow_sources.or(defaults.follow_sources);
        self.read_special = self.read_special.or(defaults.read_special);
        self.allow_empty = self.allow_empty.or(defaults.allow_empty);
        self.chunker = self.chunker.or(defaults.chunker);
        self.compression = self.compression.or(defaults.compression);
        self.keep = self.keep.or_else(|| defaults.keep.clone());
        self.is_told = self.is_told.or(defaults.is_told);
        let (own, other) = (&mut self.excludes, &defaults.excludes);
        join(&mut own.patterns, &other.patterns);
        join(&mut own.folded_patterns, &other.folded_patterns);
        join(&mut own.pattern_files, &other.pattern_files);
        join(&mut own.if_present, &other.if_present);
        join(&mut own.ignore_files, &other.ignore_files);
        own.caches = own.caches.or(other.caches);
        own.one_file_system = own.one_file_system.or(other.one_file_system);
        own.larger_than = own.larger_than.or(other.larger_than);
        self.run.fill_from(&defaults.run);
        self
    }
}

/// Adds the elements of another list, unless it ends with them: they would change nothing, and
/// what `config show` prints can be read again.
fn join<T: Clone + PartialEq>(own: &mut Vec<T>, other: &[T]) {
    if !own.ends_with(other) {
        own.extend_from_slice(other);
    }
}

pub(super) fn read_app(
    mut section: Section<'_>,
    is_defaults: bool,
) -> Result<AppSettings, SettingsError> {
    let mut app =
        AppSettings { repositories: section.strings("repository")?, ..AppSettings::default() };
    app.run = read_run(&mut section)?;
    app.keep = read_keep(&mut section)?;
    app.is_told = section.boolean("notify")?;
    if let Some(cycle) = read_cycle(&mut section, parse_schedule_line)? {
        app.run.schedule = vec![cycle.schedule()];
        app.keep = Some(cycle.policy());
        app.cycle = Some(cycle);
    }
    app.tags = section.strings("tag")?;
    app.host = section.string("host")?;
    app.always_read = section.strings("always-read")?;
    app.follow_sources = section.boolean("follow-sources")?;
    app.read_special = section.boolean("read-special")?;
    app.allow_empty = section.boolean("allow-empty")?;
    app.chunker = section.parsed("chunker", parse_chunker)?;
    app.compression = section.parsed("compression", parse_compression)?;
    app.excludes = ExcludeSettings {
        patterns: section.strings("exclude")?,
        folded_patterns: section.strings("iexclude")?,
        pattern_files: section.paths("exclude-file")?,
        caches: section.boolean("exclude-caches")?,
        if_present: section.each_parsed("exclude-if-present", parse_file_name)?,
        larger_than: section.parsed("exclude-larger-than", parse_size)?,
        ignore_files: section.each_parsed("ignore-file", parse_file_name)?,
        one_file_system: section.boolean("one-file-system")?,
    };
    if !is_defaults {
        app.paths = section.paths("paths")?;
        app.sources = read_sources(&mut section)?;
        app.ping = read_ping(&mut section)?;
        app.stop = read_stop(&mut section, &app.sources)?;
        if app.paths.is_empty() && app.sources.is_empty() {
            return Err(section.refuse_table("names nothing to back up"));
        }
    }
    for key in ["drill", "lead", "spool-max"] {
        if let Some(value) = section.value(key) {
            return Err(section.refuse(key, value, "is not supported by this version yet"));
        }
    }
    section.finish()?;
    Ok(app)
}

/// Reads the containers to stop. One that is dumped must run.
fn read_stop(
    section: &mut Section<'_>,
    sources: &SourceSettings,
) -> Result<Vec<String>, SettingsError> {
    let names = section.each_parsed("stop", parse_container)?;
    let dumped = names.iter().find(|name| sources.containers().any(|other| other == *name));
    match (dumped, section.value("stop")) {
        (Some(name), Some(value)) => {
            let why = format!("`{name}` is dumped, so it must run: stop others of the app");
            Err(section.refuse("stop", value, why))
        }
        _ => Ok(names),
    }
}

fn read_keep(section: &mut Section<'_>) -> Result<Option<Policy>, SettingsError> {
    let Some(value) = section.value("keep") else {
        return Ok(None);
    };
    let mut policy = Policy::default();
    if let DeValue::String(_) = value.get_ref() {
        let Some(text) = section.string("keep")? else {
            return Ok(None);
        };
        let refuse = |why| {
            section.refuse(
                "keep",
                value,
                format!("must be a table of counts, or \"decay 2y\": {why}"),
            )
        };
        policy.add(&text).map_err(refuse)?;
        return Ok(Some(policy));
    }
    let mut keep = section.section("keep")?.expect("the key is there");
    policy.last = read_count(&mut keep, "last")?;
    for (period, count) in Period::ALL.into_iter().zip(&mut policy.periods) {
        *count = read_count(&mut keep, period.rule())?;
    }
    policy.within_s = keep.parsed("within", parse_span)?;
    policy.tags = keep.strings("tag")?;
    if let Some(text) = keep.string("decay")? {
        policy.add(&format!("decay {text}")).map_err(|why| section.refuse("keep", value, why))?;
    }
    keep.finish()?;
    Ok(Some(policy))
}

/// Reads a count; 0 counts as missing.
fn read_count(section: &mut Section<'_>, key: &'static str) -> Result<Option<u32>, SettingsError> {
    let Some(value) = section.value(key) else {
        return Ok(None);
    };
    let count = value.get_ref().as_integer().and_then(|number| number.as_str().parse::<u32>().ok());
    let count = count.ok_or_else(|| section.refuse(key, value, "must be a whole number"))?;
    Ok(Some(count).filter(|count| *count > 0))
}
