//! `quickstart`: nothing asked, nothing destroyed, whatever was there before.

use std::fs;

use serde_json::{Value, json};

use crate::support::home::{Home, fields};

fn quickstart(home: &Home, args: &[&str]) -> Value {
    home.json(["quickstart"].iter().chain(args))
}

const KEY: &str = ".config/drumlin/main.key";
const KIT: &str = ".config/drumlin/main-recovery-kit.txt";
const CONFIG: &str = ".config/drumlin/drumlin.toml";
const REPOSITORY: &str = ".local/share/drumlin/repository";

#[test]
fn the_first_run_makes_everything() {
    let home = Home::new();
    home.make_source();
    let document = quickstart(&home, &["src"]);
    assert_eq!(fields(&document), "backup config key_file kit made repository");
    assert_eq!(
        document["made"],
        json!(["key file", "repository", "recovery kit", "configuration"])
    );
    assert_eq!(document["repository"]["location"], home.text(REPOSITORY));
    for (field, path) in [("key_file", KEY), ("kit", KIT), ("config", CONFIG)] {
        assert_eq!(document[field], home.text(path));
    }
    assert_eq!(document["backup"]["stats"]["files_new"], 4);
    // The configuration makes every command work without options.
    assert_eq!(home.json(["snapshots"])["snapshots"].as_array().unwrap().len(), 1);
    home.run(["snapshots", "--repo", "main"]).ok();
    home.run(["snapshots", "--key-file", KIT]).ok();
}

#[test]
fn the_second_run_keeps_everything() {
    let home = Home::new();
    home.make_source();
    quickstart(&home, &["src"]);
    let before: Vec<String> = [KEY, KIT, CONFIG].iter().map(|path| home.read(path)).collect();
    let second = quickstart(&home, &["src"]);
    assert_eq!(second["made"], json!([]));
    assert!(
        second["backup"]["snapshot"].is_null() && second["backup"]["unchanged_since"].is_string()
    );
    home.write("src/new", "x");
    assert!(quickstart(&home, &["src"])["backup"]["snapshot"].is_object());
    fs::remove_file(home.path(KIT)).unwrap();
    assert!(
        quickstart(&home, &["src"])["kit"].is_null(),
        "a kit that was printed and deleted is not made again"
    );
    home.write(KIT, &before[1]);
    let after: Vec<String> = [KEY, KIT, CONFIG].iter().map(|path| home.read(path)).collect();
    assert_eq!(before, after);
    assert_eq!(home.json(["key", "list"])["keys"].as_array().unwrap().len(), 2);
}

#[test]
fn every_printed_command_works() {
    let home = Home::new();
    home.make_source();
    let text = home.run(["quickstart", "src"]).ok().out;
    let commands: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("  drumlin ")).collect();
    assert!(commands.len() >= 4, "{text}");
    for command in commands.iter().filter(|command| !command.contains("/mnt/DISK")) {
        home.run(command.split(' ')).ok();
    }
    assert_eq!(home.tree("restored"), home.tree("src"));
}

#[test]
fn another_place_gets_its_own_key() {
    let home = Home::new();
    home.make_source();
    quickstart(&home, &["src"]);
    let config = home.read(CONFIG);
    let text = home.run(["quickstart", "src", "--repo", "disk/my backup"]).ok().out;
    assert!(text.contains(&format!("--repo '{}'", home.text("disk/my backup"))), "{text}");
    let second = quickstart(&home, &["src", "--repo", "disk/my backup"]);
    assert_eq!(second["made"], json!([]));
    assert_ne!(second["key_file"], home.text(KEY));
    assert_eq!(home.read(CONFIG), config);
    assert_eq!(home.json(["snapshots"])["snapshots"].as_array().unwrap().len(), 1);
}

#[test]
fn a_run_that_died_is_completed() {
    let home = Home::new();
    home.make_source();
    quickstart(&home, &["src"]);
    // Died before the configuration was written, and before the kit's slot was made.
    fs::remove_file(home.path(CONFIG)).unwrap();
    let list = home.json(["key", "list", "--repo", REPOSITORY, "--key-file", KEY]);
    let kit =
        list["keys"].as_array().unwrap().iter().find(|key| key["label"] == "recovery kit").unwrap();
    home.run([
        "key",
        "remove",
        kit["id"].as_str().unwrap(),
        "--repo",
        REPOSITORY,
        "--key-file",
        KEY,
    ])
    .ok();
    assert_eq!(quickstart(&home, &["src"])["made"], json!(["recovery kit", "configuration"]));
    home.run(["snapshots", "--key-file", KIT]).ok();
    // Died when the key file was all there was.
    fs::remove_dir_all(home.path(REPOSITORY)).unwrap();
    fs::remove_dir_all(home.path(".cache")).unwrap();
    let key = home.read(KEY);
    // A machine that knows of a repository there takes it for a disk that is not mounted.
    home.run(["quickstart", "src"]).fails(10, "there is no repository", "mount the disk");
    fs::remove_dir_all(home.path(".state")).unwrap();
    assert_eq!(quickstart(&home, &["src"])["made"], json!(["repository", "recovery kit"]));
    // The key file is the same, and says that it opens the new one too; the old kit stays, and a
    // new one is made.
    assert!(home.read(KEY).starts_with(&key));
    let kits: Vec<String> = fs::read_dir(home.path(KIT).parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path().to_str().unwrap().to_owned())
        .filter(|path| path.contains("recovery-kit"))
        .collect();
    assert_eq!(kits.len(), 2, "{kits:?}");
    let new_kit = kits.iter().find(|kit| **kit != home.text(KIT)).unwrap();
    // It is that one which is to be printed, also later, and also after a death between the file
    // and its slot.
    assert_eq!(quickstart(&home, &["src"])["kit"], json!(new_kit));
    let list = home.json(["key", "list", "--repo", REPOSITORY, "--key-file", KEY]);
    let slot =
        list["keys"].as_array().unwrap().iter().find(|key| key["label"] == "recovery kit").unwrap()
            ["id"]
            .as_str()
            .unwrap();
    home.run(["key", "remove", slot, "--repo", REPOSITORY, "--key-file", KEY]).ok();
    assert_eq!(quickstart(&home, &["src"])["made"], json!(["recovery kit"]));
    for (key, code) in [(KEY, 0), (new_kit, 0), (KIT, 12)] {
        fs::remove_dir_all(home.path(".state")).unwrap();
        fs::remove_dir_all(home.path(".cache")).unwrap();
        home.run(["snapshots", "--repo", REPOSITORY, "--key-file", key]).code(code);
    }
}

#[test]
fn a_lost_key_is_said_and_nothing_is_touched() {
    let home = Home::new();
    home.make_source();
    quickstart(&home, &["src"]);
    fs::rename(home.path(KEY), home.path("elsewhere.key")).unwrap();
    let before = home.tree(REPOSITORY);
    home.run(["quickstart", "src"]).fails(12, "main.key is missing", "--key-file FILE");
    assert_eq!(home.tree(REPOSITORY), before);
    home.run(["quickstart", "src", "--key-file", "elsewhere.key"]).ok();
    home.run(["quickstart", "missing"]).fails(1, "cannot read the folder missing", "");
}

#[test]
fn the_current_folder_is_what_is_backed_up_by_default() {
    let home = Home::new();
    home.make_source();
    let document = quickstart(&home, &[]);
    assert_eq!(
        document["backup"]["snapshot"]["sources"],
        json!([home.path("").canonicalize().unwrap()])
    );
    let names = home.run(["ls", "-R", "latest"]).ok().out;
    assert!(!names.contains("/repository/data/"), "the repository is in itself:\n{names}");
}
