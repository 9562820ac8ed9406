//! Tables `[app.NAME]`, `[defaults]`, `[notify]` and `[metrics]` of the configuration file.

use std::path::PathBuf;

use toml::de::DeValue;

use super::error::SettingsError;
use super::section::Section;
use super::values::{
    Chunker, check_schedule, parse_chunker, parse_compression, parse_file_name, parse_size,
};
use crate::compress::Compression;
use crate::retention::{Period, Policy, parse_span};

/// One output of a command that is backed up as a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandSettings {
    /// The file's name in the snapshot.
    pub name: String,
    /// The shell command.
    pub run: String,
}

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
    /// Commands whose output is backed up.
    pub commands: Vec<CommandSettings>,
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
    /// Valid keys that this version does not support. Without them a backup would not be what the
    /// user wants, so it is refused.
    pub unsupported_keys: Vec<&'static str>,
}

impl AppSettings {
    /// Fills missing settings from `defaults`; lists of tags and excludes are joined.
    pub fn with_defaults(mut self, defaults: &AppSettings) -> AppSettings {
        let fill = |own: &mut Vec<String>, other: &[String]| {
            if own.is_empty() {
                own.extend_from_slice(other);
            }
        };
        fill(&mut self.repositories, &defaults.repositories);
        self.tags.extend_from_slice(&defaults.tags);
        self.host = self.host.or_else(|| defaults.host.clone());
        self.always_read.extend_from_slice(&defaults.always_read);
        self.follow_sources = self.follow_sources.or(defaults.follow_sources);
        self.read_special = self.read_special.or(defaults.read_special);
        self.allow_empty = self.allow_empty.or(defaults.allow_empty);
        self.chunker = self.chunker.or(defaults.chunker);
        self.compression = self.compression.or(defaults.compression);
        self.keep = self.keep.or_else(|| defaults.keep.clone());
        let (own, other) = (&mut self.excludes, &defaults.excludes);
        own.patterns.extend_from_slice(&other.patterns);
        own.folded_patterns.extend_from_slice(&other.folded_patterns);
        own.pattern_files.extend_from_slice(&other.pattern_files);
        own.if_present.extend_from_slice(&other.if_present);
        own.ignore_files.extend_from_slice(&other.ignore_files);
        own.caches = own.caches.or(other.caches);
        own.one_file_system = own.one_file_system.or(other.one_file_system);
        own.larger_than = own.larger_than.or(other.larger_than);
        self.unsupported_keys.extend_from_slice(&defaults.unsupported_keys);
        self
    }
}

pub(super) fn read_app(
    mut section: Section<'_>,
    is_defaults: bool,
) -> Result<AppSettings, SettingsError> {
    let mut app =
        AppSettings { repositories: section.strings("repository")?, ..AppSettings::default() };
    section.parsed("schedule", check_schedule)?;
    app.keep = read_keep(&mut section)?;
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
    for hook in ["before", "after", "failed"] {
        if !section.strings(hook)?.is_empty() {
            app.unsupported_keys.push(hook);
        }
    }
    if !is_defaults {
        app.paths = section.paths("paths")?;
        read_sources(&mut section, &mut app)?;
        if app.paths.is_empty() && app.commands.is_empty() && app.unsupported_keys.is_empty() {
            return Err(section.refuse_table("names nothing to back up"));
        }
    }
    section.finish()?;
    Ok(app)
}

fn read_sources(section: &mut Section<'_>, app: &mut AppSettings) -> Result<(), SettingsError> {
    for mut command in section.section_list("command")? {
        let name = command.parsed("name", check_stream_name)?;
        let run = command.string("run")?;
        let (Some(name), Some(run)) = (name, run) else {
            return Err(command.refuse_table("needs `name` and `run`"));
        };
        command.finish()?;
        app.commands.push(CommandSettings { name, run });
    }
    for database in ["mariadb", "mysql", "postgres"] {
        if let Some(mut table) = section.section(database)? {
            table.strings("databases")?;
            table.parsed("method", |text| match text {
                "dump" | "backup" => Ok(()),
                _ => Err(format!("`{text}` is not one of dump or backup")),
            })?;
            for key in ["host", "user", "password-file", "socket", "defaults-file"] {
                table.string(key)?;
            }
            table.parsed("port", |text| {
                text.parse::<u16>().map_err(|_| format!("`{text}` is not a port number"))
            })?;
            table.finish()?;
            app.unsupported_keys.push(database);
        }
    }
    for key in ["subversion", "subversion-parent"] {
        if !section.paths(key)?.is_empty() {
            app.unsupported_keys.push(key);
        }
    }
    Ok(())
}

/// Longest name of a file that Linux's file systems hold.
const FILE_NAME_LEN_MAX_BYTES: usize = 255;

/// Returns the name of a stream if it can be a file's name: the stream is stored at `/` of the
/// snapshot.
pub fn check_stream_name(text: &str) -> Result<String, String> {
    let mut parts = text.strip_prefix('/').unwrap_or(text).split('/');
    if !parts.clone().all(|part| crate::format::entry::is_valid_name(part.as_bytes())) {
        return Err(format!("`{text}` cannot be the name of a file"));
    }
    if parts.any(|part| part.len() > FILE_NAME_LEN_MAX_BYTES) {
        return Err(format!(
            "`{text}` is longer than a file's name can be, {FILE_NAME_LEN_MAX_BYTES} bytes: it \
                could not be restored"
        ));
    }
    Ok(text.to_owned())
}

fn read_keep(section: &mut Section<'_>) -> Result<Option<Policy>, SettingsError> {
    let Some(value) = section.value("keep") else {
        return Ok(None);
    };
    let mut policy = Policy::default();
    if let DeValue::String(text) = value.get_ref() {
        let refuse = |why| {
            section.refuse(
                "keep",
                value,
                format!("must be a table of counts, or \"decay 2y\": {why}"),
            )
        };
        policy.add(text).map_err(refuse)?;
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

pub(super) fn read_notify(mut section: Section<'_>) -> Result<(), SettingsError> {
    for key in ["email", "from", "smtp", "smtp-user", "smtp-password-file", "webhook", "ping"] {
        section.strings(key)?;
    }
    section.parsed("when", |text| match text {
        "failed" | "always" | "changed" => Ok(()),
        _ => Err(format!("`{text}` is not one of failed, changed or always")),
    })?;
    section.finish()
}

pub(super) fn read_metrics(mut section: Section<'_>) -> Result<(), SettingsError> {
    section.parsed("listen", |text| match text.parse::<std::net::SocketAddr>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("`{text}` is not an address such as 127.0.0.1:9840")),
    })?;
    section.path("textfile")?;
    section.string("push")?;
    section.finish()
}
