//! Begin and end of a mount: signals, unmounting, errors, permission for others.

use std::fs::{self, File};
use std::process::Command;

use rustix::process::Signal;

use crate::support::home::Home;
use crate::support::mount::{Mount, is_mounted, read, sh, wait_for};
use crate::support::needs::{can_run, is_root};

fn furnished() -> Home {
    let home = Home::with_repository();
    home.make_source();
    home.run(["backup", "src"]).ok();
    home
}

#[test]
fn signals_unmount_and_end_with_0() {
    let home = furnished();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut mount = Mount::new(&home);
        assert!(mount.is_mounted() && mount.latest(&home.path("src/a.txt")).exists());
        mount.signal(signal);
        let ran = mount.wait();
        assert_eq!((ran.code, ran.err.as_str()), (0, ""));
        assert!(!mount.is_mounted());
    }
}

#[test]
fn whoever_unmounts_ends_the_program() {
    let home = furnished();
    for command in ["fusermount3 -u mnt", "umount mnt"] {
        if command.starts_with("umount") && !can_run(is_root(), "root, to call umount") {
            continue;
        }
        let mut mount = Mount::new(&home);
        sh(&home.path(""), command);
        let ran = mount.wait();
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{command}");
    }
}

#[test]
fn what_is_in_use_is_taken_away_with_a_word() {
    let home = furnished();
    let mut mount = Mount::new(&home);
    let open = File::open(mount.latest(&home.path("src/a.txt"))).unwrap();
    mount.signal(Signal::INT);
    let ran = mount.wait();
    assert_eq!(ran.code, 0);
    assert!(ran.err.contains("warning: ") && ran.err.contains("still in use"), "{}", ran.err);
    assert!(!mount.is_mounted());
    drop(open);
    // The folder can be used again at once.
    let again = Mount::new(&home);
    assert_eq!(read(&again.latest(&home.path("src/a.txt"))).unwrap(), b"alpha\n");
}

#[test]
fn the_folder_must_be_there_and_empty() {
    let home = furnished();
    home.run(["mount", "none"]).fails(1, "there is no such folder", "make an empty folder");
    home.run(["mount", "src"]).fails(1, "the folder is not empty", "make an empty folder");
    home.run(["mount", "src/a.txt"]).fails(1, "it is not a folder", "make an empty folder");
    let mount = Mount::new(&home);
    home.run(["mount", "mnt"]).fails(1, "the folder is not empty", "make an empty folder");
    assert!(mount.is_mounted());
}

#[test]
fn a_mount_whose_program_was_killed_is_named() {
    let home = furnished();
    let mut mount = Mount::new(&home);
    mount.signal(Signal::KILL);
    mount.wait();
    // The program may be gone before the kernel has noticed.
    wait_for("the mount is dead", || fs::read_dir(&mount.dir).is_err());
    home.run(["mount", "mnt"]).fails(1, "is still mounted, but the program", "fusermount3 -u DIR");
    sh(&home.path(""), "fusermount3 -u mnt");
    assert!(!is_mounted(&mount.dir));
}

#[test]
fn without_the_device_the_error_says_what_to_do() {
    let home = furnished();
    fs::create_dir(home.path("mnt")).unwrap();
    let own = ["unshare", "-rm"];
    // A machine that permits no namespaces cannot hide its device either.
    let hidden = home.script(&own, "mount -t tmpfs tmpfs /dev; exec \"$drumlin\" mount mnt");
    if hidden.err.contains("unshare") {
        assert!(!is_root(), "root can always: {}", hidden.err);
        assert!(!can_run(false, "user namespaces"));
        return;
    }
    hidden.fails(1, "this system has no /dev/fuse", "--device /dev/fuse");
    home.run(["mount", "mnt"].into_iter().chain(["--cache-memory", "much"])).code(2);
}

#[test]
fn others_are_let_in_only_when_they_may() {
    let home = furnished();
    if !can_run(is_root(), "root, to be another user") {
        return;
    }
    let nobody = |path: &std::path::Path| {
        let output = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--", "ls"])
            .arg(path)
            .output();
        output.unwrap().status.success()
    };
    sh(&home.path(""), "chmod 755 . && chmod -R go+rX src");
    home.run(["backup", "src"]).ok();
    let mount = Mount::new(&home);
    assert!(!nobody(&mount.dir));
    drop(mount);
    let mount = Mount::with(&home, &["--allow-other"]);
    assert!(nobody(&mount.dir));
}
