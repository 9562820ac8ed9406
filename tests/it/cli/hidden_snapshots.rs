//! Snapshots that a store hides, as commands report them on a machine that has seen nothing.

use std::fs;

use crate::support::home::Home;

/// The snapshot after it names it: every command that lists says so, also with `-q`, and those that
/// remove refuse.
#[test]
fn a_snapshot_that_is_hidden_is_missed_by_whoever_lists() {
    let home = Home::with_repository();
    for number in 0..3 {
        home.write("src/number", number.to_string());
        home.run(["backup", "src"]).ok();
    }
    let document = home.json(["snapshots"]);
    let id = |at: usize| document["snapshots"][at]["id"].as_str().unwrap().to_owned();
    fs::remove_file(home.path(&format!("repo/snapshots/{}", id(1)))).unwrap();
    let before = home.tree("repo");
    let says = format!("before {} of ", &id(2)[..8]);
    let commands = [
        "snapshots",
        "snapshots --forgotten",
        "ls latest",
        "restore latest -t out",
        "find number",
        "history src/number",
        "stats",
        "cost",
        "forget --keep-last 9 -n",
    ];
    for command in commands {
        for more in ["", "-q", "--json"] {
            let _ = [".cache", ".state", "out"].map(|folder| fs::remove_dir_all(home.path(folder)));
            let ran =
                home.run(command.split(' ').chain([more]).filter(|word| !word.is_empty())).ok();
            assert!(
                ran.err.contains(&says) && ran.err.contains("nobody forgot it"),
                "{command} {more}: {ran:?}"
            );
        }
    }
    for command in ["latest~1", "@2999-01-01"] {
        let _ = [".cache", ".state"].map(|folder| fs::remove_dir_all(home.path(folder)));
        home.run(["ls", command]).fails(5, "before", "--accept-rollback");
    }
    home.run(["prune"]).fails(5, "repository rollback detected", "--accept-rollback");
    assert_eq!(home.tree("repo"), before);
}
