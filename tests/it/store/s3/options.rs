//! Goal: options that cannot work are refused with a reason, and credentials come from where AWS's
//! tools take them.

use std::process::Command;
use std::time::{Duration, Instant};

use drumlin::store::s3::S3Store;
use drumlin::store::{Class, ErrorKind, Key, Store};

use super::canned_server::{Canned, answer, error};
use super::{kind_of, text_of};
use crate::support::name_of_test;
use crate::support::servers::moto;
use crate::support::servers::s3::S3Server;
use crate::support::servers::s3::options;

#[test]
fn options_that_cannot_work_are_refused() {
    let refused = |change: fn(&mut drumlin::store::s3::options::S3Options), says: &str| {
        let mut options = options("bucket".to_owned(), 9, ("id", "very-secret"));
        change(&mut options);
        let error = S3Store::open(options).err().expect("it is refused");
        let text = text_of(&error);
        assert!(
            error.kind == ErrorKind::Other && text.contains(says) && !text.contains("very-secret"),
            "{text}"
        );
    };
    refused(|options| options.endpoint = Some("http://example.org".to_owned()), "use https://");
    refused(
        |options| options.endpoint = Some("http://127.0.0.1.example.org:9000".to_owned()),
        "use https://",
    );
    refused(
        |options| options.endpoint = Some("http://localhost@example.org".to_owned()),
        "must look like",
    );
    refused(|options| options.endpoint = Some("example.org".to_owned()), "must look like");
    refused(|options| options.endpoint = Some("https://".to_owned()), "must look like");
    refused(|options| options.bucket = "a/b".to_owned(), "name of a bucket");
    refused(|options| options.bucket = String::new(), "name of a bucket");
    refused(|options| options.prefix = "a//b".to_owned(), "cannot be the prefix");
    refused(|options| options.prefix = "/a".to_owned(), "cannot be the prefix");
    refused(|options| options.prefix = "..".to_owned(), "cannot be the prefix");
    refused(|options| options.prefix = "a\nb".to_owned(), "cannot be the prefix");
    for endpoint in
        ["http://localhost:9/", "http://[::1]:9", "http://127.0.0.2:9", "https://example.org"]
    {
        let mut options = options("bucket".to_owned(), 9, ("id", "secret"));
        options.endpoint = Some(endpoint.to_owned());
        S3Store::open(options).unwrap();
    }
    let mut options = options("bucket".to_owned(), 9, ("id", "secret"));
    (options.endpoint, options.allow_http) = (Some("http://example.org".to_owned()), true);
    let store = S3Store::open(options).unwrap();
    assert_eq!(store.location(), "s3://bucket/a/b");
}

/// Set for a test that runs again as a process with another environment; holds the server's port.
const AGAIN: &str = "DRUMLIN_TEST_S3_PORT";

/// Runs a test of this module again in a process with nothing but the given environment.
fn again(server: Option<&S3Server>, test: &str, environment: &[(&str, &str)]) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([&*name_of_test(module_path!(), test), "--exact", "--nocapture"]).env_clear();
    command
        .env(AGAIN, server.map_or(9, S3Server::port).to_string())
        .envs(environment.iter().copied());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{environment:?}: {said}");
}

fn port() -> Option<u16> {
    std::env::var(AGAIN).ok().map(|port| port.parse().unwrap())
}

#[test]
fn credentials_come_from_the_environment_and_from_profiles() {
    if let Some(port) = port() {
        let mut options = options("bucket-0".to_owned(), port, ("", ""));
        (options.credentials, options.region) = (None, None);
        options.profile = std::env::var("TEST_PROFILE").ok();
        let store = S3Store::open(options).unwrap();
        let key = Key::new(Class::Keys, "ab");
        store.create(&key, b"x").unwrap();
        store.remove(&key).unwrap();
        return;
    }
    let server = moto::start();
    server.bucket();
    let test = "credentials_come_from_the_environment_and_from_profiles";
    again(Some(&server), test, &[("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret")]);
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("credentials");
    std::fs::write(&file, "[other]\naws_access_key_id = id\naws_secret_access_key = secret\n")
        .unwrap();
    let file = file.to_str().unwrap();
    again(Some(&server), test, &[("AWS_SHARED_CREDENTIALS_FILE", file), ("AWS_PROFILE", "other")]);
    again(Some(&server), test, &[("AWS_SHARED_CREDENTIALS_FILE", file), ("TEST_PROFILE", "other")]);
}

/// Files and variables are written with an end of line, or on another system; what a key cannot
/// hold does not belong to it.
#[test]
fn ends_of_lines_are_no_part_of_a_key() {
    let canned = Canned::with(|options| {
        options.credentials = Some((" id\n".to_owned(), "secret\r\n".to_owned().into()));
        options.region = Some("us-east-1\n".to_owned());
    });
    canned.plan(&[answer("200 OK", "")]);
    canned.store.create(&Key::new(Class::Keys, "ab"), b"x").unwrap();
    assert_eq!(canned.signed_by(), ["id"]);
    if port().is_some() {
        let canned = Canned::with(|options| (options.credentials, options.region) = (None, None));
        canned.plan(&[answer("200 OK", "")]);
        canned.store.create(&Key::new(Class::Keys, "ab"), b"x").unwrap();
        assert_eq!(canned.signed_by(), ["of-env"]);
        return;
    }
    let environment = [
        ("AWS_ACCESS_KEY_ID", "of-env\r\n"),
        ("AWS_SECRET_ACCESS_KEY", "s\n"),
        ("AWS_SESSION_TOKEN", "t\n"),
    ];
    let region = [("AWS_REGION", "eu-1\n")];
    again(None, "ends_of_lines_are_no_part_of_a_key", &[&environment[..], &region].concat());
}

/// A program that renews credentials in a file does so while a backup runs for days.
#[test]
fn credentials_that_are_over_are_read_again() {
    const FILE: &str = "AWS_SHARED_CREDENTIALS_FILE";
    if port().is_none() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("credentials");
        again(None, "credentials_that_are_over_are_read_again", &[(FILE, file.to_str().unwrap())]);
        return;
    }
    let file = std::env::var(FILE).unwrap();
    let log_in = |id: &str| {
        let lines = format!(
            "[default]\naws_access_key_id = {id}\naws_secret_access_key = secret\naws_session_token = of-{id}\n"
        );
        std::fs::write(&file, lines).unwrap();
    };
    log_in("first");
    let canned = Canned::with(|options| options.credentials = None);
    let (key, ok) = (Key::new(Class::Snapshots, "ab"), answer("200 OK", ""));
    for (at, code) in
        ["ExpiredToken", "InvalidAccessKeyId", "TokenRefreshRequired", "SignatureDoesNotMatch"]
            .iter()
            .enumerate()
    {
        let over = error("403 No", code);
        // Nobody logged in again: that is said, and asked of the server once.
        canned.plan(&[over.clone(), ok.clone()]);
        assert_eq!(kind_of(canned.store.create(&key, b"x")), ErrorKind::Other, "{code}");
        assert_eq!(canned.asked().len(), 1, "{code}");
        let before = canned.signed_by()[0].clone();
        let after = format!("later-{at}");
        log_in(&after);
        canned.plan(&[over, ok.clone(), ok.clone()]);
        canned.store.create(&key, b"x").unwrap();
        canned.store.create(&key, b"x").unwrap();
        assert_eq!(canned.signed_by(), [before, after.clone(), after], "{code}");
    }
    // The answer to a HEAD has no words.
    log_in("last");
    canned.plan(&[answer("400 Bad", ""), ok]);
    canned.store.stat(&key).unwrap();
    assert_eq!(canned.signed_by()[1], "last");
}

/// A program that a profile names gives out credentials, again when they are over.
#[test]
fn a_program_of_a_profile_gives_out_credentials() {
    const FILE: &str = "AWS_CONFIG_FILE";
    if port().is_some() {
        let canned = Canned::with(|options| options.credentials = None);
        let (key, over) = (Key::new(Class::Keys, "ab"), error("403 No", "ExpiredToken"));
        canned.plan(&[answer("200 OK", ""), over.clone(), answer("200 OK", "")]);
        canned.store.create(&key, b"x").unwrap();
        canned.store.create(&key, b"x").unwrap();
        assert_eq!(canned.signed_by(), ["id-x", "id-x", "id-xx"]);
        // A server that takes none of them is not asked for ever, although each is another.
        canned.plan(&vec![over; 9]);
        assert_eq!(kind_of(canned.store.create(&key, b"x")), ErrorKind::Other);
        assert_eq!(canned.asked().len(), 4);
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let (file, runs) = (home.path().join("config"), home.path().join("runs"));
    // It has no secret of ours.
    let print = r#"test -z "$DRUMLIN_TEST_SECRET" && printf '{"Version": 1, "AccessKeyId": "id-%s", "SecretAccessKey": "s"}'"#;
    let program = format!("printf x >> {0}; {print} $(cat {0})", runs.display());
    std::fs::write(home.path().join("program"), program).unwrap();
    std::fs::write(
        &file,
        format!(
            "[profile work]\ncredential_process = sh {}\n",
            home.path().join("program").display()
        ),
    )
    .unwrap();
    let path = ("PATH", "/usr/bin:/bin");
    let test = "a_program_of_a_profile_gives_out_credentials";
    let secret = ("DRUMLIN_TEST_SECRET", "hush");
    again(None, test, &[path, secret, (FILE, file.to_str().unwrap()), ("AWS_PROFILE", "work")]);
}

#[test]
fn a_profile_that_is_none_is_named() {
    let test = "a_profile_that_is_none_is_named";
    if port().is_some() {
        let mut options = options("bucket".to_owned(), 9, ("", ""));
        options.credentials = None;
        options.profile = std::env::var("TEST_PROFILE").ok();
        let error = S3Store::open(options).err().expect("there is none");
        let text = text_of(&error);
        let says = std::env::var("TEST_SAYS").unwrap();
        assert!(error.kind == ErrorKind::Other && text.contains(&says), "{text}");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("credentials");
    std::fs::write(
        &file,
        "[other]\naws_access_key_id = id\naws_secret_access_key = secret\n[empty]\nregion = x\n",
    )
    .unwrap();
    let file = ("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap());
    let none = ("AWS_EC2_METADATA_DISABLED", "true");
    let says = ("TEST_SAYS", "there is no profile `backup` in");
    again(None, test, &[file, none, says, ("AWS_PROFILE", "backup")]);
    again(None, test, &[file, none, says, ("TEST_PROFILE", "backup")]);
    // It was asked for by name, so what the environment says does not stand in for it.
    let environment = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret")];
    again(
        None,
        test,
        &[&[file, none, says, ("TEST_PROFILE", "backup")][..], &environment].concat(),
    );
    again(
        None,
        test,
        &[file, none, ("TEST_SAYS", "there are no credentials"), ("TEST_PROFILE", "empty")],
    );
}

/// Nothing answers at the address of the metadata service, as on every machine that is not
/// Amazon's; nobody waits for it long.
#[test]
fn without_credentials_there_is_one_clear_error_soon() {
    if port().is_some() {
        let mut options = options("bucket".to_owned(), 9, ("", ""));
        options.credentials = None;
        let start = Instant::now();
        let error = S3Store::open(options).err().expect("there are none");
        let text = text_of(&error);
        assert!(
            error.kind == ErrorKind::Other
                && text.contains("there are no credentials: set `key-id`"),
            "{text}"
        );
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
        return;
    }
    // A port where nobody answers stands for the metadata service: what is at its real address is
    // not the test's to know.
    let hole = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let metadata = format!("http://{}/", hole.local_addr().unwrap());
    let test = "without_credentials_there_is_one_clear_error_soon";
    again(None, test, &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &metadata)]);
    again(None, test, &[("AWS_EC2_METADATA_DISABLED", "true")]);
}
