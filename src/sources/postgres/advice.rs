//! Advice for failures, from the words of PostgreSQL's programs.
//!
//! A failed login has no code, so the English message decides. A server may speak another
//! language: then the advice is general, and the message is shown in any case.

use std::io::{self, ErrorKind};

use crate::sources::failure::failed;

/// Words of a message, the kind of the failure, and what to do; `{}` is the section.
const ADVICE: &[(&[&str], ErrorKind, &str)] = &[
    (
        &["password authentication failed", "no password supplied", "empty password returned"],
        ErrorKind::PermissionDenied,
        "check `user` and `password-file` or `password-command` in [{}]",
    ),
    (
        &["Peer authentication failed", "Ident authentication failed"],
        ErrorKind::PermissionDenied,
        "the server wants the system's user of that name: set `host` and a password in [{}], or \
         allow it in pg_hba.conf",
    ),
    (
        &["no pg_hba.conf entry", "pg_hba.conf rejects"],
        ErrorKind::PermissionDenied,
        "allow the login in the server's pg_hba.conf, or set `host`, `user` and `tls` in [{}]",
    ),
    (
        &["row-level security"],
        ErrorKind::PermissionDenied,
        "give the role of [{}] BYPASSRLS, because policies hide rows from it",
    ),
    (
        &["permission denied"],
        ErrorKind::PermissionDenied,
        "grant the role of [{}] pg_read_all_data, and CONNECT to each database",
    ),
    (
        &["server version mismatch", "aborting because of server version"],
        ErrorKind::Unsupported,
        "install the client of the server's version, or set `program` in [{}]",
    ),
    (
        &["SSL SYSCALL error", "SSL connection has been closed unexpectedly"],
        ErrorKind::NotConnected,
        "see whether the server of [{}] runs: it hung up",
    ),
    (
        &["certificate", "SSL", "sslmode"],
        ErrorKind::PermissionDenied,
        "check `tls` in [{}] and the certificates of server and client",
    ),
    (
        &["could not translate host name", "invalid port number"],
        ErrorKind::NotConnected,
        "check `host` and `port` in [{}]",
    ),
    (
        &[
            "Connection refused",
            "No such file or directory",
            "timeout expired",
            "timed out",
            "No route to host",
            "Network is unreachable",
            "starting up",
            "shutting down",
            "in recovery mode",
            "not yet accepting connections",
            "not accepting connections",
            "conflict with recovery",
            "server closed the connection unexpectedly",
            "terminating connection",
            "could not receive data from server",
            "connection to server was lost",
            "too many clients",
            "too many connections",
            "remaining connection slots",
        ],
        ErrorKind::NotConnected,
        "see whether the server runs, and check `host`, `port` and `socket` in [{}]",
    ),
];

/// Adds the action that failed to an error of a program, with advice for the section of the
/// configuration. The kind tells failures that may pass: `NotConnected`.
pub(super) fn advise(section: &str, action: &str) -> impl FnOnce(io::Error) -> io::Error {
    move |cause| {
        let (kind, advice) = advice(section, &cause);
        let cause = io::Error::new(kind, cause);
        failed(|| format!("{section}: {action}; {advice}"))(cause)
    }
}

fn advice(section: &str, cause: &io::Error) -> (ErrorKind, String) {
    let words = cause.to_string();
    if words.contains("does not exist") && words.contains("FATAL:") {
        let key = if words.contains("role ") { "user" } else { "databases" };
        return (ErrorKind::NotFound, format!("check `{key}` in [{section}]"));
    }
    if words.starts_with("cannot run ") {
        let advice = "install PostgreSQL's client programs, or set `program` in";
        return (cause.kind(), format!("{advice} [{section}]"));
    }
    let found = ADVICE.iter().find(|(parts, ..)| parts.iter().any(|part| words.contains(part)));
    match found {
        Some((_, kind, advice)) => (*kind, advice.replace("{}", section)),
        None => (cause.kind(), format!("see the message of the program, and check [{section}]")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_programs_lead_to_keys_of_the_configuration() {
        let connection = "connection to server at \"db\", port 5432 failed: ";
        for (words, kind, key) in [
            (
                "FATAL:  password authentication failed for user \"a\"",
                ErrorKind::PermissionDenied,
                "`password-file`",
            ),
            ("fe_sendauth: no password supplied", ErrorKind::PermissionDenied, "`user`"),
            ("FATAL:  database \"x\" does not exist", ErrorKind::NotFound, "`databases`"),
            ("FATAL:  role \"x\" does not exist", ErrorKind::NotFound, "`user`"),
            ("Connection refused", ErrorKind::NotConnected, "`host`"),
            ("FATAL:  the database system is starting up", ErrorKind::NotConnected, "server runs"),
            (
                "FATAL:  the database system is not yet accepting connections",
                ErrorKind::NotConnected,
                "server runs",
            ),
            ("FATAL:  too many connections for role \"a\"", ErrorKind::NotConnected, "server runs"),
            ("SSL SYSCALL error: EOF detected", ErrorKind::NotConnected, "hung up"),
            ("SSL error: certificate verify failed", ErrorKind::PermissionDenied, "`tls`"),
            (
                "ERROR:  permission denied for table secrets",
                ErrorKind::PermissionDenied,
                "pg_read_all_data",
            ),
            ("something else", ErrorKind::Other, "see the message"),
        ] {
            let cause = io::Error::other(format!("`pg_dump` failed: {connection}{words}"));
            let error = advise("app.wiki.postgres", "cannot dump `x`")(cause);
            let text = error.to_string();
            assert!(text.starts_with("app.wiki.postgres: cannot dump `x`; "), "{text}");
            assert!(text.contains(key) && text.contains("app.wiki.postgres"), "{text}");
            assert_eq!(error.kind(), kind, "{words}");
            let cause = std::error::Error::source(error.get_ref().unwrap()).unwrap();
            assert!(cause.to_string().ends_with(words), "{cause}");
        }
    }
}
