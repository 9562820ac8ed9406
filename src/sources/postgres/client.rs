//! Client programs of PostgreSQL.
//!
//! A dump needs a client that is not older than the server, so the newest that is installed is
//! taken: Debian has them side by side.

use std::io;

use crate::sources::failure::failed;
use crate::sources::runner::Runner;

use super::access::Access;
use super::advice::advise;
use super::version::Version;

/// Most bytes of what programs say of themselves.
const WORDS_LEN_MAX_BYTES: usize = 1 << 20;
/// The oldest client whose dumps name tables in full.
const MAJOR_MIN: u32 = 11;

/// Writes path and version of every `pg_dump`, each in a line.
const FIND: &str = r#"
for program in "$(command -v pg_dump)" /usr/lib/postgresql/*/bin/pg_dump /usr/pgsql-*/bin/pg_dump
do
    if [ -x "$program" ]; then
        printf '%s\n%s\n' "$program" "$("$program" --version 2>/dev/null)"
    fi
done
"#;

/// The client programs of one version.
#[derive(Clone, Debug)]
pub(super) struct Client {
    /// Path of `pg_dump`.
    dump: String,
    /// Its version.
    pub(super) version: Version,
    /// Its version, as it says.
    pub(super) words: String,
}

impl Client {
    /// Finds the newest client where `runner` runs programs, or asks the configured one.
    pub(super) fn find(access: &Access, runner: &dyn Runner) -> io::Result<Self> {
        let section = &access.section;
        let found = match &access.program {
            Some(program) => format!("{program}\n{}", version_of(program, access, runner)?),
            None => {
                let search = access.invocation("sh", vec!["-c".to_owned(), FIND.to_owned()]);
                let output = runner.output(search, WORDS_LEN_MAX_BYTES);
                let output = output.map_err(advise(section, "cannot look for `pg_dump`"))?;
                String::from_utf8_lossy(&output).into_owned()
            }
        };
        let place = runner.place();
        let client = newest(&found).ok_or_else(|| {
            let advice = "install `postgresql-client`, or set `program` in";
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("{section}: there is no `pg_dump` on {place}; {advice} [{section}]"),
            )
        })?;
        if client.version.major < MAJOR_MIN {
            return Err(unsupported(format!(
                "{section}: {} of {place} is too old; install a client of version {MAJOR_MIN} or \
                 newer, or set `program` in [{section}]",
                client.words
            )));
        }
        Ok(client)
    }

    /// Fails if it is too old for a server.
    pub(super) fn fail_if_older(
        &self,
        server: Version,
        access: &Access,
        place: &str,
    ) -> io::Result<()> {
        if self.version.major >= server.major {
            return Ok(());
        }
        let (section, major) = (&access.section, server.major);
        Err(unsupported(format!(
            "{section}: `{}` {} of {place} cannot dump PostgreSQL {server}; install \
             `postgresql-client-{major}` (Debian) or `postgresql{major}` (Red Hat), or set \
             `program` in [{section}]",
            self.dump, self.version
        )))
    }

    /// Returns the path of one of its programs.
    pub(super) fn program(&self, name: &str) -> String {
        match self.dump.rsplit_once('/') {
            _ if name == "pg_dump" => self.dump.clone(),
            Some((folder, _)) => format!("{folder}/{name}"),
            None => name.to_owned(),
        }
    }

    /// Returns whether a program takes the key of `\restrict`, without which dumps that have one
    /// differ each time.
    pub(super) fn takes_restrict_key(
        &self,
        name: &str,
        access: &Access,
        runner: &dyn Runner,
    ) -> io::Result<bool> {
        let help = access.invocation(&self.program(name), vec!["--help".to_owned()]);
        let help = runner.output(help, WORDS_LEN_MAX_BYTES);
        let help = help.map_err(advise(&access.section, &format!("cannot run `{name} --help`")))?;
        Ok(String::from_utf8_lossy(&help).contains("--restrict-key"))
    }
}

fn version_of(program: &str, access: &Access, runner: &dyn Runner) -> io::Result<String> {
    let asked = access.invocation(program, vec!["--version".to_owned()]);
    let words = runner.output(asked, WORDS_LEN_MAX_BYTES).map_err(failed(|| {
        let section = &access.section;
        format!("{section}: cannot ask `{program}` for its version; check `program` in [{section}]")
    }))?;
    Ok(String::from_utf8_lossy(&words).into_owned())
}

/// Returns the newest of the clients in lines of path and version. Of equal ones the last: the
/// first may be a script that chooses one.
fn newest(found: &str) -> Option<Client> {
    let lines: Vec<&str> = found.lines().collect();
    let clients = lines.as_chunks().0.iter().filter_map(|[dump, words]| {
        let version = Version::parse(words)?;
        Some(Client { dump: (*dump).to_owned(), version, words: (*words).to_owned() })
    });
    clients.max_by_key(|client| client.version)
}

fn unsupported(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_client_is_taken_and_of_equal_ones_the_real_one() {
        let of = |found: &str| newest(found).map(|client| client.dump);
        let wrapper = "/usr/bin/pg_dump\npg_dump (PostgreSQL) 16.4 (Debian 16.4-1)\n";
        let old = "/usr/lib/postgresql/9.6/bin/pg_dump\npg_dump (PostgreSQL) 9.6.24\n";
        let new = "/usr/lib/postgresql/16/bin/pg_dump\npg_dump (PostgreSQL) 16.4\n";
        let broken = "/usr/lib/postgresql/17/bin/pg_dump\n\n";
        assert_eq!(of(&[wrapper, old, new, broken].concat()).unwrap(), new.lines().next().unwrap());
        assert_eq!(of(&[wrapper, old].concat()).unwrap(), "/usr/bin/pg_dump");
        assert_eq!(of(broken), None);
        assert_eq!(of(""), None);
    }

    #[test]
    fn its_programs_are_from_one_folder() {
        let client = |dump: &str| Client {
            dump: dump.to_owned(),
            version: Version { major: 16, minor: 4 },
            words: String::new(),
        };
        assert_eq!(client("/opt/pg/pg_dump-16").program("psql"), "/opt/pg/psql");
        assert_eq!(client("/opt/pg/pg_dump-16").program("pg_dump"), "/opt/pg/pg_dump-16");
        assert_eq!(client("pg_dump").program("pg_dumpall"), "pg_dumpall");
    }

    #[test]
    fn a_client_that_is_too_old_for_the_server_names_the_package() {
        let words = "pg_dump (PostgreSQL) 15.18".to_owned();
        let version = Version::parse(&words).unwrap();
        let client = Client { dump: "/usr/bin/pg_dump".to_owned(), version, words };
        let access = Access { section: "app.wiki.postgres".to_owned(), ..Access::default() };
        let check = |major| client.fail_if_older(Version { major, minor: 0 }, &access, "this host");
        check(15).unwrap();
        check(13).unwrap();
        let error = check(17).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        let text = error.to_string();
        assert!(text.contains("`postgresql-client-17`") && text.contains("[app.wiki.postgres]"));
    }
}
