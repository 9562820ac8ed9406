//! Disks with bad sectors: they cost the files in them, and no others.

use std::fs;
use std::path::PathBuf;

use crate::support::fixture::noise;
use crate::support::home::{Home, Ran};
use crate::support::needs::{can_run, may_trace};

/// Four files in a pack each.
fn with_packs() -> (Home, Vec<PathBuf>) {
    let home = Home::with_repository();
    for number in 0..4 {
        home.write(&format!("src/{number}"), noise(number, 300_000));
        home.run(["backup", "src"]).ok();
    }
    let packs =
        home.tree("repo/data").into_iter().map(|(name, _)| home.path(&format!("repo/data/{name}")));
    let packs: Vec<PathBuf> = packs.filter(|path| path.is_file()).collect();
    assert_eq!(packs.len(), 4);
    (home, packs)
}

fn restored(home: &Home) -> usize {
    (0..4)
        .filter(|number| {
            fs::read(home.path(&format!("out{}/{number}", home.text("src"))))
                .is_ok_and(|bytes| bytes == noise(*number, 300_000))
        })
        .count()
}

#[test]
fn a_bad_sector_costs_the_files_in_it_and_no_others() {
    if !can_run(may_trace(), "the permission to trace a program") {
        return;
    }
    let (home, packs) = with_packs();
    let pack = packs[1].to_str().unwrap();
    let tracer = [
        "strace",
        "-f",
        "-o",
        "/dev/null",
        "-P",
        pack,
        "-e",
        "trace=pread64,read",
        "-e",
        "inject=pread64,read:error=EIO",
        "--",
    ];
    let run =
        |args: &[&str]| Ran::of(&home.wrapped(&tracer, args.iter().copied()).output().unwrap());
    let ran = run(&["restore", "latest", "--target", "out"]).code(4);
    assert!(ran.err.contains("bad sectors"), "{ran:?}");
    assert_eq!(restored(&home), 3, "{ran:?}");
    let ran = run(&["check", "--level", "full"]).code(4);
    assert!(ran.out.contains("cannot be read") && ran.out.contains("bad sectors"), "{ran:?}");
    let ran = run(&["repair", "--level", "full"]).code(4);
    assert!(ran.out.contains("--apply"), "{ran:?}");
    home.run(["check", "--level", "full"]).ok();
}

#[test]
fn a_folder_in_the_place_of_an_object_is_damage() {
    let (home, packs) = with_packs();
    fs::remove_file(&packs[2]).unwrap();
    fs::create_dir(&packs[2]).unwrap();
    let ran = home.run(["restore", "latest", "--target", "out"]).code(4);
    assert!(ran.err.contains("not a regular file"), "{ran:?}");
    assert_eq!(restored(&home), 3, "{ran:?}");
    home.run(["check", "--level", "full"]).code(4);
}
