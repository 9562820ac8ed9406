//! ProFTPD's `mod_sftp`, as some hosters use it, on an address of its own.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use drumlin::store::sftp::options::SftpOptions;
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::openssh::make_key;
use super::{Server, free_address, run};

const PROGRAM: &str = "/usr/sbin/proftpd";
/// The only account's password, and how it is stored (SHA-512 crypt).
pub const PASSWORD: &str = "secret";
const PASSWORD_HASH: &str = "$6$drumlin$sKVqzOYnaEOPnXeEtQhStgVOgU.BFJm1K2zWme7MkJk/fpSJmEyQclCNX9DzK5l0EQmrNoquxJ4PDkeT/UF45/";

/// A running server; its only account `box` sees nothing but the folder `files`.
pub struct Proftpd {
    folder: TempDir,
    pub address: SocketAddr,
    _server: Server,
}

impl Proftpd {
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// Starts a server with more lines in its configuration.
    pub fn start_with(more: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("drumlin-proftpd-").tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("files")).unwrap();
        make_key(&at("host"), "");
        make_key(&at("user"), "");
        fs::write(
            at("keys"),
            run("ssh-keygen", &["-e", "-m", "RFC4716", "-f", at("user.pub").to_str().unwrap()]),
        )
        .unwrap();
        let (uid, gid) = (run("id", &["-u"]), run("id", &["-g"]));
        let (uid, gid) = (uid.trim(), gid.trim());
        fs::write(
            at("passwd"),
            format!("box:{PASSWORD_HASH}:{uid}:{gid}::{}:/bin/false\n", at("files").display()),
        )
        .unwrap();
        fs::write(at("group"), format!("box:x:{gid}:box\n")).unwrap();
        for secret in ["passwd", "group"] {
            fs::set_permissions(at(secret), fs::Permissions::from_mode(0o600)).unwrap();
        }
        let address = free_address();
        fs::write(at("config"), config(&folder, address, more)).unwrap();
        let arguments =
            ["--nodaemon", "--config", at("config").to_str().unwrap()].map(str::to_owned);
        let log = at("log");
        let mut server = Server::start(PROGRAM, &arguments.each_ref().map(String::as_str), &log);
        assert!(server.greets(address, "SSH-2.0-"), "{}", fs::read_to_string(&log).unwrap());
        Self { folder, address, _server: server }
    }

    /// Returns a path in the server's own folder; objects lie in `files`.
    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    /// Returns what reaches a folder in `files` by a key.
    pub fn options(&self, path: &str) -> SftpOptions {
        let (host, port) = (self.address.ip().to_string(), self.address.port());
        let known_hosts = self.path("known_hosts");
        fs::write(
            &known_hosts,
            format!("[{host}]:{port} {}", fs::read_to_string(self.path("host.pub")).unwrap()),
        )
        .unwrap();
        let (identity_files, known_hosts) = (vec![self.path("user")], vec![known_hosts]);
        SftpOptions { port, identity_files, known_hosts, ..SftpOptions::new(host, "box", path) }
    }

    /// Returns the like by a password.
    pub fn options_by_password(&self, path: &str, password: &str) -> SftpOptions {
        let password = Some(Zeroizing::new(password.to_owned()));
        SftpOptions { identity_files: Vec::new(), password, ..self.options(path) }
    }
}

fn config(folder: &TempDir, address: SocketAddr, more: &str) -> String {
    let (at, user, group) = (folder.path().display(), run("id", &["-un"]), run("id", &["-gn"]));
    let (user, group) = (user.trim(), group.trim());
    let authentication =
        format!("AuthOrder mod_auth_file.c\nAuthUserFile {at}/passwd\nAuthGroupFile {at}/group\n");
    format!(
        "ServerName box\nServerType standalone\nDefaultServer on\nPort 0\nUser {user}\nGroup {group}\nUseIPv6 off\n\
         PidFile {at}/pid\nScoreboardFile {at}/scoreboard\nDelayTable none\nDelayEngine off\nModulePath /usr/lib/proftpd\n\
         LoadModule mod_sftp.c\nWtmpLog off\nTransferLog none\nSystemLog {at}/system.log\n{authentication}\
         <VirtualHost {}>\nPort {}\nSFTPEngine on\nSFTPLog {at}/sftp.log\nSFTPHostKey {at}/host\n\
         SFTPAuthorizedUserKeys file:{at}/keys\nSFTPAuthMethods publickey password\n{authentication}\
         DefaultRoot ~\nRootLogin on\nRequireValidShell off\nAllowOverwrite on\n{more}\n</VirtualHost>\n",
        address.ip(),
        address.port(),
    )
}
