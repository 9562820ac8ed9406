//! Searches for names in many snapshots, and sums.

use drumlin::browse::{Criteria, DiskUsages, NamePatterns, PatternOptions, Search};
use drumlin::format::entry::{EntryKind, Timestamp};
use drumlin::id::ChunkId;
use drumlin::monitor::Monitor;
use drumlin::repo::Trees;

use super::{Folder, Forest, Thing, folder, root_of};
use crate::support::fixture::TestRepo;

fn file(content: u8) -> Thing {
    Thing::File(content, 0o644, i64::from(content))
}

fn dir(folder: Folder) -> Thing {
    Thing::Dir(0o755, folder)
}

/// Looks in trees, the first one first; returns the tree and the path of what was found.
fn found(
    trees: &Trees,
    roots: &[ChunkId],
    patterns: &[&str],
    options: PatternOptions,
    criteria: Criteria,
) -> Vec<(usize, String)> {
    let patterns: Vec<String> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
    let mut search = Search::new(trees, NamePatterns::new(&patterns, options).unwrap(), criteria);
    let monitor = Monitor::default();
    let mut found = Vec::new();
    for (at, root) in roots.iter().enumerate() {
        search.enter(root, b"");
        while let Some(step) = search.step(&monitor) {
            found.push((at, String::from_utf8_lossy(&step.unwrap().0).into_owned()));
        }
    }
    found
}

#[test]
fn patterns_and_criteria() {
    let repo = TestRepo::new();
    let forest = Forest::new(&repo);
    let mut top = folder([
        (
            "src",
            dir(folder([
                ("main.rs", file(1)),
                ("lib.RS", file(2)),
                ("deep", dir(folder([("x.rs", file(3))]))),
            ])),
        ),
        ("link.rs", Thing::Link(1, 9)),
        ("notes.txt", file(100)),
    ]);
    top.insert(b"bad\xff.rs".to_vec(), file(50));
    top.insert(b"two\nlines.rs".to_vec(), file(60));
    top.extend(folder([("\u{e9}.md", file(20)), ("\u{20ac}.md", file(21)), ("no.md", file(22))]));
    let root = forest.plant(&top).0;
    let trees = forest.finish();
    let names = |patterns: &[&str], options, criteria| -> Vec<String> {
        found(&trees, &[root], patterns, options, criteria)
            .into_iter()
            .map(|(_, path)| path)
            .collect()
    };
    let plain = PatternOptions::default();
    let any = Criteria::default;
    let all_rs =
        ["/bad\u{fffd}.rs", "/link.rs", "/src/deep/x.rs", "/src/main.rs", "/two\nlines.rs"];
    assert_eq!(names(&["*.rs"], plain, any()), all_rs);
    let ignoring = PatternOptions { ignore_case: true, ..plain };
    assert_eq!(names(&["*.rs"], ignoring, any()).len(), 6);
    assert_eq!(
        names(&["notes.{txt,md}", "[x-z].rs"], plain, any()),
        ["/notes.txt", "/src/deep/x.rs"]
    );
    // One character, however many bytes it has; and a byte that is no character.
    assert_eq!(names(&["?.md"], plain, any()), ["/\u{e9}.md", "/\u{20ac}.md"]);
    assert_eq!(names(&["bad?.rs"], plain, any()), ["/bad\u{fffd}.rs"]);
    assert_eq!(names(&["src/*.rs"], plain, any()), ["/src/main.rs"]);
    assert_eq!(names(&["/src/**/*.rs"], plain, any()), ["/src/deep/x.rs", "/src/main.rs"]);
    assert_eq!(names(&["/*.rs"], plain, any()).len(), 3);
    assert_eq!(names(&["main"], plain, any()), [""; 0]);
    let whole = PatternOptions { whole_path: true, ..plain };
    assert_eq!(names(&["deep"], whole, any()), ["/src/deep"]);
    let regex = PatternOptions { regex: true, ..plain };
    assert_eq!(names(&["ain"], regex, any()), ["/src/main.rs"]);
    assert_eq!(names(&["^/src/.*s$"], regex, any()), ["/src/deep/x.rs", "/src/main.rs"]);
    assert_eq!(names(&[r"(?-u)\xff"], regex, any()), ["/bad\u{fffd}.rs"]);
    let of = |criteria| names(&["*"], plain, criteria);
    let kinds = |kinds: &[EntryKind]| Criteria { kinds: Some(kinds.to_vec()), ..any() };
    assert_eq!(of(kinds(&[EntryKind::Dir, EntryKind::Symlink])), ["/link.rs", "/src", "/src/deep"]);
    assert_eq!(of(Criteria { larger_than: Some(650), ..any() }), ["/notes.txt", "/two\nlines.rs"]);
    assert_eq!(of(Criteria { smaller_than: Some(602), ..any() }), ["/src/main.rs"]);
    let time = |seconds| Some(Timestamp { seconds, nanos: 0 });
    assert_eq!(of(Criteria { newer_than: time(50), ..any() }), ["/notes.txt", "/two\nlines.rs"]);
    assert_eq!(
        of(Criteria { older_than: time(3), newer_than: time(0), ..any() }),
        ["/src/lib.RS", "/src/main.rs"]
    );
    for (pattern, regex) in [("[", false), ("(", true)] {
        assert!(
            NamePatterns::new(&[pattern.to_owned()], PatternOptions { regex, ..plain }).is_err(),
            "{pattern}"
        );
    }
}

#[test]
fn each_version_is_found_once_and_each_node_read_once() {
    let repo = TestRepo::new();
    let forest = Forest::new(&repo);
    let roots: Vec<ChunkId> = (0..20u8)
        .rev()
        .map(|number| {
            let mut inner: Folder = (0..40)
                .map(|other| (format!("other-{other:02}").into_bytes(), file(other)))
                .collect();
            inner.insert(b"wanted".to_vec(), file(100 + number / 5));
            // A neighbour in the same leaf that is never the same.
            inner.insert(b"wanted.log".to_vec(), file(number));
            forest
                .plant(&folder([
                    ("a", dir(inner.clone())),
                    ("b", dir(folder([("same", file(1))]))),
                ]))
                .0
        })
        .collect();
    let trees = forest.finish();
    let plain = PatternOptions::default();
    let before = trees.nodes_read();
    let all = found(&trees, &roots, &["wanted", "same", "a"], plain, Criteria::default());
    let read = trees.nodes_read() - before;
    let at = |tree: usize, path: &str| (tree, path.to_owned());
    let expected = [
        at(0, "/a"),
        at(0, "/a/wanted"),
        at(0, "/b/same"),
        at(5, "/a/wanted"),
        at(10, "/a/wanted"),
        at(15, "/a/wanted"),
    ];
    assert_eq!(all, expected);
    let before = trees.nodes_read();
    found(&trees, &roots, &["wanted"], plain, Criteria::default());
    assert_eq!(trees.nodes_read() - before, read);
    let before = trees.nodes_read();
    roots
        .iter()
        .for_each(|root| drop(found(&trees, &[*root], &["wanted"], plain, Criteria::default())));
    let each_alone = trees.nodes_read() - before;
    assert!(read * 2 < each_alone, "{read} and {each_alone}");
}

#[test]
fn a_damaged_folder_is_told_once() {
    let repo = TestRepo::new();
    let forest = Forest::new(&repo);
    let roots: Vec<ChunkId> = (0..3)
        .map(|number| forest.plant(&folder([("lost", Thing::LostDir), ("x", file(number))])).0)
        .collect();
    let trees = forest.finish();
    let mut search = Search::new(
        &trees,
        NamePatterns::new(&["x".to_owned()], PatternOptions::default()).unwrap(),
        Criteria::default(),
    );
    let (mut good, mut bad) = (0, Vec::new());
    for root in &roots {
        search.enter(root, b"");
        while let Some(step) = search.step(&Monitor::default()) {
            match step {
                Ok(_) => good += 1,
                Err((path, error)) => bad.push((path, error.is_damage())),
            }
        }
    }
    assert_eq!((good, bad), (3, vec![(b"/lost".to_vec(), true)]));
}

#[test]
fn sums_come_from_the_nodes_above() {
    let repo = TestRepo::new();
    let forest = Forest::new(&repo);
    let many = |count: u8| -> Folder {
        (0..count).map(|number| (format!("f{number:03}").into_bytes(), file(0))).collect()
    };
    let mut big = many(100);
    big.insert(b"inner".to_vec(), dir(many(50)));
    let top = folder([("big", dir(big)), ("small", dir(many(3))), ("one", file(0))]);
    let place = root_of(forest.plant(&top));
    let trees = forest.finish();
    assert_eq!((place.totals.files, place.totals.dirs, place.totals.bytes), (154, 3, 154 * 600));
    let usages = |depth| -> Vec<(String, u64, u64, u64)> {
        let all = DiskUsages::new(&trees, &place, depth).map(Result::unwrap);
        let of = |path: &[u8]| String::from_utf8(path.to_vec()).unwrap();
        all.filter(|one| one.kind == EntryKind::Dir)
            .map(|one| (of(&one.path), one.totals.files, one.totals.dirs, one.totals.bytes))
            .collect()
    };
    let before = trees.nodes_read();
    let big = ("/big".to_owned(), 150, 1, 90_000);
    let small = ("/small".to_owned(), 3, 0, 1800);
    assert_eq!(usages(0), []);
    assert_eq!(trees.nodes_read(), before, "nothing was to be read");
    assert_eq!(usages(1), [big.clone(), small.clone()]);
    assert!(trees.nodes_read() - before <= 4, "only the nodes of the top folder");
    assert_eq!(usages(2), [big, ("/big/inner".to_owned(), 50, 0, 30_000), small]);
}
