//! Settings of the user, as the adapters of databases take them.

use std::io;
use std::path::Path;

use zeroize::Zeroizing;

use crate::backup::{Dump, DumpSource, FileSink};
use crate::connect::credentials::read_store_password;
use crate::connect::{self, Operator};
use crate::settings::repository::SecretSettings;
use crate::settings::sources::{DatabaseKind, DatabaseSettings, TlsSettings};
use crate::sources::subversion::RepositoryFiles;
use crate::sources::{mysql, postgres};

/// Length of the key of PostgreSQL's dumps.
const KEY_LEN: usize = 32;

/// Returns the settings of a MariaDB or MySQL server.
pub(super) fn mysql_settings(
    database: &DatabaseSettings,
    password: Option<Zeroizing<String>>,
    scratch: &Path,
) -> mysql::Settings {
    let product = match database.kind {
        DatabaseKind::Mysql => mysql::Product::MySql,
        _ => mysql::Product::MariaDb,
    };
    let defaults_file = database.defaults_file.as_deref().map(text_of);
    mysql::Settings {
        databases: match &database.databases {
            Some(names) => mysql::Databases::Named(names.clone()),
            None => mysql::Databases::All,
        },
        exclude: database.excludes.clone(),
        access: mysql::Access {
            host: database.host.clone(),
            port: database.port,
            socket: database.socket.clone(),
            user: database.user.clone(),
            password,
            defaults_file,
            tls: match database.tls {
                None => mysql::Tls::Default,
                Some(TlsSettings::Off) => mysql::Tls::Off,
                Some(TlsSettings::On) => mysql::Tls::On,
                Some(TlsSettings::Verified) => mysql::Tls::Verify,
            },
        },
        program: database.program.clone(),
        options: database.options.clone(),
        has_users: database.users,
        has_routines: database.routines != Some(false),
        has_events: database.events != Some(false),
        data_not: database.data_not.clone(),
        is_locked: database.is_locked,
        copy: database.is_copied.then(|| mysql::CopySettings {
            scratch: scratch.join("mariadb-backup").to_string_lossy().into_owned(),
        }),
        ..mysql::Settings::new(&database.section, &place_of(database), product)
    }
}

/// Returns the settings of a PostgreSQL server.
pub(super) fn postgres_settings(
    database: &DatabaseSettings,
    password: Option<Zeroizing<String>>,
    restrict_key: String,
) -> postgres::Settings {
    postgres::Settings {
        access: postgres::Access {
            section: database.section.clone(),
            host: database.host.clone(),
            socket: database.socket.clone(),
            port: database.port,
            user: database.user.clone(),
            password,
            tls: database.tls.map(|tls| match tls {
                TlsSettings::Off => postgres::Tls::Off,
                TlsSettings::On => postgres::Tls::Demanded,
                TlsSettings::Verified => postgres::Tls::Verified,
            }),
            program: database.program.clone(),
        },
        place: place_of(database),
        databases: match &database.databases {
            Some(names) => postgres::Databases::Named(names.clone()),
            None => postgres::Databases::All,
        },
        exclude: database.excludes.clone(),
        globals: database.users,
        data_not: database.data_not.clone(),
        options: database.options.clone(),
        restrict_key,
    }
}

/// Returns the folder of a server's dumps in the snapshot.
pub(super) fn place_of(database: &DatabaseSettings) -> String {
    let method = if database.is_copied { "-backup" } else { "" };
    let place = format!("/@app/{}{method}", database.kind.key());
    match &database.name {
        Some(name) => format!("{place}-{name}"),
        None => place,
    }
}

fn text_of(path: &Path) -> String {
    path.to_str().expect("the configuration is UTF-8").to_owned()
}

/// Returns random letters that nobody guesses.
pub(super) fn random_key() -> io::Result<String> {
    let mut bytes = [0; KEY_LEN];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    // 256 is no multiple of 26, which costs a fraction of a bit.
    Ok(bytes.iter().map(|byte| char::from(b'a' + byte % 26)).collect())
}

/// Plans to store a folder of small files as it is.
pub(super) fn copied_files(files: RepositoryFiles) -> DumpSource {
    let RepositoryFiles { from, to } = files;
    DumpSource {
        path: to,
        open: Box::new(move || Ok(Box::new(CopiedFiles { from: from.into_os_string().into() }))),
        known: None,
        cutting: None,
        original: None,
        // They are files: what cannot be read is reported, and costs nothing else.
        may_fail: true,
    }
}

struct CopiedFiles {
    from: std::path::PathBuf,
}

impl Dump for CopiedFiles {
    fn run(self: Box<Self>, sink: &mut dyn FileSink) -> io::Result<()> {
        copy_below(&self.from, b"", sink)
    }
}

/// Copies the regular files of a folder, in the order of their names, and of those below.
fn copy_below(from: &Path, to: &[u8], sink: &mut dyn FileSink) -> io::Result<()> {
    let mut names = std::fs::read_dir(from)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<io::Result<Vec<_>>>()?;
    names.sort();
    for name in names {
        let path = from.join(&name);
        // A lock that was released meanwhile is no loss.
        let Some(metadata) = unless_gone(std::fs::symlink_metadata(&path))? else { continue };
        let mut below = to.to_vec();
        if !below.is_empty() {
            below.push(b'/');
        }
        below.extend_from_slice(name.as_encoded_bytes());
        if metadata.is_dir() {
            copy_below(&path, &below, sink)?;
        } else if metadata.is_file() {
            let Some(content) = unless_gone(std::fs::read(&path))? else { continue };
            let file = sink.begin(&below)?;
            sink.write(file, &content)?;
            sink.end(file)?;
        }
    }
    Ok(())
}

fn unless_gone<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// Reads the password of a database from where its settings say; `None` if they name none.
pub(super) fn password_of(
    database: &DatabaseSettings,
    operator: &dyn Operator,
) -> connect::Result<Option<Zeroizing<String>>> {
    let of_file = database.password_file.clone().map(SecretSettings::PasswordFile);
    let of_command = || database.password_command.clone().map(SecretSettings::PasswordCommand);
    let source = of_file.or_else(of_command);
    source.map(|source| read_store_password(operator, &source)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_letters_and_differ() {
        let (one, other) = (random_key().unwrap(), random_key().unwrap());
        assert!(one.len() == KEY_LEN && one.bytes().all(|byte| byte.is_ascii_lowercase()));
        assert_ne!(one, other);
    }

    #[test]
    fn a_second_server_has_a_folder_of_its_own() {
        let place = |name: Option<&str>| {
            let name = name.map(str::to_owned);
            place_of(&DatabaseSettings { name, ..DatabaseSettings::default() })
        };
        assert_eq!(
            (place(None), place(Some("2"))),
            ("/@app/mariadb".to_owned(), "/@app/mariadb-2".to_owned())
        );
        let copied = DatabaseSettings { is_copied: true, ..DatabaseSettings::default() };
        assert_eq!(place_of(&copied), "/@app/mariadb-backup");
    }
}
