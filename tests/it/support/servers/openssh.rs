//! OpenSSH's server with its own SFTP, on its own address, for the user who runs the tests.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use drumlin::store::sftp::options::SftpOptions;
use tempfile::TempDir;

use super::{Server, free_address, run};

const PROGRAM: &str = "/usr/sbin/sshd";

/// A running server; a login begins in its folder `files`.
pub struct OpenSsh {
    folder: TempDir,
    pub address: SocketAddr,
    server: Option<Server>,
}

impl OpenSsh {
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// Starts a server with more lines in its configuration.
    pub fn start_with(more: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("drumlin-sshd-").tempdir().unwrap();
        fs::create_dir(folder.path().join("files")).unwrap();
        make_key(&folder.path().join("host"), "");
        make_key(&folder.path().join("user"), "");
        fs::copy(folder.path().join("user.pub"), folder.path().join("authorized_keys")).unwrap();
        if run("id", &["-u"]).trim() == "0" {
            // Where the part of it that has no rights lives; its package makes it only when it
            // starts as a service.
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let at = folder.path().display();
        let config = format!(
            "HostKey {at}/host\nAuthorizedKeysFile {at}/authorized_keys\nPidFile none\nPermitRootLogin yes\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nUseDNS no\nMaxStartups 100\nLogLevel VERBOSE\n\
             Subsystem sftp internal-sftp -d {at}/files\n{more}\n"
        );
        fs::write(folder.path().join("config"), config).unwrap();
        let mut this = Self { folder, address: free_address(), server: None };
        this.restart();
        this
    }

    /// Starts it, again if it was started before, at the same address.
    pub fn restart(&mut self) {
        self.stop();
        let (config, host, port) =
            (self.path("config"), self.address.ip().to_string(), self.address.port().to_string());
        let (listen, port) = (format!("ListenAddress={host}"), format!("Port={port}"));
        let log = self.path("log");
        let arguments = ["-D", "-e", "-f", config.to_str().unwrap(), "-o", &listen, "-o", &port];
        let mut server = Server::start(PROGRAM, &arguments, &log);
        assert!(server.greets(self.address, "SSH-2.0-"), "{}", fs::read_to_string(&log).unwrap());
        self.server = Some(server);
    }

    /// Kills it with all its connections.
    pub fn stop(&mut self) {
        self.server = None;
    }

    /// Returns a path in the server's own folder; objects lie in `files`.
    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    /// Returns whether it serves anybody.
    pub fn is_serving(&self) -> bool {
        self.server.as_ref().is_some_and(Server::has_descendants)
    }

    /// Returns what reaches a folder in `files`.
    pub fn options(&self, path: &str) -> SftpOptions {
        self.options_at(self.address, path)
    }

    /// Returns the like through a proxy.
    pub fn options_through(&self, proxy: &super::proxy::Proxy, path: &str) -> SftpOptions {
        self.options_at(([127, 0, 0, 1], proxy.port()).into(), path)
    }

    /// Returns the like by another address.
    pub fn options_at(&self, address: SocketAddr, path: &str) -> SftpOptions {
        let options = SftpOptions::new(address.ip().to_string(), run("id", &["-un"]).trim(), path);
        let (known_hosts, identity_files) =
            (vec![self.make_known_hosts(address)], vec![self.path("user")]);
        SftpOptions { port: address.port(), identity_files, known_hosts, ..options }
    }

    fn make_known_hosts(&self, address: SocketAddr) -> PathBuf {
        let key = fs::read_to_string(self.path("host.pub")).unwrap();
        let file = self.path(&format!("known_hosts_{}", address.port()));
        fs::write(&file, format!("[{}]:{} {key}", address.ip(), address.port())).unwrap();
        file
    }
}

/// Makes a pair of keys at `path` and `path.pub`.
pub fn make_key(path: &Path, passphrase: &str) {
    run(
        "ssh-keygen",
        &["-q", "-t", "ed25519", "-C", "test", "-N", passphrase, "-f", path.to_str().unwrap()],
    );
}

/// Carries bytes to and from a port, as `nc` does where there is one. It writes its process id to a
/// file, a word, and its environment.
pub const RELAY: &str = "exec 3<>/dev/tcp/$0/$1 && echo $$ >> $2 && echo \"$3\" >> $2 && env >> $2 && { cat <&3 & cat >&3; kill $!; }";
