//! Servers that end, start again, or take few connections, and what dead writers leave.

use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use drumlin::store::sftp::SftpStore;
use drumlin::store::sftp::options::SftpOptions;
use drumlin::store::{Class, ErrorKind, Key, Store};

use super::{kind_of, pack, refused, scratch};
use crate::support::servers::openssh::OpenSsh;
use crate::support::servers::proftpd::Proftpd;
use crate::support::servers::proxy::Proxy;
use crate::support::servers::wait_for_hang_up;

#[test]
fn a_server_that_was_started_again_is_used_again() {
    let mut server = OpenSsh::start();
    let store = SftpStore::open_or_make(server.options("r")).unwrap();
    store.create(&pack(1), b"x").unwrap();
    server.restart();
    wait_for_hang_up(server.address);
    store.create(&pack(2), b"y").unwrap();
    server.stop();
    wait_for_hang_up(server.address);
    assert_eq!(kind_of(store.read(&pack(1))), ErrorKind::Unavailable);
    assert_eq!(kind_of(store.create(&pack(3), b"z")), ErrorKind::Unavailable);
    assert_eq!(kind_of(store.list(Class::Data, "")), ErrorKind::Unavailable);
    server.restart();
    assert_eq!(store.read(&pack(1)).unwrap(), b"x");
    assert_eq!(store.list(Class::Data, "").unwrap().len(), 2);
}

/// Connections that the server ended while nobody used them are noticed before they are used,
/// whether it says so or not.
#[test]
fn idle_connections_may_end() {
    let server = OpenSsh::start();
    let proxy = Proxy::start(server.address);
    let options = server.options_through(&proxy, "r");
    let store = SftpStore::open_or_make(options.clone()).unwrap();
    store.create(&pack(1), b"x").unwrap();
    assert_eq!(proxy.connections(), 1);
    proxy.close_connections();
    wait_for_hang_up(([127, 0, 0, 1], proxy.port()).into());
    store.create(&Key::new(Class::Snapshots, "ab"), b"y").unwrap();
    assert_eq!(proxy.connections(), 2);
    let distrustful =
        SftpStore::open(SftpOptions { keep_alive: Duration::ZERO, ..options }).unwrap();
    assert_eq!(distrustful.read(&pack(1)).unwrap(), b"x");
    assert_eq!(distrustful.read(&pack(1)).unwrap(), b"x");
    assert_eq!(proxy.connections(), 3);
}

/// Where the server takes two connections, eight threads of a store with four share two.
#[test]
fn a_limit_of_connections_slows_down_only() {
    let server = Proftpd::start_with("MaxClientsPerUser 2");
    let store = Arc::new(SftpStore::open_or_make(server.options("r")).unwrap());
    thread::scope(|scope| {
        for thread in 0..8u8 {
            let store = Arc::clone(&store);
            scope.spawn(move || {
                for number in 0..4 {
                    store.create(&pack(thread * 4 + number), &[thread; 10_000]).unwrap();
                }
            });
        }
    });
    assert_eq!(store.list(Class::Data, "").unwrap().len(), 32);
    // Who gets no connection at all is told; as soon as the server has noticed that the others have
    // gone, there is one again. The store may have one connection less than it could, which
    // somebody else holds then.
    let held = SftpStore::open(server.options("r")).ok();
    let (kind, said) = refused(server.options("r"));
    assert_eq!(kind, ErrorKind::Unavailable, "{said}");
    drop((store, held));
    while SftpStore::open(server.options("r")).is_err() {
        thread::sleep(Duration::from_millis(10));
    }
}

/// Scratch files that are a day older than a new one are removed by whoever probes the store;
/// others are nobody's business, and so they are for who only backs up.
#[test]
fn leftovers_are_removed_when_they_are_old() {
    let server = OpenSsh::start();
    let repository = server.path("files/r");
    SftpStore::open_or_make(server.options("r")).unwrap();
    let day_before_yesterday = SystemTime::now() - Duration::from_secs(48 * 3600);
    let make = |name: &str, is_old: bool| {
        let file = fs::File::create(repository.join("tmp").join(name)).unwrap();
        if is_old {
            file.set_modified(day_before_yesterday).unwrap();
        }
    };
    let (dead, young) = ("0123456789abcdef".repeat(2), "fedcba9876543210".repeat(2));
    make(&dead, true);
    make(&young, false);
    make("notes", true);
    let store = SftpStore::open(server.options("r")).unwrap();
    store.create(&pack(1), b"x").unwrap();
    drop(store);
    assert_eq!(scratch(&repository), [dead, young.clone(), "notes".to_owned()]);
    let store = SftpStore::open(server.options("r")).unwrap();
    store.create(&Key::new(Class::Probe, "a.1"), b"x").unwrap();
    assert_eq!(scratch(&repository), [young, "notes".to_owned()]);
    fs::remove_dir_all(repository.join("tmp")).unwrap();
    store.create(&pack(2), b"y").unwrap();
    drop(store);
    assert_eq!(scratch(&repository), [""; 0]);
}

/// Links are followed, pipes and other people's files are not objects, and a store whose folder is
/// gone is not an empty one.
#[test]
fn a_listing_shows_objects_only() {
    let server = OpenSsh::start();
    let repository = server.path("files/r");
    let store = SftpStore::open_or_make(server.options("r")).unwrap();
    store.create(&pack(1), b"x").unwrap();
    let data = repository.join("data");
    for name in [".new-1", "01/.new-1", "README", "01/Thumbs.db", "lost+found"] {
        fs::write(data.join(name), "x").unwrap();
    }
    fs::create_dir(server.path("elsewhere")).unwrap();
    fs::write(server.path("elsewhere").join(&pack(2).name[3..]), "there").unwrap();
    std::os::unix::fs::symlink(server.path("elsewhere"), data.join("02")).unwrap();
    std::os::unix::fs::symlink("nowhere", data.join("dangling")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        data.join("pipe"),
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    let mut names: Vec<_> = store
        .list(Class::Data, "")
        .unwrap()
        .into_iter()
        .map(|object| (object.name, object.len_bytes))
        .collect();
    names.sort();
    assert_eq!(names, [(pack(1).name, 1), (pack(2).name, 5)]);
    for name in ["", "..", "../x", "a//b", ".new-1", "A", "a\0"] {
        let key = Key::new(Class::Keys, name);
        assert!(
            store.create(&key, b"x").is_err()
                && store.read(&key).is_err()
                && store.remove(&key).is_err(),
            "{name:?}"
        );
    }
    fs::remove_dir_all(&repository).unwrap();
    assert_eq!(kind_of(store.list(Class::Data, "")), ErrorKind::NotFound);
    assert_eq!(kind_of(store.create(&pack(3), b"x")), ErrorKind::NotFound);
    assert!(!repository.exists());
}

/// A server says no more than that it failed, whatever its disk says; a folder in an object's place
/// is read with the same outcome.
#[test]
fn what_a_server_fails_to_read_is_about_one_object() {
    let server = OpenSsh::start();
    let store = SftpStore::open_or_make(server.options("r")).unwrap();
    for number in [1, 2] {
        store.create(&pack(number), b"bytes").unwrap();
    }
    let place = server.path("files/r").join(pack(1).to_string());
    fs::remove_file(&place).unwrap();
    fs::create_dir(&place).unwrap();
    for _ in 0..2 {
        assert_eq!(
            kind_of(store.read_into(&pack(1), 0..3, &mut Vec::new())),
            ErrorKind::Unreadable
        );
        assert_eq!(kind_of(store.read(&pack(1))), ErrorKind::Unreadable);
        assert_eq!(kind_of(store.stat(&pack(1))), ErrorKind::Unreadable);
        assert_eq!(store.read(&pack(2)).unwrap(), b"bytes");
    }
}

/// Objects have times by the server's clock, which is this machine's here.
#[test]
fn objects_have_times() {
    let server = OpenSsh::start();
    let store = SftpStore::open_or_make(server.options("r")).unwrap();
    store.create(&pack(1), b"x").unwrap();
    let made_s =
        fs::metadata(server.path("files/r/data").join(pack(1).name)).unwrap().modified().unwrap();
    let made_s = made_s.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(store.list(Class::Data, "").unwrap()[0].modified_s, Some(made_s.cast_signed()));
}
