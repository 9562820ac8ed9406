//! Failures of clients: what failed, what to do, and whether it is worth trying again.

use std::fmt;
use std::io;

use super::settings::Settings;
use crate::sources::mbstream::MbstreamError;

/// When the same run may succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// At once, and from the beginning: a table changed its definition meanwhile. Sections that
    /// were passed on cannot be taken back, so the dump cannot go on by itself.
    AtOnce,
    /// Later: the server was not there, or went away.
    Later,
    /// Not before a person has changed something.
    Never,
}

/// A failed action on a server. Its source is what the client said.
#[derive(Debug)]
pub struct Failure {
    action: String,
    hint: String,
    retry: Retry,
    cause: io::Error,
}

impl Failure {
    /// Returns when a failed dump or plan may succeed; `None` if the error is none of this module,
    /// but the repository's.
    pub fn retry_of(error: &io::Error) -> Option<Retry> {
        Some(error.get_ref()?.downcast_ref::<Self>()?.retry)
    }

    /// Returns what failed, and where.
    pub fn action(&self) -> &str {
        &self.action
    }

    /// Returns what to do, for people; may be empty.
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.action)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, " ({})", self.hint) }
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

/// Describes the failure of an action such as `cannot dump database x`, whose program said `cause`.
pub(super) fn failure(
    settings: &Settings,
    place: &str,
    action: &str,
    cause: io::Error,
) -> io::Error {
    if Failure::retry_of(&cause).is_some() {
        return cause;
    }
    let section = format!("[{}]", settings.section);
    let is_copied = settings.copy.is_some();
    let told = advice_of_copy(&cause).filter(|_| is_copied);
    let (retry, hint) = match told {
        Some((retry, hint)) => (retry, hint.replace("SECTION", &section)),
        None => judge(&cause, &section),
    };
    let action = format!("{action} on {place}, {section}");
    io::Error::other(Failure { action, hint, retry, cause })
}

/// Describes a failure that no program has told of.
pub(super) fn refusal(settings: &Settings, action: &str, why: String) -> io::Error {
    let action = format!("{action}, [{}]", settings.section);
    io::Error::other(Failure {
        action,
        hint: String::new(),
        retry: Retry::Never,
        cause: io::Error::other(why),
    })
}

/// Returns when to try again, and what to do before.
fn judge(cause: &io::Error, section: &str) -> (Retry, String) {
    let text = cause.to_string();
    if cause.kind() == io::ErrorKind::NotFound || text.contains("executable file not found") {
        let hint = "install the package `mariadb-client` or `default-mysql-client`, or set \
                    `program`, or `container` if the server runs in one";
        return (Retry::Never, format!("{hint}, in {section}"));
    }
    let Some((retry, hint)) = codes(&text).find_map(advice) else {
        // Killed by the system, or by a person.
        let is_killed = text.contains("signal:") || text.contains("last line");
        return (if is_killed { Retry::Later } else { Retry::Never }, String::new());
    };
    (retry, hint.replace("SECTION", section))
}

/// Returns what the error of this number means.
fn advice(code: u32) -> Option<(Retry, &'static str)> {
    let rights = "the user needs SELECT, SHOW VIEW, TRIGGER and EVENT on the databases, and RELOAD \
                  for `consistent = \"lock\"`: `config check` says what is missing";
    Some(match code {
        1045 | 1698 | 1251 | 2059 | 2061 => {
            (Retry::Never, "check `user` and `password-file` of SECTION")
        }
        2002 | 2003 | 2005 => (
            Retry::Later,
            "is the server running? Check `host` and `port`, `socket` or `container` of SECTION",
        ),
        2026 => (Retry::Never, "check `tls` of SECTION"),
        1040
        | 1053
        | 1152
        | 1158..=1161
        | 1203
        | 1205
        | 1213
        | 1226
        | 1317
        | 1927
        | 2006
        | 2012
        | 2013
        | 2055
        | 4031 => (Retry::Later, "the server hung up or was busy: its log may say why"),
        1049 => (Retry::AtOnce, "the database is gone: check `databases` of SECTION"),
        1146 | 1412 => (Retry::AtOnce, "a table changed during the dump"),
        1044 | 1142 | 1143 | 1227 | 1370 => (Retry::Never, rights),
        1356 => (
            Retry::Never,
            "the view is broken: repair or drop it, or leave it out by `options = \
             [\"--ignore-table=DATABASE.VIEW\"]` in SECTION",
        ),
        126 | 127 | 130 | 144 | 145 | 1034 | 1194 | 1195 => {
            (Retry::Never, "the table is damaged: `CHECK TABLE` and `REPAIR TABLE` say more")
        }
        _ => return None,
    })
}

/// Returns what a failure of `mariadb-backup` means, or of its stream: it has words of its own.
fn advice_of_copy(cause: &io::Error) -> Option<(Retry, &'static str)> {
    let of_stream = cause.get_ref().and_then(|cause| cause.downcast_ref::<MbstreamError>());
    if let Some(error) = of_stream {
        let retry = if error.is_transient() { Retry::AtOnce } else { Retry::Never };
        return Some((retry, "nothing of it was kept"));
    }
    let text = cause.to_string();
    if cause.kind() == io::ErrorKind::NotFound || text.contains("executable file not found") {
        return Some((
            Retry::Never,
            "install the package `mariadb-backup` of the server's version, or set `program`, in \
             SECTION",
        ));
    }
    let found = COPY_ADVICE.iter().find(|(parts, ..)| parts.iter().any(|p| text.contains(p)));
    found.map(|(_, retry, hint)| (*retry, *hint))
}

/// Words of `mariadb-backup`, and what they mean.
const COPY_ADVICE: &[(&[&str], Retry, &str)] = &[
    (
        &["Access denied for user"],
        Retry::Never,
        "check `user` and `password-file` of SECTION; a password in the server's option files goes \
         before it",
    ),
    (
        &["missing required privilege"],
        Retry::Never,
        "give the user of SECTION RELOAD, PROCESS, LOCK TABLES and BINLOG MONITOR on *.*",
    ),
    (
        &["Can't change dir", "my_setwd() failed"],
        Retry::Never,
        "the program reads the server's files: run this on the server's machine, as root or as \
         the server's user",
    ),
    (
        // Its reader of the log stalls under writes (MDEV-39468), or the log was overwritten.
        &["Retrying read of log", "able to copy log", "log block numbers mismatch"],
        Retry::AtOnce,
        "it could not follow the server's log: if this happens often, set a larger \
         `innodb_log_file_size` on the server",
    ),
    (
        &["Failed to connect to", "Too many connections", "shutdown in progress", "gone away"],
        Retry::Later,
        "is the server running? Check `host` and `port`, or `socket`, of SECTION",
    ),
];

/// Returns the numbers of errors in the last words of a client: `ERROR 1045 (28000): …`, `Got
/// error: 1045: …`, `Error 2013: …`, `… (1356)`.
fn codes(text: &str) -> impl Iterator<Item = u32> + '_ {
    text.match_indices(|c: char| c.is_ascii_digit()).filter_map(|(at, _)| {
        let before = text[..at].trim_end_matches(' ');
        let digits = &text[at..];
        let len = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let is_code = before.ends_with("rror")
            || before.ends_with("rror:")
            || before.ends_with("ERROR")
            || before.ends_with('(') && digits[len..].starts_with(')')
            || before.ends_with("rrno:");
        if is_code { digits[..len].parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::mysql::settings::{CopySettings, Product};

    fn judged(words: &str) -> (Retry, String) {
        let settings = Settings::new("app.wiki.mysql", "/@app/mysql", Product::MySql);
        let error =
            failure(&settings, "this host", "cannot dump", io::Error::other(words.to_owned()));
        let text = error.to_string();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(cause, words, "the client's words are the source");
        (Failure::retry_of(&error).unwrap(), text)
    }

    #[test]
    fn the_words_of_clients_are_understood() {
        for (words, retry, says) in [
            ("ERROR 1045 (28000): Access denied for user 'x'@'y'", Retry::Never, "password-file"),
            ("mariadb-dump: Got error: 1045: \"Access denied\"", Retry::Never, "password-file"),
            ("mysqldump: Got error: 2002: Can't connect to local", Retry::Later, "socket"),
            ("mysqldump: Got error: 1049: Unknown database 'y'", Retry::AtOnce, "databases"),
            ("Error 1412: Table definition has changed", Retry::AtOnce, "changed"),
            ("Error 2013: Lost connection to MySQL server", Retry::Later, "hung up"),
            ("ERROR 1040 (HY000): Too many connections", Retry::Later, "busy"),
            ("ERROR 1053 (08S01): Server shutdown in progress", Retry::Later, "busy"),
            ("Couldn't execute 'SHOW EVENTS': Access denied (1044)", Retry::Never, "EVENT"),
            ("View 'a.v' references invalid table(s) (1356)", Retry::Never, "ignore-table"),
            ("`x` failed: signal: 9 (SIGKILL)", Retry::Later, "cannot dump"),
            ("`x` failed: exit status: 3: what 1412 is this", Retry::Never, "cannot dump"),
        ] {
            let (judged, text) = judged(words);
            assert_eq!(judged, retry, "{words}");
            assert!(text.contains(says) && text.contains("app.wiki.mysql"), "{text}");
        }
    }

    #[test]
    fn the_words_of_mariadb_backup_are_understood() {
        let mut settings =
            Settings::new("app.shop.mariadb", "/@app/mariadb-backup", Product::MariaDb);
        settings.copy = Some(CopySettings { scratch: "/x".to_owned() });
        let judged = |cause: io::Error| {
            let error = failure(&settings, "this host", "cannot copy the server", cause);
            (Failure::retry_of(&error).unwrap(), error.to_string())
        };
        let away = "Failed to connect to MariaDB server: Can't connect to local server";
        let stalled = "mariabackup: Retrying read of log at LSN=1867122";
        for (words, retry, says) in [
            ("Failed to connect to MariaDB server: Access denied for user", Retry::Never, "user"),
            (away, Retry::Later, "socket"),
            (stalled, Retry::AtOnce, "innodb_log_file_size"),
            ("Error: missing required privilege RELOAD on *.*", Retry::Never, "BINLOG MONITOR"),
            ("mariadb-backup: Can't change dir to '/x' (errno: 13)", Retry::Never, "as root"),
            ("`mariadb-backup` failed: signal: 9 (SIGKILL)", Retry::Later, "cannot copy"),
            ("`mariadb-backup` failed: exit status: 1", Retry::Never, "cannot copy"),
        ] {
            let (judged, text) = judged(io::Error::other(words));
            assert_eq!(judged, retry, "{words}");
            assert!(text.contains(says) && text.contains("[app.shop.mariadb]"), "{text}");
        }
        let missing = io::Error::new(io::ErrorKind::NotFound, "cannot run mariadb-backup");
        assert!(judged(missing).1.contains("the package `mariadb-backup`"));
        let changed =
            MbstreamError::ChangedMeanwhile { path: "a".to_owned(), change: "was emptied" };
        assert_eq!(judged(io::Error::other(changed)).0, Retry::AtOnce);
        let cut = MbstreamError::Incomplete { why: "nothing came".to_owned() };
        assert_eq!(judged(io::Error::other(cut)).0, Retry::Never);
    }

    #[test]
    fn a_missing_program_names_the_package_and_the_key() {
        let settings = Settings::new("app.a.mysql", "/@app/mysql", Product::MySql);
        let missing = io::Error::new(io::ErrorKind::NotFound, "cannot run x");
        let error = failure(&settings, "this host", "cannot list databases", missing);
        let text = error.to_string();
        for word in ["mariadb-client", "`program`", "[app.a.mysql]", "this host"] {
            assert!(text.contains(word), "{text}");
        }
        assert_eq!(Failure::retry_of(&error), Some(Retry::Never));
        assert_eq!(Failure::retry_of(&io::Error::other("full")), None);
    }
}
