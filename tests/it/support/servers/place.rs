//! The repository of a test: in a folder, or on a server of the test's own.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

#[cfg(feature = "sftp")]
use super::openssh::OpenSsh;
#[cfg(feature = "s3")]
use super::s3::S3Server;
use crate::support::home::Home;

/// How long a server may take to notice that its clients are dead.
const REST_TIME_MAX: Duration = Duration::from_secs(120);

/// A place for repositories, and the server that it takes.
pub enum Place {
    /// A folder of this machine.
    Folder,
    /// A folder of OpenSSH's server.
    #[cfg(feature = "sftp")]
    Machine(OpenSsh),
    /// A bucket of an S3 server.
    #[cfg(feature = "s3")]
    Bucket(S3Server, String),
}

impl Place {
    /// Returns a folder of a server that was just started.
    #[cfg(feature = "sftp")]
    pub fn machine() -> Self {
        Self::Machine(OpenSsh::start())
    }

    /// Returns a new bucket.
    #[cfg(feature = "s3")]
    pub fn bucket(server: S3Server) -> Self {
        let bucket = server.bucket();
        Self::Bucket(server, bucket)
    }

    /// Returns where the server listens.
    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Folder => panic!("there is no server"),
            #[cfg(feature = "sftp")]
            Self::Machine(server) => server.address,
            #[cfg(feature = "s3")]
            Self::Bucket(server, _) => ([127, 0, 0, 1], server.port()).into(),
        }
    }

    /// Returns what the configuration says about the repository `name`, with the server reached at
    /// `address`.
    pub fn lines(&self, name: &str, address: SocketAddr) -> String {
        match self {
            Self::Folder => format!("url = \"{name}\"\n"),
            #[cfg(feature = "sftp")]
            Self::Machine(server) => {
                let options = server.options_at(address, name);
                let (user, key, known) =
                    (&options.user, &options.identity_files[0], &options.known_hosts[0]);
                format!(
                    "url = \"sftp://{user}@{address}/./{name}\"\nidentity-file = {key:?}\nknown-hosts = {known:?}\n"
                )
            }
            #[cfg(feature = "s3")]
            Self::Bucket(server, bucket) => {
                let (id, secret) = server.credentials();
                format!(
                    "url = \"s3://{bucket}/{name}\"\nendpoint = \"http://{address}\"\nregion = \"us-east-1\"\nkey-id = \"{id}\"\n\
                     secret-command = \"echo {secret}\"\n"
                )
            }
        }
    }

    /// Returns a home with a new repository `repo` at this place, which every command finds and
    /// opens.
    pub fn home(&self) -> Home {
        if let Self::Folder = self {
            return Home::with_repository();
        }
        let home =
            Home::new().with("DRUMLIN_REPOSITORY", "far").with("DRUMLIN_KEY_FILE", "test.key");
        home.configure("drumlin.toml", &self.lines("repo", self.address()));
        let home = home.with("DRUMLIN_CONFIG", "drumlin.toml");
        home.run(["init"]).ok();
        home
    }

    /// Waits until the server has done, or dropped, all that clients asked of it that are dead now.
    pub fn rest(&self) {
        let start = Instant::now();
        let is_at_rest = || match self {
            Self::Folder => true,
            #[cfg(feature = "sftp")]
            Self::Machine(server) => !server.is_serving(),
            #[cfg(feature = "s3")]
            Self::Bucket(server, _) => !has_dead_clients(server.port()),
        };
        while !is_at_rest() {
            assert!(start.elapsed() < REST_TIME_MAX, "the server still serves the dead");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Returns whether whoever listens on a port has connections that it has not closed although the
/// other end has.
#[cfg(feature = "s3")]
fn has_dead_clients(port: u16) -> bool {
    /// States of the server's end, and of that of a client, which the kernel keeps when the client
    /// is dead.
    const SERVER: &str = "08";
    const CLIENT: [&str; 3] = ["04", "05", "0B"];
    let end = format!(":{port:04X}");
    let is_half_closed = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let (Some(here), Some(there), Some(state)) = (words.next(), words.next(), words.next())
        else {
            return false;
        };
        here.ends_with(&end) && state == SERVER || there.ends_with(&end) && CLIENT.contains(&state)
    };
    std::fs::read_to_string("/proc/net/tcp").unwrap().lines().any(is_half_closed)
}
