//! Goal: what the real program asks of a server far away, as the server sees it, and what memory
//! many transfers take. Method: servers that log, a proxy with a slow line that counts round trips,
//! and what the system says of a process.

use std::path::Path;

use crate::support::fixture::{let_time_pass, noise};
use crate::support::home::Home;

/// Returns a home with a source of 40 small files in four folders, and a repository whose settings
/// are these lines.
fn home_with(settings: &str) -> Home {
    let home = Home::new()
        .with("DRUMLIN_REPOSITORY", "far")
        .with("DRUMLIN_CONFIG", "drumlin.toml")
        .with("DRUMLIN_KEY_FILE", "key");
    home.write("drumlin.toml", format!("[repository.far]\n{settings}\n"));
    for index in 0..40 {
        home.write(&format!("src/dir-{}/file-{index}", index % 4), noise(index, 3000));
    }
    home.run(["init"]).ok();
    home.run(["backup", "src"]).ok();
    let_time_pass();
    home
}

/// Two backups that find nothing changed; the first one may read again what was written right
/// before the backup ahead of it.
fn back_up_unchanged(home: &Home) {
    for _ in 0..2 {
        home.run(["backup", "src"]).ok();
        let_time_pass();
    }
}

#[cfg(feature = "s3")]
fn bucket_settings(server: &crate::support::servers::s3::S3Server, home: &Path) -> String {
    std::fs::write(home.join("secret"), "secret\n").unwrap();
    format!(
        "url = \"s3://{}/a\"\nendpoint = \"http://127.0.0.1:{}\"\nregion = \"us-east-1\"\nkey-id = \"test\"\nsecret-file = \"{}/secret\"",
        server.bucket(),
        server.port(),
        home.display()
    )
}

#[cfg(feature = "s3")]
#[test]
fn a_bucket_sees_no_request_of_an_unchanged_backup_and_eight_of_a_small_one() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let server = crate::support::servers::moto::start_logging(&log);
    let home = home_with(&bucket_settings(&server, folder.path()));
    let requests =
        || std::fs::read_to_string(&log).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
    let before = requests().len();
    assert!(before > 8, "the log works: {before}");
    // A bucket may have a quota, so some room is kept back there.
    let is_reserve =
        |request: &String| request.starts_with("PUT ") && request.contains("/probe/reserve");
    assert!(requests().iter().any(is_reserve), "{:#?}", requests());
    back_up_unchanged(&home);
    assert_eq!(requests()[before..], [""; 0]);
    home.write("src/dir-1/file-1", "changed");
    home.run(["backup", "src"]).ok();
    let sent = &requests()[before..];
    assert!(sent.len() <= 8 && sent.iter().any(|request| request.starts_with("PUT ")), "{sent:#?}");
}

#[cfg(feature = "sftp")]
fn machine_settings(options: &drumlin::store::sftp::options::SftpOptions) -> String {
    let (user, port) = (&options.user, options.port);
    let (key, known) = (options.identity_files[0].display(), options.known_hosts[0].display());
    format!(
        "url = \"sftp://{user}@127.0.0.1:{port}/./drumlin\"\nidentity-file = \"{key}\"\nknown-hosts = \"{known}\""
    )
}

/// A file is read from a repository of which this machine has no local copy: keys, snapshots and
/// index are asked for at once.
#[cfg(feature = "sftp")]
#[test]
fn one_file_by_a_machine_that_knows_nothing_takes_few_round_trips() {
    /// Nine for the login, and twelve.
    const ROUNDS_MAX: u64 = 21;
    let server = crate::support::servers::openssh::OpenSsh::start();
    let proxy = crate::support::servers::proxy::Proxy::start(server.address);
    let home = home_with(&machine_settings(&server.options_through(&proxy, "drumlin")));
    proxy.delay(std::time::Duration::from_millis(100));
    let file = format!("latest:{}", home.path("src/dir-1/file-1").display());
    // A busy machine cuts words into more packets, so it may try again.
    let attempt = |attempt: u64| {
        let (start, connections) = (proxy.rounds(), proxy.connections());
        let ran = home.run(["cat", "--cache-dir", &format!("cache-{attempt}"), &file]).ok();
        assert_eq!(ran.out.as_bytes(), String::from_utf8_lossy(&noise(1, 3000)).as_bytes());
        assert_eq!(proxy.connections() - connections, 1);
        let rounds = proxy.rounds() - start;
        println!("{rounds} round trips with the login");
        rounds
    };
    let rounds = (0..6).map(attempt).find(|rounds| *rounds <= ROUNDS_MAX);
    assert!(rounds.is_some_and(|rounds| rounds > 12), "{rounds:?} with the login");
}

#[cfg(feature = "sftp")]
#[test]
fn another_machine_sees_no_connection_of_an_unchanged_backup_and_few_round_trips_of_a_small_one() {
    use std::time::Duration;

    use drumlin::store::sftp::SftpStore;
    use drumlin::store::{Class, Key, Store};
    let server = crate::support::servers::openssh::OpenSsh::start();
    let proxy = crate::support::servers::proxy::Proxy::start(server.address);
    let options = server.options_through(&proxy, "drumlin");
    let home = home_with(&machine_settings(&options));
    let logged =
        || std::fs::read_to_string(server.path("log")).unwrap().matches("Connection from ").count();
    let before = (proxy.connections(), logged());
    assert!(before.0 > 1 && before.1 > 1, "{before:?}");
    back_up_unchanged(&home);
    assert_eq!((proxy.connections(), logged()), before);

    const ROUNDS_MAX: u64 = 16;
    proxy.delay(Duration::from_millis(100));
    /// The login takes nine, one question one, and hanging up one, which may come together with the
    /// rest.
    const ONE_MIN: u64 = 10;
    // A busy machine cuts words into more packets or puts more of them together, in the login above
    // all. So the shortest backup counts beside the longest question.
    let (mut for_one, mut for_all) = (ONE_MIN, u64::MAX);
    for attempt in 0..6 {
        let start = proxy.rounds();
        let store = SftpStore::open_unchecked(options.clone());
        store.stat(&Key::new(Class::Config, "1")).unwrap();
        drop(store);
        // Connecting, one request, hanging up.
        for_one = for_one.max(proxy.rounds() - start);
        home.write("src/dir-1/file-1", format!("changed {attempt}"));
        let (start, connections) = (proxy.rounds(), proxy.connections());
        home.run(["backup", "src"]).ok();
        for_all = for_all.min(proxy.rounds() - start);
        assert_eq!(proxy.connections() - connections, 1);
        println!(
            "{} round trips after connecting; {for_one} to connect, ask one thing and hang up",
            for_all - for_one + 1
        );
        if for_all - for_one < ROUNDS_MAX {
            break;
        }
    }
    let rounds = for_all - for_one + 1;
    assert!(rounds > 8 && rounds <= ROUNDS_MAX, "{rounds} after {for_one} for one");
}

/// Sixteen transfers hold one pack each, and none of them twice.
#[cfg(feature = "s3")]
#[test]
fn sixteen_transfers_take_little_memory() {
    const MEASURE: &str = "\
import os, sys
pid = os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(pid, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
";
    let folder = tempfile::tempdir().unwrap();
    let server = crate::support::servers::moto::start();
    let home = home_with(&bucket_settings(&server, folder.path()));
    for index in 0..4 {
        home.write(&format!("src/large-{index}"), noise(100 + index, 56 << 20));
    }
    let python = crate::support::servers::moto::python();
    let wrapper = [python.to_str().unwrap(), "-c", MEASURE];
    let ran = crate::support::home::Ran::of(
        &home
            .wrapped(&wrapper, ["backup", "src", "--quiet", "--connections", "16"])
            .output()
            .unwrap(),
    );
    let peak_kib: u64 = ran.ok().out.trim().parse().unwrap();
    println!("{peak_kib} KiB");
    assert!((20_000..220 << 10).contains(&peak_kib), "{peak_kib} KiB");
}
