//! Plan of the dumps of a server.

use std::io;
use std::sync::Arc;

use serde_json::Value;

use crate::backup::DumpSource;
use crate::chunker::Cutting;
use crate::sources::manifest::{SharedRecord, SourceRecord};
use crate::sources::planned::Planned;
use crate::sources::runner::{Invocation, Runner};

use super::access::Access;
use super::choice::{Databases, choose};
use super::client::Client;
use super::dump::Job;
use super::names::folder;
use super::options;
use super::server::{About, Database, Server};

/// Fewest characters of the key of `\restrict`: nobody must guess it.
const KEY_LEN_MIN: usize = 16;
/// Databases that are there on every server, to log in for questions.
const ENTRIES: [&str; 2] = ["postgres", "template1"];

/// What to dump of a server, and how.
#[derive(Clone, Default)]
pub struct Settings {
    /// Where the server is.
    pub access: Access,
    /// Folder of the dumps in the snapshot: `/@app/postgres`.
    pub place: String,
    /// Databases to dump.
    pub databases: Databases,
    /// Names of databases to leave out.
    pub exclude: Vec<String>,
    /// Whether to dump roles and tablespaces; none: if `databases` is all.
    pub globals: Option<bool>,
    /// Patterns of tables whose rows are left out, as `pg_dump` reads them.
    pub data_not: Vec<String>,
    /// Further options of `pg_dump`.
    pub options: Vec<String>,
    /// Key of `\restrict`: random letters and digits, at least 16, the same in every run of the
    /// app, so that an unchanged database has an unchanged dump.
    pub restrict_key: String,
}

/// The dumps of a server.
pub struct Plan {
    /// The databases, then what they share. That loads first, but is dumped last: a role that is
    /// new since then owns nothing in the dumps.
    pub dumps: Vec<Planned>,
    /// What the user should know, and is no error.
    pub notices: Vec<String>,
}

/// Plans the dumps of a server. Only questions are asked; a dump starts when it is opened.
///
/// Fails if the server cannot be asked, or something that is configured cannot be dumped.
pub fn plan(settings: &Settings, runner: &Arc<dyn Runner>) -> io::Result<Plan> {
    let planner = Planner::new(settings, runner)?;
    let server = planner.server();
    let databases = server.databases(&planner.entry)?;
    let entry = databases.iter().find(|database| database.name == planner.entry);
    let entry_encoding = entry.map_or(String::new(), |database| database.encoding.clone());
    let choice = choose(databases, &settings.databases, &settings.exclude);
    let choice = choice.map_err(|message| invalid(&settings.access, &message))?;
    let mut plan = Plan { dumps: Vec::new(), notices: choice.notices };
    let takes_key = planner.takes_key("pg_dump")?;
    for database in &choice.databases {
        plan.dumps.push(planner.database(database, takes_key));
    }
    if settings.has_globals() {
        plan.dumps.push(planner.globals(&entry_encoding)?);
        if !planner.about.may_read_passwords {
            plan.notices.push(format!(
                "passwords of roles are left out: the role `{}` may not read them",
                planner.about.role
            ));
        }
    }
    Ok(plan)
}

impl Settings {
    pub(super) fn has_globals(&self) -> bool {
        self.globals.unwrap_or(self.databases == Databases::All)
    }

    /// Fails if settings contradict each other or could not work.
    fn check(&self) -> Result<(), String> {
        if self.access.host.is_some() && self.access.socket.is_some() {
            return Err("`host` and `socket` exclude each other".to_owned());
        }
        let is_key = self.restrict_key.len() >= KEY_LEN_MIN
            && self.restrict_key.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_key {
            return Err(format!(
                "the key of dumps is not {KEY_LEN_MIN} letters and digits or more"
            ));
        }
        options::check(&self.options).map(drop)
    }
}

pub(super) fn invalid(access: &Access, message: &str) -> io::Error {
    let section = &access.section;
    io::Error::new(io::ErrorKind::InvalidInput, format!("{section}: {message} in [{section}]"))
}

/// A server that was asked, and the client for it.
pub(super) struct Planner<'a> {
    settings: &'a Settings,
    runner: &'a Arc<dyn Runner>,
    pub(super) client: Client,
    pub(super) about: About,
    /// Database to log in to for questions.
    pub(super) entry: String,
}

impl<'a> Planner<'a> {
    /// Finds the client, logs in, and compares their versions.
    pub(super) fn new(settings: &'a Settings, runner: &'a Arc<dyn Runner>) -> io::Result<Self> {
        let access = &settings.access;
        settings.check().map_err(|message| invalid(access, &message))?;
        let client = Client::find(access, runner.as_ref())?;
        let server = Server::new(access, runner.as_ref(), &client);
        let entries: Vec<&str> = match &settings.databases {
            Databases::All => ENTRIES.to_vec(),
            // The role may be allowed to log in to this one only.
            Databases::Named(names) => names.iter().take(1).map(String::as_str).collect(),
        };
        let mut failure = invalid(access, "`databases` names none");
        for entry in entries {
            match server.about(entry) {
                Ok(about) => {
                    client.fail_if_older(about.version, access, &runner.place())?;
                    return Ok(Self { settings, runner, client, about, entry: entry.to_owned() });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => failure = error,
                Err(error) => return Err(error),
            }
        }
        Err(failure)
    }

    pub(super) fn server(&self) -> Server<'_> {
        Server::new(&self.settings.access, self.runner.as_ref(), &self.client)
    }

    pub(super) fn takes_key(&self, program: &str) -> io::Result<bool> {
        self.client.takes_restrict_key(program, &self.settings.access, self.runner.as_ref())
    }

    fn database(&self, database: &Database, takes_key: bool) -> Planned {
        let settings = self.settings;
        let mut arguments = vec![
            "--format=plain".to_owned(),
            "--no-password".to_owned(),
            format!("--encoding={}", database.encoding),
        ];
        arguments.extend(takes_key.then(|| self.restrict_option()));
        arguments.extend(settings.options.iter().cloned());
        let patterns = settings.data_not.iter();
        arguments.extend(patterns.map(|pattern| format!("--exclude-table-data={pattern}")));
        arguments.push(format!("--dbname={}", settings.access.connection(&database.name)));
        let invocation = settings.access.login(&self.client.program("pg_dump"), arguments);
        let mut left_out = options::check(&settings.options).unwrap_or_default();
        let patterns = settings.data_not.iter();
        left_out.extend(patterns.map(|pattern| format!("rows of tables `{pattern}`")));
        let record = SourceRecord {
            place: format!("{}/{}", settings.place, folder(&database.name)),
            name: database.name.clone(),
            character_set: database.encoding.clone(),
            left_out,
            more: [("database".to_owned(), Value::Object(database.more.clone()))]
                .into_iter()
                .collect(),
            ..self.record()
        };
        let action = format!("cannot dump the database `{}`", database.name);
        self.planned(record, invocation, action)
    }

    fn globals(&self, encoding: &str) -> io::Result<Planned> {
        let access = &self.settings.access;
        let mut arguments = vec!["--globals-only".to_owned(), "--no-password".to_owned()];
        if self.takes_key("pg_dumpall")? {
            arguments.push(self.restrict_option());
        }
        let mut left_out = Vec::new();
        if !self.about.may_read_passwords {
            arguments.push("--no-role-passwords".to_owned());
            left_out.push("passwords of roles".to_owned());
        }
        arguments.push(format!("--dbname={}", access.connection(&self.entry)));
        // It takes no database from the connection string, but reads its option as one.
        arguments.push(format!("--database={}", access.connection(&self.entry)));
        let mut invocation = access.login(&self.client.program("pg_dumpall"), arguments);
        let encoding = ("PGCLIENTENCODING".to_owned(), encoding.to_owned().into());
        invocation.environment.push(encoding);
        let record = SourceRecord {
            place: format!("{}/~globals.sql", self.settings.place),
            left_out,
            ..self.record()
        };
        Ok(self.planned(record, invocation, "cannot dump roles and tablespaces".to_owned()))
    }

    fn restrict_option(&self) -> String {
        format!("--restrict-key={}", self.settings.restrict_key)
    }

    fn record(&self) -> SourceRecord {
        SourceRecord {
            kind: "postgres".to_owned(),
            method: "dump".to_owned(),
            server: self.about.words.clone(),
            client: self.client.words.clone(),
            ..SourceRecord::default()
        }
    }

    fn planned(&self, record: SourceRecord, invocation: Invocation, action: String) -> Planned {
        let path = record.place.clone().into_bytes();
        let is_cluster = record.name.is_empty();
        let record = SharedRecord::new(record);
        let job = Job {
            runner: Arc::clone(self.runner),
            invocation,
            record: record.clone(),
            section: self.settings.access.section.clone(),
            action: format!("{action} from {}", self.runner.place()),
            is_cluster,
        };
        let open = Box::new(|| job.open());
        let cutting = Some(Cutting::Rows);
        let source =
            DumpSource { path, open, known: None, cutting, original: None, may_fail: false };
        Planned { source, record }
    }
}
