//! Plans: the dumps of a server, in loading order.
//!
//! Users come last, because rights on a table need the table.

use std::io;
use std::sync::Arc;

use super::client::Client;
use super::copy;
use super::dump::{DatabaseDump, UsersDump};
use super::failure::refusal;
use super::options::refused_option;
use super::server::{self, Database, Server, Table};
use super::settings::{Product, Settings};
use super::users::AskedUsers;
use crate::backup::{Dump, DumpSource};
use crate::chunker::Cutting;
use crate::sources::escape::escape;
use crate::sources::manifest::{SharedRecord, SourceRecord};
use crate::sources::planned::Planned;
use crate::sources::runner::Runner;

/// Least `net_write_timeout` of a server that does not hang up on a dump: twice the time between
/// two reads of a pipeline that waits.
const NET_WRITE_TIMEOUT_MIN_S: u64 = 30;

/// All dumps of one source.
pub struct Plan {
    /// In loading order.
    pub dumps: Vec<Planned>,
    /// What a user should know, and is no error.
    pub notices: Vec<String>,
}

/// Asks a server what there is, and plans its dumps. Nothing is dumped before a source is opened.
///
/// Fails if no client is found, if the server does not let it in, and if there is nothing to dump.
/// [`Failure::retry_of`](super::Failure::retry_of) says whether to try again.
pub fn plan(settings: &Settings, runner: &Arc<dyn Runner>) -> io::Result<Plan> {
    if let Some(why) = refused_option(settings) {
        return Err(refusal(settings, "cannot use `options`", why));
    }
    if let Some(copy) = &settings.copy {
        return Ok(Plan { dumps: vec![copy::plan(settings, copy, runner)?], notices: Vec::new() });
    }
    let patterns = server::data_not(settings)?;
    let client = Arc::new(Client::find(settings, runner)?);
    let server = server::server(&client)?;
    let databases = server::databases(&client)?;
    let tables = server::tables(&client, &databases)?;
    let mut notices = notices(&client, &server, &databases, &tables)?;
    let mut dumps = Vec::new();
    for database in &databases {
        let dump = DatabaseDump {
            client: Arc::clone(&client),
            record: SharedRecord::default(),
            database: database.name.clone(),
            without_rows: server::without_rows(&tables, &database.name, &patterns),
            patterns: patterns.clone(),
        };
        dumps.push(database_dump(&server, database, dump));
    }
    if settings.dumps_users() {
        match users_dump(&client, &server) {
            Some(dump) => dumps.push(dump),
            None => notices.push(format!(
                "users are not dumped: `{}` cannot do that; a newer MariaDB client can",
                client.version
            )),
        }
    }
    Ok(Plan { dumps, notices })
}

fn record(client: &Client, server: &Server, place: &str) -> SourceRecord {
    SourceRecord {
        place: place.to_owned(),
        kind: server.product.name().to_owned(),
        method: "dump".to_owned(),
        server: server.version.clone(),
        client: client.version.clone(),
        ..SourceRecord::default()
    }
}

fn planned(record: &SharedRecord, dump: Box<dyn Dump>) -> Planned {
    let source = DumpSource {
        path: record.get().place.into_bytes(),
        open: Box::new(move || Ok(dump)),
        known: None,
        cutting: Some(Cutting::Rows),
        original: None,
        may_fail: false,
    };
    Planned { source, record: record.clone() }
}

fn database_dump(server: &Server, database: &Database, mut dump: DatabaseDump) -> Planned {
    let settings = &dump.client.settings;
    let without_rows = dump.without_rows.iter();
    let mut left_out: Vec<String> =
        without_rows.map(|table| format!("rows of `{table}`")).collect();
    let parts = [("routines", settings.has_routines), ("events", settings.has_events)];
    left_out.extend(parts.iter().filter(|(_, is_in)| !is_in).map(|(part, _)| (*part).to_owned()));
    let place = format!("{}/{}", settings.place, escape(&database.name));
    dump.record = SharedRecord::new(SourceRecord {
        name: database.name.clone(),
        character_set: database.character_set.clone(),
        left_out,
        ..record(&dump.client, server, &place)
    });
    planned(&dump.record.clone(), Box::new(dump))
}

/// Plans the dump of users; `None` if the client cannot.
fn users_dump(client: &Arc<Client>, server: &Server) -> Option<Planned> {
    let place = format!("{}/~users.sql", client.settings.place);
    let record = SharedRecord::new(record(client, server, &place));
    let (client, of_dump) = (Arc::clone(client), record.clone());
    let dump: Box<dyn Dump> = match server.product {
        Product::MySql => Box::new(AskedUsers { client, record: of_dump }),
        Product::MariaDb if client.knows("--system") => {
            Box::new(UsersDump { client, record: of_dump })
        }
        Product::MariaDb => return None,
    };
    Some(planned(&record, dump))
}

/// Returns what a user should know of a dump that is no error.
pub(super) fn notices(
    client: &Client,
    server: &Server,
    databases: &[Database],
    tables: &[Table],
) -> io::Result<Vec<String>> {
    let mut notices = Vec::new();
    let settings = &client.settings;
    let named = |is_named: &dyn Fn(&Table) -> bool| {
        let found = tables.iter().filter(|table| is_named(table));
        let name =
            |table: &Table| format!("`{}.{}` ({})", table.database, table.name, table.engine);
        server::names(found.map(name).collect())
    };
    let unsafe_tables = named(&|table| !table.is_transactional);
    if let Some(names) = unsafe_tables.filter(|_| !settings.is_locked) {
        notices.push(format!(
            "not of one moment with the rest, because their engines know no transactions: \
             {names}; `consistent = \"lock\"` in [{}] locks all tables during a dump",
            settings.section
        ));
    }
    if let Some(names) = named(&|table| table.has_history) {
        notices.push(format!("only the current rows are dumped, not their history: {names}"));
    }
    let grants = server::grants(client)?;
    if settings.has_routines && !server::sees_routines(client, server, &grants) {
        notices.push(format!(
            "procedures and functions of other users are not dumped: {}, or set `routines = \
             false` in [{}]",
            routines_right(server),
            settings.section
        ));
    }
    // MySQL's client raises the limit for itself.
    let is_impatient = server.net_write_timeout_s < NET_WRITE_TIMEOUT_MIN_S;
    if is_impatient && client.product == Product::MariaDb {
        notices.push(format!(
            "the server hangs up on a dump that waits for {} s (`net_write_timeout`): a slow \
             repository may make it wait for 15 s, so set at least {NET_WRITE_TIMEOUT_MIN_S}",
            server.net_write_timeout_s
        ));
    }
    let may_hide = grants.has_roles && server.product == Product::MySql;
    if let Some(names) = server::lacking(&grants, "TRIGGER", databases).filter(|_| !may_hide) {
        notices.push(format!(
            "triggers are not dumped, because the user lacks TRIGGER on {names}: GRANT TRIGGER ON \
             … TO …"
        ));
    }
    Ok(notices)
}

/// Returns how to let a user see all routines.
fn routines_right(server: &Server) -> &'static str {
    match server.product {
        Product::MariaDb => "give the user SELECT on `mysql.proc`",
        Product::MySql => "give the user SHOW_ROUTINE, or SELECT, on *.*",
    }
}
