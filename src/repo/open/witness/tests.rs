use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::file::COPIES_MAX;
use super::*;

const HERE: &str = "/mnt/disk";

fn identity(fingerprint: u8, config: u64) -> RepositoryIdentity<'static> {
    RepositoryIdentity {
        repository: RepositoryId([fingerprint; 16]),
        fingerprint: [fingerprint; 32],
        config,
        slot: "5107",
    }
}

fn open(dir: &Path, accept: Accept) -> Witness {
    Witness::open(Some(dir), HERE, accept)
}

fn compare(witness: &Witness, highest: u64) -> Result<()> {
    Witness::compare_generation(HERE, witness.generation(), highest)
}

/// Goal: the next process knows what one process saw, but only of the same place.
#[test]
fn what_was_seen_is_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path(), Accept::default());
    assert!(!first.knows());
    first.admit(&identity(1, 3)).unwrap();
    first.saw_generation(7);
    first.took_back(&[9; 32]);
    let next = open(dir.path(), Accept::default());
    assert!(
        next.knows()
            && next.trouble().is_none()
            && next.has_taken_back(&[9; 32])
            && !next.has_taken_back(&[8; 32])
    );
    assert_eq!(next.last_slot().as_deref(), Some("5107"));
    assert!(matches!(compare(&next, 6), Err(Error::RolledBack { .. })));
    compare(&next, 7).unwrap();
    assert!(matches!(next.admit(&identity(1, 2)), Err(Error::RolledBack { .. })));
    assert!(matches!(next.admit(&identity(2, 3)), Err(Error::AnotherRepository { .. })));
    assert!(!Witness::open(Some(dir.path()), "/mnt/other", Accept::default()).knows());
    let accept = Accept { new_repository: true, rollback: false };
    open(dir.path(), accept).admit(&identity(2, 1)).unwrap();
    let after = open(dir.path(), Accept::default());
    after.admit(&identity(2, 1)).unwrap();
    compare(&after, 0).unwrap();
}

#[test]
fn copies_are_remembered_apart_up_to_a_number() {
    let dir = tempfile::tempdir().unwrap();
    let witness = open(dir.path(), Accept::default());
    witness.admit(&identity(1, 1)).unwrap();
    witness.saw_generation(5);
    assert_eq!((witness.add_copy(), witness.copies().len()), (1, 2));
    compare(&witness, 0).unwrap();
    witness.use_copy(0);
    assert!(compare(&open(dir.path(), Accept::default()), 4).is_err());
    let last = (0..2 * COPIES_MAX).map(|_| witness.add_copy()).max();
    assert_eq!((witness.copies().len(), Some(witness.copy())), (COPIES_MAX, last));
}

/// Goal: a file that is damaged, or that others may have written, is ignored and reported.
#[test]
fn what_cannot_be_trusted_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let witness = open(dir.path(), Accept::default());
    witness.admit(&identity(1, 1)).unwrap();
    let places = dir.path().join(PLACES);
    fs::set_permissions(&places, fs::Permissions::from_mode(0o777)).unwrap();
    let foreign = open(dir.path(), Accept::default());
    assert!(!foreign.knows() && foreign.trouble().is_some());
    fs::set_permissions(&places, fs::Permissions::from_mode(0o700)).unwrap();
    let file = fs::read_dir(&places).unwrap().next().unwrap().unwrap().path().join(FILE);
    fs::write(&file, "{").unwrap();
    let broken = open(dir.path(), Accept::default());
    assert!(!broken.knows() && broken.trouble().is_some() && broken.trouble().is_none());
    let nowhere = Witness::open(Some(&file), HERE, Accept::default());
    nowhere.admit(&identity(1, 1)).unwrap();
    assert!(nowhere.trouble().is_some(), "a file is no folder");
}

/// Returns the file with the memory of the only place.
fn file_in(dir: &Path) -> PathBuf {
    fs::read_dir(dir.join(PLACES)).unwrap().next().unwrap().unwrap().path().join(FILE)
}

/// Goal: a file that cannot be read now, or by this version, is not overwritten, because it may be
/// readable later.
#[test]
fn what_cannot_be_read_is_not_written_over() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path(), Accept::default()).admit(&identity(1, 3)).unwrap();
    let file = file_in(dir.path());
    let good = fs::read_to_string(&file).unwrap();
    let learns = |witness: &Witness| {
        witness.admit(&identity(1, 3)).unwrap();
        witness.saw_generation(4);
        assert!(witness.trouble().is_some() && witness.generation() == 4);
        assert!(
            matches!(compare(witness, 3), Err(Error::RolledBack { .. })),
            "this process goes on to know it"
        );
    };
    let newer = r#"{"form": 2, "more": "than we know"}"#;
    fs::write(&file, newer).unwrap();
    learns(&open(dir.path(), Accept::default()));
    assert_eq!(fs::read_to_string(&file).unwrap(), newer);
    // A directory in its place simulates a failing disk. No file could replace it, so the file is
    // put back before the change.
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let blind = open(dir.path(), Accept::default());
    fs::remove_dir(&file).unwrap();
    fs::write(&file, &good).unwrap();
    learns(&blind);
    assert_eq!(fs::read_to_string(&file).unwrap(), good);
    // Reading fails after the memory was opened.
    let witness = open(dir.path(), Accept::default());
    fs::write(&file, newer).unwrap();
    learns(&witness);
    fs::write(&file, &good).unwrap();
    witness.saw_generation(5);
    assert_eq!((fs::read_to_string(&file).unwrap(), witness.generation()), (good, 5));
}

#[test]
fn a_damaged_file_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path(), Accept::default()).admit(&identity(1, 3)).unwrap();
    let file = file_in(dir.path());
    for damaged in ["", "{", "\0\0", "{\"form\": 1}", "[1]"] {
        fs::write(&file, damaged).unwrap();
        let witness = open(dir.path(), Accept::default());
        assert_eq!(fs::read_to_string(&file).unwrap(), damaged, "looking changes nothing");
        witness.admit(&identity(1, 3)).unwrap();
        assert!(
            witness
                .trouble()
                .is_some_and(|(_, why)| why.to_string().contains("memory.json.broken")),
            "{damaged}"
        );
        assert_eq!(fs::read_to_string(file.with_extension("json.broken")).unwrap(), damaged);
        let next = open(dir.path(), Accept::default());
        assert!(next.knows() && next.trouble().is_none() && next.config() == 3, "{damaged}");
    }
}

/// Goal: processes that change the memory at the same time lose nothing of each other's changes.
#[test]
fn what_several_learn_at_once_is_all_remembered() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path(), Accept::default()).admit(&identity(1, 1)).unwrap();
    let witnesses: Vec<Witness> = (0..4).map(|_| open(dir.path(), Accept::default())).collect();
    std::thread::scope(|scope| {
        for (number, witness) in (0u8..).zip(&witnesses) {
            scope.spawn(move || {
                for step in 0..25 {
                    witness.took_back(&[25 * number + step; 32]);
                    witness.saw_generation(u64::from(25 * number + step));
                }
            });
        }
    });
    let after = open(dir.path(), Accept::default());
    assert!((0..100).all(|hash| after.has_taken_back(&[hash; 32])));
    assert!(compare(&after, 98).is_err());
}

/// Goal: a process keeps its copy even if another process uses another one, and does not overwrite
/// another repository's memory.
#[test]
fn a_process_changes_what_is_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path(), Accept::default());
    first.admit(&identity(1, 1)).unwrap();
    let second = open(dir.path(), Accept::default());
    second.admit(&identity(1, 1)).unwrap();
    assert_eq!(second.add_copy(), 1);
    first.saw_generation(5);
    second.saw_generation(3);
    assert_eq!((first.copy(), second.copy()), (0, 1));
    let next = open(dir.path(), Accept::default());
    assert!(next.copy() == 1 && compare(&next, 2).is_err());
    compare(&next, 3).unwrap();
    next.use_copy(0);
    assert!(compare(&next, 4).is_err());
    let accept = Accept { new_repository: true, rollback: false };
    open(dir.path(), accept).admit(&identity(2, 1)).unwrap();
    first.saw_generation(9);
    let after = open(dir.path(), Accept::default());
    after.admit(&identity(2, 1)).unwrap();
    compare(&after, 0).unwrap();
}
