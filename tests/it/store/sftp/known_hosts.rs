//! Known servers: by name and port together, or by an alias; authorities that vouch are reported.

use std::fs;

use drumlin::store::ErrorKind;
use drumlin::store::sftp::SftpStore;
use drumlin::store::sftp::options::SftpOptions;

use super::refused;
use crate::support::servers::openssh::{OpenSsh, make_key};
use crate::support::servers::run;

/// A server, the file of known machines that its clients read, and its key.
struct Known {
    server: OpenSsh,
    options: SftpOptions,
    key: String,
    other_key: String,
}

impl Known {
    fn start() -> Self {
        let server = OpenSsh::start();
        let options = server.options("");
        make_key(&server.path("other"), "");
        let key = |name: &str| fs::read_to_string(server.path(name)).unwrap().trim().to_owned();
        Self { key: key("host.pub"), other_key: key("other.pub"), server, options }
    }

    fn with_port(&self) -> String {
        format!("[{}]:{}", self.options.host, self.options.port)
    }

    fn write(&self, lines: &str) {
        fs::write(&self.options.known_hosts[0], lines).unwrap();
    }

    /// It is unknown, and the line that the error gives makes it known.
    fn is_unknown_until_told(&self, options: &SftpOptions, name: &str) -> String {
        let (kind, said) = refused(options.clone());
        assert_eq!(kind, ErrorKind::Other, "{said}");
        assert!(said.contains(&format!("{name} is not known on this machine")), "{said}");
        let line = said
            .lines()
            .find(|line| line.starts_with(&format!("{name} ssh-")))
            .unwrap_or_else(|| panic!("{said}"));
        let before = fs::read_to_string(&options.known_hosts[0]).unwrap();
        self.write(&format!("{before}\n{line}\n"));
        SftpStore::open(options.clone()).unwrap();
        said
    }
}

#[test]
fn a_host_that_is_known_by_another_port_is_unknown() {
    let known = Known::start();
    let (host, with_port) = (&known.options.host, known.with_port());
    for (lines, note) in [
        (format!("{host} {}", known.key), format!("(only as {host}, with this very key)")),
        (
            format!("[{host}]:1 {}", known.other_key),
            format!("(only as [{host}]:1, with another key)"),
        ),
        (
            format!("[{host}]:22 {}\n{host} {}", known.other_key, known.key),
            format!("(only as {host}, with this very key)"),
        ),
    ] {
        known.write(&lines);
        let said = known.is_unknown_until_told(&known.options, &with_port);
        assert!(said.contains(&note), "{said}");
    }
    // The like with names that are hashed.
    known.write(&format!("{host} {}\n", known.key));
    run("ssh-keygen", &["-q", "-H", "-f", known.options.known_hosts[0].to_str().unwrap()]);
    assert!(fs::read_to_string(&known.options.known_hosts[0]).unwrap().starts_with("|1|"));
    let said = known.is_unknown_until_told(&known.options, &with_port);
    assert!(said.contains("with this very key"), "{said}");
}

/// Where a port's key is pinned, whoever has the key of the host's other port is somebody else.
#[test]
fn a_pinned_key_of_a_port_excludes_the_others_of_the_host() {
    let known = Known::start();
    let (host, with_port) = (&known.options.host, known.with_port());
    let pinned = format!("{with_port} {}\n", known.other_key);
    let plain = format!("{host} {}\n", known.key);
    let hash = |lines: &str| {
        known.write(lines);
        run("ssh-keygen", &["-q", "-H", "-f", known.options.known_hosts[0].to_str().unwrap()]);
        fs::read_to_string(&known.options.known_hosts[0]).unwrap()
    };
    let patterns = format!("[{host}]:* {}\n{plain}", known.other_key);
    let revoked = format!("{with_port} {0}\n@revoked {host} {0}\n", known.key);
    for lines in [
        format!("{pinned}{plain}"),
        format!("{plain}{pinned}"),
        hash(&format!("{plain}{pinned}")),
        patterns,
        revoked,
    ] {
        known.write(&lines);
        let (kind, said) = refused(known.options.clone());
        assert!(
            kind == ErrorKind::Other
                && said.contains("somebody intercepts the connection")
                && said.contains(&with_port),
            "{lines}{said}"
        );
    }
    let right = format!("{with_port} {}\n{host} {}\n", known.key, known.other_key);
    known.write(&right);
    SftpStore::open(known.options.clone()).unwrap();
}

#[test]
fn an_alias_is_asked_for_alone_and_without_port() {
    let known = Known::start();
    let options =
        SftpOptions { host_key_alias: Some("Strongbox".to_owned()), ..known.options.clone() };
    // What is known by the name and the port counts no more.
    known.is_unknown_until_told(&options, "strongbox");
    known.write(&format!("strongbox {}\n{} {}\n", known.key, known.with_port(), known.other_key));
    SftpStore::open(options.clone()).unwrap();
    run("ssh-keygen", &["-q", "-H", "-f", options.known_hosts[0].to_str().unwrap()]);
    SftpStore::open(options.clone()).unwrap();
    known.write(&format!("strongbox {}\n", known.other_key));
    assert!(refused(options.clone()).1.contains("ssh-keygen -R 'strongbox'"));
    known.write(&format!("strongbox {0}\n@revoked {1} {0}\n", known.key, known.options.host));
    assert!(refused(options).1.contains("somebody intercepts the connection"));
}

/// A server with a certificate is known to OpenSSH by the authority's line alone; here by its own
/// key, and the error says so.
#[test]
fn what_an_authority_vouches_for_needs_a_line_of_its_own() {
    let mut known = Known::start();
    let path = |name: &str| known.server.path(name).to_str().unwrap().to_owned();
    run(
        "ssh-keygen",
        &[
            "-q",
            "-s",
            &path("other"),
            "-h",
            "-I",
            "vault",
            "-n",
            &known.options.host,
            &path("host.pub"),
        ],
    );
    let config = fs::read_to_string(known.server.path("config")).unwrap();
    fs::write(
        known.server.path("config"),
        format!("{config}HostCertificate {}\n", path("host-cert.pub")),
    )
    .unwrap();
    known.server.restart();
    let (host, with_port) = (&known.options.host, known.with_port());
    for names in [with_port.clone(), host.clone(), "*".to_owned()] {
        known.write(&format!("@cert-authority {names} {}\n", known.other_key));
        let said = known.is_unknown_until_told(&known.options, &with_port);
        assert!(
            said.contains("@cert-authority") && said.contains("cannot be checked here"),
            "{said}"
        );
    }
}
