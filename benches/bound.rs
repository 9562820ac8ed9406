//! The least CPU time that a backup, a restore and a full check of a folder can take: the bare
//! primitives over the same bytes, one after the other on one thread, each timed by that thread's
//! CPU clock.
//!
//! `cargo bench --bench bound -- FOLDER WORKDIR [RESTORED]` prints each stage's CPU seconds and
//! rate, then the sums and what two cores would need at best. Nothing of the program is used: what
//! is compared with this owes nothing to it. Packs go to WORKDIR/bound, files to RESTORED/restored
//! (WORKDIR/bound/restored); both are removed at the end.

mod bound {
    pub mod backup;
    pub mod clock;
    pub mod restore;
    pub mod source;
}

use std::path::{Path, PathBuf};

use bound::backup::store;
use bound::clock::Clock;
use bound::restore::{place, read_back};
use bound::source::walk;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let [folder, work, rest @ ..] = &args[..] else {
        return println!("usage: bound FOLDER WORKDIR [RESTORED]");
    };
    let (folder, work) = (Path::new(folder), Path::new(work).join("bound"));
    let restored = rest.first().map_or(work.clone(), PathBuf::from).join("restored");
    std::fs::create_dir_all(&work).expect("a folder to work in");

    let mut clock = Clock::default();
    let (folders, files) = walk(folder, &mut clock);
    let stored = store(&files, &work, &mut clock);
    read_back(&stored, &work, &mut clock);
    place(folder, &restored, &folders, &files, &mut clock);
    std::fs::remove_dir_all(&restored).expect("the folder that was made above");
    std::fs::remove_dir_all(&work).expect("the folder that was made above");

    println!(
        "{}: {} files, {} folders, {:.2} MB in segments",
        folder.display(),
        files.len(),
        folders.len(),
        stored.len_bytes() as f64 / 1e6
    );
    clock.print();
    let operations = [
        ("backup", &["walk", "read", "cut", "hash", "compress", "seal", "name", "write"][..]),
        ("restore", &["fetch", "open", "unpack", "verify", "place"]),
        ("check", &["fetch", "scrub", "open", "unpack", "verify"]),
        ("unchanged", &["walk"]),
    ];
    for (operation, stages) in operations {
        let seconds = clock.sum(stages);
        println!(
            "| {operation} | {seconds:.2} CPU s | {:.2} s on two cores | {} |",
            seconds / 2.0,
            stages.join(" + ")
        );
    }
}
