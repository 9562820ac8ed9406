//! Goal: no command needs memory that grows with the depth of folders, with attributes that
//! compress to nothing, or with what others put into ignore files; and no tree, however it was
//! forged, keeps a walk from stopping. Method: real folders and forged repositories with the
//! program as a child whose memory is measured, and small repositories from arbitrary bytes that
//! every walker goes through.

mod deep; // deep folders, the program as a child
mod structure; // repositories from arbitrary bytes
mod walkers; // walks under a budget

use std::fs;

use drumlin::format::container::ChunkKind;
use drumlin::format::entry::{Content, Entry, EntryKind, Ref};
use drumlin::format::node::{ListChild, ListNode, Totals, TreeNode};
use drumlin::format::snapshot::Snapshot;

use self::structure::{Forger, entry};
use crate::support::fixture::noise;

/// Most memory of a process, in MiB.
const PEAK_MAX_MIB: u64 = 200;

/// Returns the most memory that this process had, in MiB.
fn own_peak_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// `DRUMLIN_STRUCTURES=1000` tries more of them.
#[test]
fn arbitrary_structures_are_walked_within_bounds() {
    let count = std::env::var("DRUMLIN_STRUCTURES").map_or(8, |text| text.parse().unwrap());
    for seed in 0..count {
        println!("seed {seed}");
        let scratch = tempfile::tempdir().unwrap();
        let repository = structure::repository(&scratch.path().join("cache"));
        let snapshots = [0, 1].map(|which| {
            let forger = structure::Forger::new(&repository);
            let bytes = noise(2 * seed + which, 600);
            let (root, totals) = structure::Builder::build(&forger, &bytes);
            forger.finish(root, totals, which)
        });
        walkers::walk_all(&repository, &snapshots, scratch.path());
    }
    // Only where each test has a process of its own, this one's memory is that of the walkers.
    if std::env::var_os("NEXTEST").is_some() {
        assert!(own_peak_mib() < 2 * PEAK_MAX_MIB, "{} MiB", own_peak_mib());
    }
}

/// Commits a small snapshot without end: each of forty folders holds the next one twice, and a file
/// names one node of its list again and again.
fn endless(forger: Forger, sequence: u64) -> Snapshot {
    let data = forger.put(ChunkKind::Data, b"piece");
    let piece = Ref::Data { id: data, len: 5 };
    // Nothing but holes: a list of data would soon be too long to be looked at for holes.
    let mut list = (forger.list(&ListNode::Leaf { refs: vec![Ref::Hole { len: 8 }] }).unwrap(), 8);
    for level in 1..=5 {
        let (id, bytes) = list;
        list = (
            forger
                .list(&ListNode::Inner { level, children: vec![ListChild { id, bytes }; 1_000] })
                .unwrap(),
            bytes * 1_000,
        );
    }
    let linked = Entry {
        size: 5,
        hard_link: Some(7),
        ..entry(b"c".to_vec(), EntryKind::File, Content::Refs(vec![piece]))
    };
    let mut dir = forger
        .tree(&TreeNode::Leaf {
            strings: Vec::new(),
            entries: vec![linked.clone()],
            dir_totals: Vec::new(),
        })
        .unwrap();
    for _ in 0..40 {
        let folder = |name: &[u8]| entry(name.to_vec(), EntryKind::Dir, Content::Tree(dir));
        let long =
            Entry { size: list.1, ..entry(b"d".to_vec(), EntryKind::File, Content::List(list.0)) };
        let entries = vec![folder(b"a"), folder(b"b"), linked.clone(), long];
        dir = forger
            .tree(&TreeNode::Leaf {
                strings: Vec::new(),
                entries,
                dir_totals: vec![Totals::default(); 2],
            })
            .unwrap();
    }
    forger.finish(dir, Totals::default(), sequence)
}

#[test]
fn what_has_no_end_stops_at_the_first_signal() {
    let scratch = tempfile::tempdir().unwrap();
    let repository = structure::repository(&scratch.path().join("cache"));
    let snapshots = [0, 1].map(|sequence| endless(Forger::new(&repository), sequence));
    walkers::walk_all(&repository, &snapshots, scratch.path());
}

/// A file with several names makes a mount count the links of its snapshot: here that would never
/// end.
#[cfg(feature = "mount")]
#[test]
fn a_mount_of_what_has_no_end_answers() {
    let home = crate::support::home::Home::with_repository();
    endless(Forger::new(&deep::forged(&home)), 1);
    let mount = crate::support::mount::Mount::new(&home);
    let began = std::time::Instant::now();
    let entries = fs::read_dir(mount.dir.join("latest")).unwrap();
    let listed = entries.filter(|entry| entry.as_ref().unwrap().metadata().is_ok()).count();
    assert_eq!(listed, 4);
    assert!(began.elapsed().as_secs() < 100, "{:?}", began.elapsed());
    mount.end();
}
