//! Options of an SFTP server.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::proxy::Proxy;
use crate::store::layers::rate_limit::RateLimiter;

/// A directory of another machine and how to reach it. The caller has read the configuration,
/// `~/.ssh/config` and the environment.
#[derive(Clone)]
pub struct SftpOptions {
    /// Name or address of the machine.
    pub host: String,
    /// Its port, usually 22.
    pub port: u16,
    /// Who logs in.
    pub user: String,
    /// The folder: absolute, or relative to where a login begins.
    pub path: String,
    /// Key files to try, in order: private keys, or public ones whose private half an agent has.
    pub identity_files: Vec<PathBuf>,
    /// Nobody has named these files, they are merely the usual ones: other keys of the agent come
    /// first.
    pub identity_files_are_usual: bool,
    /// Keys of the agent that belong to none of the files are not tried.
    pub identities_only: bool,
    /// Certificates of these keys, beside those that lie at `<key file>-cert.pub`.
    pub certificate_files: Vec<PathBuf>,
    /// What opens key files that are protected.
    pub key_passphrase: Option<Zeroizing<String>>,
    /// The socket of a running agent.
    pub agent_socket: Option<PathBuf>,
    /// The account's password, tried last.
    pub password: Option<Zeroizing<String>>,
    /// Files with the keys of machines that are known; those that are missing are empty.
    pub known_hosts: Vec<PathBuf>,
    /// The name that those files have for the machine, instead of its own and its port.
    pub host_key_alias: Option<String>,
    /// The program that carries connections; none for TCP.
    pub proxy: Option<Proxy>,
    /// Connections at once.
    pub connections: usize,
    /// After how much time without progress a request has failed.
    pub timeout: Duration,
    /// After how much time without use a connection is asked whether it still works, before it is
    /// used again.
    pub keep_alive: Duration,
    /// Whether a file stays open for some seconds after a part of it was read: for those that only
    /// look. An object that is removed or replaced meanwhile is read as it was.
    pub keeps_files: bool,
    /// How quickly bytes may go up and come down.
    pub rate_limiter: Arc<RateLimiter>,
}

impl SftpOptions {
    /// Returns what reaches a folder with neither keys nor password, by four connections that may
    /// each stand still for a minute.
    pub fn new(host: impl Into<String>, user: impl Into<String>, path: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            port: 22,
            user: user.into(),
            path: path.into(),
            identity_files: Vec::new(),
            identity_files_are_usual: false,
            identities_only: false,
            certificate_files: Vec::new(),
            key_passphrase: None,
            agent_socket: None,
            password: None,
            known_hosts: Vec::new(),
            host_key_alias: None,
            proxy: None,
            connections: 4,
            timeout: Duration::from_secs(60),
            keep_alive: Duration::from_secs(30),
            keeps_files: false,
            rate_limiter: Arc::new(RateLimiter::unlimited()),
        }
    }

    /// Returns the location as a URL, for people: a path that is relative to where a login begins
    /// follows `/./`.
    pub fn location(&self) -> String {
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let port = if self.port == 22 { String::new() } else { format!(":{}", self.port) };
        let path = self.path.trim_end_matches('/');
        let path = if path.starts_with('/') || self.path == "/" {
            path.to_owned()
        } else {
            format!("/./{path}")
        };
        format!("sftp://{}@{host}{port}{path}", self.user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_urls() {
        let location = |host: &str, path: &str, port| {
            let options = SftpOptions { port, ..SftpOptions::new(host, "ada", path) };
            options.location()
        };
        assert_eq!(location("box", "/srv/drumlin/", 22), "sftp://ada@box/srv/drumlin");
        assert_eq!(location("box", "drumlin", 23), "sftp://ada@box:23/./drumlin");
        assert_eq!(location("::1", "/", 22), "sftp://ada@[::1]");
    }
}
