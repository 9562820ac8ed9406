//! Other file systems: those below a source, and one without room below the repository.
//!
//! File systems of a test's own need root or user namespaces (`unshare -rm`); what every machine
//! has is used where there is neither, so that something is tested everywhere.

use serde_json::json;

use crate::support::fixture::noise;
use crate::support::home::{Home, Ran};
use crate::support::needs::can_run;

/// A program in which mounting is permitted and harms nobody, if there can be one.
const OWN_MOUNTS: [&str; 2] = ["unshare", "-rm"];

fn may_mount() -> bool {
    Home::new().script(&OWN_MOUNTS, "mkdir m; mount -t tmpfs tmpfs m").code == 0
}

fn paths(ran: &Ran) -> Vec<String> {
    ran.json()["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["path"].as_str().unwrap().to_owned())
        .collect()
}

/// Asserts that of a snapshot with a file system mounted at `below` the content of that is there,
/// or only its folder.
fn assert_entered(home: &Home, listed: &Ran, below: &str, is_entered: bool) {
    let found = paths(listed);
    assert!(found.contains(&below.to_owned()), "the folder {below} is kept: {found:?}");
    let inside: Vec<_> =
        found.iter().filter(|path| path.starts_with(&format!("{below}/"))).collect();
    assert_eq!(!inside.is_empty(), is_entered, "{inside:?} in {}", home.text(""));
}

#[test]
fn other_file_systems_are_entered_unless_told_not_to() {
    // The next test needs no permission.
    if !can_run(may_mount(), "the permission to mount a file system") {
        return;
    }
    let home = Home::with_repository();
    home.write("src/a", "a");
    let script = "mkdir src/below; mount -t tmpfs tmpfs src/below; echo b > src/below/b
        \"$drumlin\" backup src $options > /dev/null; \"$drumlin\" ls -R latest:$PWD/src --json";
    let below = home.text("src/below");
    let listed = home.script(&OWN_MOUNTS, &format!("options=; {script}")).ok();
    assert_entered(&home, &listed, &below, true);
    std::fs::remove_dir(home.path("src/below")).unwrap();
    let listed = home.script(&OWN_MOUNTS, &format!("options=--one-file-system; {script}")).ok();
    assert_entered(&home, &listed, &below, false);
    assert!(
        listed.err.contains("src/below: not entered: it is another file system"),
        "{}",
        listed.err
    );
}

/// `/dev/shm` is a file system of its own on every Linux, and everybody may write there.
#[test]
fn one_file_system_without_any_privilege() {
    let home = Home::with_repository();
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    std::fs::write(folder.path().join("b"), "b").unwrap();
    let own = folder.path().to_str().unwrap();
    // Nothing else that lies in these folders is looked at.
    home.write("rules", format!("/dev/*\n!/dev/shm\n/dev/shm/*\n!{own}\n"));
    let backup = |options: &[&str]| {
        home.run([&["backup", "/dev", "--exclude-file", "rules"], options].concat()).ok();
        home.run(["ls", "-R", "latest:/dev", "--json"]).ok()
    };
    assert_entered(&home, &backup(&[]), "/dev/shm", true);
    // What lay there before is gone from this snapshot, on purpose.
    assert_entered(&home, &backup(&["-x", "--allow-empty"]), "/dev/shm", false);
}

/// What another user mounted by FUSE cannot even be looked at, by root neither; `-x` would not
/// enter it anyway.
#[test]
fn mounts_of_other_users_are_passed_over_with_one_file_system() {
    let home = Home::with_repository();
    let setup = "mkdir -p src/m real; echo a >src/a; echo b >real/b; chmod 755 .; chown -R 65534:65534 src/m real; mknod fuse c 10 229; chmod 666 fuse";
    let user = "setpriv --reuid=65534 --regid=65534 --clear-groups";
    // The program that serves it must not outlive the test.
    let mounted = |script: &str| {
        let undo = format!("trap '{user} fusermount3 -u src/m' EXIT");
        let mount = format!(
            "mount --bind fuse /dev/fuse; {user} bindfs --no-allow-other real src/m; {undo}"
        );
        home.script(&["unshare", "-m"], &format!("{mount}; {script}"))
    };
    let is_hidden =
        || mounted("seen=0; stat src/m >/dev/null 2>&1 && seen=1; test $seen = 0").code == 0;
    let is_possible = home.script(&[], setup).code == 0 && is_hidden();
    if !can_run(is_possible, "root, bindfs and mounts that root may not see") {
        return;
    }
    let backup = "$drumlin -q -r repo --key-file test.key backup --always-snapshot src";
    mounted(&format!("{backup} -x; {backup} -x")).ok();
    let listed = home.run(["ls", "-R", "latest", "--json"]).ok();
    assert!(paths(&listed).contains(&home.text("src/a")));
    assert_eq!(mounted(&format!("code=0; {backup} || code=$?; echo $code")).ok().out, "3\n");
}

/// A backup into a repository without room: says so, leaves a sound repository, and the next one
/// goes on from there.
fn assert_survives(wrapper: &[&str], prepare: &str, limit: &str) -> Ran {
    let home =
        Home::new().with("DRUMLIN_REPOSITORY", "disk/repo").with("DRUMLIN_KEY_FILE", "test.key");
    home.write("src/small", noise(1, 100_000));
    home.write("src/large", noise(2, 9_000_000));
    let script = format!(
        "mkdir disk; {prepare}
        \"$drumlin\" init -q
        \"$drumlin\" backup src/small -q
        set +e; ({limit} exec \"$drumlin\" backup src > out 2> err); echo $? > code; set -e
        find disk/repo -type f > left
        \"$drumlin\" check --level full -q
        \"$drumlin\" snapshots --json > snapshots
        rm src/large
        \"$drumlin\" backup src -q
        \"$drumlin\" restore latest:src/small --target restored -q
        \"$drumlin\" check --level full -q"
    );
    home.script(wrapper, &script).ok();
    let left = home.read("left");
    assert!(!left.contains("/."), "a half-written file was left: {left}");
    let snapshots: serde_json::Value = serde_json::from_str(&home.read("snapshots")).unwrap();
    assert_eq!(snapshots["snapshots"].as_array().unwrap().len(), 1);
    assert_eq!(
        json!(std::fs::read(home.path("restored/small")).unwrap()),
        json!(noise(1, 100_000))
    );
    Ran {
        code: home.read("code").trim().parse().unwrap(),
        out: home.read("out"),
        err: home.read("err"),
    }
}

#[test]
fn a_full_disk_is_said_and_survived() {
    // The next test needs no permission.
    if !can_run(may_mount(), "the permission to mount a file system") {
        return;
    }
    let ran = assert_survives(&OWN_MOUNTS, "mount -t tmpfs -o size=3m tmpfs disk", "");
    let ran = ran.fails(
        1,
        "the repository cannot be reached or used",
        "make room where the repository is",
    );
    assert!(
        ran.err.contains("caused by: cannot create ")
            && ran.err.contains("No space left on device"),
        "{}",
        ran.err
    );
}

/// A limit on the length of files stops a backup at the same place as a full disk, and needs no
/// privilege.
#[test]
fn a_file_that_cannot_grow_is_said_and_survived() {
    let ran = assert_survives(&["env"], "", "trap '' XFSZ; ulimit -f 2000;");
    let ran = ran.fails(1, "the repository cannot be reached or used", "");
    assert!(
        ran.err.contains("caused by: cannot create ") && ran.err.contains("File too large"),
        "{}",
        ran.err
    );
}

/// A mount of somebody else's that not even root may look at: a restore with `--delete` lets it be,
/// and is no failure for that.
///
/// Needs root, FUSE and bindfs.
#[test]
fn a_mount_of_another_user_is_spared_by_delete() {
    let home = Home::with_repository();
    home.write("src/a", "a");
    home.write("real/b", "b");
    home.run(["backup", "src"]).ok();
    let nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups";
    let mounted = format!(
        "chmod 755 .; mkdir -p src/m src/deep/m; chown -R 65534 src/m src/deep/m real
        mknod fuse c 10 229; chmod 666 fuse; mount --bind fuse /dev/fuse
        for at in src/m src/deep/m; do {nobody} bindfs --no-allow-other real $at; ! ls $at; done"
    );
    let script = |then: &str| {
        home.script(&["unshare", "-m"], &format!("({mounted}) > /dev/null 2>&1 || exit 99; {then}"))
    };
    let restore =
        "code=0; for more in --dry-run ''; do \"$drumlin\" restore latest:$PWD/src -t src --delete $more || code=$?; done
        umount -l src/m; umount -l src/deep/m; exit $code";
    let ran = script(restore);
    if !can_run(ran.code != 99, "root, bindfs and mounts that root may not see") {
        return;
    }
    let ran = ran.ok();
    for path in ["src/m", "src/deep/m"] {
        let says = format!(
            "{}: not removed: another user's file system is mounted on it",
            home.text(path)
        );
        assert_eq!(ran.err.matches(&says).count(), 2, "{}", ran.err);
    }
    assert!(
        home.path("src/m").exists()
            && home.path("src/deep/m").exists()
            && home.path("src/a").exists()
    );
    assert_eq!(home.read("real/b"), "b");
}
