//! The configuration file `drumlin.toml`, environment variables and locations.

pub mod app;
pub mod copy;
pub mod cycle;
pub mod daemon;
pub mod docker;
mod effective;
pub mod environment;
pub mod error;
mod files;
pub mod labels;
pub mod location;
pub mod log;
pub mod metrics;
pub mod notify;
pub mod repository;
pub mod run;
pub mod section;
mod shown;
pub mod source;
pub mod sources;
#[cfg(feature = "sftp")]
pub mod ssh_config;
mod trust;
pub mod upkeep;
pub mod values;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use app::AppSettings;
use copy::SettingsCopy;
use daemon::DaemonSettings;
use docker::{DockerSettings, Labelled};
use environment::Environment;
pub use error::SettingsError;
pub use files::SettingsFile;
use log::LogSettings;
use metrics::MetricsSettings;
use notify::NotifySettings;
use repository::RepositorySettings;
use section::Section;
use source::SettingsText;

/// Name of the configuration file.
pub const FILE_NAME: &str = "drumlin.toml";
/// The last directory that is searched.
const SYSTEM_DIR: &str = "/etc/drumlin";
/// Files that are included unless the configuration says otherwise.
const INCLUDE_DEFAULT: &str = "apps.d/*.toml";
/// Tables that an included file may hold.
const INCLUDED_TABLES: [&str; 2] = ["app", "repository"];

/// The content of a configuration file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// The file, if there is one.
    pub file: Option<PathBuf>,
    /// Files that it includes, in the order in which they were read.
    pub included: Vec<PathBuf>,
    /// Where tables begin, by name: `app.wiki`, `repository.box`.
    pub places: BTreeMap<String, SettingsPlace>,
    /// `[repository.NAME]` by name.
    pub repositories: BTreeMap<String, RepositorySettings>,
    /// `[app.NAME]` by name.
    pub apps: BTreeMap<String, AppSettings>,
    /// `[defaults]`.
    pub defaults: AppSettings,
    /// `[metrics]`.
    pub metrics: MetricsSettings,
    /// `[log]`.
    pub log: LogSettings,
    /// `[notify]`.
    pub notify: NotifySettings,
    /// `[daemon]`.
    pub daemon: DaemonSettings,
    /// The texts of all these files, in order: they can be parsed again.
    pub texts: Vec<SettingsFile>,
    /// `[docker]`.
    pub docker: DockerSettings,
    /// The apps of labels; `None` if nobody asked the engine, or it did not answer.
    pub labelled: Option<Labelled>,
    /// All tables as they hold, without secrets, to be shown.
    shown: toml::Table,
}

/// A place in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsPlace {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for SettingsPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// Files that a configuration includes.
struct Includes {
    patterns: Vec<PathBuf>,
    is_default: bool,
    line: usize,
}

impl Settings {
    /// Finds and reads the file: `explicit`, else the user's, else the system's; no file at all
    /// means empty settings.
    ///
    /// Fails if `explicit` is missing, or if any file that is found cannot be read or is not valid.
    pub fn load(explicit: Option<&Path>, env: &Environment) -> Result<Self, SettingsError> {
        if let Some(file) = explicit {
            return Self::read(file, env);
        }
        let user = env.config_dir().map(|dir| dir.join(FILE_NAME));
        for file in user.into_iter().chain([Path::new(SYSTEM_DIR).join(FILE_NAME)]) {
            match Self::read(&file, env) {
                Err(SettingsError::Read { file: missing, source })
                    if missing == file
                        && matches!(
                            source.kind(),
                            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                        ) => {}
                result => return result,
            }
        }
        Ok(Self::default())
    }

    /// Reads the configuration of which `copy` holds a copy ([`SettingsCopy`]).
    pub fn load_copy(copy: &Path, env: &Environment) -> Result<Self, SettingsError> {
        let fail = |source| SettingsError::Read { file: copy.to_path_buf(), source };
        Self::parse_all(SettingsCopy::read(copy).map_err(fail)?, env)
    }

    fn read(file: &Path, env: &Environment) -> Result<Self, SettingsError> {
        let fail = |source| SettingsError::Read { file: file.to_path_buf(), source };
        let file = std::path::absolute(file).map_err(fail)?;
        if file.to_str().is_none() {
            // Paths in it begin at its folder, and are text.
            return Err(fail(io::Error::other("its path is not UTF-8")));
        }
        let text = files::read(&file, env, false)?;
        let includes = Self::default().take(&SettingsText::new(file.clone(), &text, env), false)?;
        let included =
            files::included(&includes.patterns, includes.is_default).map_err(|message| {
                let (file, line) = (file.clone(), includes.line);
                SettingsError::Invalid { file, line, message, hint: None }
            })?;
        let mut texts = vec![SettingsFile { path: file, text }];
        for path in included {
            let text = files::read(&path, env, true)?;
            texts.push(SettingsFile { path, text });
        }
        Self::parse_all(texts, env)
    }

    /// Parses all files of a configuration: the first one, and those that it includes.
    ///
    /// No file is read, and no pattern of `include` is looked at. Without files, the settings are
    /// empty.
    pub fn parse_all(texts: Vec<SettingsFile>, env: &Environment) -> Result<Self, SettingsError> {
        let mut settings = Self::default();
        for (at, SettingsFile { path, text }) in texts.iter().enumerate() {
            settings.take(&SettingsText::new(path.clone(), text, env), at > 0)?;
        }
        settings.check_names()?;
        // The zone of all schedules, if an app has none.
        let of_apps = &mut settings.defaults.run.timezone;
        *of_apps = of_apps.take().or_else(|| settings.daemon.timezone.clone());
        let mut paths = texts.iter().map(|file| file.path.clone());
        settings.file = paths.next();
        settings.included = paths.collect();
        Ok(Self { texts, ..settings })
    }

    /// Parses the text of `file`, which must be absolute; reads no file that it includes.
    pub fn parse(text: &str, file: PathBuf, env: &Environment) -> Result<Self, SettingsError> {
        Self::parse_all(vec![SettingsFile { path: file, text: text.to_owned() }], env)
    }

    /// Adds what a file says; returns what it includes.
    fn take(
        &mut self,
        source: &SettingsText<'_>,
        is_included: bool,
    ) -> Result<Includes, SettingsError> {
        let document = DeTable::parse(source.text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            source.error(at, error.message().trim_end_matches('.'))
        })?;
        let mut whole = Section::new(source, String::new(), document.get_ref());
        for (name, section) in whole.named_sections("repository")? {
            self.add_place(&section, source)?;
            self.repositories.insert(name, repository::read_repository(section)?);
        }
        for (name, section) in whole.named_sections("app")? {
            self.add_place(&section, source)?;
            self.apps.insert(name, app::read_app(section, false)?);
        }
        let includes = match is_included {
            true => refuse_other_tables(document.get_ref(), source)?,
            false => self.take_other_tables(&mut whole, source)?,
        };
        whole.finish()?;
        shown::add(&mut self.shown, source, document.get_ref());
        Ok(includes)
    }

    /// Reads the tables that only the first file may hold.
    fn take_other_tables(
        &mut self,
        whole: &mut Section<'_>,
        source: &SettingsText<'_>,
    ) -> Result<Includes, SettingsError> {
        let mut includes =
            Includes { patterns: whole.paths("include")?, is_default: false, line: 1 };
        match whole.value("include") {
            Some(value) => includes.line = source.line(value.span().start),
            None => {
                let folder = source.file.parent().unwrap_or(Path::new("/"));
                includes.patterns = vec![folder.join(INCLUDE_DEFAULT)];
                includes.is_default = true;
            }
        }
        if let Some(section) = whole.section("defaults")? {
            self.add_place(&section, source)?;
            self.defaults = app::read_app(section, true)?;
        }
        if let Some(section) = whole.section("daemon")? {
            self.daemon = daemon::read_daemon(section)?;
        }
        if let Some(section) = whole.section("docker")? {
            self.docker = docker::read_docker(section)?;
        }
        if let Some(section) = whole.section("notify")? {
            self.notify = notify::read_notify(section)?;
        }
        if let Some(section) = whole.section("metrics")? {
            self.metrics = metrics::read_metrics(section)?;
        }
        if let Some(section) = whole.section("log")? {
            self.log = log::read_log(section)?;
        }
        Ok(includes)
    }

    /// Notes where a table begins; fails if there is one of that name already.
    fn add_place(
        &mut self,
        section: &Section<'_>,
        source: &SettingsText<'_>,
    ) -> Result<(), SettingsError> {
        let place = SettingsPlace { file: source.file.clone(), line: section.line() };
        match self.places.insert(section.name().to_owned(), place) {
            Some(first) => Err(section.refuse_here(format!("is there already: {first}"))),
            None => Ok(()),
        }
    }

    /// Refuses references to repositories that no file defines.
    fn check_names(&self) -> Result<(), SettingsError> {
        let apps = self.apps.iter().map(|(name, app)| (format!("app.{name}"), app));
        for (section, app) in apps.chain([("defaults".to_owned(), &self.defaults)]) {
            let unknown =
                app.repositories.iter().find(|name| !self.repositories.contains_key(*name));
            if let (Some(name), Some(place)) = (unknown, self.places.get(&section)) {
                let message = format!(
                    "[{section}] names the repository `{name}`, but there is no \
                     [repository.{name}]"
                );
                let (file, line) = (place.file.clone(), place.line);
                return Err(SettingsError::Invalid { file, line, message, hint: None });
            }
        }
        Ok(())
    }

    /// Returns the default repository: the first of `[defaults]`, else the only one.
    pub fn default_repository(&self) -> Option<&str> {
        match (self.defaults.repositories.first(), self.repositories.len()) {
            (Some(name), _) => Some(name),
            (None, 1) => self.repositories.keys().next().map(String::as_str),
            (None, _) => None,
        }
    }
}

/// Refuses tables that an included file may not hold.
fn refuse_other_tables(
    document: &DeTable<'_>,
    source: &SettingsText<'_>,
) -> Result<Includes, SettingsError> {
    let other = document.keys().find(|key| !INCLUDED_TABLES.contains(&key.get_ref().as_ref()));
    match other {
        Some(key) => {
            let why = format!(
                "`{}` is not for an included file, which holds [app.NAME] and [repository.NAME] \
                 only",
                key.get_ref()
            );
            Err(source.error(key.span().start, why))
        }
        None => Ok(Includes { patterns: Vec::new(), is_default: true, line: 1 }),
    }
}

#[cfg(test)]
mod tests;
