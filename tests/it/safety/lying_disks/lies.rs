//! Lies of a file system, one test each.

use std::path::Path;

use drumlin::backup::BackupOptions;
use drumlin::browse;
use drumlin::format::snapshot::Snapshot;
use drumlin::monitor::{Monitor, Problem, ProblemKind};

use super::{Liar, Node, Seek};
use crate::support::fixture::{TestRepo, let_time_pass, noise, options};

const EIO: i32 = 5;
const EINVAL: i32 = 22;
const EOPNOTSUPP: i32 = 95;

/// A repository and a lying file system, mounted beside its source.
struct Lab {
    repo: TestRepo,
    liar: Liar,
}

impl Lab {
    fn new() -> Option<Self> {
        let repo = TestRepo::new();
        let liar = Liar::mount(&repo.scratch.path().join("lying"))?;
        Some(Self { repo, liar })
    }

    /// Backs up in a process of its own, as far as notes are concerned.
    fn backup(&mut self) -> (Snapshot, u64, Vec<Problem>) {
        let_time_pass();
        self.repo.reopen();
        let options = BackupOptions {
            always_snapshot: true,
            ..options(&[self.liar.dir().to_owned()], "host")
        };
        let (report, monitor) = self.repo.backup_with(options).unwrap();
        let problems = monitor
            .problems()
            .into_iter()
            .filter(|problem| problem.kind != ProblemKind::Notice)
            .collect();
        (report.snapshot.unwrap(), report.stats.bytes_read, problems)
    }

    /// Returns a file's content in a snapshot, `None` if it is not there.
    fn stored(&self, snapshot: &Snapshot, path: &str) -> Option<Vec<u8>> {
        let trees = self.repo.trees();
        let path = self.liar.dir().join(path).into_os_string().into_encoded_bytes();
        let entry = trees.lookup(&snapshot.root, &path).unwrap()?;
        let place = browse::ResolvedPath {
            path,
            tree: None,
            totals: Default::default(),
            entry: Some(entry),
        };
        let mut bytes = Vec::new();
        browse::cat(&trees, &place, &mut bytes, &Monitor::default()).unwrap();
        Some(bytes)
    }

    fn group(&self, snapshot: &Snapshot, path: &str) -> u64 {
        let path = self.liar.dir().join(path);
        let entry = self
            .repo
            .trees()
            .lookup(&snapshot.root, path.as_os_str().as_encoded_bytes())
            .unwrap()
            .unwrap();
        entry.entry.hard_link.unwrap()
    }
}

fn names(problems: &[Problem], path: &Path) -> Vec<ProblemKind> {
    let path = path.as_os_str().as_encoded_bytes();
    problems.iter().filter(|problem| problem.path == path).map(|problem| problem.kind).collect()
}

#[test]
fn no_answer_about_holes_turns_data_into_zeros() {
    let Some(mut lab) = Lab::new() else { return };
    let mut content = noise(1, 3 << 20);
    content[1 << 20..(1 << 20) + 700_000].fill(0);
    content.extend(noise(2, 5000));
    let answers = [
        Seek::Honest,
        Seek::NoData,
        Seek::Fails(EIO),
        Seek::Fails(EINVAL),
        Seek::Fails(EOPNOTSUPP),
        Seek::Stuck,
        Seek::Backwards,
    ];
    for (at, seek) in answers.into_iter().enumerate() {
        for blocks in [0, 2000] {
            lab.liar.put(&format!("f{at}-{blocks}"), Node { seek, blocks, ..Node::file(&content) });
        }
    }
    // No data at all: a hole that is read.
    lab.liar.put("zeros", Node { seek: Seek::Stuck, blocks: 0, ..Node::file(&vec![0; 5 << 20]) });
    let (snapshot, _, problems) = lab.backup();
    assert!(problems.is_empty(), "{problems:?}");
    for at in 0..answers.len() {
        for blocks in [0, 2000] {
            let name = format!("f{at}-{blocks}");
            assert!(lab.stored(&snapshot, &name).unwrap() == content, "{name}");
        }
    }
    assert!(lab.stored(&snapshot, "zeros").unwrap() == vec![0; 5 << 20]);
    // What was zero is stored as a hole all the same: all files are one in the repository, without
    // 700,000 zeros.
    assert!(snapshot.stats.bytes_new_raw < content.len() as u64 - 600_000, "{:?}", snapshot.stats);
}

#[test]
fn files_with_one_number_keep_their_own_content() {
    let Some(mut lab) = Lab::new() else { return };
    let linked = |content: &[u8]| Node { inode: 77, links: 2, ..Node::file(content) };
    // Two files with two names each; even length and times are the same.
    for (path, content) in [
        ("d1/a", "disk one"),
        ("d1/a too", "disk one"),
        ("d2/b", "disk two"),
        ("d2/b too", "disk two"),
    ] {
        lab.liar.put(path, linked(content.as_bytes()));
    }
    let (first, ..) = lab.backup();
    let read = |lab: &Lab, snapshot: &Snapshot| {
        for (path, content) in [
            ("d1/a", "disk one"),
            ("d1/a too", "disk one"),
            ("d2/b", "disk two"),
            ("d2/b too", "disk two"),
        ] {
            assert_eq!(lab.stored(snapshot, path).unwrap(), content.as_bytes(), "{path}");
        }
        assert_eq!(lab.group(snapshot, "d1/a"), lab.group(snapshot, "d1/a too"));
        assert_eq!(lab.group(snapshot, "d2/b"), lab.group(snapshot, "d2/b too"));
        assert_ne!(lab.group(snapshot, "d1/a"), lab.group(snapshot, "d2/b"));
    };
    read(&lab, &first);
    // Something else changes in one of the folders: the groups stay apart.
    lab.liar.put("d2/new", Node { seconds: 1_500_000_001, ..Node::file(b"new") });
    let (second, bytes_read, _) = lab.backup();
    read(&lab, &second);
    assert_eq!(bytes_read, 3, "only what is new is read");
}

#[test]
fn files_and_folders_that_change_places_are_seen_without_any_change_of_time() {
    let Some(mut lab) = Lab::new() else { return };
    for (path, content, inode) in [
        ("a", "1", 101),
        ("b", "2", 102),
        ("x/in/f", "3", 103),
        ("y/in/f", "4", 104),
        ("x/in/g", "5", 105),
        ("y/in/g", "6", 106),
    ] {
        lab.liar.put(path, Node { inode, ..Node::file(content.as_bytes()) });
    }
    for (at, folder) in ["x", "x/in", "y", "y/in"].into_iter().enumerate() {
        lab.liar.tree().get_mut(folder).unwrap().inode = 200 + at as u64;
    }
    let check = |lab: &Lab, snapshot: &Snapshot, expected: [&str; 6]| {
        for (path, content) in
            ["a", "b", "x/in/f", "y/in/f", "x/in/g", "y/in/g"].into_iter().zip(expected)
        {
            assert_eq!(lab.stored(snapshot, path).unwrap(), content.as_bytes(), "{path}");
        }
    };
    let (first, ..) = lab.backup();
    check(&lab, &first, ["1", "2", "3", "4", "5", "6"]);
    let (_, bytes_read, _) = lab.backup();
    assert_eq!(bytes_read, 0, "nothing changed");
    lab.liar.swap("a", "b");
    let (second, ..) = lab.backup();
    check(&lab, &second, ["2", "1", "3", "4", "5", "6"]);
    lab.liar.swap("x", "y");
    let (third, ..) = lab.backup();
    check(&lab, &third, ["2", "1", "4", "3", "6", "5"]);
    lab.liar.swap("x/in", "y/in");
    let (fourth, bytes_read, _) = lab.backup();
    check(&lab, &fourth, ["2", "1", "3", "4", "5", "6"]);
    assert_eq!(bytes_read, 4, "what did not move is not read");
}

#[test]
fn numbers_that_are_new_after_each_mount_cost_reading_and_nothing_else() {
    let Some(mut lab) = Lab::new() else { return };
    lab.liar.put("d/f", Node { inode: 300, ..Node::file(b"content") });
    lab.liar.put("d/g", Node { inode: 301, ..Node::file(b"the rest") });
    let (first, ..) = lab.backup();
    lab.liar.tree().get_mut("d/f").unwrap().inode = 400;
    lab.liar.tree().get_mut("d/g").unwrap().inode = 401;
    let (second, bytes_read, problems) = lab.backup();
    assert!(bytes_read == 15 && problems.is_empty(), "{bytes_read} bytes, {problems:?}");
    assert_eq!(first.root, second.root);
    // Who knows that does without the numbers.
    lab.liar.tree().get_mut("d/f").unwrap().inode = 500;
    lab.repo.reopen();
    let options =
        BackupOptions { ignore_inodes: true, ..options(&[lab.liar.dir().to_owned()], "host") };
    let report = lab.repo.backup_with(options).unwrap().0;
    assert!(report.snapshot.is_none() && report.stats.bytes_read == 0, "{:?}", report.stats);
}

#[test]
fn files_are_read_to_their_real_end_or_named() {
    let Some(mut lab) = Lab::new() else { return };
    let large = noise(3, 2 << 20);
    for (path, content, len) in [
        ("empty said, short", &large[..40], 0),
        ("empty said, long", &large[..], 0),
        ("too short", &large[..5000], 3000),
        ("too long", &large[..5000], 7000),
        ("much too long", &large[..], 5 << 20),
        ("empty", &[][..], 0),
    ] {
        lab.liar.put(path, Node { len, ..Node::file(content) });
    }
    let (snapshot, _, problems) = lab.backup();
    for (path, content) in [
        ("empty said, short", &large[..40]),
        ("empty said, long", &large[..]),
        ("too short", &large[..5000]),
        ("too long", &large[..5000]),
        ("much too long", &large[..]),
        ("empty", &[][..]),
    ] {
        assert!(lab.stored(&snapshot, path).unwrap() == content, "{path}");
        // Those of the kernel say 0 and mean nothing by it; any other length that is not true is
        // told.
        let is_told = path.contains("too");
        assert_eq!(
            !names(&problems, &lab.liar.dir().join(path)).is_empty(),
            is_told,
            "{path}: {problems:?}"
        );
    }
    // Stamps prove nothing of a file whose length does not fit: it is read again.
    lab.liar.tree().get_mut("empty said, short").unwrap().content = Some(b"other".to_vec());
    let (snapshot, ..) = lab.backup();
    assert_eq!(lab.stored(&snapshot, "empty said, short").unwrap(), b"other");
}

#[test]
fn what_is_busy_is_read_later_and_what_fails_is_named() {
    let Some(mut lab) = Lab::new() else { return };
    let content = noise(4, 3 << 20);
    lab.liar.put("busy", Node { busy: 3, ..Node::file(b"at last") });
    lab.liar.put("busy and large", Node { busy: 3, ..Node::file(&content) });
    lab.liar.put("never", Node { busy: u32::MAX, ..Node::file(b"never") });
    lab.liar.put("fails", Node { fails_at: Some((0, EIO)), ..Node::file(b"fails") });
    lab.liar.put("fails late", Node { fails_at: Some((2 << 20, EIO)), ..Node::file(&content) });
    lab.liar.put(
        "fails in a hole",
        Node { fails_at: Some((2 << 20, EIO)), blocks: 1, ..Node::file(&content) },
    );
    lab.liar.put("good", Node::file(b"good"));
    let (snapshot, _, problems) = lab.backup();
    assert_eq!(lab.stored(&snapshot, "busy").unwrap(), b"at last");
    assert!(lab.stored(&snapshot, "busy and large").unwrap() == content);
    assert_eq!(lab.stored(&snapshot, "good").unwrap(), b"good");
    for path in ["never", "fails", "fails late", "fails in a hole"] {
        assert_eq!(lab.stored(&snapshot, path), None, "{path}");
        assert_eq!(
            names(&problems, &lab.liar.dir().join(path)),
            [ProblemKind::Unreadable],
            "{path}"
        );
    }
    assert_eq!((problems.len(), snapshot.problem_count), (4, 4));
}

/// What is missing from a snapshot is not taken over from it because the stamps are the same.
#[test]
fn attributes_that_could_not_be_read_are_missed_again_by_each_backup_until_they_are_there() {
    let Some(mut lab) = Lab::new() else { return };
    for path in ["d/hidden", "d/open", "e/f/below"] {
        lab.liar.put(path, Node { xattrs: vec!["user.a"], ..Node::file(&noise(5, 100_000)) });
    }
    lab.liar.tree().get_mut("e/f").unwrap().xattrs = vec!["user.a"];
    let hide = |lab: &Lab, hides| {
        ["d/hidden", "e/f"]
            .iter()
            .for_each(|path| lab.liar.tree().get_mut(*path).unwrap().hides_xattrs = hides);
    };
    hide(&lab, true);
    let names_of = |lab: &Lab, snapshot: &Snapshot| {
        ["d/hidden", "d/open", "e/f", "e/f/below"].map(|path| {
            let path = lab.liar.dir().join(path).into_os_string().into_encoded_bytes();
            lab.repo.trees().lookup(&snapshot.root, &path).unwrap().unwrap().entry.xattrs.len()
        })
    };
    // The second backup has notes and a parent that lack them, and so has the third.
    for number in 0..3 {
        let (snapshot, _, problems) = lab.backup();
        assert_eq!(names_of(&lab, &snapshot), [0, 1, 0, 1], "{number}");
        let unread = ["d/hidden", "e/f"].map(|path| names(&problems, &lab.liar.dir().join(path)));
        assert_eq!(unread, [[ProblemKind::Unreadable], [ProblemKind::Unreadable]], "{number}");
    }
    hide(&lab, false);
    for number in 0..2 {
        let (snapshot, _, problems) = lab.backup();
        assert_eq!((names_of(&lab, &snapshot), problems), ([1; 4], Vec::new()), "{number}");
    }
    // Then nothing is read any more.
    assert_eq!(lab.backup().1, 0);
}

/// A damaged folder is not one from which things went away.
#[test]
fn what_is_listed_and_cannot_be_found_is_named() {
    let Some(mut lab) = Lab::new() else { return };
    lab.liar.put("d/lost", Node { is_lost: true, ..Node::file(b"lost") });
    lab.liar.put("d/good", Node::file(b"good"));
    lab.liar.put("d/folder/below", Node::file(b"lost with it"));
    lab.liar.tree().get_mut("d/folder").unwrap().is_lost = true;
    for _ in 0..2 {
        let (snapshot, _, problems) = lab.backup();
        for path in ["d/lost", "d/folder"] {
            assert_eq!(
                names(&problems, &lab.liar.dir().join(path)),
                [ProblemKind::Unreadable],
                "{path}"
            );
        }
        assert_eq!(problems.len(), 2);
        assert_eq!(lab.stored(&snapshot, "d/good").unwrap(), b"good");
    }
}

#[test]
fn names_that_come_twice_are_stored_once() {
    let Some(mut lab) = Lab::new() else { return };
    let named = |listed| Node {
        listed,
        xattrs: vec!["user.b", "user.a", "user.b"],
        ..Node::file(b"content")
    };
    lab.liar.put("d/once", named(1));
    lab.liar.put("d/thrice", named(3));
    lab.liar.put("d/in/f", Node::file(b"below"));
    lab.liar.tree().get_mut("d/in").unwrap().listed = 2;
    lab.liar.put("d/nowhere", Node { is_link: true, ..Node::file(b"") });
    lab.liar.put("d/somewhere", Node { is_link: true, ..Node::file(b"once") });
    let (snapshot, _, problems) = lab.backup();
    for (path, content) in
        [("d/once", &b"content"[..]), ("d/thrice", b"content"), ("d/in/f", b"below")]
    {
        assert_eq!(lab.stored(&snapshot, path).unwrap(), content, "{path}");
    }
    // No reader would take an empty target.
    assert_eq!(names(&problems, &lab.liar.dir().join("d/nowhere")), [ProblemKind::Unreadable]);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(snapshot.stats.totals.files, 4);
    let report = lab.repo.check(drumlin::maintain::check::Level::Full);
    assert!(report.is_sound(), "{report:?}");
}

/// What has the number of the repository's folder and is not the repository must not be left out
/// for that.
#[test]
fn a_folder_with_the_number_of_the_repository_is_entered() {
    let Some(lab) = Lab::new() else { return };
    lab.liar.put("repo/config", Node::file(b"the repository's own"));
    lab.liar.put("photos/one", Node::file(b"precious"));
    for folder in ["repo", "photos"] {
        lab.liar.tree().get_mut(folder).unwrap().inode = 900;
    }
    let mut options = options(&[lab.liar.dir().to_owned()], "host");
    options.excludes.own_folders = vec![lab.liar.dir().join("repo")];
    let snapshot = lab.repo.backup_with(options).unwrap().0.snapshot.unwrap();
    assert_eq!(lab.stored(&snapshot, "photos/one").unwrap(), b"precious");
    assert_eq!(lab.stored(&snapshot, "repo/config"), None);
}

#[test]
fn a_change_is_stored_though_the_servers_clock_is_behind() {
    let Some(mut lab) = Lab::new() else { return };
    // Its clock counts whole seconds and is a minute behind; the first backup begins between two
    // writes of one second there.
    let seconds = u64::try_from(crate::support::fixture::now().seconds).unwrap() - 60;
    let put =
        |lab: &Lab, content: &[u8]| lab.liar.put("d/f", Node { seconds, ..Node::file(content) });
    lab.liar.put("old", Node::file(b"old"));
    put(&lab, b"AAAA");
    lab.backup();
    put(&lab, b"BBBB");
    for again in [4, 4] {
        let (snapshot, read, problems) = lab.backup();
        assert_eq!(
            (lab.stored(&snapshot, "d/f").unwrap(), read, problems.len()),
            (b"BBBB".to_vec(), again, 0)
        );
    }
    // What was changed long before the last backup is believed.
    lab.liar.put("d/f", Node { seconds: seconds - 3600, ..Node::file(b"CCCC") });
    lab.backup();
    let (_, read, _) = lab.backup();
    assert_eq!(read, 0);
}
