//! Options of an SFTP server, from its URL, the configuration, `~/.ssh/config` and the defaults, in
//! this order.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::connector::Connector;
use super::credentials;
use super::error::{Error, Result};
use super::host;
use super::operator::Operator;
use super::place::Purpose;
use super::ssh;
use crate::settings::environment::Environment;
use crate::settings::location::Remote;
use crate::settings::repository::{RepositorySettings, SftpSettings};
use crate::settings::ssh_config::proxy::Destination;
use crate::settings::ssh_config::{HostConfig, KNOWN_HOSTS, PORT};
use crate::store::layers::lazy::OpenStore;
use crate::store::layers::rate_limit::RateLimiter;
use crate::store::sftp::SftpStore;
use crate::store::sftp::candidates;
use crate::store::sftp::options::SftpOptions;

/// Default number of connections: storage boxes allow ten, and other processes may connect, too.
const CONNECTIONS: usize = 4;
/// Default time-out without progress.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Idle time after which a connection is checked.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Default key files, the best first.
const IDENTITIES: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];

/// Collects the options; reads or asks for passwords.
pub(super) fn options(
    connector: &Connector,
    remote: &Remote,
    settings: RepositorySettings,
    purpose: Purpose,
    rate_limiter: Arc<RateLimiter>,
) -> Result<SftpOptions> {
    let RepositorySettings { connection, sftp, .. } = settings;
    let local_user = host::user_name();
    let ssh_config = sftp.ssh_config.as_deref();
    let host = ssh::read_config(connector, remote, &local_user, ssh_config)?;
    refuse_unexpanded(&sftp, &host)?;
    let (port, user) = (
        remote.port.or(host.port).unwrap_or(PORT),
        remote.user.clone().or_else(|| host.user.clone()).unwrap_or(local_user),
    );
    let host_name = host.host_name.clone().unwrap_or_else(|| remote.host.clone());
    let to = Destination { host: &host_name, alias: &remote.host, port, user: &user };
    let proxy = ssh::proxy_of(&connector.env, &host, to, ssh_config)?;
    let password = read_password(connector, &sftp)?;
    let (identity_files, identity_files_are_usual) = identity_files(&connector.env, &sftp, &host);
    let agent_socket = agent_socket(&connector.env, &host);
    let key_passphrase = match password.is_some() || agent_socket.is_some() {
        true => None,
        false => ask_passphrase(&*connector.operator, &identity_files)?,
    };
    Ok(SftpOptions {
        known_hosts: known_hosts(&connector.env, &sftp, &host),
        host: host_name,
        port,
        user,
        path: remote.path.clone(),
        identity_files,
        identity_files_are_usual,
        identities_only: host.identities_only == Some(true),
        certificate_files: host.certificate_files,
        host_key_alias: host.host_key_alias,
        proxy,
        key_passphrase,
        agent_socket,
        password,
        connections: connector
            .options
            .connections
            .or(connection.connections)
            .unwrap_or(CONNECTIONS),
        timeout: connection.timeout.unwrap_or(TIMEOUT),
        keep_alive: KEEP_ALIVE,
        keeps_files: purpose == Purpose::Look,
        rate_limiter,
    })
}

/// Returns a function that opens the store. With `is_made` it makes the directory; else the first
/// request finds out if it is missing.
pub(super) fn opener(options: SftpOptions, is_made: bool) -> OpenStore {
    Box::new(move || {
        let options = options.clone();
        Ok(Arc::new(if is_made {
            SftpStore::open_or_make(options)?
        } else {
            SftpStore::open_unchecked(options)
        }))
    })
}

/// Refuses paths that cannot be expanded, unless the configuration names others: without the right
/// file of known machines, every server would look new.
fn refuse_unexpanded(sftp: &SftpSettings, host: &HostConfig) -> Result<()> {
    let is_used = |option: &str| match option {
        KNOWN_HOSTS => sftp.known_hosts.is_empty(),
        "IdentityFile" => sftp.identity_files.is_empty(),
        _ => true,
    };
    let Some(odd) = host.unexpanded.iter().find(|odd| is_used(odd.option)) else { return Ok(()) };
    let says = format!(
        "`{} {}` of the SSH configuration has a `%` token or variable that is not supported",
        odd.option, odd.written
    );
    Err(Error::usage(says).hint(
        "%d, %h, %i, %k, %L, %l, %n, %p, %r, %u, %%, `~/` and `${NAME}` of a variable that is set \
            are supported; write the path out, or let `known-hosts` or `identity-file` in \
            drumlin.toml name the file",
    ))
}

/// Returns the key files to try, and whether they are the default ones.
fn identity_files(
    env: &Environment,
    sftp: &SftpSettings,
    host: &HostConfig,
) -> (Vec<PathBuf>, bool) {
    for named in [&sftp.identity_files, &host.identity_files] {
        if !named.is_empty() {
            return (named.clone(), false);
        }
    }
    if host.has_no_identity_files {
        return (Vec::new(), false);
    }
    let usual = IDENTITIES.iter().filter_map(|name| Some(env.home()?.join(".ssh").join(name)));
    (usual.filter(|file| file.exists()).collect(), true)
}

fn agent_socket(env: &Environment, host: &HostConfig) -> Option<PathBuf> {
    match host.identity_agent.as_deref() {
        None | Some("SSH_AUTH_SOCK") => env.path("SSH_AUTH_SOCK"),
        Some("none") => None,
        Some(written) => match written.strip_prefix('$') {
            Some(variable) => env.path(variable.trim_start_matches('{').trim_end_matches('}')),
            None => Some(PathBuf::from(written)),
        },
    }
}

fn known_hosts(env: &Environment, sftp: &SftpSettings, host: &HostConfig) -> Vec<PathBuf> {
    if !sftp.known_hosts.is_empty() {
        return sftp.known_hosts.clone();
    }
    let own = match host.known_hosts.is_empty() {
        true => env.home().map(|home| home.join(".ssh/known_hosts")).into_iter().collect(),
        false => host.known_hosts.clone(),
    };
    own.into_iter().chain(["/etc/ssh/ssh_known_hosts".into()]).collect()
}

fn read_password(connector: &Connector, sftp: &SftpSettings) -> Result<Option<Zeroizing<String>>> {
    match (connector.env.get("DRUMLIN_SSH_PASSWORD"), &sftp.password) {
        (_, Some(origin)) => {
            credentials::read_store_password(&*connector.operator, origin).map(Some)
        }
        (Some(password), None) => {
            let text = password
                .to_str()
                .ok_or_else(|| Error::usage("DRUMLIN_SSH_PASSWORD is not UTF-8 text"))?;
            Ok(Some(Zeroizing::new(text.to_owned())))
        }
        (None, None) => Ok(None),
    }
}

/// Asks for the passphrase of the first key file if it is protected.
fn ask_passphrase(
    operator: &dyn Operator,
    identity_files: &[PathBuf],
) -> Result<Option<Zeroizing<String>>> {
    let Some(file) = identity_files.first().filter(|file| is_protected(file)) else {
        return Ok(None);
    };
    credentials::ask_passphrase(operator, file).map(Some)
}

/// Returns whether a key file can be read and is encrypted.
fn is_protected(file: &Path) -> bool {
    fs::read_to_string(file).map(Zeroizing::new).is_ok_and(|text| candidates::is_protected(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(files: &[(&str, &str)]) -> (tempfile::TempDir, Environment) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let env = Environment::of([("HOME", dir.path().to_str().unwrap())]);
        (dir, env)
    }

    #[test]
    fn key_files_come_from_the_nearest_that_names_any() {
        let (dir, env) = home(&[(".ssh/id_rsa", "x"), (".ssh/id_ed25519", "x")]);
        let ssh = dir.path().join(".ssh");
        let nobody = (SftpSettings::default(), HostConfig::default());
        let usual = vec![ssh.join("id_ed25519"), ssh.join("id_rsa")];
        assert_eq!(identity_files(&env, &nobody.0, &nobody.1), (usual, true));
        let host = HostConfig { identity_files: vec!["/ssh/box".into()], ..HostConfig::default() };
        assert_eq!(identity_files(&env, &nobody.0, &host), (vec!["/ssh/box".into()], false));
        let settings =
            SftpSettings { identity_files: vec!["/k".into()], ..SftpSettings::default() };
        assert_eq!(identity_files(&env, &settings, &host), (vec!["/k".into()], false));
        assert_eq!(
            identity_files(&Environment::default(), &nobody.0, &nobody.1),
            (Vec::new(), true)
        );
    }

    #[test]
    fn known_hosts_are_the_usual_ones_unless_named() {
        let (dir, env) = home(&[]);
        let usual = known_hosts(&env, &SftpSettings::default(), &HostConfig::default());
        assert_eq!(usual, [dir.path().join(".ssh/known_hosts"), "/etc/ssh/ssh_known_hosts".into()]);
        let host = HostConfig { known_hosts: vec!["/box".into()], ..HostConfig::default() };
        assert_eq!(
            known_hosts(&env, &SftpSettings::default(), &host),
            ["/box", "/etc/ssh/ssh_known_hosts"].map(PathBuf::from)
        );
        let settings =
            SftpSettings { known_hosts: vec!["/known".into()], ..SftpSettings::default() };
        assert_eq!(known_hosts(&env, &settings, &host), [Path::new("/known")]);
    }

    #[test]
    fn the_user_s_file_names_machines_keys_and_agents() {
        let (dir, env) = home(&[
            (
                ".ssh/config",
                "Include more/*.conf\nHost box\n  HostName box.example.com\n  User u1\n  Port 23\n",
            ),
            (
                ".ssh/more/10-key.conf",
                "Host box\n  IdentityFile ~/.ssh/box\n  IdentitiesOnly yes\n",
            ),
            (".ssh/more/20-agent.conf", "Host *\n  IdentityAgent $AGENT\n"),
            (".ssh/more/ignored", "Host *\n  User nobody\n"),
            (".ssh/box", "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n"),
            ("other.conf", "User other\n"),
        ]);
        let remote =
            |host: &str| Remote { host: host.into(), path: "/x".into(), ..Remote::default() };
        let read = |env: &Environment, host: &str, explicit: Option<&Path>| {
            ssh::read_config_in(env, &remote(host), "ada", explicit)
        };
        let host = read(&env, "box", None).unwrap();
        assert_eq!(
            (host.host_name.as_deref(), host.user.as_deref(), host.port),
            (Some("box.example.com"), Some("u1"), Some(23))
        );
        assert_eq!(
            identity_files(&env, &SftpSettings::default(), &host),
            (vec![dir.path().join(".ssh/box")], false)
        );
        assert_eq!(host.identities_only, Some(true));
        let env = Environment::of([
            ("HOME", dir.path().to_str().unwrap()),
            ("SSH_AUTH_SOCK", "/usual"),
            ("AGENT", "/other"),
        ]);
        let other = read(&env, "else", None).unwrap();
        assert_eq!(
            (other.user.as_deref(), agent_socket(&env, &other)),
            (None, Some("/other".into()))
        );
        assert_eq!(agent_socket(&env, &HostConfig::default()), Some("/usual".into()));
        let none = HostConfig { identity_agent: Some("none".into()), ..HostConfig::default() };
        assert_eq!(agent_socket(&env, &none), None);
        let nowhere = Environment::default();
        assert_eq!(read(&nowhere, "box", None).unwrap(), HostConfig::default());
        let named = read(&nowhere, "box", Some(&dir.path().join("other.conf"))).unwrap();
        assert_eq!(
            named.user.as_deref(),
            Some("other"),
            "what is named is read without a home folder, too"
        );
        let explicit = read(&env, "box", Some(&dir.path().join("other.conf"))).unwrap();
        assert_eq!((explicit.user.as_deref(), explicit.port), (Some("other"), None));
        assert!(read(&env, "box", Some(&dir.path().join("missing.conf"))).is_err());
    }

    /// A path that is not understood is refused where it would be used; no key file at all is not
    /// the usual ones.
    #[test]
    fn files_are_those_that_are_meant() {
        let (dir, env) = home(&[
            (
                ".ssh/config",
                "Host a\n  UserKnownHostsFile ~/%C\nHost b\n  IdentityFile ${X}/b\nHost c\n  \
                    IdentityFile none\n",
            ),
            (".ssh/id_rsa", "usual"),
        ]);
        let read = |host: &str| {
            let remote = Remote { host: host.into(), path: "/x".into(), ..Remote::default() };
            ssh::read_config_in(&env, &remote, "ada", None).unwrap()
        };
        let usual = SftpSettings::default();
        let own = SftpSettings {
            known_hosts: vec!["/known".into()],
            identity_files: vec!["/key".into()],
            ..SftpSettings::default()
        };
        for (host, written) in [("a", "UserKnownHostsFile ~/%C"), ("b", "IdentityFile ${X}/b")] {
            let said = format!("{:?}", refuse_unexpanded(&usual, &read(host)).unwrap_err());
            assert!(said.contains(written), "{said}");
            refuse_unexpanded(&own, &read(host)).unwrap();
        }
        assert_eq!(identity_files(&env, &usual, &read("c")), (Vec::new(), false));
        assert_eq!(
            identity_files(&env, &usual, &read("d")),
            (vec![dir.path().join(".ssh/id_rsa")], true)
        );
    }

    #[test]
    fn protected_keys_are_told_from_open_ones() {
        let openssh = |body: &str| {
            format!(
                "-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----\n"
            )
        };
        let (dir, _env) = home(&[
            ("open", &openssh("b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAAB")),
            ("protected", &openssh("b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0")),
            ("old-open", "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n"),
            ("old-protected", "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nMIIE\n"),
            ("pkcs8-protected", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIE\n"),
        ]);
        for (name, is_it) in [
            ("open", false),
            ("protected", true),
            ("old-open", false),
            ("old-protected", true),
            ("pkcs8-protected", true),
            ("none", false),
        ] {
            assert_eq!(is_protected(&dir.path().join(name)), is_it, "{name}");
        }
    }
}
