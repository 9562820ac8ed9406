//! Folders above the snapshots: by id, time, app and host.

use std::fs;
use std::path::Path;

use crate::support::home::{Home, fields};
use crate::support::mount::{Mount, read, sh, wait_for};

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn snapshots_stand_by_id_time_app_and_host() {
    let home = Home::with_repository();
    home.write("src/a", "one");
    home.run(["backup", "src", "--host", "laptop"]).ok();
    home.write("src/a", "two, later");
    home.run(["backup", "src", "--host", "a/b", "--app", "wiki"]).ok();
    let mount = Mount::new(&home);
    assert_eq!(names(&mount.dir), ["by-app", "by-host", "by-id", "by-time", "latest"]);
    let ids = home.snapshot_ids();
    let mut sorted = ids.clone();
    sorted.sort();
    assert_eq!(names(&mount.dir.join("by-id")), sorted);
    assert_eq!(names(&mount.dir.join("by-host")), ["a_b", "laptop"]);
    assert_eq!(names(&mount.dir.join("by-app")), ["wiki"]);
    let times = names(&mount.dir.join("by-time"));
    assert_eq!(times.len(), 2);
    assert!(times.iter().all(|time| time.as_bytes()[10] == b'T' && time.len() >= 19), "{times:?}");
    let of_wiki = names(&mount.dir.join("by-app/wiki"));
    assert!(
        of_wiki.len() == 2
            && of_wiki[1] == "latest"
            && times.iter().any(|time| time.starts_with(&of_wiki[0])),
        "{of_wiki:?}"
    );
    let source = home.path("src/a");
    let inside = source.strip_prefix("/").unwrap();
    for (way, content) in [
        (format!("by-id/{}", ids[0]), "one"),
        (format!("by-id/{}", ids[1]), "two, later"),
        (format!("by-id/{}", &ids[0][..8]), "one"),
        ("by-host/laptop/latest".to_owned(), "one"),
        (format!("by-app/wiki/{}", of_wiki[0]), "two, later"),
        ("by-app/wiki/latest".to_owned(), "two, later"),
        ("latest".to_owned(), "two, later"),
    ] {
        assert_eq!(read(&mount.dir.join(&way).join(inside)).unwrap(), content.as_bytes(), "{way}");
    }
    for missing in ["by-id/00", "by-id/zzzz", "by-time/yesterday", "nothing"] {
        assert!(!mount.dir.join(missing).exists(), "{missing}");
    }
    sh(
        &mount.dir,
        "cd by-app/wiki/latest && test -d ..; stat -f . > /dev/null; find .. > /dev/null; ls -laR .. > /dev/null",
    );
}

#[test]
fn an_empty_repository_can_be_mounted_and_fills() {
    let home = Home::with_repository();
    let mount = Mount::new(&home);
    assert!(mount.said.contains("0 snapshots"), "{}", mount.said);
    assert_eq!(names(&mount.dir), ["by-app", "by-host", "by-id", "by-time"]);
    home.make_source();
    home.run(["backup", "src"]).ok();
    let shown = mount.latest(&home.path("src/a.txt"));
    wait_for("the first snapshot appears", || shown.exists());
    assert_eq!(read(&shown).unwrap(), b"alpha\n");
    home.write("src/a.txt", "a new content");
    home.run(["backup", "src"]).ok();
    wait_for("the second one is the latest", || {
        read(&shown).is_ok_and(|bytes| bytes == b"a new content")
    });
    let newest = home.snapshot_ids()[1].clone();
    home.run(["forget", &newest, "--force"]).ok();
    wait_for("what is forgotten vanishes", || !mount.dir.join("by-id").join(&newest).exists());
    wait_for("the first one is the latest again", || {
        read(&shown).is_ok_and(|bytes| bytes == b"alpha\n")
    });
}

#[test]
fn one_snapshot_or_one_folder_can_be_mounted() {
    let home = Home::with_repository();
    home.make_source();
    home.run(["backup", "src"]).ok();
    let id = home.snapshot_ids()[0].clone();
    let mount = Mount::with(&home, &["latest:src/sub"]);
    assert!(mount.said.contains(&format!("snapshot {}", &id[..8])), "{}", mount.said);
    assert_eq!(names(&mount.dir), ["b.txt", "c.tmp"]);
    assert_eq!(read(&mount.dir.join("c.tmp")).unwrap(), b"gamma\n");
    drop(mount);
    let mount = Mount::with(&home, &[&id]);
    let inside = mount.dir.join(home.path("src").strip_prefix("/").unwrap());
    assert_eq!(names(&inside), ["a.txt", "link", "sub"]);
    drop(mount);
    home.run(["mount", "mnt", "latest:src/a.txt"]).fails(
        1,
        "is not a folder",
        "mount the folder that it is in",
    );
    home.run(["mount", "mnt", "latest:src/none"]).fails(
        1,
        "there is no",
        "paths are stored absolute",
    );
    home.run(["mount", "mnt", "ffff"]).fails(
        1,
        "no snapshot matches",
        "`drumlin snapshots` lists them",
    );
}

#[test]
fn json_says_what_is_mounted_where() {
    let home = Home::with_repository();
    home.make_source();
    home.run(["backup", "src"]).ok();
    let mount = Mount::with(&home, &["--json"]);
    let document: serde_json::Value = serde_json::from_str(&mount.said).unwrap();
    assert_eq!(fields(&document), "mountpoint repository snapshots");
    assert_eq!(
        (&document["mountpoint"], &document["snapshots"]),
        (&home.text("mnt").into(), &1.into())
    );
    assert_eq!(mount.end().code, 0);
    let mount = Mount::with(&home, &["latest:src", "--json"]);
    let document: serde_json::Value = serde_json::from_str(&mount.said).unwrap();
    assert_eq!(fields(&document), "mountpoint path repository snapshot");
    assert_eq!(document["path"], home.text("src"));
    drop(mount);
    let mount = Mount::with(&home, &["-v"]);
    assert!(mount.said.starts_with("mounted 1 snapshot at "), "{}", mount.said);
}

#[test]
fn two_snapshots_of_one_second_have_two_names() {
    let home = Home::with_repository();
    home.write("src/a", "a");
    for _ in 0..4 {
        home.run(["backup", "src", "--always-snapshot"]).ok();
    }
    let mount = Mount::new(&home);
    assert_eq!(names(&mount.dir.join("by-time")).len(), 4);
}
