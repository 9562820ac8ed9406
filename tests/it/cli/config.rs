//! The configuration file and the environment, as the commands see them.

use serde_json::json;

use crate::support::home::Home;

fn configured(text: &str) -> Home {
    let home = Home::new();
    home.write(".config/drumlin/drumlin.toml", text);
    home.write("pw", "secret");
    home.make_source();
    home
}

#[test]
fn repositories_have_names_secrets_and_a_default() {
    let home = configured(
        "[defaults]\nrepository = \"usb\"\n[repository.usb]\nurl = \"${HOME}/usb\"\npassword-file = \"~/pw\"\n\
         [repository.box]\nurl = \"../../box\"\npassword-command = \"cat pw\"\n",
    );
    home.run(["init"]).ok();
    home.run(["init", "--repo", "box"]).ok();
    assert!(home.path("usb/config").exists() && home.path("box/config").exists());
    home.run(["backup", "src"]).ok();
    assert_eq!(home.json(["snapshots", "--repo", "usb"])["snapshots"].as_array().unwrap().len(), 1);
    assert_eq!(home.json(["snapshots", "--repo", "box"])["snapshots"].as_array().unwrap().len(), 0);
}

#[test]
fn apps_say_what_to_back_up() {
    let home = configured(
        "[repository.usb]\nurl = \"~/usb\"\npassword-file = \"~/pw\"\n[defaults]\nexclude = \"*.tmp\"\ntag = \"auto\"\n\
         [app.wiki]\npaths = \"~/src\"\nhost = \"web1\"\n[[app.wiki.command]]\nname = \"facts\"\nrun = \"echo facts\"\n\
         [app.shop]\npaths = \"~/src\"\nmariadb = { databases = [\"shop\"], socket = \"~/no/socket\" }\n\
         [app.both]\npaths = \"~/src\"\nrepository = [\"usb\", \"usb\"]\n",
    );
    home.run(["init"]).ok();
    let snapshot = home.json(["backup", "--app", "wiki"])["snapshot"].clone();
    assert_eq!(
        (&snapshot["app"], &snapshot["host"], &snapshot["tags"]),
        (&json!("wiki"), &json!("web1"), &json!(["auto"]))
    );
    assert_eq!(snapshot["sources"], json!(["/facts", home.text("src")]));
    assert_eq!(home.run(["cat", "latest:/facts"]).ok().out, "facts\n");
    assert!(!home.run(["ls", "-R", "latest"]).ok().out.contains("c.tmp"));
    // A database that cannot be reached makes no snapshot, and the section is named.
    let ran = home.run(["backup", "--app", "shop"]).code(1);
    assert!(ran.err.contains("[app.shop.mariadb]"), "{ran:?}");
    assert_eq!(home.json(["snapshots"])["snapshots"].as_array().unwrap().len(), 1);
    home.run(["backup", "--app", "both"]).fails(2, "has several repositories", "give --repo NAME");
    home.run(["backup", "--app", "nobody"]).fails(
        2,
        "there is no [app.nobody]",
        "the configuration has both, shop, wiki",
    );
}

#[test]
fn mistakes_are_named_with_file_line_and_nearest_key() {
    let home = configured("[repository.box]\nurl = \"/x\"\npasswordfile = \"/p\"\n");
    let ran = home.run(["snapshots"]).fails(
        2,
        "unknown key `passwordfile` in [repository.box]",
        "the nearest known key is `password-file`",
    );
    assert!(ran.err.contains("drumlin.toml:3:"), "{}", ran.err);
    let home = configured("[repository.box]\nurl = \"${NOWHERE}/x\"\n");
    home.run(["snapshots"]).fails(2, "environment variable NOWHERE is not set", "");
    let home = configured("[repository.a]\nurl = \"/x\"\n[repository.b]\nurl = \"/y\"\n");
    home.run(["snapshots"]).fails(2, "no repository is named", "the configuration has a, b");
    home.run(["snapshots", "--config", "missing.toml"]).fails(2, "cannot read", "");
}

#[test]
fn the_file_can_be_named() {
    let home = configured("this is not toml");
    home.write(
        "other.toml",
        format!("[repository.usb]\nurl = \"{}\"\npassword-file = \"pw\"\n", home.text("usb")),
    );
    home.run(["snapshots"]).code(2);
    home.run(["init", "--config", "other.toml"]).ok();
    let home = home.with("DRUMLIN_CONFIG", "other.toml");
    home.run(["snapshots"]).ok();
}

#[test]
fn locations_of_other_programs_are_refused() {
    let home = Home::with_repository();
    for location in [
        "b2:bucket:path",
        "rclone:remote:path",
        "rest:host/path",
        "azure:container:/",
        "gs:bucket:/",
        "nas:/backup/repo",
        "192.0.2.1:/backup",
        "nas:backup",
        "file:relative",
        "~/repo2",
    ] {
        let ran = home.run(["--repo", location, "init"]).code(2);
        assert!(ran.err.contains("hint: ") && ran.err.contains("./"), "{location}: {}", ran.err);
    }
    home.write(".config/drumlin/drumlin.toml", "[repository.box]\nurl = \"/nowhere/repo\"\n");
    for command in ["init", "snapshots"] {
        home.run(["--repo", "bxo", command]).fails(
            2,
            "there is no repository `bxo`",
            "the configuration has box; write ./bxo",
        );
    }
    assert!(!home.path("bxo").exists());
    home.run(["--repo", "repo", "snapshots"]).ok();
    home.run(["--repo", "./new", "init"]).ok();
}

#[test]
fn empty_variables_are_as_if_they_were_not_set() {
    let home = Home::with_repository();
    home.write("repo.toml", format!("[repository.r]\nurl = \"{}\"\n", home.text("repo")));
    let home = home
        .with("DRUMLIN_REPOSITORY", "")
        .with("DRUMLIN_CACHE_DIR", "")
        .with("DRUMLIN_PASSWORD", "");
    home.run(["snapshots", "--config", "repo.toml"]).ok();
    let home = home.with("DRUMLIN_CONFIG", "");
    home.run(["snapshots", "--repo", "repo"]).ok();
    // What is empty on the command line was meant to be something.
    home.run(["snapshots", "--repo", ""]).fails(2, "location is empty", "--repo");
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_password_key_or_configuration() {
    let home = Home::with_password();
    home.write("marked", b"\xef\xbb\xbfsecret\r\n");
    let home = home.with("DRUMLIN_PASSWORD", "");
    home.run(["snapshots", "--password-file", "marked"]).ok();
    home.run(["key", "add", "--output", "a.key", "--password-file", "marked"]).ok();
    home.write("b.key", [b"\xef\xbb\xbf", home.read("a.key").as_bytes()].concat());
    home.run(["snapshots", "--key-file", "b.key"]).ok();
    home.write("marked.toml", "\u{feff}[repository.r]\nurl = \"repo\"\n");
    home.run(["snapshots", "--config", "marked.toml", "--key-file", "b.key", "--repo", "r"]).ok();
}
