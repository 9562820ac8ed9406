//! Logins: the server's key, ours, and passwords.

use std::fs;

use drumlin::store::sftp::SftpStore;
use drumlin::store::sftp::options::SftpOptions;
use drumlin::store::{ErrorKind, Store};
use zeroize::Zeroizing;

use super::{pack, refused};
use crate::support::servers::openssh::{OpenSsh, make_key};
use crate::support::servers::proftpd::{PASSWORD, Proftpd};
use crate::support::servers::{Server, free_address, run};

/// Who knows nothing of a server is told its fingerprint and the line that makes it known, which
/// then does.
#[test]
fn an_unknown_server_is_refused_until_its_line_is_added() {
    let server = OpenSsh::start();
    let file = server.path("mine");
    let options = SftpOptions { known_hosts: vec![file.clone()], ..server.options("") };
    let (kind, said) = refused(options.clone());
    let host_key = server.path("host.pub");
    let fingerprint = run("ssh-keygen", &["-l", "-f", host_key.to_str().unwrap()])
        .split(' ')
        .nth(1)
        .unwrap()
        .to_owned();
    let line = said.lines().find(|line| line.starts_with('[')).unwrap();
    assert_eq!(kind, ErrorKind::Other);
    assert!(
        said.contains(&fingerprint)
            && said.contains("ssh-ed25519")
            && said.contains(file.to_str().unwrap()),
        "{said}"
    );
    fs::write(&file, format!("# mine\n{line}\n")).unwrap();
    SftpStore::open(options.clone()).unwrap();
    run("ssh-keygen", &["-q", "-H", "-f", file.to_str().unwrap()]);
    assert!(fs::read_to_string(&file).unwrap().contains("|1|"));
    SftpStore::open(options).unwrap();
}

#[test]
fn a_server_with_another_key_is_refused() {
    let server = OpenSsh::start();
    let options = server.options("");
    make_key(&server.path("other"), "");
    let known = fs::read_to_string(&options.known_hosts[0]).unwrap();
    let (name, right) = known.split_once(' ').unwrap();
    let other = fs::read_to_string(server.path("other.pub")).unwrap();
    for lines in [format!("{name} {other}"), format!("@revoked * {right}\n{known}")] {
        fs::write(&options.known_hosts[0], lines).unwrap();
        let (kind, said) = refused(options.clone());
        assert_eq!(kind, ErrorKind::Other);
        assert!(
            said.contains("somebody intercepts the connection")
                && said.contains("SHA256:")
                && said.contains(name),
            "{said}"
        );
    }
}

/// A server shows the kind of key that it is known by, if it has several.
#[test]
fn known_kinds_of_keys_are_asked_for() {
    let mut server = OpenSsh::start();
    let second = server.path("second");
    run("ssh-keygen", &["-q", "-t", "ecdsa", "-N", "", "-f", second.to_str().unwrap()]);
    let config = fs::read_to_string(server.path("config")).unwrap();
    fs::write(server.path("config"), format!("{config}HostKey {}\n", second.display())).unwrap();
    server.restart();
    for key in ["host.pub", "second.pub"] {
        let options = server.options("");
        let name = format!("[{}]:{}", options.host, options.port);
        fs::write(
            &options.known_hosts[0],
            format!("{name} {}", fs::read_to_string(server.path(key)).unwrap()),
        )
        .unwrap();
        SftpStore::open(options).unwrap();
    }
}

#[test]
fn passwords_are_taken_or_refused() {
    let server = Proftpd::start();
    let store = SftpStore::open_or_make(server.options_by_password("r", PASSWORD)).unwrap();
    store.create(&pack(1), b"x").unwrap();
    let (kind, said) = refused(server.options_by_password("r", "wrong horse"));
    assert_eq!(kind, ErrorKind::NotPermitted);
    assert!(
        said.contains("does not let box in; password: refused")
            && said.contains("the server accepts: publickey,password"),
        "{said}"
    );
    assert!(!said.contains("wrong horse"), "{said}");
}

#[test]
fn keys_are_taken_or_refused() {
    let server = OpenSsh::start();
    let options = server.options("");
    make_key(&server.path("stranger"), "");
    let (kind, said) = refused(SftpOptions { identity_files: Vec::new(), ..options.clone() });
    assert_eq!(kind, ErrorKind::NotPermitted);
    assert!(said.contains("no key and no password was given"), "{said}");
    let files = vec![server.path("stranger"), server.path("none"), server.path("config")];
    let (kind, said) = refused(SftpOptions { identity_files: files.clone(), ..options.clone() });
    assert_eq!(kind, ErrorKind::NotPermitted);
    let wanted = [
        "stranger: refused",
        "none: is missing",
        "config: it is no private key",
        "the server accepts: publickey",
    ];
    assert!(wanted.iter().all(|wanted| said.contains(wanted)), "{said}");
    // The server hangs up before it has seen them all.
    let strangers: Vec<_> =
        (0..9).map(|number| server.path(&format!("stranger{number}"))).collect();
    strangers.iter().for_each(|stranger| make_key(stranger, ""));
    let (kind, said) = refused(SftpOptions {
        identity_files: [vec![server.path("stranger")], strangers].concat(),
        ..options.clone()
    });
    assert!(kind == ErrorKind::NotPermitted && said.contains("stranger: refused"), "{said}");
    let identity_files = [files, options.identity_files.clone()].concat();
    SftpStore::open(SftpOptions { identity_files, ..options }).unwrap();
}

#[test]
fn a_server_without_sftp_is_told_apart() {
    let mut server = OpenSsh::start();
    let options = server.options("");
    let config = fs::read_to_string(server.path("config")).unwrap();
    fs::write(server.path("config"), config.replace("Subsystem", "#Subsystem")).unwrap();
    server.restart();
    let (kind, said) = refused(options);
    assert!(kind == ErrorKind::Other && said.contains("does not offer SFTP"), "{said}");
}

/// In both formats of key files.
#[test]
fn protected_keys_need_their_passphrase() {
    let server = OpenSsh::start();
    make_key(&server.path("protected"), "open sesame");
    let pem = server.path("pem");
    run(
        "ssh-keygen",
        &["-q", "-t", "ecdsa", "-m", "PEM", "-N", "open sesame", "-f", pem.to_str().unwrap()],
    );
    let keys = ["user.pub", "protected.pub", "pem.pub"]
        .map(|name| fs::read_to_string(server.path(name)).unwrap());
    fs::write(server.path("authorized_keys"), keys.concat()).unwrap();
    for name in ["protected", "pem"] {
        let with = |passphrase: Option<&str>| SftpOptions {
            identity_files: vec![server.path(name)],
            key_passphrase: passphrase.map(|phrase| Zeroizing::new(phrase.to_owned())),
            ..server.options("")
        };
        let (kind, said) = refused(with(None));
        assert!(
            kind == ErrorKind::NotPermitted
                && said.contains(&format!("{name}: is protected, and no passphrase was given")),
            "{said}"
        );
        let (kind, said) = refused(with(Some("open barley")));
        assert!(
            kind == ErrorKind::NotPermitted
                && said.contains(&format!("{name}: the passphrase does not open it")),
            "{said}"
        );
        assert!(!said.contains("barley"), "{said}");
        SftpStore::open(with(Some("open sesame"))).unwrap();
    }
}

#[test]
fn an_agent_is_asked_first() {
    let server = OpenSsh::start();
    let socket = server.path("agent");
    let _agent = Server::start(
        "ssh-agent",
        &["-D", "-a", socket.to_str().unwrap()],
        &server.path("agent.log"),
    );
    while !socket.exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let options = SftpOptions {
        agent_socket: Some(socket.clone()),
        identity_files: Vec::new(),
        ..server.options("")
    };
    let (_, said) = refused(options.clone());
    assert!(said.contains("has no keys"), "{said}");
    let add = |key: &str| {
        let set = format!("SSH_AUTH_SOCK={}", socket.display());
        run("env", &[&set, "ssh-add", "-q", server.path(key).to_str().unwrap()]);
    };
    make_key(&server.path("stranger"), "");
    add("stranger");
    let (_, said) = refused(options.clone());
    assert!(said.contains("agent key test: refused"), "{said}");
    add("user");
    SftpStore::open(options).unwrap();
    let nowhere = SftpOptions { agent_socket: Some(server.path("nowhere")), ..server.options("") };
    SftpStore::open(nowhere).unwrap();
}

#[test]
fn what_is_not_there_is_told_apart() {
    let server = OpenSsh::start();
    let (kind, said) = refused(server.options("none/at/all"));
    assert!(
        kind == ErrorKind::NotFound
            && said.contains("there is no folder none/at/all on the server"),
        "{said}"
    );
    fs::write(server.path("files/file"), "x").unwrap();
    let (kind, said) = refused(server.options("file"));
    assert!(kind == ErrorKind::Other && said.contains("file is not a folder"), "{said}");
    assert_eq!(
        SftpStore::open_or_make(server.options("file/below")).err().unwrap().kind,
        ErrorKind::NotFound
    );
    let nobody = free_address();
    let (kind, said) = refused(SftpOptions {
        host: nobody.ip().to_string(),
        port: nobody.port(),
        ..server.options("")
    });
    assert!(
        kind == ErrorKind::Unavailable
            && said.contains(&format!("cannot reach {} port {}", nobody.ip(), nobody.port())),
        "{said}"
    );
    let (kind, said) =
        refused(SftpOptions { host: "no-such-host.invalid".to_owned(), ..server.options("") });
    assert!(
        kind == ErrorKind::Unavailable && said.contains("cannot reach no-such-host.invalid"),
        "{said}"
    );
}
