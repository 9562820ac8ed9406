//! Answers after the login that are not SFTP: a shell that talks, a program that is missing. One
//! error, at once, that shows the answer.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use drumlin::store::sftp::SftpStore;
use drumlin::store::{ErrorKind, Store};

use super::{pack, refused};
use crate::support::servers::openssh::OpenSsh;

/// How long it may take to say so, on a machine that has much else to do.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Starts a server whose SFTP is a script, which [`answer`] writes.
fn start() -> OpenSsh {
    let mut server = OpenSsh::start();
    let config = fs::read_to_string(server.path("config")).unwrap();
    let line = config.lines().find(|line| line.starts_with("Subsystem")).unwrap();
    let other = format!("Subsystem sftp {}", server.path("answer").display());
    fs::write(server.path("config"), config.replace(line, &other)).unwrap();
    server.restart();
    server
}

fn answer(server: &OpenSsh, script: &str) {
    let file = server.path("answer");
    fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
}

fn sftp_server(server: &OpenSsh) -> String {
    format!("exec /usr/lib/openssh/sftp-server -d {}", server.path("files").display())
}

#[test]
fn what_answers_instead_of_sftp_is_shown_at_once() {
    let server = start();
    for (script, wanted) in [
        (
            format!("echo Welcome to vault; echo; {}", sftp_server(&server)),
            "it says \"Welcome to vault",
        ),
        // Piece by piece, and less than the length of a packet.
        (format!("printf H; sleep 0.05; printf i; {}", sftp_server(&server)), "it says \"Hi"),
        (
            "printf '\\033[1mThis account\\nis closed'; exit 1".to_owned(),
            "with status 1; it says \"?[1mThis account / is closed\"",
        ),
        ("echo no such thing >&2; exit 127".to_owned(), "it ended at once, with status 127."),
        ("exec cat".to_owned(), "not SFTP"),
        ("exit 0".to_owned(), "it ended at once"),
    ] {
        answer(&server, &script);
        let began = Instant::now();
        let (kind, said) = refused(server.options(""));
        assert!(
            kind == ErrorKind::Other && said.contains("not SFTP") && said.contains(wanted),
            "{script}: {said}"
        );
        assert!(
            said.contains("only at a terminal") && said.contains("Subsystem sftp internal-sftp"),
            "{said}"
        );
        assert!(began.elapsed() < AT_ONCE, "{script}: {:?}", began.elapsed());
    }
    fs::remove_file(server.path("answer")).unwrap();
    let said = refused(server.options("")).1;
    assert!(said.contains("with status 127") || said.contains("does not offer SFTP"), "{said}");
}

/// What a start-up file prints as errors is no part of the protocol, and does not hide the end of a
/// connection.
#[test]
fn noise_beside_the_protocol_does_no_harm() {
    let server = start();
    answer(
        &server,
        &format!("echo noise >&2; (sleep 0.2; echo more noise >&2) & {}", sftp_server(&server)),
    );
    let store = SftpStore::open_or_make(server.options("r")).unwrap();
    store.create(&pack(1), b"x").unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(store.read(&pack(1)).unwrap(), b"x");
}

#[test]
fn the_program_does_not_try_again_for_what_stays_so() {
    let server = start();
    let options = server.options("drumlin");
    let home = crate::support::home::Home::new()
        .with("DRUMLIN_KEY_FILE", "key")
        .with("DRUMLIN_REPOSITORY", "far");
    let home = home.with("DRUMLIN_CONFIG", "drumlin.toml");
    let (key, known) = (options.identity_files[0].display(), options.known_hosts[0].display());
    let url = format!("sftp://{}@{}:{}/./drumlin", options.user, options.host, options.port);
    home.configure(
        "drumlin.toml",
        &format!("url = \"{url}\"\nidentity-file = \"{key}\"\nknown-hosts = \"{known}\"\n"),
    );
    answer(&server, &format!("echo Welcome; {}", sftp_server(&server)));
    let began = Instant::now();
    let ran = home.run(["init"]).code(1);
    assert!(
        ran.err.contains("it says \"Welcome") && !ran.err.contains("trying again"),
        "{}",
        ran.err
    );
    let config = fs::read_to_string(server.path("config")).unwrap();
    let mut server = server;
    fs::write(server.path("config"), config.replace("Subsystem", "#Subsystem")).unwrap();
    server.restart();
    let ran = home.run(["init"]).code(1);
    assert!(
        ran.err.contains("does not offer SFTP") && !ran.err.contains("trying again"),
        "{}",
        ran.err
    );
    assert!(began.elapsed() < 2 * AT_ONCE, "{:?}", began.elapsed());
}
