//! Labels of one container.
//!
//! Nothing but the labels describes such an app, so an unknown label is an error: with a typing
//! mistake it would be silently not backed up.

use std::collections::BTreeMap;

/// Beginning of the names of all labels that are read.
const PREFIX: &str = "drumlin.";
/// Beginning of the labels that hold a command.
const COMMAND_PREFIX: &str = "command.";
/// Labels that hold the project of Compose.
const PROJECTS: [&str; 2] = ["com.docker.compose.project", "io.podman.compose.project"];
/// Known labels, without the beginning.
const KNOWN: [&str; 11] = [
    "app",
    "schedule",
    "keep",
    "repository",
    "mariadb",
    "mysql",
    "postgres",
    "sqlite",
    "volumes",
    "exclude",
    "stop",
];
/// Longest name of an app, in bytes: it is the name of a folder.
const APP_LEN_MAX_BYTES: usize = 200;

/// A label that cannot be used; it names container and label.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("container `{container}`, label `{label}`: {problem}")]
pub struct LabelError {
    /// Name of the container.
    pub container: String,
    /// Full name of the label.
    pub label: String,
    /// The problem, for people.
    pub problem: String,
}

/// All, or some by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    /// All that there are.
    All,
    /// These, at least one.
    Only(Vec<String>),
}

/// The labels of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerLabels {
    /// App that it is a part of: `drumlin.app`, else the project of Compose.
    pub app: String,
    /// Times of backups, as in the configuration file.
    pub schedule: Option<String>,
    /// Snapshots to keep, as in the configuration file.
    pub keep: Option<String>,
    /// Names of repositories, empty for the default.
    pub repository: Vec<String>,
    /// Databases of MariaDB.
    pub mariadb: Option<Names>,
    /// Databases of MySQL.
    pub mysql: Option<Names>,
    /// Databases of PostgreSQL.
    pub postgres: Option<Names>,
    /// Paths in the container, or patterns of them, of SQLite databases.
    pub sqlite: Vec<String>,
    /// Mounts to be read, by the name of a volume or by the path in the container.
    pub volumes: Option<Names>,
    /// Patterns of names that are left out.
    pub exclude: Vec<String>,
    /// Whether the container does not run while files are read.
    pub is_stopped: bool,
    /// Commands to be run in it, by the path of their output in the snapshot.
    pub commands: BTreeMap<String, String>,
}

impl ContainerLabels {
    /// Returns the name of the app that labels mean, valid or not; `None` if they mean none.
    pub fn app_of(labels: &BTreeMap<String, String>) -> Option<&str> {
        let own = std::iter::once("drumlin.app").chain(PROJECTS);
        own.filter_map(|label| labels.get(label)).map(|name| name.trim()).next()
    }

    /// Reads the labels of a container; `None` if it has none for this program.
    ///
    /// Lists have commas between their items. Fails at an unknown label, at a value of the wrong
    /// kind, and at labels that contradict each other.
    pub fn read(
        container: &str,
        labels: &BTreeMap<String, String>,
    ) -> Result<Option<Self>, LabelError> {
        let own: BTreeMap<&str, &str> = labels
            .iter()
            .filter_map(|(label, value)| Some((label.strip_prefix(PREFIX)?, value.trim())))
            .collect();
        if own.is_empty() {
            return Ok(None);
        }
        let reader = Reader { container, own };
        let mut read = Self {
            app: reader.app(labels)?,
            schedule: reader.text("schedule")?,
            keep: reader.text("keep")?,
            repository: reader.list("repository")?,
            mariadb: reader.names("mariadb")?,
            mysql: reader.names("mysql")?,
            postgres: reader.names("postgres")?,
            sqlite: reader.list("sqlite")?,
            volumes: reader.names("volumes")?,
            exclude: reader.list("exclude")?,
            is_stopped: reader.flag("stop")?.unwrap_or(false),
            commands: BTreeMap::new(),
        };
        read.commands = reader.commands()?;
        read.check(&reader)?;
        Ok(Some(read))
    }

    /// Returns whether the container must run while it is backed up: a program is run in it.
    fn needs_running(&self) -> bool {
        self.mariadb.is_some()
            || self.mysql.is_some()
            || self.postgres.is_some()
            || !self.commands.is_empty()
    }

    fn check(&self, reader: &Reader) -> Result<(), LabelError> {
        if self.is_stopped && self.needs_running() {
            let problem = "a container that is dumped must run: stop another one of the app";
            return Err(reader.error("stop", problem));
        }
        if self.mariadb.is_some() && self.mysql.is_some() {
            let problem = "a container has MariaDB or MySQL: leave out one of the two labels";
            return Err(reader.error("mysql", problem));
        }
        if let Some(path) = self.sqlite.iter().find(|path| !path.starts_with('/')) {
            let problem = format!("`{path}` is not an absolute path in the container");
            return Err(reader.error("sqlite", problem));
        }
        Ok(())
    }
}

/// The labels of one container by their names without [`PREFIX`].
struct Reader<'a> {
    container: &'a str,
    own: BTreeMap<&'a str, &'a str>,
}

impl Reader<'_> {
    fn error(&self, label: &str, problem: impl Into<String>) -> LabelError {
        LabelError {
            container: self.container.to_owned(),
            label: format!("{PREFIX}{label}"),
            problem: problem.into(),
        }
    }

    fn app(&self, labels: &BTreeMap<String, String>) -> Result<String, LabelError> {
        self.text("app")?;
        let Some(app) = ContainerLabels::app_of(labels).map(str::to_owned) else {
            return Err(self.error("app", "is missing, and there is no project of Compose"));
        };
        if !is_app_name(&app) {
            let problem = format!("`{app}` is not a name of letters, digits, `_`, `-` and `.`");
            return Err(self.error("app", problem));
        }
        Ok(app)
    }

    /// Returns a value that must not be empty.
    fn text(&self, label: &str) -> Result<Option<String>, LabelError> {
        match self.own.get(label) {
            None => Ok(None),
            Some(&"") => Err(self.error(label, "is empty")),
            Some(value) => Ok(Some((*value).to_owned())),
        }
    }

    fn flag(&self, label: &str) -> Result<Option<bool>, LabelError> {
        match self.text(label)?.as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(value) => Err(self.error(label, format!("`{value}` is not true or false"))),
        }
    }

    fn list(&self, label: &str) -> Result<Vec<String>, LabelError> {
        let Some(value) = self.text(label)? else { return Ok(Vec::new()) };
        let items: Vec<String> = value.split(',').map(|item| item.trim().to_owned()).collect();
        if items.iter().any(String::is_empty) {
            return Err(self.error(label, format!("`{value}` has an empty item in its list")));
        }
        Ok(items)
    }

    fn names(&self, label: &str) -> Result<Option<Names>, LabelError> {
        // A database may be called `true`, but not by a label.
        Ok(match self.own.get(label) {
            None | Some(&"false") => None,
            Some(&"true") => Some(Names::All),
            Some(_) => Some(Names::Only(self.list(label)?)),
        })
    }

    /// Returns the commands. Fails at the first label that is unknown.
    fn commands(&self) -> Result<BTreeMap<String, String>, LabelError> {
        let mut commands = BTreeMap::new();
        for label in self.own.keys().filter(|label| !KNOWN.contains(label)) {
            let Some(name) = label.strip_prefix(COMMAND_PREFIX) else {
                let known = KNOWN.join(", ");
                let problem = format!("is not known; known are {known}, command.NAME");
                return Err(self.error(label, problem));
            };
            if !is_relative_path(name) {
                return Err(self.error(label, format!("`{name}` cannot be the name of a file")));
            }
            let command = self.text(label)?.expect("the label is there");
            commands.insert(name.to_owned(), command);
        }
        Ok(commands)
    }
}

/// Returns whether a word can be the name of an app, and so of its folder.
fn is_app_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.len() <= APP_LEN_MAX_BYTES
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}

/// Returns whether all parts of a path can be names of files.
fn is_relative_path(path: &str) -> bool {
    /// Longest name of a file, in bytes.
    const PART_LEN_MAX_BYTES: usize = 255;
    path.split('/').all(|part| {
        !matches!(part, "" | "." | "..") && part.len() <= PART_LEN_MAX_BYTES && !part.contains('\0')
    })
}

#[cfg(test)]
mod tests;
