//! Client programs: which are there, what they know, and what they answer.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::access::invocation;
use super::failure::{failure, refusal};
use super::settings::{Product, Settings};
use crate::sources::patient::Patient;
use crate::sources::process::Output;
use crate::sources::runner::{Invocation, Runner};

/// Pairs of programs: one that dumps, and one that asks.
const MARIADB: [&str; 2] = ["mariadb-dump", "mariadb"];
const MYSQL: [&str; 2] = ["mysqldump", "mysql"];
const BACKUP: [&str; 2] = ["mariadb-backup", "mariadb"];
/// Its name in older versions.
const OLD_BACKUP: [&str; 2] = ["mariabackup", "mariadb"];

/// Most bytes of what a program says of itself.
const HELP_LEN_MAX_BYTES: usize = 1 << 20;
/// Most bytes of an answer: the names of more than 300,000 tables.
const ANSWER_LEN_MAX_BYTES: usize = 64 << 20;

/// The programs of a source, and its settings.
pub(super) struct Client {
    pub(super) settings: Settings,
    /// Product that the programs belong to; it may be another than the server's.
    pub(super) product: Product,
    /// Version of the program that dumps, as it says; empty for `mariadb-backup`, which says it
    /// with its errors.
    pub(super) version: String,
    runner: Arc<dyn Runner>,
    dump_program: String,
    query_program: String,
    options: BTreeSet<String>,
}

impl Client {
    /// Looks for the programs. Fails if there are none.
    pub(super) fn find(settings: &Settings, runner: &Arc<dyn Runner>) -> io::Result<Self> {
        let mut first_error = None;
        for dump_program in candidates(settings) {
            let version = match ask(runner, dump_program, &["--version"]) {
                Ok(version) => version.trim().to_owned(),
                Err(error) => {
                    first_error.get_or_insert(error);
                    continue;
                }
            };
            let product = match settings.copy {
                Some(_) => Product::MariaDb,
                None => product_of(&version),
            };
            let help =
                ask(runner, dump_program, &["--no-defaults", "--help"]).map_err(|error| {
                    failure(settings, &runner.place(), "cannot run a client", error)
                })?;
            return Ok(Self {
                settings: settings.clone(),
                product,
                version,
                runner: Arc::clone(runner),
                dump_program: dump_program.to_owned(),
                query_program: query_program(dump_program, product),
                options: options_in(&help),
            });
        }
        let error = first_error.expect("there is a candidate");
        Err(failure(settings, &runner.place(), "cannot find a client that dumps", error))
    }

    /// Returns whether the program that dumps has an option, given with its dashes.
    pub(super) fn knows(&self, option: &str) -> bool {
        self.options.contains(option)
    }

    /// Returns the rows of the answer to SQL. NULL is `NULL`.
    pub(super) fn query(&self, action: &str, sql: &str) -> io::Result<Vec<Vec<String>>> {
        let passes_files = self.runner.passes_files();
        let mut invocation = self.invocation(&self.query_program, passes_files)?;
        let options = [
            "--default-character-set=utf8mb4",
            "--connect-timeout=30",
            "--batch",
            "--skip-column-names",
            &format!("--execute={sql}"),
        ];
        invocation.arguments.extend(options.map(str::to_owned));
        let answer = self.runner.output(invocation, ANSWER_LEN_MAX_BYTES);
        answer.map(|answer| rows(&answer)).map_err(|error| self.failure(action, error))
    }

    /// Starts a dump with these arguments.
    pub(super) fn dump(&self, arguments: Vec<String>) -> io::Result<Patient<Box<dyn Output>>> {
        // `mariadb-backup` reads option files twice, so that a pipe is empty the second time.
        let passes_files = self.runner.passes_files() && self.settings.copy.is_none();
        let mut invocation = self.invocation(&self.dump_program, passes_files)?;
        invocation.arguments.extend(arguments);
        self.runner.dump(invocation)
    }

    /// Describes the failure of an action of these programs.
    pub(super) fn failure(&self, action: &str, cause: io::Error) -> io::Error {
        failure(&self.settings, &self.runner.place(), action, cause)
    }

    fn invocation(&self, program: &str, passes_files: bool) -> io::Result<Invocation> {
        invocation(&self.settings.access, program, self.product, passes_files)
            .map_err(|why| refusal(&self.settings, "cannot log in", why))
    }
}

fn candidates(settings: &Settings) -> Vec<&str> {
    match (&settings.program, settings.product) {
        (Some(program), _) => vec![program],
        (None, _) if settings.copy.is_some() => vec![BACKUP[0], OLD_BACKUP[0]],
        (None, Product::MariaDb) => vec![MARIADB[0], MYSQL[0]],
        (None, Product::MySql) => vec![MYSQL[0], MARIADB[0]],
    }
}

fn ask(runner: &Arc<dyn Runner>, program: &str, arguments: &[&str]) -> io::Result<String> {
    let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
    let invocation = Invocation { program: program.to_owned(), arguments, ..Invocation::default() };
    let answer = runner.output(invocation, HELP_LEN_MAX_BYTES)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Returns the product from what a program or a server says of its version.
pub(super) fn product_of(version: &str) -> Product {
    match version.to_ascii_lowercase().contains("mariadb") {
        true => Product::MariaDb,
        false => Product::MySql,
    }
}

/// Returns the program that asks, from the same folder as the one that dumps.
fn query_program(dump_program: &str, product: Product) -> String {
    let path = Path::new(dump_program);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let sibling = [MARIADB, MYSQL, BACKUP, OLD_BACKUP]
        .into_iter()
        .find(|pair| name == pair[0])
        .map(|pair| path.with_file_name(pair[1]).to_string_lossy().into_owned());
    let by_product = match product {
        Product::MariaDb => MARIADB[1],
        Product::MySql => MYSQL[1],
    };
    sibling.unwrap_or_else(|| by_product.to_owned())
}

/// Returns all that looks like a long option in the help of a program.
fn options_in(help: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-';
    help.split(|c: char| !is_part(c))
        .filter(|word| word.starts_with("--") && word.len() > 2)
        .map(str::to_owned)
        .collect()
}

/// Parses an answer in batch format.
fn rows(answer: &[u8]) -> Vec<Vec<String>> {
    let text = String::from_utf8_lossy(answer);
    text.lines().map(|line| line.split('\t').map(unescaped).collect()).collect()
}

fn unescaped(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut characters = field.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            text.push(character);
            continue;
        }
        match characters.next() {
            Some('n') => text.push('\n'),
            Some('t') => text.push('\t'),
            Some('0') => text.push('\0'),
            Some(other) => text.push(other),
            None => text.push('\\'),
        }
    }
    text
}

/// Quotes a name for SQL.
pub(super) fn quoted_name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Quotes text for SQL, whatever the server's `sql_mode`.
pub(super) fn quoted_text(text: &str) -> String {
    let mut quoted = String::from("_utf8mb4 X'");
    for byte in text.bytes() {
        quoted.push_str(&format!("{byte:02X}"));
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_told_apart_by_what_they_say() {
        for version in [
            "mariadb-dump  Ver 10.19 Distrib 10.11.14-MariaDB, for debian-linux-gnu (x86_64)",
            "mysqldump from 11.4.2-MariaDB, client 10.19 for debian-linux-gnu (x86_64)",
        ] {
            assert_eq!(product_of(version), Product::MariaDb);
        }
        for version in [
            "mysqldump  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)",
            "mysqldump  Ver 10.13 Distrib 5.7.44, for linux-glibc2.12 (x86_64)",
        ] {
            assert_eq!(product_of(version), Product::MySql);
        }
    }

    #[test]
    fn the_asking_program_is_the_sibling() {
        for (dump, product, query) in [
            ("mysqldump", Product::MariaDb, "mysql"),
            ("/opt/x/mariadb-dump", Product::MariaDb, "/opt/x/mariadb"),
            ("/opt/my-own-dump", Product::MySql, "mysql"),
            ("/opt/x/mariadb-backup", Product::MariaDb, "/opt/x/mariadb"),
        ] {
            assert_eq!(query_program(dump, product), query);
        }
    }

    #[test]
    fn options_are_found_in_the_help() {
        let help = "  -y, --no-tablespaces\n                      Do not (use --skip-x.)\n\
                    --column-statistics Add an ANALYZE --\n  --set-gtid-purged[=name]\n";
        let options: Vec<String> = options_in(help).into_iter().collect();
        assert_eq!(
            options,
            ["--column-statistics", "--no-tablespaces", "--set-gtid-purged", "--skip-x"]
        );
    }

    #[test]
    fn answers_are_exact() {
        let answer = "a\tb\\tc\nx\\\\ny\\n\\0\tNULL\n".as_bytes();
        assert_eq!(rows(answer), [["a", "b\tc"], ["x\\ny\n\0", "NULL"]]);
        assert_eq!(rows(b""), Vec::<Vec<String>>::new());
        assert_eq!(quoted_name("a`b"), "`a``b`");
        assert_eq!(quoted_text("a'\\"), "_utf8mb4 X'61275C'");
    }
}
