//! Conformance: the contract of `Store`, tested on every store, also through the decorators.
//!
//! Each test takes an empty store. Nothing is left out: what this machine does not let a test do
//! makes the test fail.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Barrier};
use std::thread;

use crate::support::name_of_test;
use drumlin::store::layers::count::CountStore;
use drumlin::store::layers::fault::{Effect, Fault, FaultStore};
use drumlin::store::local::LocalStore;
use drumlin::store::memory::MemoryStore;
use drumlin::store::{Action, Class, ErrorKind, Key, Store};

type Suite = fn(Arc<dyn Store>);

/// Runs one part of the suite on a fresh store of every kind.
fn on_every_store(suite: Suite) {
    on_every_exclusive_store(suite);
    #[cfg(feature = "sftp")]
    on_proftpd(suite);
}

/// Runs one part of the suite on a fresh store of every kind of which exactly one of several
/// creators succeeds.
fn on_every_exclusive_store(suite: Suite) {
    suite(Arc::new(MemoryStore::default()));
    let folder = tempfile::tempdir().unwrap();
    suite(Arc::new(LocalStore::open_or_make(&folder.path().join("a/b")).unwrap()));
    let folder = tempfile::tempdir().unwrap();
    let local = Arc::new(LocalStore::open(folder.path()).unwrap());
    suite(Arc::new(CountStore::new(Arc::new(FaultStore::new(local, Vec::new())))));
    #[cfg(feature = "sftp")]
    on_openssh(suite);
    #[cfg(feature = "s3")]
    for server in
        [crate::support::servers::moto::start(), crate::support::servers::radosgw::start()]
    {
        suite(server.store());
    }
}

/// The folder is two levels down, by a relative path, and made by the store itself.
#[cfg(feature = "sftp")]
fn on_openssh(suite: Suite) {
    let server = crate::support::servers::openssh::OpenSsh::start();
    suite(Arc::new(drumlin::store::sftp::SftpStore::open_or_make(server.options("a/b")).unwrap()));
}

/// The like by an absolute path. This server looks for the target before it renames, so that now
/// and then several creators succeed.
#[cfg(feature = "sftp")]
fn on_proftpd(suite: Suite) {
    let server = crate::support::servers::proftpd::Proftpd::start();
    suite(Arc::new(
        drumlin::store::sftp::SftpStore::open_or_make(server.options("/a/b/")).unwrap(),
    ));
}

fn pack(number: u8) -> Key {
    Key::new(Class::Data, format!("{number:02x}/{}", format!("{number:02x}").repeat(32)))
}

fn kind_of<T: std::fmt::Debug>(result: Result<T, drumlin::store::StoreError>) -> ErrorKind {
    result.unwrap_err().kind
}

/// The names of a listing; their lengths must be those of `stat`.
fn names(store: &dyn Store, class: Class, prefix: &str) -> BTreeSet<String> {
    let listed = store.list(class, prefix).unwrap();
    for object in &listed {
        assert_eq!(
            store.stat(&Key::new(class, &*object.name)).unwrap(),
            object.len_bytes,
            "{}",
            object.name
        );
    }
    let count = listed.len();
    let names: BTreeSet<_> = listed.into_iter().map(|object| object.name).collect();
    assert_eq!(names.len(), count, "a name is listed twice");
    names
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn what_was_created_is_read_and_listed() {
    on_every_store(|store| {
        let bytes: Vec<u8> = (0..100_000u32).map(|i| i.wrapping_mul(i).to_be_bytes()[1]).collect();
        store.create(&pack(1), &bytes).unwrap();
        store.create(&pack(2), b"").unwrap();
        assert_eq!(store.read(&pack(1)).unwrap(), bytes);
        assert_eq!(store.read(&pack(2)).unwrap(), b"");
        assert_eq!(store.stat(&pack(1)).unwrap(), 100_000);
        assert_eq!(names(&*store, Class::Data, ""), [pack(1).name, pack(2).name].into());
    });
}

#[test]
fn ranges_are_exact_and_appended() {
    on_every_store(|store| {
        store.create(&pack(1), b"0123456789").unwrap();
        let mut out = b"before ".to_vec();
        store.read_into(&pack(1), 2..5, &mut out).unwrap();
        store.read_into(&pack(1), 10..10, &mut out).unwrap();
        store.read_into(&pack(1), 0..10, &mut out).unwrap();
        assert_eq!(out, b"before 2340123456789");
        for range in [9..11, 10..11, 11..11, 0..u64::MAX] {
            assert_eq!(
                kind_of(store.read_into(&pack(1), range.clone(), &mut Vec::new())),
                ErrorKind::Short,
                "{range:?}"
            );
        }
    });
}

#[test]
fn a_range_does_not_use_room_that_was_not_asked_for() {
    on_every_store(|store| {
        store.create(&pack(1), &[7; 1000]).unwrap();
        let mut out = Vec::with_capacity(4096);
        store.read_into(&pack(1), 0..10, &mut out).unwrap();
        assert_eq!(out, [7; 10]);
    });
}

#[test]
fn missing_objects_are_not_found() {
    on_every_store(|store| {
        for key in [pack(1), Key::new(Class::Snapshots, "ab"), Key::new(Class::Index, "0/ab")] {
            assert_eq!(kind_of(store.read(&key)), ErrorKind::NotFound);
            assert_eq!(kind_of(store.read_into(&key, 0..1, &mut Vec::new())), ErrorKind::NotFound);
            assert_eq!(kind_of(store.stat(&key)), ErrorKind::NotFound);
            store.remove(&key).unwrap();
        }
        for class in Class::ALL {
            assert!(names(&*store, class, "").is_empty());
        }
    });
}

#[test]
fn an_object_is_never_replaced() {
    on_every_store(|store| {
        store.create(&pack(1), b"first").unwrap();
        assert_eq!(kind_of(store.create(&pack(1), b"second, longer")), ErrorKind::Exists);
        assert_eq!(kind_of(store.create(&pack(1), b"first")), ErrorKind::Exists);
        assert_eq!(store.read(&pack(1)).unwrap(), b"first");
    });
}

#[test]
fn removed_objects_are_gone() {
    on_every_store(|store| {
        store.create(&pack(1), b"first").unwrap();
        store.create(&pack(2), b"second").unwrap();
        store.remove(&pack(1)).unwrap();
        store.remove(&pack(1)).unwrap();
        assert_eq!(kind_of(store.read(&pack(1))), ErrorKind::NotFound);
        assert_eq!(names(&*store, Class::Data, ""), [pack(2).name].into());
    });
}

#[test]
fn listings_keep_to_class_and_prefix() {
    on_every_store(|store| {
        for name in ["ab", "abc", "b", "ab.forgotten"] {
            store.create(&Key::new(Class::Snapshots, name), b"x").unwrap();
        }
        for name in ["0/aa", "0/ab", "1/aa", "10/aa"] {
            store.create(&Key::new(Class::Index, name), b"xy").unwrap();
        }
        store.create(&Key::new(Class::Config, "1"), b"").unwrap();
        assert_eq!(names(&*store, Class::Snapshots, ""), set(&["ab", "ab.forgotten", "abc", "b"]));
        assert_eq!(names(&*store, Class::Snapshots, "ab"), set(&["ab", "ab.forgotten", "abc"]));
        assert_eq!(names(&*store, Class::Snapshots, "abcd"), set(&[]));
        assert_eq!(names(&*store, Class::Index, ""), set(&["0/aa", "0/ab", "1/aa", "10/aa"]));
        assert_eq!(names(&*store, Class::Index, "1"), set(&["1/aa", "10/aa"]));
        assert_eq!(names(&*store, Class::Index, "1/"), set(&["1/aa"]));
        assert_eq!(names(&*store, Class::Index, "0/ab"), set(&["0/ab"]));
        assert_eq!(names(&*store, Class::Config, ""), set(&["1"]));
        assert_eq!(names(&*store, Class::Meta, ""), set(&[]));
    });
}

/// Eight threads create the same sixteen objects at once: each is made exactly once, and is whole
/// whenever it is seen.
#[test]
fn of_many_creators_exactly_one_succeeds() {
    on_every_exclusive_store(|store| assert_eq!(create_at_once(&*store), 16));
}

/// ProFTPD looks whether the target is there and renames then: which is not one step, so several
/// may succeed. That is wrong, and the probe of chapter 12 is there to find it; what is seen is
/// whole all the same.
#[test]
#[cfg(feature = "sftp")]
fn of_many_creators_on_proftpd_at_least_one_succeeds() {
    on_proftpd(|store| {
        assert!(create_at_once(&*store) >= 16);
        assert!(
            !drumlin::repo::open::probe::probe(&*store).unwrap(),
            "it says what it is, so the probe need not be lucky"
        );
    });
}

/// Creates sixteen objects by eight threads, and returns how often that succeeded. All of them are
/// there then.
fn create_at_once(store: &dyn Store) -> usize {
    let barrier = Barrier::new(8);
    let made = thread::scope(|scope| {
        let threads: Vec<_> = (0..8u8)
            .map(|thread| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    let create = |number: &u8| match store.create(&pack(*number), &[thread; 70_000])
                    {
                        Ok(()) => true,
                        Err(error) => {
                            assert_eq!(error.kind, ErrorKind::Exists);
                            assert_eq!(store.stat(&pack(*number)).unwrap(), 70_000);
                            false
                        }
                    };
                    (0..16u8).filter(create).count()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    for number in 0..16 {
        let bytes = store.read(&pack(number)).unwrap();
        assert!(bytes.len() == 70_000 && bytes.iter().all(|byte| *byte == bytes[0]));
    }
    made
}

/// While one thread creates and removes, others list and read: nothing is ever seen in part.
#[test]
fn objects_are_seen_whole_or_not_at_all() {
    on_every_store(|store| {
        thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for _ in 0..40 {
                    store.create(&pack(1), &[9; 300_000]).unwrap();
                    store.remove(&pack(1)).unwrap();
                }
            });
            while !writer.is_finished() {
                for object in store.list(Class::Data, "").unwrap() {
                    assert_eq!((object.name, object.len_bytes), (pack(1).name, 300_000));
                }
                match store.read(&pack(1)) {
                    Ok(bytes) => assert_eq!(bytes, [9; 300_000]),
                    // Servers may break off an answer when the object goes in the middle of it;
                    // that is no part of an object either.
                    Err(error) => assert!(
                        matches!(error.kind, ErrorKind::NotFound | ErrorKind::Unavailable),
                        "{error:?}"
                    ),
                }
            }
        });
    });
}

/// Names that could leave the store or collide with scratch files are refused before anything
/// happens.
#[test]
fn a_local_store_takes_valid_names_only() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::open(folder.path()).unwrap();
    for name in ["", ".", "..", "../x", "a/../b", "/x", "a//b", ".new-1", "A", "a b", "a\0"] {
        let key = Key::new(Class::Keys, name);
        assert!(store.create(&key, b"x").is_err(), "{name:?}");
        assert!(store.read(&key).is_err() && store.remove(&key).is_err(), "{name:?}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// Files that are not ours are not listed: scratch files, other names, links to nowhere, pipes.
#[test]
fn a_local_store_lists_objects_only() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::open(folder.path()).unwrap();
    store.create(&pack(1), b"x").unwrap();
    let data = folder.path().join("data");
    for name in [".new-1", "01/.new-1", "README", "01/Thumbs.db", "lost+found"] {
        std::fs::write(data.join(name), "x").unwrap();
    }
    std::os::unix::fs::symlink("nowhere", data.join("dangling")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        data.join("pipe"),
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    assert_eq!(names(&store, Class::Data, ""), [pack(1).name].into());
    assert_eq!(kind_of(store.read(&Key::new(Class::Data, "pipe"))), ErrorKind::Unreadable);
}

/// Whoever can write to the store's folder may put links there; nothing that they lead to is
/// listed, read, made or removed.
#[test]
fn a_local_store_follows_no_link() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let (root, victim) = (folder.path().join("store"), folder.path().join("victim"));
    let store = LocalStore::open_or_make(&root).unwrap();
    std::fs::create_dir_all(victim.join("aa")).unwrap();
    for file in ["passwd", "aa/hosts"] {
        std::fs::write(victim.join(file), "precious").unwrap();
    }
    let refused = |key: &Key| {
        for error in [
            store.create(key, b"x"),
            store.read(key).map(drop),
            store.remove(key),
            store.stat(key).map(drop),
        ] {
            assert_eq!(kind_of(error), ErrorKind::Other, "{key}");
        }
    };
    // The folder of each class, by a relative and by an absolute path.
    for class in Class::ALL {
        for target in [Path::new("../victim"), &victim] {
            let at = root.join(class.dir_name());
            std::fs::remove_dir(&at).unwrap();
            symlink(target, &at).unwrap();
            let error = store.list(class, "").unwrap_err();
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert!(cause.contains("symbolic link"), "{cause}");
            refused(&Key::new(class, "passwd"));
            refused(&Key::new(class, "aa/hosts"));
            refused(&Key::new(class, "new/one"));
            std::fs::remove_file(&at).unwrap();
            std::fs::create_dir(&at).unwrap();
        }
    }
    // A folder below it, and an object.
    symlink(victim.join("aa"), root.join("data/aa")).unwrap();
    refused(&Key::new(Class::Data, "aa/hosts"));
    assert_eq!(
        kind_of(store.list(Class::Data, "")),
        ErrorKind::Other,
        "what lies there would be missing, silently"
    );
    symlink(victim.join("passwd"), root.join("keys/passwd")).unwrap();
    let key = Key::new(Class::Keys, "passwd");
    assert_eq!(kind_of(store.read(&key)), ErrorKind::Other);
    assert_eq!(kind_of(store.create(&key, b"x")), ErrorKind::Exists);
    assert!(store.list(Class::Keys, "").unwrap().is_empty());
    store.remove(&key).unwrap();
    assert_eq!(std::fs::read(victim.join("passwd")).unwrap(), b"precious");
    assert_eq!(std::fs::read_dir(&victim).unwrap().count(), 2);
    assert_eq!(std::fs::read_dir(victim.join("aa")).unwrap().count(), 1);
}

/// Whatever the umask: a copy of the folder need not lie in a private one.
#[test]
fn objects_of_a_local_store_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::open(folder.path()).unwrap();
    for class in Class::ALL {
        let key = Key::new(class, "ab");
        store.create(&key, b"x").unwrap();
        let mode =
            std::fs::metadata(folder.path().join(key.to_string())).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600, "{key}");
    }
}

#[test]
fn a_missing_folder_is_not_an_empty_store() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        LocalStore::open(&folder.path().join("none")).err().unwrap().kind,
        ErrorKind::NotFound
    );
    let path = folder.path().join("gone");
    let store = LocalStore::open_or_make(&path).unwrap();
    std::fs::remove_dir_all(&path).unwrap();
    assert_eq!(kind_of(store.create(&pack(1), b"x")), ErrorKind::NotFound);
    assert!(!path.exists());
}

/// A small file system of its own for one test.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Mounts it; who may not is given user and mount namespaces of their own, in which the test
    /// named `test` runs again.
    ///
    /// Returns nothing if the test has run there. Fails where there are no namespaces either: a
    /// test that cannot be made is not one that passes.
    fn mount(options: &str, test: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        if run("mount", &["-t", "tmpfs", "-o", options, "tmpfs"], folder.path()) {
            return Some(Self(folder));
        }
        assert!(
            std::env::var_os(IN_NAMESPACE).is_none(),
            "a file system cannot be mounted in a namespace either"
        );
        let mut again = std::process::Command::new("unshare");
        again.args(["--user", "--map-root-user", "--mount"]).arg(std::env::current_exe().unwrap());
        again
            .args([&*name_of_test(module_path!(), test), "--exact", "--nocapture"])
            .env(IN_NAMESPACE, "1");
        let output = again.output().unwrap();
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && said.contains("1 passed"),
            "needs root or user namespaces: {said}"
        );
        None
    }
}

/// Set for a test that runs in namespaces of its own.
const IN_NAMESPACE: &str = "DRUMLIN_TEST_IN_NAMESPACE";

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &[], self.0.path());
    }
}

fn run(program: &str, arguments: &[&str], path: &Path) -> bool {
    let output = std::process::Command::new(program).args(arguments).arg(path).output();
    output.is_ok_and(|output| output.status.success())
}

/// A full disk fails with `Full`, leaves nothing behind, and takes objects again once there is
/// room.
#[test]
fn a_full_disk_is_told_apart() {
    let Some(disk) = SmallDisk::mount("size=1m", "a_full_disk_is_told_apart") else { return };
    let store = LocalStore::open(disk.0.path()).unwrap();
    store.create(&pack(1), &[1; 600_000]).unwrap();
    assert_eq!(kind_of(store.create(&pack(2), &[2; 600_000])), ErrorKind::Full);
    assert_eq!(names(&store, Class::Data, ""), [pack(1).name].into());
    store.remove(&pack(1)).unwrap();
    store.create(&pack(2), &[2; 600_000]).unwrap();
}

#[test]
fn a_read_only_disk_is_told_apart() {
    let Some(disk) = SmallDisk::mount("size=1m", "a_read_only_disk_is_told_apart") else { return };
    let store = LocalStore::open(disk.0.path()).unwrap();
    store.create(&pack(1), b"x").unwrap();
    assert!(run("mount", &["-o", "remount,ro"], disk.0.path()));
    assert_eq!(kind_of(store.create(&pack(2), b"y")), ErrorKind::NotPermitted);
    assert_eq!(kind_of(store.remove(&pack(1))), ErrorKind::NotPermitted);
    assert_eq!(store.read(&pack(1)).unwrap(), b"x");
}

#[test]
fn counts_are_kept_per_action_and_class() {
    let store = CountStore::new(Arc::new(MemoryStore::default()));
    store.create(&pack(1), &[0; 10]).unwrap();
    let before = store.counts();
    store.create(&pack(1), &[0; 10]).unwrap_err();
    store.read(&pack(1)).unwrap();
    store.read_into(&pack(1), 1..4, &mut vec![1, 2]).unwrap();
    store.list(Class::Data, "").unwrap();
    let counts = store.counts() - before;
    let of = |action| (counts.of(action, Class::Data).calls, counts.of(action, Class::Data).bytes);
    assert_eq!((of(Action::Create), of(Action::Read), of(Action::List)), ((1, 0), (2, 13), (1, 1)));
    assert_eq!((counts.total().calls, counts.of_action(Action::Stat).calls), (4, 0));
}

#[test]
fn faults_happen_as_planned() {
    let faulty = |action, call, effect, then_dead| {
        let memory = Arc::new(MemoryStore::default());
        memory.create(&pack(1), b"12345678").unwrap();
        FaultStore::new(
            memory,
            vec![Fault { action: Some(action), class: None, call, effect, then_dead }],
        )
    };
    let store = faulty(Action::Create, 1, Effect::Before(ErrorKind::Full), false);
    store.create(&pack(2), b"").unwrap();
    assert_eq!(kind_of(store.create(&pack(3), b"")), ErrorKind::Full);
    store.create(&pack(3), b"").unwrap();
    assert_eq!(store.calls(), 3);

    let store = faulty(Action::Create, 0, Effect::After(ErrorKind::Other), true);
    assert_eq!(kind_of(store.create(&pack(2), b"x")), ErrorKind::Other);
    assert_eq!(kind_of(store.read(&pack(1))), ErrorKind::Other);

    let store = faulty(Action::Create, 0, Effect::Torn { len_bytes: 2 }, false);
    assert_eq!(kind_of(store.create(&pack(2), b"abc")), ErrorKind::Other);
    assert_eq!(store.read(&pack(2)).unwrap(), b"ab");

    let store = faulty(Action::Read, 0, Effect::Flip { bit: 8 }, false);
    assert_eq!(store.read(&pack(1)).unwrap(), b"13345678");
    assert_eq!(store.read(&pack(1)).unwrap(), b"12345678");

    let store = faulty(Action::Read, 0, Effect::Short, false);
    assert_eq!(kind_of(store.read_into(&pack(1), 0..1, &mut Vec::new())), ErrorKind::Short);
}

/// The folders of all classes are there from the start, and none of them is needed: who copies a
/// repository may lose empty ones.
#[test]
fn class_folders_are_made_at_once_and_again_if_one_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::open_or_make(folder.path()).unwrap();
    let here: BTreeSet<_> = folder
        .path()
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(here, set(&Class::ALL.map(Class::dir_name)));
    for class in Class::ALL {
        std::fs::remove_dir(folder.path().join(class.dir_name())).unwrap();
        assert_eq!(names(&store, class, ""), set(&[]));
        let key = Key::new(class, "0123");
        store.remove(&key).unwrap();
        store.create(&key, b"x").unwrap();
        assert_eq!(names(&store, class, ""), set(&["0123"]));
    }
}
