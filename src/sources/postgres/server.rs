//! Questions to a server, asked by `psql`.
//!
//! It comes with `pg_dump`, reads the same files of the user, and runs in containers too.

use std::io;

use serde_json::Value;

use crate::sources::runner::Runner;

use super::access::Access;
use super::advice::advise;
use super::client::Client;
use super::version::Version;

/// Most bytes of an answer.
const ANSWER_LEN_MAX_BYTES: usize = 64 << 20;

/// Facts about the server and the role.
const ABOUT: &str = "SELECT pg_catalog.current_setting('server_version_num'), \
    pg_catalog.current_setting('server_version'), \
    pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT'), \
    pg_catalog.pg_is_in_recovery(), current_user";

/// Facts about all databases. The columns of `pg_database` depend on the version, so they come as
/// one value.
const DATABASES: &str = r#"
SELECT d.datname, pg_catalog.pg_encoding_to_char(d.encoding), d.datallowconn, d.datistemplate,
    d.datconnlimit = -2, pg_catalog.has_database_privilege(d.oid, 'CONNECT'),
    pg_catalog.row_to_json(d),
    pg_catalog.json_build_object(
        'owner', pg_catalog.pg_get_userbyid(d.datdba),
        'comment', pg_catalog.shobj_description(d.oid, 'pg_database'),
        'tablespace', (SELECT spcname FROM pg_catalog.pg_tablespace t
            WHERE t.oid = d.dattablespace),
        'settings', (SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
                'role', CASE WHEN s.setrole <> 0 THEN pg_catalog.pg_get_userbyid(s.setrole) END,
                'set', s.setconfig) ORDER BY s.setrole)
            FROM pg_catalog.pg_db_role_setting s WHERE s.setdatabase = d.oid),
        'grants', (SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
                'role', CASE WHEN a.grantee <> 0 THEN pg_catalog.pg_get_userbyid(a.grantee) END,
                'privilege', a.privilege_type, 'may_grant', a.is_grantable)
                ORDER BY a.grantee, a.privilege_type, a.is_grantable)
            FROM pg_catalog.aclexplode(d.datacl) a))
FROM pg_catalog.pg_database d ORDER BY d.datname::pg_catalog.text COLLATE "C"
"#;

/// Columns of `pg_database` that making a database needs, of all versions; not those that change
/// by themselves.
const KEPT: [&str; 8] = [
    "datcollate",
    "datctype",
    "datlocprovider",
    "daticulocale",
    "datlocale",
    "daticurules",
    "datconnlimit",
    "datistemplate",
];

/// A server that is asked.
pub(super) struct Server<'a> {
    pub(super) access: &'a Access,
    pub(super) runner: &'a dyn Runner,
    /// Path of `psql`.
    psql: String,
}

/// Facts about a server.
#[derive(Clone, Debug)]
pub(super) struct About {
    pub(super) version: Version,
    /// Version, as the server says.
    pub(super) words: String,
    pub(super) may_read_passwords: bool,
    pub(super) is_standby: bool,
    /// The role that asks.
    pub(super) role: String,
}

/// Facts about a database.
#[derive(Clone, Debug, Default)]
pub(super) struct Database {
    pub(super) name: String,
    pub(super) encoding: String,
    pub(super) may_connect: bool,
    pub(super) is_template: bool,
    /// Whether it is what an interrupted `DROP DATABASE` left.
    pub(super) is_invalid: bool,
    pub(super) has_privilege: bool,
    /// What making it anew needs, and a dump does not hold.
    pub(super) more: serde_json::Map<String, Value>,
}

impl<'a> Server<'a> {
    pub(super) fn new(access: &'a Access, runner: &'a dyn Runner, client: &Client) -> Self {
        Self { access, runner, psql: client.program("psql") }
    }

    /// Returns the fields of all rows of a query; a row has `columns` of them.
    pub(super) fn ask(
        &self,
        database: &str,
        query: &str,
        columns: usize,
    ) -> io::Result<Vec<Vec<String>>> {
        let options = [
            "--no-psqlrc",
            "--no-password",
            "--quiet",
            "--tuples-only",
            "--no-align",
            // No name has a zero byte.
            "--field-separator-zero",
            "--record-separator-zero",
            "--set=ON_ERROR_STOP=1",
        ];
        let mut arguments = options.map(str::to_owned).to_vec();
        arguments.push(format!("--dbname={}", self.access.connection(database)));
        arguments.push(format!("--command={query}"));
        let mut invocation = self.access.login(&self.psql, arguments);
        // Names come as they are stored: each database may have another encoding.
        let encoding = ("PGCLIENTENCODING".to_owned(), "SQL_ASCII".to_owned().into());
        invocation.environment.push(encoding);
        fields(&self.runner.output(invocation, ANSWER_LEN_MAX_BYTES)?, columns)
    }

    /// Asks about the server by way of a database that can be logged in to.
    pub(super) fn about(&self, database: &str) -> io::Result<About> {
        let rows =
            self.ask(database, ABOUT, 5).map_err(self.failed("cannot log in to PostgreSQL"))?;
        let bad = || self.failed("cannot read the version of PostgreSQL")(strange());
        let [row] = &rows[..] else { return Err(bad()) };
        Ok(About {
            version: Version::of_number(row[0].parse().map_err(|_| bad())?),
            words: row[1].clone(),
            may_read_passwords: row[2] == "t",
            is_standby: row[3] == "t",
            role: row[4].clone(),
        })
    }

    /// Returns all databases in the order of their names.
    pub(super) fn databases(&self, database: &str) -> io::Result<Vec<Database>> {
        let rows = self.ask(database, DATABASES, 8);
        let rows = rows.map_err(self.failed("cannot list the databases of PostgreSQL"))?;
        let databases = rows.into_iter().map(|row| parse_database(&row).ok_or_else(strange));
        databases
            .collect::<io::Result<_>>()
            .map_err(self.failed("cannot list the databases of PostgreSQL"))
    }

    /// Returns what adds an action, the place and advice to an error.
    pub(super) fn failed(&self, action: &str) -> impl FnOnce(io::Error) -> io::Error {
        let action = format!("{action} from {}", self.runner.place());
        let section = self.access.section.clone();
        move |cause| advise(&section, &action)(cause)
    }
}

fn strange() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the answer of `psql` is not understood")
}

/// Returns the rows of an answer whose fields end with zero bytes.
fn fields(answer: &[u8], columns: usize) -> io::Result<Vec<Vec<String>>> {
    let answer = std::str::from_utf8(answer).map_err(|_| {
        let message = "a name on the server is not UTF-8: such a database needs a command instead";
        io::Error::new(io::ErrorKind::InvalidData, message)
    })?;
    let fields: Vec<&str> = answer.split_terminator('\0').collect();
    if !fields.len().is_multiple_of(columns) {
        return Err(strange());
    }
    Ok(fields.chunks(columns).map(|row| row.iter().map(ToString::to_string).collect()).collect())
}

fn parse_database(row: &[String]) -> Option<Database> {
    let [name, encoding, may_connect, is_template, is_invalid, has_privilege, columns, more] = row
    else {
        return None;
    };
    let columns: Value = serde_json::from_str(columns).ok()?;
    let Value::Object(mut more) = serde_json::from_str(more).ok()? else { return None };
    for name in KEPT {
        more.insert(name.to_owned(), columns.get(name).cloned().unwrap_or_default());
    }
    more.retain(|_, value| !value.is_null());
    Some(Database {
        name: name.clone(),
        encoding: encoding.clone(),
        may_connect: may_connect == "t",
        is_template: is_template == "t",
        is_invalid: is_invalid == "t",
        has_privilege: has_privilege == "t",
        more,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_split_at_zero_bytes() {
        let rows = fields(b"a\nb\0\0c|d\0'\0", 2).unwrap();
        assert_eq!(rows, [["a\nb", ""], ["c|d", "'"]]);
        assert!(fields(b"", 3).unwrap().is_empty());
        assert!(fields(b"a\0", 2).is_err());
        assert!(fields(b"\xe9\0", 1).unwrap_err().to_string().contains("not UTF-8"));
    }

    #[test]
    fn what_changes_by_itself_is_not_kept_of_a_database() {
        let row = ["wiki", "LATIN1", "t", "f", "f", "t", "", ""].map(str::to_owned);
        assert!(parse_database(&row).is_none());
        let mut row = row.to_vec();
        row[6] = r#"{"oid":5,"datcollate":"C","datfrozenxid":"727","datconnlimit":-1}"#.to_owned();
        row[7] = r#"{"owner":"ada","comment":null}"#.to_owned();
        let database = parse_database(&row).unwrap();
        assert_eq!((database.name.as_str(), database.encoding.as_str()), ("wiki", "LATIN1"));
        assert!(database.may_connect && !database.is_template && database.has_privilege);
        let more = serde_json::to_string(&database.more).unwrap();
        assert_eq!(more, r#"{"datcollate":"C","datconnlimit":-1,"owner":"ada"}"#);
    }
}
