//! Goal: a repository works on file systems that can do little, loses nothing there, and is said to
//! replace objects. Method: a file system without links and exclusive renames, the suite of stores,
//! and the whole program.

use drumlin::repo::open::probe::probe;
use drumlin::store::local::LocalStore;
use drumlin::store::{Class, ErrorKind, Key, Store};

use crate::support::home::Home;
use crate::support::plain_disk::mount_plain_disk;

#[test]
fn a_store_without_links_replaces_objects_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = mount_plain_disk(&folder.path().join("disk")) else { return };
    let store = LocalStore::open_or_make(&disk.dir().join("r")).unwrap();
    // What is seen of the way that it must go is never half an object, nor a scratch file.
    let key = Key::new(Class::Data, format!("ab/{}", "ab".repeat(32)));
    let bytes: Vec<u8> = (0..300_000u32).map(|at| (at * 7) as u8).collect();
    store.create(&key, &bytes).unwrap();
    assert!(store.read(&key).unwrap() == bytes);
    assert_eq!(store.create(&key, b"other").unwrap_err().kind, ErrorKind::Exists);
    assert!(store.read(&key).unwrap() == bytes);
    assert_eq!(store.list(Class::Data, "").unwrap().len(), 1);
    assert_eq!(
        std::fs::read_dir(disk.dir().join("r/data/ab")).unwrap().count(),
        1,
        "something was left"
    );
    store.remove(&key).unwrap();
    assert_eq!(store.read(&key).unwrap_err().kind, ErrorKind::NotFound);
    assert!(store.has_create_race());
    assert!(
        !probe(&store).unwrap(),
        "it must not be taken for exclusive, however lucky the probe is"
    );
}

#[test]
fn a_repository_without_links_works() {
    let home =
        Home::new().with("DRUMLIN_KEY_FILE", "test.key").with("DRUMLIN_REPOSITORY", "disk/repo");
    let Some(disk) = mount_plain_disk(&home.path("disk")) else { return };
    let ran = home.run(["init"]).ok();
    assert!(
        ran.err.contains("replaces objects") || ran.out.contains("replaces objects"),
        "{}\n{}",
        ran.out,
        ran.err
    );
    for round in 0..3 {
        home.write("src/a", format!("{round}").repeat(50_000));
        home.run(["backup", "src"]).ok();
    }
    home.run(["forget", "--keep-last", "1", "--force"]).ok();
    home.run(["prune", "--only-collector"]).ok();
    home.run(["check", "--level", "full"]).ok();
    home.run(["restore", "latest", "-t", "back"]).ok();
    let file = format!("latest:{}", home.path("src/a").display());
    assert!(home.run(["cat", &file]).ok().out == "2".repeat(50_000));
    drop(disk);
}
