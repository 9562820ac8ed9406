//! The configuration file as the commands see it.

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
         [app.shop]\npaths = \"~/src\"\nmariadb = { databases = [\"shop\"] }\n\
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
    home.run(["backup", "--app", "shop"]).fails(
        2,
        "app `shop` has `mariadb`, which this version does not support yet",
        "would not be what",
    );
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
