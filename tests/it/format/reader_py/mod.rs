//! Goal: a program that shares no code with this one, written from the specification, restores what
//! was backed up.
//!
//! Method: make repositories with the program, restore them with `format-spec/reader.py`, from the
//! packs alone, and compare trees; then spoil a repository and see the reader refuse.

mod trees; // trees to back up

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use drumlin::backup::BackupOptions;
use drumlin::compress::Compression;
use drumlin::crypto::phrase::words_of;
use drumlin::crypto::slot::Secret;
use drumlin::format::config::Profile;
use drumlin::format::entry::Timestamp;
use drumlin::format::slot::SlotKdf;
use drumlin::monitor::Monitor;
use drumlin::repo::snapshots::trash::{self, ForgetNote};
use drumlin::repo::{InitOptions, Repository, snapshots};
use drumlin::store::local::LocalStore;
use zeroize::Zeroizing;

use self::trees::describe;

use crate::support::fixture::{files_below, options};
use crate::support::needs::can_run;
use crate::support::python_with_modules;

const PASSPHRASE: &str = "a passphrase with ümläuts";

/// A repository in a temporary folder, the secret that opens it, and something to back up.
struct Lab {
    folder: tempfile::TempDir,
    repository: Arc<Repository>,
}

impl Lab {
    fn new(profile: Profile, kdf: SlotKdf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let secret = match kdf {
            SlotKdf::KeyFile => Secret::KeyFile(Zeroizing::new([5; 32])),
            _ => Secret::Passphrase(Zeroizing::new(PASSPHRASE.to_string())),
        };
        let options = InitOptions {
            profile,
            secret,
            kdf,
            label: "test".to_string(),
            now: now(),
            program: "drumlin test".to_string(),
            cache_dir: folder.path().join("cache"),
        };
        let store = LocalStore::open_or_make(&folder.path().join("repository")).unwrap();
        let repository = Repository::init(Arc::new(store), &options).unwrap();
        std::fs::write(folder.path().join("password"), PASSPHRASE).unwrap();
        std::fs::write(folder.path().join("words"), words_of(&Zeroizing::new([5; 32])).as_str())
            .unwrap();
        std::fs::create_dir(folder.path().join("source")).unwrap();
        Self { folder, repository }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn back_up(&self, compression: Compression) {
        let options = BackupOptions {
            tags: vec!["test".to_string()],
            compression,
            always_snapshot: true,
            low_memory: true,
            ..options(&[self.path("source")], "host")
        };
        let monitor = Monitor::default();
        let report = drumlin::backup::run(&self.repository, options, &monitor).unwrap();
        assert!(report.snapshot.is_some() && monitor.problems().is_empty());
    }

    /// Runs the reader on the repository with the passphrase.
    fn read(&self, options: &[&str], command: &[&str]) -> Output {
        let password = self.path("password");
        let secret = ["--password-file", password.to_str().unwrap()];
        self.read_with(&[&secret[..], options].concat(), command)
    }

    fn read_with(&self, options: &[&str], command: &[&str]) -> Output {
        let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("format-spec/reader.py");
        let repository = self.path("repository");
        Command::new(python_with_modules())
            .arg(reader)
            .args(options)
            .arg(repository)
            .args(command)
            .output()
            .unwrap()
    }

    /// Restores with the reader and compares with the source.
    fn assert_restores(&self, name: &str, options: &[&str], snapshot: &str) {
        let target = self.path(name);
        let output = self.read(options, &["restore", snapshot, target.to_str().unwrap()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let restored = target.join(self.path("source").strip_prefix("/").unwrap());
        let (before, after) = (describe(&self.path("source")), describe(&restored));
        for (path, line) in &before {
            assert_eq!(after.get(path), Some(line), "{}", String::from_utf8_lossy(path));
        }
        assert_eq!(before.len(), after.len());
    }
}

fn now() -> Timestamp {
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp { seconds: elapsed.as_secs() as i64, nanos: elapsed.subsec_nanos() }
}

const QUICK: SlotKdf = SlotKdf::Passphrase { memory_kib: 256, passes: 1, lanes: 2 };

#[test]
fn the_reader_restores_everything_a_file_system_holds() {
    let lab = Lab::new(Profile::Standard, QUICK);
    trees::all_kinds(&lab.path("source"));
    lab.back_up(Compression::DEFAULT);
    lab.assert_restores("by-toc", &[], "latest");
    lab.assert_restores("by-walk", &["--walk"], "latest");
}

/// Takes all flags from everything below a folder, so that it can be removed.
struct Unlock(PathBuf);

impl Drop for Unlock {
    fn drop(&mut self) {
        let _ = Command::new("chattr").args(["-R", "-i", "-a"]).arg(&self.0).output();
    }
}

/// Any owner may set "no dump", on file systems that have it; the others are the superuser's, and
/// not in every container.
#[test]
fn the_reader_restores_flags_or_says_that_it_may_not() {
    let lab = Lab::new(Profile::Small, QUICK);
    for name in ["a/immutable", "a/appended", "b/undumped", "b/plain"] {
        let path = lab.path("source").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "x").unwrap();
    }
    std::fs::hard_link(lab.path("source/a/immutable"), lab.path("source/b/other name")).unwrap();
    let _unlock = Unlock(lab.folder.path().to_owned());
    let flag = |flag: &str, name: &str| {
        Command::new("chattr")
            .arg(flag)
            .arg(lab.path("source").join(name))
            .output()
            .unwrap()
            .status
            .success()
    };
    let has_flags = flag("+d", "b/undumped");
    let may_lock =
        has_flags && flag("+i", "a/immutable") && flag("+a", "a/appended") && flag("+i", "a");
    lab.back_up(Compression::DEFAULT);
    lab.assert_restores("restored", &[], "latest");
    if !can_run(may_lock, "root and a file system with the flags of chattr") {
        return;
    }
    let target = lab.path("by an ordinary user");
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("format-spec/reader.py");
    let output = Command::new("setpriv")
        .args(["--bounding-set=-linux_immutable", "--inh-caps=-linux_immutable", "--"])
        .arg(python_with_modules())
        .arg(reader)
        .arg("--password-file")
        .args([lab.path("password"), lab.path("repository")])
        .args(["restore".as_ref(), "latest".as_ref(), target.as_os_str()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(said.lines().filter(|line| line.contains("flags left out")).count(), 4, "{said}");
    let source = target.join(lab.path("source").strip_prefix("/").unwrap());
    assert_eq!(std::fs::read(source.join("b/other name")).unwrap(), b"x");
}

#[test]
fn the_reader_restores_large_files_and_large_directories() {
    let lab = Lab::new(Profile::Small, QUICK);
    trees::large(&lab.path("source"));
    lab.back_up(Compression::None);
    trees::change_a_little(&lab.path("source"));
    lab.back_up(Compression::FAST);
    lab.assert_restores("by-toc", &[], "latest");
}

#[test]
fn the_reader_opens_with_a_key_file_and_lists_and_restores_old_snapshots() {
    let lab = Lab::new(Profile::Fixed, SlotKdf::KeyFile);
    std::fs::write(lab.path("source/a"), "one").unwrap();
    lab.back_up(Compression::DEFAULT);
    std::fs::write(lab.path("source/a"), "two").unwrap();
    lab.back_up(Compression::MAX);
    let words = lab.path("words");
    let secret = ["--key-file", words.to_str().unwrap()];
    let list = lab.read_with(&secret, &["list"]);
    let list = String::from_utf8(list.stdout).unwrap();
    assert_eq!(list.lines().count(), 2, "{list}");
    let first = &list[..12];
    let target = lab.path("old");
    assert!(lab.read_with(&secret, &["restore", first, target.to_str().unwrap()]).status.success());
    let restored = target.join(lab.path("source/a").strip_prefix("/").unwrap());
    assert_eq!(std::fs::read_to_string(restored).unwrap(), "one");
    assert!(
        !lab.read(&[], &["list"]).status.success(),
        "a passphrase does not open a key file's slot"
    );
}

#[test]
fn the_reader_refuses_what_is_damaged() {
    let lab = Lab::new(Profile::Standard, QUICK);
    trees::all_kinds(&lab.path("source"));
    lab.back_up(Compression::DEFAULT);
    for (number, class) in ["keys", "config", "snapshots", "meta", "data"].into_iter().enumerate() {
        let file = files_below(&lab.path("repository").join(class)).pop().unwrap();
        let sound = std::fs::read(&file).unwrap();
        for place in [0, sound.len() / 2, sound.len() - 1] {
            let mut spoilt = sound.clone();
            spoilt[place] ^= 0x40;
            std::fs::write(&file, spoilt).unwrap();
            let target = lab.path(&format!("spoilt-{number}-{place}"));
            let output = lab.read(&[], &["restore", "latest", target.to_str().unwrap()]);
            assert!(!output.status.success(), "{class} flipped at {place}");
        }
        std::fs::write(&file, sound).unwrap();
    }
    lab.assert_restores("sound-again", &[], "latest");
}

#[test]
fn the_reader_hides_what_is_forgotten_and_restores_it_when_told_to() {
    let lab = Lab::new(Profile::Small, QUICK);
    std::fs::write(lab.path("source/a"), "one").unwrap();
    lab.back_up(Compression::DEFAULT);
    std::fs::write(lab.path("source/a"), "two").unwrap();
    lab.back_up(Compression::DEFAULT);
    let [first, _] = &snapshots::list(&lab.repository).unwrap()[..] else {
        panic!("two snapshots")
    };
    let word = str::to_owned;
    let note = ForgetNote {
        host: word("h"),
        user: word("u"),
        program: word("p"),
        now: now(),
        reason: word("r"),
    };
    trash::forget(&lab.repository, &first.id, None, &note).unwrap();
    let list = |flags: &[&str]| {
        let listed = String::from_utf8(lab.read(flags, &["list"]).stdout).unwrap();
        listed.lines().map(|line| line[..32].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(list(&["--forgotten"]), [first.id.to_hex()]);
    assert_eq!(list(&[]).len(), 1);
    let (id, target) = (first.id.to_hex(), lab.path("old"));
    let restore = ["restore", &id, target.to_str().unwrap()];
    assert!(!lab.read(&[], &restore).status.success());
    assert!(lab.read(&["--forgotten"], &restore).status.success());
    let restored = target.join(lab.path("source/a").strip_prefix("/").unwrap());
    assert_eq!(std::fs::read_to_string(restored).unwrap(), "one");
    // A tombstone that does not hold hides nothing.
    let mark = lab.path("repository/snapshots").join(format!("{id}.forgotten"));
    let mut spoilt = std::fs::read(&mark).unwrap();
    spoilt[200] ^= 1;
    std::fs::write(&mark, spoilt).unwrap();
    assert_eq!(list(&[]).len(), 2);
    assert!(String::from_utf8(lab.read(&[], &["list"]).stderr).unwrap().contains("does not count"));
}

/// An interrupted `init` leaves the slot of a repository that never was; the same passphrase may
/// open it, and it may come first.
#[test]
fn the_reader_goes_on_to_the_slot_of_this_repository() {
    let (lab, other) = (Lab::new(Profile::Small, QUICK), Lab::new(Profile::Small, QUICK));
    std::fs::write(lab.path("source/a"), "one").unwrap();
    lab.back_up(Compression::DEFAULT);
    let slot = files_below(&other.path("repository/keys")).pop().unwrap();
    std::fs::copy(slot, lab.path("repository/keys").join("0".repeat(32))).unwrap();
    lab.assert_restores("restored", &[], "latest");
    let list = lab.read(&[], &["list"]);
    let said = String::from_utf8(list.stderr).unwrap();
    assert!(
        list.status.success()
            && said.contains("keys/00000000000000000000000000000000 is passed over"),
        "{said}"
    );
}

/// Whoever may only add files keeps nobody from reading: other names are no objects, and what is
/// damaged is named.
#[test]
fn the_reader_ignores_other_names_and_passes_over_what_is_damaged() {
    let lab = Lab::new(Profile::Small, QUICK);
    trees::all_kinds(&lab.path("source"));
    lab.back_up(Compression::DEFAULT);
    let plant = |name: String| {
        let file = lab.path("repository").join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, "garbage").unwrap();
    };
    let hex = "0".repeat(62);
    for name in [
        "config/x",
        "keys/readme",
        "snapshots/readme",
        "snapshots/.hidden",
        "data/readme",
        "data/zz/readme",
        "data/1",
        "other/1",
    ] {
        plant(name.to_owned());
    }
    for name in [
        format!("data/01/00{hex}"),
        format!("meta/AA/AA{hex}"),
        format!("snapshots/{}", "A".repeat(32)),
    ] {
        plant(name);
    }
    let list = lab.read(&[], &["list"]);
    assert_eq!((list.status.code(), &list.stderr[..]), (Some(0), &b""[..]), "{list:?}");
    lab.assert_restores("by-toc", &[], "latest");
    lab.assert_restores("by-walk", &["--walk"], "latest");
    // These have the names of objects.
    let damaged = [
        format!("snapshots/{}", "0".repeat(32)),
        format!("data/00/00{hex}"),
        format!("meta/00/00{hex}"),
    ];
    damaged.iter().cloned().for_each(plant);
    for (command, named) in
        [(&["list"][..], &damaged[..1]), (&["restore", "latest", "again"][..], &damaged[..])]
    {
        let target = lab.path("again");
        let words: Vec<&str> = command
            .iter()
            .map(|word| if *word == "again" { target.to_str().unwrap() } else { word })
            .collect();
        let read = lab.read(&[], &words);
        let said = String::from_utf8(read.stderr).unwrap();
        assert_eq!(read.status.code(), Some(4), "{said}");
        assert_eq!(said.lines().count(), named.len(), "{said}");
        named.iter().for_each(|name| {
            assert!(said.contains(&format!("{name} is damaged, and passed over")), "{said}")
        });
    }
    let restored = lab.path("again").join(lab.path("source").strip_prefix("/").unwrap());
    assert_eq!(trees::describe(&restored), trees::describe(&lab.path("source")));
}
