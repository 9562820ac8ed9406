//! Questions to a server before anything is dumped.

use std::io;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::client::{Client, product_of, quoted_text};
use super::failure::refusal;
use super::grants::Grants;
use super::settings::{Databases, Product, Settings, Tls};

/// Databases of the server itself, which are never dumped.
const OWN: [&str; 6] =
    ["information_schema", "performance_schema", "mysql", "sys", "ndbinfo", "#mysql50#lost+found"];

/// Databases in one question: their names must fit into one argument of a program.
const DATABASES_MAX: usize = 200;
/// Names in one message: the rest is counted.
const NAMES_MAX: usize = 10;

/// What a server says of itself.
pub(super) struct Server {
    pub(super) product: Product,
    pub(super) version: String,
    /// Time for which it waits for a client that does not read.
    pub(super) net_write_timeout_s: u64,
}

/// A database to dump.
pub(super) struct Database {
    pub(super) name: String,
    pub(super) character_set: String,
}

/// A table, and the engine that holds it.
pub(super) struct Table {
    pub(super) database: String,
    pub(super) name: String,
    pub(super) engine: String,
    /// Whether the engine knows transactions.
    pub(super) is_transactional: bool,
    /// Whether it keeps its history (`WITH SYSTEM VERSIONING`).
    pub(super) has_history: bool,
}

/// Asks for product and version.
///
/// Fails if the connection should be encrypted and is not: older clients do not look.
pub(super) fn server(client: &Client) -> io::Result<Server> {
    let action = "cannot log in";
    let rows = client.query(action, "SELECT VERSION(), @@net_write_timeout, @@version_comment")?;
    if matches!(client.settings.access.tls, Tls::On | Tls::Verify) {
        let cipher = client.query(action, "SHOW SESSION STATUS LIKE 'Ssl_cipher'")?;
        if !cipher.iter().any(|row| row.get(1).is_some_and(|cipher| !cipher.is_empty())) {
            let why = "the server does not encrypt the connection, and `tls` says that it must";
            return Err(refusal(&client.settings, action, why.to_owned()));
        }
    }
    let row = rows.into_iter().next().unwrap_or_default();
    let product = product_of(&row.join(" "));
    let mut fields = row.into_iter();
    let version = fields.next().unwrap_or_default();
    let net_write_timeout_s = fields.next().and_then(|field| field.parse().ok()).unwrap_or(60);
    Ok(Server { product, version, net_write_timeout_s })
}

/// Asks for the databases to dump, in the order of their names.
///
/// Fails if there are none, or if one that is named is not there.
pub(super) fn databases(client: &Client) -> io::Result<Vec<Database>> {
    let action = "cannot list databases";
    let sql = "SELECT SCHEMA_NAME, DEFAULT_CHARACTER_SET_NAME FROM information_schema.SCHEMATA";
    let mut there: Vec<Database> = client
        .query(action, sql)?
        .into_iter()
        .filter_map(|row| {
            let [name, character_set] = <[String; 2]>::try_from(row).ok()?;
            Some(Database { name, character_set })
        })
        .filter(|database| !is_own(&database.name))
        .collect();
    there.sort_by(|one, other| one.name.cmp(&other.name));
    let settings = &client.settings;
    if let Some(why) = missing(&there, settings) {
        return Err(refusal(settings, action, why));
    }
    there.retain(|database| is_wanted(&database.name, settings));
    match there.is_empty() {
        true => {
            let why = "there is no database to dump that the user may see: it needs SELECT on them";
            Err(refusal(settings, action, why.to_owned()))
        }
        false => Ok(there),
    }
}

fn is_own(name: &str) -> bool {
    OWN.iter().any(|own| name.eq_ignore_ascii_case(own))
}

fn is_wanted(name: &str, settings: &Settings) -> bool {
    let is_named = match &settings.databases {
        Databases::All => true,
        Databases::Named(names) => names.iter().any(|named| named == name),
    };
    is_named && !settings.exclude.iter().any(|excluded| excluded == name)
}

/// Returns what is wrong with the names of the configuration, if anything.
fn missing(there: &[Database], settings: &Settings) -> Option<String> {
    let Databases::Named(names) = &settings.databases else { return None };
    let name = names.iter().find(|name| !there.iter().any(|database| database.name == **name))?;
    Some(match is_own(name) {
        true => format!("`{name}` in `databases` is the server's own: `users = true` dumps users"),
        false => format!(
            "there is no database `{name}` that the user may see: check `databases`, or give it \
             SELECT on it"
        ),
    })
}

/// Asks for all tables of some databases.
pub(super) fn tables(client: &Client, databases: &[Database]) -> io::Result<Vec<Table>> {
    let mut tables = Vec::new();
    for some in databases.chunks(DATABASES_MAX) {
        let names: Vec<String> = some.iter().map(|database| quoted_text(&database.name)).collect();
        let sql = format!("{TABLES} AND T.TABLE_SCHEMA IN ({})", names.join(", "));
        let rows = client.query("cannot list tables", &sql)?;
        tables.extend(rows.into_iter().filter_map(table));
    }
    tables.sort_by(|one, other| (&one.database, &one.name).cmp(&(&other.database, &other.name)));
    Ok(tables)
}

const TABLES: &str = "SELECT T.TABLE_SCHEMA, T.TABLE_NAME, IFNULL(T.ENGINE, ''), \
    IFNULL(E.TRANSACTIONS, 'NO'), T.TABLE_TYPE FROM information_schema.TABLES T \
    LEFT JOIN information_schema.ENGINES E ON E.ENGINE = T.ENGINE \
    WHERE T.TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')";

fn table(row: Vec<String>) -> Option<Table> {
    let [database, name, engine, transactions, kind] = <[String; 5]>::try_from(row).ok()?;
    let (is_transactional, has_history) = (transactions == "YES", kind == "SYSTEM VERSIONED");
    Some(Table { database, name, engine, is_transactional, has_history })
}

/// Asks for the rights of the user.
pub(super) fn grants(client: &Client) -> io::Result<Grants> {
    let rows = client.query("cannot read the user's rights", "SHOW GRANTS")?;
    Ok(Grants::parse(rows.iter().filter_map(|row| row.first()).map(String::as_str)))
}

/// Asks whether the user sees all routines. A user who does not gets none of them, and no error.
pub(super) fn sees_routines(client: &Client, server: &Server, grants: &Grants) -> bool {
    if grants.has("SHOW CREATE ROUTINE", None) || grants.has("SHOW_ROUTINE", None) {
        return true;
    }
    let major = server.version.split('.').next().and_then(|major| major.parse().ok());
    match (server.product, major) {
        // What a role may do is not in the answer.
        (Product::MySql, Some(8u32..)) => grants.has("SELECT", None) || grants.has_roles,
        _ => client.query("cannot read mysql.proc", "SELECT 1 FROM mysql.proc LIMIT 0").is_ok(),
    }
}

/// Parses patterns of tables whose rows are left out: `cache_*`, `wiki.cache_*`.
pub(super) fn data_not(settings: &Settings) -> io::Result<GlobSet> {
    let mut set = GlobSetBuilder::new();
    let refuse =
        |error: globset::Error| refusal(settings, "cannot use `data-not`", error.to_string());
    for pattern in &settings.data_not {
        set.add(GlobBuilder::new(pattern).literal_separator(false).build().map_err(refuse)?);
    }
    set.build().map_err(refuse)
}

/// Returns whether the rows of a table are left out.
pub(super) fn is_without_rows(patterns: &GlobSet, database: &str, table: &str) -> bool {
    patterns.is_match(table) || patterns.is_match(format!("{database}.{table}"))
}

/// Returns the tables of a database whose rows are left out.
pub(super) fn without_rows(tables: &[Table], database: &str, patterns: &GlobSet) -> Vec<String> {
    let of_database = tables.iter().filter(|table| table.database == database);
    let matching = of_database.filter(|table| is_without_rows(patterns, database, &table.name));
    matching.map(|table| table.name.clone()).collect()
}

/// Returns the databases on which a right is lacking, for a sentence; `None` if there are none.
pub(super) fn lacking(grants: &Grants, right: &str, databases: &[Database]) -> Option<String> {
    let lacks = databases.iter().filter(|database| !grants.has(right, Some(&database.name)));
    names(lacks.map(|database| format!("`{}`", database.name)).collect())
}

/// Returns names for a sentence; `None` if there are none.
pub(super) fn names(names: Vec<String>) -> Option<String> {
    let (shown, rest) = names.split_at(names.len().min(NAMES_MAX));
    match rest.len() {
        _ if names.is_empty() => None,
        0 => Some(shown.join(", ")),
        more => Some(format!("{} and {more} more", shown.join(", "))),
    }
}
