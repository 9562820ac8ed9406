//! Order of the keys that are tried: servers hang up after a few.

use std::fs;
use std::path::{Path, PathBuf};

use drumlin::store::ErrorKind;
use drumlin::store::sftp::SftpStore;
use drumlin::store::sftp::options::SftpOptions;

use super::refused;
use crate::support::servers::openssh::{OpenSsh, make_key};
use crate::support::servers::{Server, run};

/// A running agent.
struct Agent {
    socket: PathBuf,
    _server: Server,
}

impl Agent {
    fn start(server: &OpenSsh) -> Self {
        let socket = server.path("agent");
        let started = Server::start(
            "ssh-agent",
            &["-D", "-a", socket.to_str().unwrap()],
            &server.path("agent.log"),
        );
        while !socket.exists() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        Self { socket, _server: started }
    }

    /// Hands over a key, and its certificate if one lies beside it.
    fn add(&self, key: &Path) {
        let set = format!("SSH_AUTH_SOCK={}", self.socket.display());
        run("env", &[&set, "ssh-add", "-q", key.to_str().unwrap()]);
    }

    fn options(&self, server: &OpenSsh, identity_files: &[&str]) -> SftpOptions {
        let identity_files = identity_files.iter().map(|name| server.path(name)).collect();
        SftpOptions {
            agent_socket: Some(self.socket.clone()),
            identity_files,
            ..server.options("")
        }
    }
}

/// The agent has six keys that the server does not take, and then the one that it does; two tries
/// are allowed.
#[test]
fn named_keys_come_before_the_others_of_an_agent() {
    let server = OpenSsh::start_with("MaxAuthTries 2");
    let agent = Agent::start(&server);
    for number in 0..6 {
        let stranger = server.path(&format!("stranger{number}"));
        make_key(&stranger, "");
        agent.add(&stranger);
    }
    agent.add(&server.path("user"));
    let (kind, said) = refused(agent.options(&server, &[]));
    assert!(kind == ErrorKind::NotPermitted && said.contains("agent key test: refused"), "{said}");
    // By the private file, by the public one, and by the public one that lies beside where the
    // private one would be.
    fs::copy(server.path("user.pub"), server.path("gone.pub")).unwrap();
    for name in ["user", "user.pub", "gone"] {
        SftpStore::open(agent.options(&server, &[name]))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    // Files that nobody has named come after what the agent has.
    let usual = SftpOptions { identity_files_are_usual: true, ..agent.options(&server, &["user"]) };
    assert_eq!(refused(usual).0, ErrorKind::NotPermitted);
}

#[test]
fn nothing_but_the_named_keys_is_tried_if_so_wanted() {
    let server = OpenSsh::start();
    let agent = Agent::start(&server);
    make_key(&server.path("stranger"), "");
    agent.add(&server.path("user"));
    let only =
        |names: &[&str]| SftpOptions { identities_only: true, ..agent.options(&server, names) };
    let (kind, said) = refused(only(&["stranger"]));
    assert!(
        kind == ErrorKind::NotPermitted
            && said.contains("stranger: refused")
            && !said.contains("agent"),
        "{said}"
    );
    assert!(refused(only(&[])).1.contains("no key and no password was given"));
    SftpStore::open(only(&["user.pub"])).unwrap();
    SftpStore::open(agent.options(&server, &["stranger"])).unwrap();
}

/// Nobody listens any more where the agent was: that is told, and keys of files are tried all the
/// same.
#[test]
fn an_agent_that_is_gone_is_passed_over() {
    let server = OpenSsh::start();
    let gone = |identity_files| SftpOptions {
        agent_socket: Some(server.path("gone")),
        identity_files,
        ..server.options("")
    };
    let (_, said) = refused(gone(Vec::new()));
    assert!(said.contains("gone: No such file"), "{said}");
    SftpStore::open(gone(vec![server.path("user")])).unwrap();
}

#[test]
fn a_public_key_without_its_private_half_is_said_to_be_that() {
    let server = OpenSsh::start();
    let agent = Agent::start(&server);
    make_key(&server.path("stranger"), "");
    fs::rename(server.path("stranger"), server.path("hidden")).unwrap();
    let (_, said) = refused(agent.options(&server, &["stranger", "stranger.pub", "nothing"]));
    for wanted in [
        "stranger: is missing, and no agent has the key of the .pub file beside it",
        "stranger.pub: is a public key, and no agent has its private half",
        "nothing: is missing;",
    ] {
        assert!(said.contains(wanted), "{said}");
    }
    agent.add(&server.path("hidden"));
    let (_, said) = refused(agent.options(&server, &["stranger.pub"]));
    assert!(said.contains("stranger.pub, from the agent: refused"), "{said}");
}

/// Whoever has the passphrase's key in the agent is not asked for it.
#[test]
fn a_protected_key_of_the_agent_needs_no_passphrase() {
    let server = OpenSsh::start();
    let agent = Agent::start(&server);
    // The agent takes it without, the file is protected then.
    agent.add(&server.path("user"));
    run(
        "ssh-keygen",
        &["-q", "-p", "-N", "open sesame", "-f", server.path("user").to_str().unwrap()],
    );
    fs::remove_file(server.path("user.pub")).unwrap();
    SftpStore::open(agent.options(&server, &["user"])).unwrap();
}

/// Signs a key of this kind for whoever runs the tests; returns the name of its file, beside which
/// the certificate lies.
fn certify(server: &OpenSsh, kind: &str) -> String {
    let (name, user) = (format!("certified-{kind}"), run("id", &["-un"]));
    let path = |name: &str| server.path(name).to_str().unwrap().to_owned();
    run("ssh-keygen", &["-q", "-t", kind, "-N", "", "-f", &path(&name)]);
    run(
        "ssh-keygen",
        &[
            "-q",
            "-s",
            &path("authority"),
            "-I",
            "test",
            "-n",
            user.trim(),
            &path(&format!("{name}.pub")),
        ],
    );
    name
}

/// The server knows none of the keys, but the authority that has signed them.
#[test]
fn certificates_of_users_are_shown() {
    let mut server = OpenSsh::start();
    make_key(&server.path("authority"), "");
    let config = fs::read_to_string(server.path("config")).unwrap();
    let authority = server.path("authority.pub");
    fs::write(
        server.path("config"),
        format!("{config}TrustedUserCAKeys {}\n", authority.display()),
    )
    .unwrap();
    server.restart();
    let with = |names: &[&str]| SftpOptions {
        identity_files: names.iter().map(|name| server.path(name)).collect(),
        ..server.options("")
    };
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let name = certify(&server, kind);
        SftpStore::open(with(&[&name]))
            .unwrap_or_else(|error| panic!("{kind}: {}", super::chain(&error)));
    }
    // Elsewhere, and named.
    fs::rename(server.path("certified-rsa-cert.pub"), server.path("moved.pub")).unwrap();
    assert!(refused(with(&["certified-rsa"])).1.contains("certified-rsa: refused"));
    let named = SftpOptions {
        certificate_files: vec![server.path("moved.pub")],
        ..with(&["certified-rsa"])
    };
    SftpStore::open(named.clone()).unwrap();
    // Its key is nowhere; or it is no certificate.
    let certificate_files =
        ["moved.pub", "user.pub", "none"].map(|name| server.path(name)).to_vec();
    make_key(&server.path("stranger"), "");
    let (kind, said) = refused(SftpOptions { certificate_files, ..with(&["stranger"]) });
    assert_eq!(kind, ErrorKind::NotPermitted);
    for wanted in [
        "moved.pub: its private key is in no key file that was named, and the agent does not have both",
        "user.pub: it is no certificate of OpenSSH",
        "none: No such file",
    ] {
        assert!(said.contains(wanted), "{said}");
    }
    // The agent has both halves and the certificate.
    let agent = Agent::start(&server);
    agent.add(&server.path("certified-ecdsa"));
    for name in ["certified-ecdsa", "certified-ecdsa.pub"] {
        fs::rename(server.path(name), server.path(&format!("{name}.away"))).unwrap();
    }
    let only = SftpOptions { identities_only: true, ..agent.options(&server, &[]) };
    let certificate_files = vec![server.path("certified-ecdsa-cert.pub")];
    assert_eq!(refused(only.clone()).0, ErrorKind::NotPermitted);
    SftpStore::open(SftpOptions { certificate_files, ..only }).unwrap();
    SftpStore::open(agent.options(&server, &[])).unwrap();
}
