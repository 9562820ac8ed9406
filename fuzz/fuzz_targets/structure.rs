//! Repositories of nodes that are valid one by one: every walker stops when it is told to, in
//! bounded memory (`-rss_limit_mb`).
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/it/safety/bounded_memory/structure.rs"]
mod structure;
#[path = "../../tests/it/safety/bounded_memory/walkers.rs"]
mod walkers;

fuzz_target!(|bytes: &[u8]| {
    let scratch = std::env::temp_dir().join(format!("drumlin-structure-{}", std::process::id()));
    std::fs::create_dir_all(&scratch).unwrap();
    let repository = structure::repository(&scratch.join("cache"));
    let (left, right) = bytes.split_at(bytes.len() / 2);
    let snapshots = [(left, 0), (right, 1)].map(|(bytes, sequence)| {
        let forger = structure::Forger::new(&repository);
        let (root, totals) = structure::Builder::build(&forger, bytes);
        forger.finish(root, totals, sequence)
    });
    walkers::walk_all(&repository, &snapshots, &scratch);
    std::fs::remove_dir_all(&scratch).unwrap();
});
