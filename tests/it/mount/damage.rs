//! Damaged repositories, mounted: damage is an error where it is, and nowhere else.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::support::fixture::noise;
use crate::support::home::Home;
use crate::support::mount::{Mount, read, wait_for};

const EIO: i32 = 5;
const ESTALE: i32 = 116;

fn packs(home: &Home, class: &str) -> Vec<PathBuf> {
    let mut packs: Vec<(u64, PathBuf)> = home
        .tree(&format!("repo/{class}"))
        .into_iter()
        .map(|(name, bytes)| (bytes.len() as u64, home.path(&format!("repo/{class}/{name}"))))
        .collect();
    packs.sort();
    packs.into_iter().map(|(_, path)| path).collect()
}

/// Flips a byte of a file in the repository.
fn flip(path: &PathBuf, at: u64) {
    let mut permissions = fs::metadata(path).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o600);
    fs::set_permissions(path, permissions).unwrap();
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x40], at).unwrap();
}

#[test]
fn damage_is_an_error_where_it_is_and_nowhere_else() {
    let home = Home::with_repository();
    let content = noise(1, 12 << 20);
    home.write("src/file", &content);
    home.write("src/other", noise(2, 100_000));
    home.run(["backup", "src"]).ok();
    let largest = packs(&home, "data").pop().unwrap();
    flip(&largest, fs::metadata(&largest).unwrap().len() / 2);
    let mount = Mount::new(&home);
    let file = File::open(mount.latest(&home.path("src/file"))).unwrap();
    let mut lost = Vec::new();
    for at in (0..content.len()).step_by(4096) {
        let mut page = [0; 4096];
        match file.read_exact_at(&mut page, at as u64) {
            Ok(()) => assert!(page[..] == content[at..at + 4096], "wrong bytes at {at}"),
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(EIO));
                lost.push(at);
            }
        }
    }
    assert!(!lost.is_empty() && lost.len() * 4096 < 4 << 20, "{} pages cannot be read", lost.len());
    let whole = lost[0] + lost.len() * 4096 == lost[lost.len() - 1] + 4096;
    assert!(whole, "one piece is lost");
    assert_eq!(read(&mount.latest(&home.path("src/other"))).unwrap(), noise(2, 100_000));
    let said = mount.end();
    assert_eq!(said.code, 4);
    let lines: Vec<&str> = said.err.lines().filter(|line| line.contains("src/file")).collect();
    assert!(
        lines.len() == 1 && lines[0].starts_with("warning: ") && lines[0].contains("damaged"),
        "told once: {}",
        said.err
    );
}

#[test]
fn damaged_folders_leave_the_others_alone() {
    let home = Home::with_repository();
    home.make_source();
    home.run(["backup", "src"]).ok();
    home.write("src/more", "more");
    home.run(["backup", "src"]).ok();
    // The pack of the second snapshot's folders.
    let cache = home.path(".cache");
    let newest = packs(&home, "meta")
        .into_iter()
        .max_by_key(|path| fs::metadata(path).unwrap().modified().unwrap())
        .unwrap();
    // Behind the header of 128 bytes stands the only segment.
    flip(&newest, 220);
    fs::remove_dir_all(cache).unwrap();
    let mount = Mount::new(&home);
    let listed = fs::read_dir(mount.latest(&home.path("src")))
        .and_then(|mut entries| entries.next().transpose());
    assert_eq!(listed.unwrap_err().raw_os_error(), Some(EIO));
    let listed = home.json(["snapshots"]);
    let first = listed["snapshots"][0]["id"].as_str().unwrap().to_owned();
    let inside = home.path("src/a.txt");
    assert_eq!(
        read(&mount.dir.join("by-id").join(first).join(inside.strip_prefix("/").unwrap())).unwrap(),
        b"alpha\n"
    );
    assert_eq!(mount.end().code, 4);
}

#[test]
fn what_was_out_of_reach_is_read_when_it_is_back() {
    let home = Home::with_repository();
    home.write("src/one", noise(1, 3 << 20));
    home.write("src/two", noise(2, 3 << 20));
    home.run(["backup", "src"]).ok();
    let mount = Mount::new(&home);
    let two = mount.latest(&home.path("src/two"));
    assert!(read(&mount.latest(&home.path("src/one"))).is_ok());
    assert!(two.exists());
    fs::rename(home.path("repo/data"), home.path("away")).unwrap();
    assert_eq!(read(&two).unwrap_err().raw_os_error(), Some(EIO));
    fs::rename(home.path("away"), home.path("repo/data")).unwrap();
    wait_for("it can be read again", || read(&two).is_ok_and(|bytes| bytes == noise(2, 3 << 20)));
    assert_eq!(mount.end().code, 4, "what was missing once is told at the end too");
}

#[test]
fn what_was_forgotten_and_removed_is_stale() {
    let home = Home::with_repository();
    home.write("src/gone", noise(1, 3 << 20));
    home.run(["backup", "src"]).ok();
    fs::rename(home.path("src/gone"), home.path("elsewhere")).unwrap();
    home.write("src/stays", noise(2, 2 << 20));
    home.run(["backup", "src"]).ok();
    let mount = Mount::new(&home);
    let listed = home.json(["snapshots"]);
    let first = listed["snapshots"][0]["id"].as_str().unwrap().to_owned();
    let inside = home.path("src/gone");
    let folder = mount.dir.join("by-id").join(&first);
    let open = File::open(folder.join(inside.strip_prefix("/").unwrap())).unwrap();
    home.run(["forget", &first, "--force"]).ok();
    home.run(["prune", "--trash", "0d", "--max-unused", "0"]).ok();
    wait_for("the snapshot is no longer listed", || !folder.exists());
    let error = open.read_at(&mut [0; 100], 1 << 20).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(ESTALE));
    assert_eq!(
        read(&mount.latest(&home.path("src/stays"))).unwrap(),
        noise(2, 2 << 20),
        "and what is moved is found"
    );
}
