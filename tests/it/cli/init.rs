//! `init`, and the ways to give a secret.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::home::{Home, fields};
use crate::support::needs::is_root;

#[test]
fn a_password_from_everywhere_opens() {
    let home = Home::new();
    home.write("pw", "open sesame\n");
    home.run(["--repo", "repo", "init", "--password-file", "pw"]).ok();
    home.run(["--repo", "repo", "snapshots", "--password-file", "pw"]).ok();
    home.run(["--repo", "repo", "snapshots", "--password-command", "cat pw"]).ok();
    let from_env = Home::new().with("DRUMLIN_PASSWORD", "open sesame");
    from_env.run(["--repo", &home.text("repo"), "snapshots"]).ok();
    let from_file = Home::new().with("DRUMLIN_PASSWORD_FILE", &home.text("pw"));
    from_file.run(["--repo", &home.text("repo"), "snapshots"]).ok();
    let from_command = Home::new().with("DRUMLIN_PASSWORD_COMMAND", "echo open sesame");
    from_command.run(["--repo", &home.text("repo"), "snapshots"]).ok();
    let wrong = Home::new().with("DRUMLIN_PASSWORD", "close sesame");
    let ran = wrong.run(["--repo", &home.text("repo"), "snapshots"]);
    ran.fails(
        12,
        "wrong password or key for the repository at",
        "the password was in DRUMLIN_PASSWORD",
    );
}

#[test]
fn a_password_is_never_an_argument_and_never_empty() {
    let home = Home::new().with("DRUMLIN_REPOSITORY", "repo");
    home.run(["init", "--password", "x"]).code(2);
    home.run(["init"]).fails(2, "no password was given", "use --password-file");
    home.run(["init", "--password-command", "true"]).fails(
        2,
        "is empty",
        "an empty password would protect nothing",
    );
    home.run(["init", "--password-command", "echo a; echo b"]).fails(
        2,
        "more than one line",
        "a password is one line",
    );
    home.run(["init", "--password-command", "exit 3"]).fails(1, "the password command failed", "");
    home.run(["init", "--password-file", "missing"]).fails(
        1,
        "cannot read the password file missing",
        "",
    );
    home.run(["init", "--password-file", "x", "--key-file", "y"]).code(2);
    let both = Home::new().with("DRUMLIN_PASSWORD", "a").with("DRUMLIN_PASSWORD_FILE", "b");
    both.run(["--repo", "repo", "init"]).fails(2, "are both set", "unset all but one");
    assert!(!home.path("repo").exists());
}

#[test]
fn init_refuses_what_is_there() {
    let home = Home::with_repository();
    home.run(["init"]).fails(1, "there already is a repository at", "choose another place");
    home.write("full/letter.txt", "dear");
    home.run(["init", "--repo", "full"]).fails(1, "is not empty", "it holds letter.txt");
    home.write("kit.txt", "precious");
    home.run(["init", "--repo", "other", "--kit", "kit.txt"]).fails(
        2,
        "kit.txt exists",
        "never overwritten",
    );
    assert_eq!(home.read("kit.txt"), "precious");
    assert!(!home.path("other").exists());
}

#[test]
fn init_says_what_to_keep_safe_and_writes_a_kit() {
    let home = Home::new().with("DRUMLIN_PASSWORD", "x").with("DRUMLIN_REPOSITORY", "repo");
    let ran = home.run(["init", "--kit", "kit.txt", "--profile", "small"]).ok();
    for part in [
        "made a repository at",
        "small (chunks of 16 KiB to 256 KiB)",
        "fingerprint",
        "keep safe",
        "kit.txt",
        "next: drumlin",
    ] {
        assert!(ran.out.contains(part), "{part} is missing in:\n{}", ran.out);
    }
    let kit = home.read("kit.txt");
    assert_eq!(fs::metadata(home.path("kit.txt")).unwrap().permissions().mode() & 0o7777, 0o600);
    assert!(
        kit.contains(&home.text("repo"))
            && kit.contains("--key-file kit.txt restore latest --target restored")
    );
    let without_password = Home::new();
    without_password
        .run(["--repo", &home.text("repo"), "--key-file", &home.text("kit.txt"), "snapshots"])
        .ok();
    let keys = home.json(["key", "list"]);
    let labels: Vec<&str> =
        keys["keys"].as_array().unwrap().iter().map(|key| key["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["password", "recovery kit"]);
}

#[test]
fn init_makes_the_key_file_that_is_missing() {
    let home = Home::new().with("DRUMLIN_REPOSITORY", "repo");
    let document = home.json(["init", "--key-file", "my.key"]);
    assert_eq!(fields(&document), "key_file kit repository");
    assert_eq!(fields(&document["repository"]), "created fingerprint id location profile");
    assert_eq!(document["repository"]["profile"], "standard");
    assert_eq!(document["key_file"], "my.key");
    assert_eq!(fs::metadata(home.path("my.key")).unwrap().permissions().mode() & 0o7777, 0o600);
    home.run(["snapshots", "--key-file", "my.key"]).ok();
    let again = home.json(["--repo", "second", "init", "--key-file", "my.key"]);
    assert!(again["key_file"].is_null(), "an existing key file is used, not made");
    home.run(["init", "--repo", "third", "--key-file", "my.key", "--kdf", "strong"]).fails(
        2,
        "--kdf is about passwords",
        "leave --kdf out",
    );
    fs::set_permissions(home.path("my.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let ran = home.run(["snapshots", "--key-file", "my.key"]).ok();
    assert!(ran.err.contains("can be read by others (mode 0644)"), "{}", ran.err);
    home.write("bad.key", "abandon abandon");
    let ran =
        home.run(["snapshots", "--key-file", "bad.key"]).fails(12, "is not a key file", "24 words");
    assert!(ran.err.contains("caused by: expected 24 words, found 2"), "{}", ran.err);
}

#[test]
fn strong_passwords_and_profiles() {
    let home = Home::new().with("DRUMLIN_PASSWORD", "x");
    home.run(["--repo", "strong", "init", "--kdf", "strong", "--profile", "large"]).ok();
    home.run(["--repo", "strong", "snapshots"]).ok();
    for profile in ["small", "standard", "large", "fixed"] {
        assert_eq!(
            home.json(["--repo", profile, "init", "--profile", profile])["repository"]["profile"],
            profile
        );
    }
    let ran = home.run(["--repo", "x", "init", "--profile", "huge"]).code(2);
    assert!(
        ran.err.contains("`huge` is not one of small, standard, large or fixed"),
        "{}",
        ran.err
    );
}

#[test]
fn locations_are_understood_or_refused_by_name() {
    let home = Home::with_repository();
    home.run(["--repo", &format!("file://{}", home.text("repo")), "snapshots"]).ok();
    home.run(["--repo", "s3://b/x", "snapshots"]).fails(
        2,
        "a bucket's name is 3 to 63",
        "s3://bucket/drumlin",
    );
    home.run(["--repo", "sftp://u@h", "init"]).fails(
        2,
        "the path is missing",
        "sftp://u1@u1.your-storagebox.de:23/./drumlin",
    );
    let ran = home.run(["--repo", "sftp://u:hunter2@h/x", "init"]).fails(
        2,
        "no place for a password",
        "ssh-password-file",
    );
    assert!(!ran.err.contains("hunter2"), "{}", ran.err);
    home.run(["--repo", "ftp://x", "snapshots"]).fails(
        2,
        "does not support repositories at `ftp://`",
        "use a path",
    );
    home.run(["--repo", "u@h:x", "snapshots"]).fails(
        2,
        "looks like a path on another machine",
        "sftp://user@host/path",
    );
    home.run(["--repo", "nowhere", "snapshots"]).fails(
        10,
        "there is no repository at",
        "`drumlin init`",
    );
    home.write("empty-folder/x", "");
    home.run(["--repo", "empty-folder", "snapshots"]).fails(
        10,
        "there is no repository at",
        "`drumlin init`",
    );
    Home::new().run(["snapshots"]).fails(2, "no repository is named", "give --repo");
}

/// A machine that knows nothing opens each repository that was made with a key file, also after an
/// `init` that failed at first.
#[test]
fn a_key_file_of_several_repositories_opens_each_on_a_new_machine() {
    let home = Home::new();
    home.write("full", "a file, where a folder would have to be");
    home.run(["init", "--repo", "full/repo", "--key-file", "my.key"]).code(1);
    for repository in ["first", "second"] {
        home.run(["init", "--repo", repository, "--key-file", "my.key"]).ok();
    }
    home.run(["init", "--repo", "other", "--key-file", "other.key"]).ok();
    for (repository, code) in [("first", 0), ("second", 0), ("other", 12)] {
        fs::remove_dir_all(home.path(".state")).unwrap();
        fs::remove_dir_all(home.path(".cache")).unwrap();
        home.run(["snapshots", "--repo", repository, "--key-file", "my.key"]).code(code);
    }
    // What cannot be written to is said.
    fs::set_permissions(home.path("my.key"), fs::Permissions::from_mode(0o400)).unwrap();
    let ran = home.run(["init", "--repo", "third", "--key-file", "my.key"]).ok();
    let is_root = is_root();
    assert!(is_root || ran.err.contains("add the line `# Fingerprint: "), "{}", ran.err);
}
