//! `~` in quotes, which no shell replaced.

use crate::support::home::Home;

#[test]
fn a_tilde_that_was_not_replaced_makes_no_folder_of_that_name() {
    let home = Home::with_repository();
    home.write("src/a", "a");
    home.run(["backup", "src"]).ok();
    let commands: [&[&str]; 11] = [
        &["snapshots", "--cache-dir", "~/c"],
        &["snapshots", "--config", "~/c"],
        &["snapshots", "--password-file", "~/c"],
        &["snapshots", "--key-file=~/c"],
        &["key", "add", "--output", "~/k.txt"],
        &["backup", "~"],
        &["backup", "src", "--files-from", "~/list"],
        &["restore", "latest", "--target", "~/t"],
        &["restore", "latest", "--to-tar", "~/a.tar"],
        &["man", "~/man"],
        &["mount", "~/m"],
    ];
    for command in commands {
        let ran = home.run(command).code(2);
        assert!(
            ran.err.contains("a shell replaces ~ by your home folder"),
            "{command:?}: {}",
            ran.err
        );
    }
    for name in ["CACHE_DIR", "CONFIG", "KEY_FILE", "PASSWORD_FILE", "STATE_DIR"] {
        let name = format!("DRUMLIN_{name}");
        let one = Home::with_repository().with(&name, "~/x");
        one.run(["snapshots"]).fails(2, &format!("the ~ in {name}"), "a shell replaces ~");
        assert!(!one.path("~").exists(), "{name}");
    }
    assert!(!home.path("~").exists());
    // What really has that name can be said.
    home.write("~/here", "here");
    home.run(["backup", "./~", "src"]).ok();
}
