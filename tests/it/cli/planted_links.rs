//! Goal: who can write to the repository's folder or to the cache cannot make the program touch
//! anything elsewhere. Method: links in every place that the program makes, to a folder with old
//! files that look like anything.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::support::home::Home;

/// Commands that read, write and remove as much as there is.
const COMMANDS: [&[&str]; 6] = [
    &["backup", "src"],
    &["snapshots"],
    &["restore", "latest", "-t", "back"],
    &["forget", "--keep-last", "1"],
    &["prune"],
    &["check", "--level", "full"],
];

/// Makes a folder with files of several kinds of names, all a week old, and returns them.
fn victim(home: &Home) -> Vec<String> {
    let week_ago = SystemTime::now() - Duration::from_secs(7 * 24 * 3600);
    let hex = "0123456789abcdef".repeat(4);
    let names = [
        "passwd".to_owned(),
        "fstab.bak".to_owned(),
        hex[..32].to_owned(),
        format!("aa/{hex}"),
        hex,
        "0/1".to_owned(),
    ];
    for name in &names {
        home.write(&format!("victim/{name}"), "precious");
        fs::File::open(home.path(&format!("victim/{name}")))
            .unwrap()
            .set_modified(week_ago)
            .unwrap();
    }
    names.to_vec()
}

fn is_whole(home: &Home, names: &[String], after: &str) {
    for name in names {
        assert_eq!(
            fs::read(home.path(&format!("victim/{name}"))).ok().as_deref(),
            Some(&b"precious"[..]),
            "{name}, after {after}"
        );
    }
    let count = |below: &str| fs::read_dir(home.path(below)).unwrap().count();
    assert_eq!(
        (count("victim"), count("victim/aa"), count("victim/0")),
        (6, 1, 1),
        "something was made there by {after}"
    );
}

/// Puts a link to the victim in the place of a folder, and keeps what was there beside it.
fn link(home: &Home, place: &Path) {
    let _ = fs::rename(place, place.with_extension("kept"));
    symlink(home.path("victim"), place).unwrap();
}

fn unlink(place: &Path) {
    fs::remove_file(place).unwrap();
    let _ = fs::rename(place.with_extension("kept"), place);
}

#[test]
fn links_in_the_folder_of_a_repository_are_not_followed() {
    let home = Home::with_repository();
    home.write("src/a", "one");
    home.run(["backup", "src"]).ok();
    let names = victim(&home);
    for class in ["config", "keys", "data", "meta", "index", "intents", "snapshots", "gc", "probe"]
    {
        let place = home.path(&format!("repo/{class}"));
        link(&home, &place);
        for command in COMMANDS {
            home.write("src/a", format!("{class} {command:?}"));
            home.run(command);
            is_whole(&home, &names, &format!("{command:?} with {class}"));
        }
        unlink(&place);
    }
    link(&home, &home.path("repo/probe"));
    let ran = home.run(["prune"]).code(1);
    assert!(ran.err.contains("a symbolic link is in the way"), "{}", ran.err);
    unlink(&home.path("repo/probe"));
    home.run(["check"]).ok();
}

#[test]
fn links_in_the_cache_are_not_followed() {
    let home = Home::with_repository();
    home.write("src/a", "one");
    home.run(["backup", "src"]).ok();
    home.run(["restore", "latest", "-t", "before"]).ok();
    let names = victim(&home);
    let cache = home.path(".cache/drumlin");
    let mut folders = fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path());
    let folder = folders.find(|path| path.join("index").exists()).expect("there is a cache");
    let groups: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(groups.len() > 3, "{groups:?}");
    for place in groups.iter().chain([&folder.join("tombstones"), &folder.join("tail"), &folder]) {
        link(&home, place);
        for command in COMMANDS {
            home.write("src/a", format!("{place:?} {command:?}"));
            home.run(command);
            is_whole(&home, &names, &format!("{command:?} with {place:?}"));
        }
        unlink(place);
    }
}

/// Such a folder may be full of what others put there: it is not used, and the error says why and
/// what to do.
#[test]
fn a_cache_that_others_may_write_to_is_refused() {
    let home = Home::with_repository();
    home.write("src/a", "one");
    home.run(["backup", "src"]).ok();
    for mode in [0o777, 0o770] {
        let cache = home.path(&format!("cache-{mode:o}"));
        fs::create_dir(&cache).unwrap();
        fs::set_permissions(&cache, fs::Permissions::from_mode(mode)).unwrap();
        for command in
            [&["snapshots"][..], &["restore", "latest", "-t", "back"], &["backup", "src"]]
        {
            let ran =
                home.run(command.iter().copied().chain(["--cache-dir", cache.to_str().unwrap()]));
            ran.fails(1, "others may write to it", "--cache-dir");
        }
        assert_eq!(fs::read_dir(&cache).unwrap().count(), 0);
    }
}
