//! `key list`, `key add`, `key remove`, `key change-password`.

use crate::support::home::{Home, fields};

#[test]
fn keys_come_and_go() {
    let home = Home::with_password();
    home.write("new", "second\n");
    home.run(["key", "add", "--new-password-file", "new", "--label", "ada"]).ok();
    let added = home.json(["key", "add", "--output", "spare.key"]);
    assert_eq!(fields(&added), "key");
    assert_eq!(fields(&added["key"]), "action file id");
    assert_eq!(added["key"]["file"], "spare.key");
    let list = home.json(["key", "list"]);
    let keys = list["keys"].as_array().unwrap();
    assert_eq!(fields(&keys[0]), "created error id in_use kind label");
    let of = |name: &str| keys.iter().map(|key| key[name].clone()).collect::<Vec<_>>();
    assert_eq!(of("kind"), ["password", "password", "key-file"]);
    assert_eq!(of("label"), ["password", "ada", "key file"]);
    assert_eq!(of("in_use"), [true, false, false]);
    home.run(["snapshots", "--password-command", "echo second"]).ok();
    home.run(["snapshots", "--key-file", "spare.key"]).ok();
    let spare = added["key"]["id"].as_str().unwrap();
    home.run(["key", "remove", &spare[..8]]).ok();
    home.run(["snapshots", "--key-file", "spare.key"]).fails(
        12,
        "wrong password or key",
        "the key was read from spare.key",
    );
    let text = home.run(["key", "list"]).ok().out;
    assert!(text.contains("in use now") && text.lines().count() == 3, "{text}");
}

#[test]
fn mistakes_lock_nobody_out() {
    let home = Home::with_password();
    let id = home.json(["key", "list"])["keys"][0]["id"].as_str().unwrap().to_owned();
    home.run(["key", "remove", &id]).fails(
        1,
        "this is the last key of the repository",
        "add another key first",
    );
    home.run(["key", "remove", "ffff"]).fails(1, "no key matches 'ffff'", "`drumlin key list`");
    home.run(["key", "remove", ""]).code(1);
    home.write("spare.key", "precious");
    home.run(["key", "add", "--output", "spare.key"]).fails(
        1,
        "cannot create spare.key",
        "never overwritten",
    );
    assert_eq!(home.read("spare.key"), "precious");
    assert_eq!(home.json(["key", "list"])["keys"].as_array().unwrap().len(), 1);
    home.run(["key", "add", "--new-password-command", "true"]).fails(
        2,
        "is empty",
        "an empty password",
    );
    home.run(["key", "add", "--output", "x", "--new-password-file", "y"]).code(2);
    home.run(["key"]).code(2);
}

#[test]
fn a_changed_password_replaces_the_old_one() {
    let home = Home::with_password();
    home.run(["key", "change-password", "--new-password-command", "echo better"]).ok();
    home.run(["snapshots"]).fails(12, "wrong password or key", "DRUMLIN_PASSWORD");
    home.run(["snapshots", "--password-command", "echo better"]).ok();
    home.run(["key", "add", "--output", "a.key", "--password-command", "echo better"]).ok();
    let ran = home.run([
        "key",
        "change-password",
        "--new-password-command",
        "echo x",
        "--key-file",
        "a.key",
    ]);
    ran.fails(2, "which has no password", "`drumlin key add`");
}

#[test]
fn damaged_keys_are_shown_and_can_be_removed() {
    let home = Home::with_repository();
    let damaged = "00".repeat(16);
    home.write(&format!("repo/keys/{damaged}"), "no key");
    home.write("repo/keys/notes.txt", "not ours");
    let list = home.json(["key", "list"]);
    let keys = list["keys"].as_array().unwrap();
    let shown = keys.iter().find(|key| key["id"] == damaged.as_str()).unwrap();
    assert_eq!(fields(shown), "created error id in_use kind label");
    assert!(shown["kind"].is_null() && shown["label"].is_null() && shown["created"].is_null());
    assert_eq!(
        shown["error"],
        format!("keys/{damaged} cannot be understood: malformed key slot: not a Drumlin key slot")
    );
    let ran = home.run(["key", "list"]).ok();
    assert_eq!(ran.out.lines().count(), 4, "{}", ran.out);
    assert!(
        ran.out.contains("00000000   ?  ") && ran.out.contains("notes.txt  ?  "),
        "{}",
        ran.out
    );
    assert!(ran.err.contains("`drumlin key remove ID`"), "{}", ran.err);
    home.run(["key", "add", "--output", "spare.key"]).ok();
    home.run(["key", "remove", "0000"]).ok();
    home.run(["key", "remove", "notes.txt"]).ok();
    let ran = home.run(["key", "list"]).ok();
    assert!(ran.err.is_empty() && !ran.out.contains('?'), "{ran:?}");
    home.run(["check"]).ok();
}

#[test]
fn a_damaged_key_is_no_wrong_password() {
    let home = Home::with_repository();
    let slot = home.path("repo/keys").read_dir().unwrap().next().unwrap().unwrap().path();
    let whole = std::fs::read(&slot).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        std::fs::write(&slot, damaged).unwrap();
        let ran = home.run(["snapshots"]);
        // Its information opens nothing. A later version of the format is named as such.
        let is_later = ran.code == 1 && ran.err.contains("version");
        assert!(
            [0, 4].contains(&ran.code) || is_later,
            "byte {at}: exit code {}, {}",
            ran.code,
            ran.err
        );
    }
    std::fs::write(&slot, whole).unwrap();
    home.run(["snapshots"]).ok();
}

#[test]
fn the_key_in_use_is_not_removed() {
    let home = Home::with_password();
    let id = home.json(["key", "list"])["keys"][0]["id"].as_str().unwrap().to_owned();
    home.run(["key", "add", "--output", "a.key"]).ok();
    home.run(["key", "remove", &id]).fails(
        1,
        "is the one that opened the repository now",
        "open it with another",
    );
    home.run(["key", "remove", &id, "--key-file", "a.key"]).ok();
    home.run(["snapshots"]).code(12);
}
