//! Databases, repositories and commands of `[app.NAME]`, whose dumps are backed up.

use std::path::PathBuf;

use toml::de::DeValue;

use super::docker::parse_container;
use super::error::SettingsError;
use super::section::Section;
use super::values::{check_dump_name, parse_size};

/// What an app dumps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceSettings {
    /// MariaDB and MySQL servers.
    pub mysql: Vec<DatabaseSettings>,
    /// PostgreSQL servers.
    pub postgres: Vec<DatabaseSettings>,
    /// Patterns of SQLite files.
    pub sqlite: Vec<String>,
    /// Subversion repositories.
    pub subversion: Vec<PathBuf>,
    /// Directories of Subversion repositories.
    pub subversion_parents: Vec<PathBuf>,
    /// Commands whose output is backed up.
    pub commands: Vec<CommandSettings>,
}

impl SourceSettings {
    /// Returns whether there is nothing to dump.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the containers in which programs dump.
    pub(super) fn containers(&self) -> impl Iterator<Item = &String> {
        let databases = self.mysql.iter().chain(&self.postgres).map(|one| &one.container);
        databases.chain(self.commands.iter().map(|command| &command.container)).flatten()
    }
}

/// One output of a command that is backed up as a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandSettings {
    /// The file's name in the snapshot.
    pub name: String,
    /// The command line for the shell; empty if `pipe` is set.
    pub run: String,
    /// Commands without a shell, each reading what the one before wrote.
    pub pipe: Vec<String>,
    /// Least length of the output in bytes.
    pub len_min_bytes: Option<u64>,
    /// The container in which it runs.
    pub container: Option<String>,
    /// The command that loads the file again.
    pub load: Option<String>,
}

/// A product, with its own programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DatabaseKind {
    /// MariaDB.
    #[default]
    Mariadb,
    /// MySQL.
    Mysql,
    /// PostgreSQL.
    Postgres,
}

impl DatabaseKind {
    /// Returns the key of the configuration, which is the folder's name in the snapshot, too.
    pub fn key(self) -> &'static str {
        match self {
            Self::Mariadb => "mariadb",
            Self::Mysql => "mysql",
            Self::Postgres => "postgres",
        }
    }
}

/// The databases of one server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatabaseSettings {
    /// The product.
    pub kind: DatabaseKind,
    /// Section for messages: `app.wiki.mariadb`.
    pub section: String,
    /// Name that tells it from another server of the app.
    pub name: Option<String>,
    /// Databases to dump; `None` for all.
    pub databases: Option<Vec<String>>,
    /// Databases to leave out.
    pub excludes: Vec<String>,
    /// Host name.
    pub host: Option<String>,
    /// Port.
    pub port: Option<u16>,
    /// Socket, for PostgreSQL its directory.
    pub socket: Option<String>,
    /// User.
    pub user: Option<String>,
    /// File that holds the password.
    pub password_file: Option<PathBuf>,
    /// Command that prints the password.
    pub password_command: Option<String>,
    /// Options file of MariaDB's and MySQL's clients.
    pub defaults_file: Option<PathBuf>,
    /// Encryption of the connection.
    pub tls: Option<TlsSettings>,
    /// The container in which the client runs.
    pub container: Option<String>,
    /// Path of the program that dumps.
    pub program: Option<String>,
    /// More options for that program.
    pub options: Vec<String>,
    /// Whether the whole server is copied by `mariadb-backup`.
    pub is_copied: bool,
    /// Whether users, or PostgreSQL's globals, are dumped; `None`: if all databases are.
    pub users: Option<bool>,
    /// Whether procedures and functions are dumped.
    pub routines: Option<bool>,
    /// Whether events are dumped.
    pub events: Option<bool>,
    /// Patterns of tables whose rows are left out.
    pub data_not: Vec<String>,
    /// Whether tables are locked during a dump.
    pub is_locked: bool,
}

/// Encryption of a connection to a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsSettings {
    /// None.
    Off,
    /// Encrypted, with any certificate.
    On,
    /// Encrypted, with a certificate that is verified.
    Verified,
}

pub(super) fn read_sources(section: &mut Section<'_>) -> Result<SourceSettings, SettingsError> {
    let mut sources = SourceSettings::default();
    for command in section.section_list("command")? {
        sources.commands.push(read_command(command)?);
    }
    for kind in [DatabaseKind::Mariadb, DatabaseKind::Mysql] {
        for table in section.sections(kind.key())? {
            sources.mysql.push(read_database(table, kind)?);
        }
    }
    for table in section.sections(DatabaseKind::Postgres.key())? {
        sources.postgres.push(read_database(table, DatabaseKind::Postgres)?);
    }
    sources.sqlite = section.paths("sqlite")?.into_iter().map(as_text).collect();
    sources.subversion = section.paths("subversion")?;
    sources.subversion_parents = section.paths("subversion-parent")?;
    Ok(sources)
}

fn as_text(path: PathBuf) -> String {
    path.into_os_string().into_string().expect("the configuration is UTF-8")
}

fn read_command(mut section: Section<'_>) -> Result<CommandSettings, SettingsError> {
    let command = CommandSettings {
        name: section.parsed("name", check_dump_name)?.unwrap_or_default(),
        run: section.string("run")?.unwrap_or_default(),
        pipe: section.strings("pipe")?,
        len_min_bytes: section.parsed("min-size", parse_size)?,
        container: section.parsed("container", parse_container)?,
        load: section.string("load")?,
    };
    if let Some(value) = section.value("container").filter(|_| !command.pipe.is_empty()) {
        let why = "a `pipe` runs on this host: use `run`, which runs in the container";
        return Err(section.refuse("container", value, why));
    }
    if command.name.is_empty() || command.run.is_empty() == command.pipe.is_empty() {
        return Err(section.refuse_table("needs `name`, and either `run` or `pipe`"));
    }
    section.finish()?;
    Ok(command)
}

fn read_database(
    mut section: Section<'_>,
    kind: DatabaseKind,
) -> Result<DatabaseSettings, SettingsError> {
    let mut database = DatabaseSettings {
        kind,
        section: section.name().to_owned(),
        name: section.string("name")?,
        databases: read_databases(&mut section)?,
        excludes: section.strings("exclude")?,
        host: section.string("host")?,
        port: section.parsed("port", |text| {
            text.parse().map_err(|_| format!("`{text}` is not a port number"))
        })?,
        socket: section.path("socket")?.map(as_text),
        user: section.string("user")?,
        password_file: section.path("password-file")?,
        password_command: section.string("password-command")?,
        tls: read_tls(&mut section)?,
        container: section.parsed("container", parse_container)?,
        program: section.string("program")?,
        options: section.strings("options")?,
        data_not: section.strings("data-not")?,
        ..DatabaseSettings::default()
    };
    if kind == DatabaseKind::Postgres {
        database.users = section.boolean("globals")?;
    } else {
        read_of_mysql(&mut section, &mut database)?;
    }
    if let Some(value) = section.value("container").filter(|_| database.is_copied) {
        let why = "`method = \"backup\"` reads the files of a server on this host";
        return Err(section.refuse("container", value, why));
    }
    refuse_both(&mut section, "host", "socket")?;
    refuse_both(&mut section, "password-file", "password-command")?;
    section.finish()?;
    Ok(database)
}

/// Reads the keys that MariaDB and MySQL have alone.
fn read_of_mysql(
    section: &mut Section<'_>,
    database: &mut DatabaseSettings,
) -> Result<(), SettingsError> {
    database.defaults_file = section.path("defaults-file")?;
    database.users = section.boolean("users")?;
    database.routines = section.boolean("routines")?;
    database.events = section.boolean("events")?;
    let is_mariadb = database.kind == DatabaseKind::Mariadb;
    let copied = section.parsed("method", |text| match text {
        "dump" => Ok(false),
        "backup" if is_mariadb => Ok(true),
        "backup" => Err("`backup` is a method of MariaDB only".to_owned()),
        _ => Err(format!("`{text}` is not one of dump or backup")),
    })?;
    database.is_copied = copied == Some(true);
    let locked = section.parsed("consistent", |text| match text {
        "transaction" => Ok(false),
        "lock" => Ok(true),
        _ => Err(format!("`{text}` is not one of transaction or lock")),
    })?;
    database.is_locked = locked == Some(true);
    if database.is_copied {
        refuse_parts(section, database)?;
    }
    Ok(())
}

/// Refuses keys that choose a part of a server that is copied whole.
fn refuse_parts(
    section: &mut Section<'_>,
    database: &DatabaseSettings,
) -> Result<(), SettingsError> {
    let all = ["databases"].into_iter().filter(|_| database.databases.is_some());
    let others = ["exclude", "data-not", "users", "routines", "events", "consistent"];
    for key in all.chain(others) {
        if let Some(value) = section.value(key) {
            let why = "does not go with `method = \"backup\"`, which copies the whole server";
            return Err(section.refuse(key, value, why));
        }
    }
    Ok(())
}

/// Reads names; `"all"` and no key at all mean all.
fn read_databases(section: &mut Section<'_>) -> Result<Option<Vec<String>>, SettingsError> {
    let names = section.strings("databases")?;
    Ok(Some(names).filter(|names| !names.is_empty() && *names != ["all"]))
}

fn read_tls(section: &mut Section<'_>) -> Result<Option<TlsSettings>, SettingsError> {
    let Some(value) = section.value("tls") else {
        return Ok(None);
    };
    match value.get_ref() {
        DeValue::Boolean(true) => Ok(Some(TlsSettings::On)),
        DeValue::Boolean(false) => Ok(Some(TlsSettings::Off)),
        DeValue::String(text) if text == "verify" => Ok(Some(TlsSettings::Verified)),
        _ => Err(section.refuse("tls", value, "must be true, false or \"verify\"")),
    }
}

fn refuse_both(
    section: &mut Section<'_>,
    one: &'static str,
    other: &'static str,
) -> Result<(), SettingsError> {
    match section.value(one) {
        Some(value) if section.has(other) => {
            Err(section.refuse(one, value, format!("`{other}` is there, too: keep one of them")))
        }
        _ => Ok(()),
    }
}
