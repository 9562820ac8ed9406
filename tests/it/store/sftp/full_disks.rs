//! Servers with no room, and servers that take no changes.

use std::fs;
use std::path::{Path, PathBuf};

use drumlin::store::sftp::SftpStore;
use drumlin::store::sftp::options::SftpOptions;
use drumlin::store::{Class, ErrorKind, Key, Store};

use super::{kind_of, pack, scratch};
use crate::support::servers::openssh::OpenSsh;
use crate::support::servers::proftpd::Proftpd;
use crate::support::servers::run;

/// A file system of 1 MiB in a server's folder. Servers need all rights of root, so namespaces of a
/// user are of no use here.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: PathBuf) -> Self {
        fs::create_dir(&path).unwrap();
        run("mount", &["-t", "tmpfs", "-o", "size=1m", "tmpfs", path.to_str().unwrap()]);
        Self(path)
    }

    fn make_read_only(&self) {
        run("mount", &["-o", "remount,ro", self.0.to_str().unwrap()]);
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A server may still hold it for a moment.
        run("umount", &["--lazy", self.0.to_str().unwrap()]);
    }
}

/// A full disk fails with `Full`, leaves nothing behind, and takes objects again once there is
/// room.
#[test]
fn a_full_disk_is_told_apart() {
    let check = |options: SftpOptions, disk: &Path| {
        let store = SftpStore::open_or_make(options).unwrap();
        store.create(&pack(1), &[1; 600_000]).unwrap();
        for _ in 0..2 {
            let error = store.create(&pack(2), &[2; 600_000]).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Full, "{}", super::chain(&error));
            assert!(super::chain(&error).contains("full"), "{}", super::chain(&error));
        }
        assert_eq!(store.list(Class::Data, "").unwrap().len(), 1);
        assert_eq!(scratch(&disk.join("r")), [""; 0]);
        store.remove(&pack(1)).unwrap();
        store.create(&pack(2), &[2; 600_000]).unwrap();
        assert_eq!(store.read(&pack(2)).unwrap(), [2; 600_000]);
    };
    let server = OpenSsh::start();
    let disk = SmallDisk::mount(server.path("files/disk"));
    check(server.options("disk/r"), &disk.0);
    let server = Proftpd::start();
    let disk = SmallDisk::mount(server.path("files/disk"));
    check(server.options("disk/r"), &disk.0);
}

#[test]
fn a_read_only_disk_is_told_apart() {
    let check = |options: SftpOptions, disk: &SmallDisk| {
        let store = SftpStore::open_or_make(options.clone()).unwrap();
        store.create(&Key::new(Class::Config, "1"), b"configuration").unwrap();
        store.create(&pack(1), b"x").unwrap();
        // It may have a file open for the next object.
        drop(store);
        disk.make_read_only();
        let store = SftpStore::open(options).unwrap();
        assert_eq!(kind_of(store.create(&pack(2), b"y")), ErrorKind::NotPermitted);
        assert_eq!(kind_of(store.remove(&pack(1))), ErrorKind::NotPermitted);
        assert_eq!(store.read(&pack(1)).unwrap(), b"x");
    };
    let server = OpenSsh::start();
    let disk = SmallDisk::mount(server.path("files/disk"));
    check(server.options("disk/r"), &disk);
    let server = Proftpd::start();
    let disk = SmallDisk::mount(server.path("files/disk"));
    check(server.options("disk/r"), &disk);
}

/// An account that may only read, as hosters offer it.
#[test]
fn an_account_that_may_only_read_reads() {
    let writing = OpenSsh::start();
    let store = SftpStore::open_or_make(writing.options("r")).unwrap();
    store.create(&pack(1), b"x").unwrap();
    let reading = OpenSsh::start_with("ForceCommand internal-sftp -R");
    let path = writing.path("files/r").to_str().unwrap().to_owned();
    let store = SftpStore::open(reading.options(&path)).unwrap();
    assert_eq!(store.read(&pack(1)).unwrap(), b"x");
    assert_eq!(kind_of(store.create(&pack(2), b"y")), ErrorKind::NotPermitted);
    assert_eq!(kind_of(store.remove(&pack(1))), ErrorKind::NotPermitted);
    let made = SftpStore::open_or_make(reading.options(&format!("{path}/new")));
    assert_eq!(made.err().unwrap().kind, ErrorKind::NotPermitted);
}
