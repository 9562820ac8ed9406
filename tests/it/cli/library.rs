//! The library's front door, as another program uses it, and its examples.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use drumlin::{
    Counts, Credentials, ErrorKind, FileKind, OpenOptions, Problem, Progress, Repository,
};
use tempfile::TempDir;

/// A folder with a source, and places for a repository and what this machine keeps of it.
struct Room(TempDir);

impl Room {
    fn new() -> Self {
        let room = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(room.path("source/below")).unwrap();
        fs::write(room.path("source/hello"), "hello\n").unwrap();
        fs::write(room.path("source/below/long"), long()).unwrap();
        fs::write(room.path("pw"), "secret\n").unwrap();
        room
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn options(&self, password: &str) -> OpenOptions {
        OpenOptions::new(self.path("repo"), Credentials::password(password))
            .cache_dir(self.path("cache"))
            .state_dir(self.path("state"))
    }

    fn made(&self) -> Repository {
        self.options("secret").create().unwrap()
    }

    /// Runs an example on the room's repository, and returns its exit code and output.
    fn example(&self, name: &str, arguments: &[&Path]) -> (Option<i32>, String) {
        self.example_at(&self.path("repo"), &[], name, arguments)
    }

    /// Runs an example on a repository, with more variables in its environment.
    fn example_at(
        &self,
        repository: &Path,
        variables: &[(&str, &str)],
        name: &str,
        arguments: &[&Path],
    ) -> (Option<i32>, String) {
        let own = std::env::current_exe().unwrap();
        let program = own.parent().unwrap().parent().unwrap().join("examples").join(name);
        let output = Command::new(program)
            .arg(repository)
            .arg(self.path("pw"))
            .args(arguments)
            .env("HOME", self.0.path())
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("DRUMLIN_STATE_DIR", self.path("state"))
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    }
}

/// Three hundred thousand bytes that differ everywhere.
fn long() -> Vec<u8> {
    (0..75_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

#[test]
fn a_program_backs_up_reads_and_restores() {
    let room = Room::new();
    let repository = room.made();
    let report = repository.backup([room.path("source")]).tag("t").app("wiki").run(&()).unwrap();
    let snapshot = report.snapshot.unwrap();
    assert_eq!((report.files, report.files_new, report.problems), (2, 2, 0));
    assert_eq!((snapshot.app(), snapshot.tags()), ("wiki", &["t".to_owned()][..]));
    assert_eq!(snapshot.sources(), [room.path("source")]);
    assert!(snapshot.time().elapsed().unwrap() < Duration::from_secs(600));

    let again = repository.backup([room.path("source")]).app("wiki").tag("t").run(&()).unwrap();
    assert!(again.snapshot.is_none(), "nothing changed");
    assert_eq!(again.files_unchanged, 2);

    let opened = room.options("secret").open().unwrap();
    assert_eq!((opened.id(), opened.fingerprint()), (repository.id(), repository.fingerprint()));
    let found = opened.snapshot(&snapshot.id()[..8]).unwrap();
    let walked: Vec<_> = found.walk(room.path("source")).unwrap().map(Result::unwrap).collect();
    let shown: Vec<_> = walked.iter().map(|entry| (&entry.path, entry.kind, entry.size)).collect();
    assert_eq!(
        shown,
        [
            (&room.path("source/below"), FileKind::Directory, 0),
            (&room.path("source/below/long"), FileKind::File, 300_000),
            (&room.path("source/hello"), FileKind::File, 6),
        ]
    );
    let file = found.open(room.path("source/below/long")).unwrap();
    assert_eq!(file.size(), 300_000);
    assert_eq!(file.read_at(123_456, 1_000).unwrap(), long()[123_456..124_456]);
    assert_eq!(file.read_at(299_990, 1_000).unwrap(), long()[299_990..]);
    assert!(file.read_at(300_000, 1).unwrap().is_empty());

    let back = room.path("back");
    let restored = opened.restore(&found, &back).path(room.path("source")).run(&()).unwrap();
    assert_eq!((restored.files, restored.damaged, restored.failed), (2, 0, 0));
    assert_eq!(fs::read(back.join("below/long")).unwrap(), long());
    let only = room.path("only");
    let restored = opened.restore(&found, &only).exclude("long").run(&()).unwrap();
    assert_eq!(restored.files, 1);
}

#[test]
fn errors_have_kinds_and_hints() {
    let room = Room::new();
    let kind_of = |opened: drumlin::Result<Repository>| opened.map(drop).unwrap_err().kind();
    assert_eq!(kind_of(room.options("secret").open()), ErrorKind::NoRepository);
    let repository = room.made();
    assert_eq!(kind_of(room.options("secret").create()), ErrorKind::AlreadyExists);
    let wrong = room.options("wrong").open().map(drop).unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::WrongSecret);
    assert!(wrong.hint().is_some());
    let credentials = Credentials::password("x");
    assert_eq!(kind_of(Repository::open("ftp://host/x", credentials)), ErrorKind::InvalidInput);
    assert!(!format!("{:?}", Credentials::password("secret")).contains("secret"));
    assert!(!format!("{:?}", room.options("secret")).contains("\"secret\""));

    assert_eq!(repository.snapshot("latest").unwrap_err().kind(), ErrorKind::NotFound);
    let nothing: [PathBuf; 0] = [];
    let empty = repository.backup(nothing).run(&()).unwrap_err();
    assert_eq!(empty.kind(), ErrorKind::InvalidInput);
    let snapshot = repository.backup([room.path("source")]).run(&()).unwrap().snapshot.unwrap();
    let missing = snapshot.open("/no/such").map(drop).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let missing = snapshot.walk("/no/such").map(drop).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let directory = snapshot.open(room.path("source")).map(drop).unwrap_err();
    assert_eq!(directory.kind(), ErrorKind::InvalidInput);
    let into_itself = repository.restore(&snapshot, room.path("repo/back")).run(&()).unwrap_err();
    assert_eq!(into_itself.kind(), ErrorKind::InvalidInput);
    let refused = repository.forget(&[snapshot]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput, "it is the newest");
}

#[test]
fn forgotten_snapshots_are_pruned_and_damage_is_found() {
    let room = Room::new();
    let repository = room.made();
    let backup = || repository.backup([room.path("source")]).always_snapshot().run(&()).unwrap();
    let first = backup().snapshot.unwrap();
    let other: Vec<u8> = long().into_iter().rev().collect();
    fs::write(room.path("source/below/long"), other).unwrap();
    backup();
    backup();
    assert_eq!(repository.forget(std::slice::from_ref(&first)).unwrap(), [first.id()]);
    assert_eq!(repository.snapshots().unwrap().len(), 2);

    let prune = || repository.prune().trash_window(Duration::ZERO).max_unused_permille(0);
    let plan = prune().plan(&()).unwrap();
    assert_eq!(plan.dropped_snapshots, [first.id()]);
    assert!(plan.unused_packs + plan.repacked_packs > 0, "{plan:?}");
    assert_eq!(prune().plan(&()).unwrap().dropped_snapshots.len(), 1, "a plan changes nothing");
    let report = prune().run(&()).unwrap();
    assert_eq!(report.dropped_snapshots, [first.id()]);
    assert!(report.removed_packs > 0 && report.freed_bytes > 100_000, "{report:?}");

    assert!(repository.check().full().run(&()).unwrap().is_sound());
    let pack = packs(&room.path("repo/data")).pop().unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::set_permissions(&pack, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    fs::write(&pack, bytes).unwrap();
    let found = repository.check().full().run(&()).unwrap();
    assert!(!found.is_sound() && !found.problems.is_empty(), "{found:?}");
    let sampled = repository.check().sample_permille(0).run(&()).unwrap_err();
    assert_eq!(sampled.kind(), ErrorKind::InvalidInput);
}

#[test]
fn an_open_snapshot_is_read_after_a_prune_moved_what_it_needs() {
    let room = Room::new();
    let repository = room.made();
    let backup = || repository.backup([room.path("source")]).run(&()).unwrap().snapshot.unwrap();
    fs::write(room.path("source/gone"), crate::support::fixture::noise(7, 1 << 20)).unwrap();
    let first = backup();
    fs::remove_file(room.path("source/gone")).unwrap();
    let second = backup();
    let reader = room.options("secret").open().unwrap().snapshot(&second.id()).unwrap();
    let file = reader.open(room.path("source/below/long")).unwrap();

    repository.forget(&[first]).unwrap();
    let prune = repository.prune().trash_window(Duration::ZERO).max_unused_permille(0);
    let moved = prune.plan(&()).unwrap().repacked_packs;
    let removed = prune.run(&()).unwrap().removed_packs;
    assert!(moved > 0 && removed >= moved, "{moved} of {removed}");
    assert_eq!(file.read_at(0, 300_000).unwrap(), long());
    assert_eq!(reader.walk("/").unwrap().map(Result::unwrap).last().unwrap().size, 6);
}

/// Returns all files below a folder.
fn packs(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { packs(&path) } else { vec![path] }).collect()
}

/// Keeps what it hears, and stops the operation at once if it is to.
#[derive(Default)]
struct Heard {
    last: Mutex<Counts>,
    problems: Mutex<Vec<Problem>>,
    stops: AtomicBool,
}

impl Progress for Heard {
    fn update(&self, counts: &Counts) {
        *self.last.lock().unwrap() = *counts;
    }

    fn problem(&self, problem: &Problem) {
        self.problems.lock().unwrap().push(problem.clone());
    }

    fn is_cancelled(&self) -> bool {
        self.stops.load(Ordering::Relaxed)
    }
}

#[test]
fn progress_is_heard_and_may_stop_a_backup() {
    let room = Room::new();
    let repository = room.made();
    let heard = Heard::default();
    let paths = [room.path("source"), room.path("missing")];
    let report = repository.backup(paths).run(&heard).unwrap();
    assert_eq!(report.problems, 1);
    assert_eq!(heard.last.lock().unwrap().files, 2);
    let problems = heard.problems.into_inner().unwrap();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!((problems[0].kind, &problems[0].path), ("unreadable", &room.path("missing")));

    // More than is read in a tenth of a second, so that it is asked in time.
    let zeros = fs::File::create(room.path("source/zeros")).unwrap();
    zeros.set_len(200 << 30).unwrap();
    let stopped = Heard { stops: AtomicBool::new(true), ..Heard::default() };
    for n in 0..200 {
        fs::write(room.path(&format!("source/{n}")), long().repeat(20)).unwrap();
    }
    let error = repository.backup([room.path("source")]).read_all().run(&stopped).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert_eq!(repository.snapshots().unwrap().len(), 1);
}

#[test]
fn examples_do_what_they_say() {
    let room = Room::new();
    let (exit, text) = room.example("backup", &[&room.path("source")]);
    assert_eq!(exit, Some(0), "{text}");
    assert!(text.contains("snapshot ") && text.contains("2 files"), "{text}");
    let (exit, text) = room.example("backup", &[&room.path("source"), &room.path("missing")]);
    assert_eq!(exit, Some(3), "{text}");
    let (exit, text) = room.example("list", &[]);
    assert_eq!((exit, text.lines().count()), (Some(0), 2), "{text}");
    let (exit, text) = room.example("list", &["latest".as_ref()]);
    assert!(exit == Some(0) && text.contains("source/below/long"), "{text}");
    let hello = room.path("source/hello");
    let (exit, text) = room.example("list", &["latest".as_ref(), &hello]);
    assert_eq!((exit, text.as_str()), (Some(0), "6 bytes: hello\n\n"));
    let (exit, text) = room.example("restore", &[&room.path("back"), &room.path("source")]);
    assert_eq!((exit, text.as_str()), (Some(0), "2 files, 300006 bytes\n"));
    assert_eq!(fs::read(room.path("back/below/long")).unwrap(), long());
    let (exit, text) = room.example("prune_plan", &[]);
    assert!(exit == Some(0) && text.starts_with("0 snapshots leave the trash\n"), "{text}");
    fs::write(room.path("pw"), "wrong\n").unwrap();
    let (exit, text) = room.example("prune_plan", &[]);
    assert!(exit == Some(1) && text.contains("WrongSecret"), "{text}");
}

/// Backs up to a distant store and restores from it, by the examples.
fn round_trip(room: &Room, url: &str, variables: &[(&str, &str)]) {
    let run = |name, arguments: &[&Path]| {
        let (exit, text) = room.example_at(url.as_ref(), variables, name, arguments);
        assert_eq!(exit, Some(0), "{name} at {url}: {text}");
        text
    };
    assert!(run("backup", &[&room.path("source")]).contains("2 files"));
    assert_eq!(run("list", &[]).lines().count(), 1);
    assert_eq!(
        run("restore", &[&room.path("back"), &room.path("source")]),
        "2 files, 300006 bytes\n"
    );
    assert_eq!(fs::read(room.path("back/below/long")).unwrap(), long());
}

#[cfg(feature = "s3")]
#[test]
fn a_bucket_is_named_by_its_url() {
    let (room, server) = (Room::new(), crate::support::servers::moto::start());
    let (id, secret) = server.credentials();
    let url = format!(
        "s3://{}/box?endpoint=http://127.0.0.1:{}&region=us-east-1",
        server.bucket(),
        server.port()
    );
    round_trip(&room, &url, &[("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", secret)]);
}

#[cfg(feature = "sftp")]
#[test]
fn a_machine_is_reached_as_ssh_reaches_it() {
    let (room, server) = (Room::new(), crate::support::servers::openssh::OpenSsh::start());
    let options = server.options("box");
    fs::create_dir(room.path(".ssh")).unwrap();
    let config = format!(
        "Host vault\n  HostName {}\n  Port {}\n  User {}\n  IdentityFile {}\n  \
         UserKnownHostsFile {}\n",
        options.host,
        options.port,
        options.user,
        options.identity_files[0].display(),
        options.known_hosts[0].display(),
    );
    fs::write(room.path(".ssh/config"), config).unwrap();
    round_trip(&room, "sftp://vault/./box", &[]);
}

#[test]
fn limits_hold_and_warnings_are_kept() {
    let room = Room::new();
    let noise: Vec<u8> = crate::support::fixture::noise(1, 3 << 20);
    fs::write(room.path("source/noise"), noise).unwrap();
    // A burst of a fraction of a second is free.
    let slow = Duration::from_secs(1)..Duration::from_secs(60);
    let repository = room.options("secret").limit_upload(2 << 20).create().unwrap();
    let start = Instant::now();
    repository.backup([room.path("source")]).run(&()).unwrap();
    let up = start.elapsed();
    assert!(slow.contains(&up), "{up:?}");
    assert!(repository.warnings().is_empty(), "{:?}", repository.warnings());

    let repository = room.options("secret").connections(1).limit_download(2 << 20).open().unwrap();
    let snapshot = repository.snapshot("latest").unwrap();
    let start = Instant::now();
    repository.restore(&snapshot, room.path("back")).run(&()).unwrap();
    let down = start.elapsed();
    assert!(slow.contains(&down), "{down:?}");

    // A file is no directory: this machine can remember nothing.
    let forgetful = room.options("secret").state_dir(room.path("source/hello/state"));
    let warnings = forgetful.open().unwrap().warnings();
    assert!(warnings.iter().any(|text| text.contains("source/hello/state")), "{warnings:?}");
}
