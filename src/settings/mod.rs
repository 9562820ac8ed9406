//! The configuration file `drumlin.toml`, environment variables and locations.

pub mod app;
pub mod copy;
pub mod daemon;
pub mod environment;
pub mod error;
pub mod location;
pub mod log;
pub mod metrics;
pub mod notify;
pub mod repository;
pub mod run;
pub mod section;
pub mod sources;
#[cfg(feature = "sftp")]
pub mod ssh_config;
pub mod upkeep;
pub mod values;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use crate::os::bounded_read;
use app::AppSettings;
use copy::{SettingsCopy, SettingsFile};
use daemon::DaemonSettings;
use environment::Environment;
pub use error::SettingsError;
use log::LogSettings;
use metrics::MetricsSettings;
use notify::NotifySettings;
use repository::RepositorySettings;
use section::{Section, SettingsText};

/// Name of the configuration file.
pub const FILE_NAME: &str = "drumlin.toml";
/// The last directory that is searched.
const SYSTEM_DIR: &str = "/etc/drumlin";
/// Longest file that is read.
const FILE_LEN_MAX_BYTES: u64 = 4 << 20;

/// The content of a configuration file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The file, if there is one.
    pub file: Option<PathBuf>,
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
    /// The files that it was read from, in order.
    pub texts: Vec<SettingsFile>,
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
                Err(SettingsError::Read { source, .. })
                    if matches!(
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
        match SettingsCopy::read(copy).map_err(fail)?.into_iter().next() {
            Some(file) => Self::parse(&file.text, file.path, env),
            None => Ok(Self::default()),
        }
    }

    fn read(file: &Path, env: &Environment) -> Result<Self, SettingsError> {
        let fail = |source| SettingsError::Read { file: file.to_path_buf(), source };
        let file = std::path::absolute(file).map_err(fail)?;
        let text = bounded_read::read(&file, FILE_LEN_MAX_BYTES).map_err(fail)?;
        let text = String::from_utf8(text).map_err(|error| {
            fail(io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
        })?;
        // Some editors put a byte order mark before all text.
        Self::parse(text.strip_prefix('\u{feff}').unwrap_or(&text), file, env)
    }

    /// Parses the text of `file`, which must be absolute.
    pub fn parse(text: &str, file: PathBuf, env: &Environment) -> Result<Self, SettingsError> {
        let source = SettingsText { file: file.clone(), text, env };
        let document = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            source.error(at, error.message().trim_end_matches('.'))
        })?;
        let mut whole = Section::new(&source, String::new(), document.get_ref());
        let texts = vec![SettingsFile { path: file.clone(), text: text.to_owned() }];
        let mut settings = Self { file: Some(file), texts, ..Self::default() };
        for (name, section) in whole.named_sections("repository")? {
            settings.repositories.insert(name, repository::read_repository(section)?);
        }
        for (name, section) in whole.named_sections("app")? {
            settings.apps.insert(name, app::read_app(section, false)?);
        }
        if let Some(section) = whole.section("defaults")? {
            settings.defaults = app::read_app(section, true)?;
        }
        if let Some(section) = whole.section("daemon")? {
            settings.daemon = daemon::read_daemon(section)?;
        }
        if let Some(section) = whole.section("notify")? {
            settings.notify = notify::read_notify(section)?;
        }
        if let Some(section) = whole.section("metrics")? {
            settings.metrics = metrics::read_metrics(section)?;
        }
        if let Some(section) = whole.section("log")? {
            settings.log = log::read_log(section)?;
        }
        // The zone of all schedules, if an app has none.
        let of_apps = &mut settings.defaults.run.timezone;
        *of_apps = of_apps.take().or_else(|| settings.daemon.timezone.clone());
        whole.finish()?;
        settings.check_names(&source)?;
        Ok(settings)
    }

    /// Refuses references to repositories that the file does not define.
    fn check_names(&self, source: &SettingsText<'_>) -> Result<(), SettingsError> {
        let named = |place: String, app: &'_ AppSettings| {
            let unknown =
                app.repositories.iter().find(|name| !self.repositories.contains_key(*name));
            unknown.map(|name| {
                format!(
                    "{place} names the repository `{name}`, but there is no [repository.{name}]"
                )
            })
        };
        let places = std::iter::once(("[defaults]".to_owned(), &self.defaults))
            .chain(self.apps.iter().map(|(name, app)| (format!("[app.{name}]"), app)));
        match places.into_iter().find_map(|(place, app)| named(place, app)) {
            Some(why) => Err(source.error(0, why)),
            None => Ok(()),
        }
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

#[cfg(test)]
mod tests;
