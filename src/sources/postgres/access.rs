//! Access to a server: where it is, and who asks.
//!
//! What is configured goes into a connection string, because that alone is stronger than the
//! user's environment and service files, and takes any name of a database. What is not configured
//! is left to those. The password is in the environment, never an argument.

use zeroize::Zeroizing;

use crate::sources::runner::Invocation;

/// The name under which connections are seen on the server.
const APPLICATION: &str = "drumlin";

/// Encryption of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// None: `tls = false`.
    Off,
    /// Demanded, whatever certificate the server has: `tls = true`.
    Demanded,
    /// Demanded, with a certificate that a known authority issued for this host: `tls = "verify"`.
    Verified,
}

/// Where a server is, and who asks. What is absent is left to the client's own files.
#[derive(Clone, Default)]
pub struct Access {
    /// Section of the configuration, for messages: `app.wiki.postgres`.
    pub section: String,
    /// Host name or address.
    pub host: Option<String>,
    /// Folder of the server's socket; not with `host`.
    pub socket: Option<String>,
    /// Port, also of a socket.
    pub port: Option<u16>,
    /// Name of the role.
    pub user: Option<String>,
    /// Password; none: what the server asks for must be in the user's files.
    pub password: Option<Zeroizing<String>>,
    /// Encryption; none: what the client prefers.
    pub tls: Option<Tls>,
    /// Path of `pg_dump`; the other programs are taken from its folder. None: the newest is found.
    pub program: Option<String>,
}

impl Access {
    /// Returns an invocation of a program that asks no server.
    pub(super) fn invocation(&self, program: &str, arguments: Vec<String>) -> Invocation {
        // Messages are searched for what went wrong.
        let environment = vec![variable("LC_ALL", "C")];
        Invocation { program: program.to_owned(), secret_file: None, arguments, environment }
    }

    /// Returns an invocation of a program that logs in.
    pub(super) fn login(&self, program: &str, arguments: Vec<String>) -> Invocation {
        let mut invocation = self.invocation(program, arguments);
        invocation.environment.push(variable("PGAPPNAME", APPLICATION));
        // Times with a zone are dumped as this zone shows them: a server where the dump is tried
        // may have another one.
        invocation.environment.push(variable("PGTZ", "UTC"));
        if let Some(password) = &self.password {
            invocation.environment.push(("PGPASSWORD".to_owned(), password.clone()));
        }
        invocation
    }

    /// Returns the connection string for a database.
    pub(super) fn connection(&self, database: &str) -> String {
        let tls = self.tls.map(|tls| match tls {
            Tls::Off => "disable",
            Tls::Demanded => "require",
            Tls::Verified => "verify-full",
        });
        let port = self.port.map(|port| port.to_string());
        let host = self.socket.as_deref().or(self.host.as_deref());
        let parts = [
            ("dbname", Some(database)),
            ("host", host),
            ("port", port.as_deref()),
            ("user", self.user.as_deref()),
            ("sslmode", tls),
        ];
        let parts = parts.into_iter().filter_map(|(key, value)| Some(pair(key, value?)));
        parts.collect::<Vec<_>>().join(" ")
    }
}

fn variable(name: &str, value: &str) -> (String, Zeroizing<String>) {
    (name.to_owned(), Zeroizing::new(value.to_owned()))
}

/// Returns a key and its value as a connection string has them.
fn pair(key: &str, value: &str) -> String {
    format!("{key}='{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_strings_hold_what_is_configured() {
        let access = Access { section: "app.wiki.postgres".to_owned(), ..Access::default() };
        assert_eq!(access.connection("wiki"), "dbname='wiki'");
        let access = Access {
            host: Some("db.example.org".to_owned()),
            port: Some(5433),
            user: Some("o'neill\\ x".to_owned()),
            tls: Some(Tls::Verified),
            ..access
        };
        let expected = "dbname='a=b' host='db.example.org' port='5433' \
                        user='o\\'neill\\\\ x' sslmode='verify-full'";
        assert_eq!(access.connection("a=b"), expected);
        let access = Access { socket: Some("/run/pg".to_owned()), ..Access::default() };
        assert_eq!(access.connection("x"), "dbname='x' host='/run/pg'");
    }

    #[test]
    fn passwords_are_in_the_environment_only() {
        let password = Some(Zeroizing::new("hunter2".to_owned()));
        let access = Access { password, ..Access::default() };
        let invocation = access.login("pg_dump", vec![access.connection("x")]);
        assert!(invocation.arguments.iter().all(|argument| !argument.contains("hunter2")));
        let found = invocation.environment.iter().find(|(name, _)| name == "PGPASSWORD").unwrap();
        assert_eq!(found.1.as_str(), "hunter2");
        let none = Access::default().login("pg_dump", Vec::new());
        assert!(none.environment.iter().all(|(name, _)| name != "PGPASSWORD"));
    }
}
