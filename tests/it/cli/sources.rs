//! `backup`: what is named is in the snapshot, or it is said why not.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::support::home::{Home, Ran};

/// Runs a backup and returns how it ended, and the files of the snapshot below the home folder.
fn files_of(home: &Home, args: &[&str]) -> (i32, Vec<String>, String) {
    let ran = home.run(["backup", "--always-snapshot"].iter().chain(args));
    let prefix = format!("{}/", home.text(""));
    let text = home.run(["ls", "-R", "latest"]).ok().out;
    let files = text
        .lines()
        .filter_map(|line| line.strip_prefix(&prefix))
        .filter(|line| !line.is_empty() && !line.ends_with('/'));
    (ran.code, files.map(str::to_owned).collect(), ran.err)
}

#[test]
fn what_is_named_is_in_the_snapshot_whatever_leaves_out_the_rest() {
    let home = Home::with_repository();
    home.write("src/a/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n");
    home.write("src/a/deep/wanted", "1");
    home.write("src/a/other", "2");
    home.write("src/.gitignore", "build\n");
    home.write("src/build/out/wanted", "3");
    home.write("src/build/other", "4");
    home.write("src/.nobackup", "");
    home.write("src/plain", "5");
    let tag = "src/a/CACHEDIR.TAG";
    let cases: [(&[&str], &[&str]); 8] = [
        (
            &["src", "src/a/deep", "--exclude-caches"],
            &[
                "src/.gitignore",
                "src/.nobackup",
                tag,
                "src/a/deep/wanted",
                "src/build/other",
                "src/build/out/wanted",
                "src/plain",
            ],
        ),
        (
            &["src", "src/a/deep", "--exclude", "/**/a"],
            &[
                "src/.gitignore",
                "src/.nobackup",
                "src/a/deep/wanted",
                "src/build/other",
                "src/build/out/wanted",
                "src/plain",
            ],
        ),
        (
            &["src", "src/build/out", "--exclude", "a", "--ignore-file", ".gitignore"],
            &["src/.gitignore", "src/.nobackup", "src/build/out/wanted", "src/plain"],
        ),
        (
            &["src", "src/build", "--exclude", "a", "--exclude", "build"],
            &[
                "src/.gitignore",
                "src/.nobackup",
                "src/build/other",
                "src/build/out/wanted",
                "src/plain",
            ],
        ),
        // What marks a folder that is named itself does not count, and below it everything does.
        (
            &[
                "src",
                "src/a/deep",
                "--exclude-if-present",
                ".nobackup",
                "--exclude-if-present",
                "other",
            ],
            &[
                "src/.gitignore",
                "src/.nobackup",
                "src/a/deep/wanted",
                "src/a/other",
                "src/build/other",
                "src/plain",
            ],
        ),
        (&["src/a", "--exclude-caches"], &[tag, "src/a/deep/wanted", "src/a/other"]),
        (
            &[
                "src/a",
                "src/build",
                "src/plain",
                "--exclude",
                "build",
                "--exclude",
                "other",
                "--exclude",
                "plain",
            ],
            &[tag, "src/a/deep/wanted"],
        ),
        (&["src/build", "src/build/out/wanted", "--exclude", "build"], &["src/build/out/wanted"]),
    ];
    for (args, expected) in cases {
        let (code, files, said) = files_of(&home, args);
        assert_eq!(
            (code, files.iter().map(String::as_str).collect::<Vec<_>>()),
            (0, expected.to_vec()),
            "{args:?}: {said}"
        );
    }
    let said = home.run(["backup", "src/build", "src/plain", "--exclude", "build"]).ok().err;
    assert!(said.contains("src/build: this source is left out: a pattern excludes it"), "{said}");
    // A snapshot of nothing is no backup.
    let count = || home.json(["snapshots"])["snapshots"].as_array().unwrap().len();
    let before = count();
    for nothing in [&["src"][..], &["src", "gone"], &["src", "--dry-run"]] {
        home.run([&["backup", "--exclude", "src"], nothing].concat()).fails(
            1,
            "no source is left",
            "`PATH/*`",
        );
    }
    assert_eq!(count(), before);
}

#[test]
fn links_stand_for_themselves_unless_they_are_followed() {
    let home = Home::with_repository();
    home.write("real/f", "x");
    symlink("real", home.path("current")).unwrap();
    symlink("real/f", home.path("file")).unwrap();
    let (code, files, said) = files_of(&home, &["current"]);
    assert!(
        code == 0 && files[0].starts_with("current") && said.contains("symbolic link"),
        "{files:?} {said}"
    );
    for args in [&["current/"][..], &["current/."], &["current", "--follow-sources"]] {
        let (code, files, said) = files_of(&home, args);
        assert_eq!((code, files), (0, vec!["current/f".to_owned()]), "{args:?}: {said}");
    }
    let (_, files, _) = files_of(&home, &["file", "--follow-sources"]);
    assert_eq!(files, ["file"]);
    assert_eq!(home.run(["cat", &format!("latest:{}", home.text("file"))]).ok().out, "x");
    home.write("drumlin.toml", "[app.one]\npaths = [\"current\"]\nfollow-sources = true\n");
    let (_, files, _) = files_of(&home, &["--app", "one", "--config", "drumlin.toml"]);
    assert_eq!(files, ["current/f"]);
    let (code, files, said) = files_of(&home, &["current", "current/f"]);
    assert!(
        code == 3 && files.len() == 1 && said.contains("stored as a symbolic link"),
        "{code} {files:?} {said}"
    );
    let (code, files, said) = files_of(&home, &["current/", "current/f"]);
    assert_eq!((code, files), (0, vec!["current/f".to_owned()]), "{said}");
}

#[test]
fn one_missing_source_does_not_stop_the_others_and_the_snapshot_knows_it() {
    let home = Home::with_repository();
    home.make_source();
    let ran = home.run(["backup", "src", "usb", "--json"]).code(3);
    let document = ran.json();
    assert_eq!(document["snapshot"]["sources"], json!([home.text("src"), home.text("usb")]));
    assert_eq!(
        (&document["snapshot"]["problem_count"], &document["problems"][0]["path"]),
        (&json!(1), &json!(home.text("usb")))
    );
    let quiet = home.run(["-q", "backup", "src", "usb"]).code(3);
    assert!(
        quiet.out.is_empty() && quiet.err.contains("usb: this source was not read: No such file"),
        "{quiet:?}"
    );
    home.run(["backup", "usb", "usb2"]).fails(1, "cannot read source", "");
}

#[test]
fn a_source_that_has_lost_its_files_is_told_until_somebody_accepts_it() {
    let home = Home::with_repository();
    for number in 0..12 {
        home.write(&format!("disk/f{number}"), "x");
    }
    home.write("src/f", "x");
    home.run(["backup", "disk", "src"]).ok();
    for number in 2..12 {
        fs::remove_file(home.path(&format!("disk/f{number}"))).unwrap();
    }
    let most = home.run(["backup", "disk", "src"]).code(3);
    assert!(
        most.err.contains("disk: this source had 12 files in an earlier snapshot and has 2 now"),
        "{}",
        most.err
    );
    fs::remove_file(home.path("disk/f0")).unwrap();
    fs::remove_file(home.path("disk/f1")).unwrap();
    for _ in 0..2 {
        let all = home.run(["-q", "backup", "disk", "src"]).code(3);
        assert!(
            all.err.contains("had 12 files in an earlier snapshot and has none now"),
            "{}",
            all.err
        );
    }
    home.run(["backup", "disk", "src", "--allow-empty"]).ok();
    home.run(["backup", "disk", "src"]).ok();
    home.write("disk/f", "x");
    home.run(["backup", "disk", "src"]).ok();
    fs::remove_file(home.path("disk/f")).unwrap();
    home.write("drumlin.toml", "[app.a]\npaths = [\"disk\", \"src\"]\nallow-empty = true\n");
    home.run(["backup", "--app", "a", "--config", "drumlin.toml"]).ok();
}

#[test]
fn commands_see_no_secret_and_empty_dumps_are_told() {
    let home = Home::with_password()
        .with("DRUMLIN_SSH_PASSWORD", "s")
        .with("AWS_SECRET_ACCESS_KEY", "k")
        .with("OTHER", "o");
    home.run(["backup", "--command", "env", "--command-name", "e"]).ok();
    let seen = home.run(["cat", "latest:/e"]).ok().out;
    assert!(
        seen.contains("OTHER=o")
            && !["DRUMLIN_PASSWORD", "SSH_PASSWORD", "SECRET_ACCESS"]
                .iter()
                .any(|name| seen.contains(name)),
        "{seen}"
    );
    let args = ["--command", "true", "--command-name", "e"];
    let empty = home.run(["-q", "backup"].iter().chain(&args)).code(3);
    assert!(empty.err.contains("/e: nothing came"), "{}", empty.err);
    home.run(["backup", "--allow-empty"].iter().chain(&args)).ok();
    home.run_with_input(["backup", "--stdin"], b"").code(3);
}

#[test]
fn special_files_are_read_or_said_not_to_be() {
    let home = Home::with_repository();
    let fifo = home
        .script(&[], "mkfifo pipe; $drumlin -q -r repo --key-file test.key backup pipe")
        .code(3);
    assert!(
        fifo.err.contains("this source is a fifo: it is stored as such and not read"),
        "{}",
        fifo.err
    );
    home.script(
        &[],
        "echo through >pipe & $drumlin -r repo --key-file test.key backup pipe --read-special",
    )
    .ok();
    assert_eq!(home.run(["cat", &format!("latest:{}", home.text("pipe"))]).ok().out, "through\n");
    // A link to one is no better: who names it expects what comes out of it.
    assert!(
        home.run_with_input(["-q", "backup", "/dev/stdin"], b"typed")
            .code(3)
            .err
            .contains("nothing is read")
    );
    home.run_with_input(["backup", "/dev/stdin", "--read-special"], b"typed").ok();
    assert_eq!(home.run(["cat", "latest:/dev/stdin"]).ok().out, "typed");
}

#[test]
fn what_the_program_was_started_with_is_read_whatever_it_is() {
    let home = Home::with_repository();
    home.write("dump.sql", "select 1;\n");
    std::os::unix::fs::symlink("/dev/stdin", home.path("link")).unwrap();
    let drumlin = "$drumlin -q -r repo --key-file test.key";
    for (name, stored, from) in
        [("/dev/stdin", "/dev/stdin", "<"), ("/dev/fd/3", "/dev/fd/3", "3<"), ("link", "link", "<")]
    {
        let unread = home.script(&[], &format!("{drumlin} backup {name} {from}dump.sql")).code(3);
        assert!(unread.err.contains("nothing is read"), "{name}: {}", unread.err);
        home.script(
            &[],
            &format!("{drumlin} backup --always-snapshot --read-special {name} {from}dump.sql"),
        )
        .ok();
        let stored = if stored.starts_with('/') { stored.to_owned() } else { home.text(stored) };
        assert_eq!(
            home.run(["cat", &format!("latest:{stored}")]).ok().out,
            "select 1;\n",
            "{name}"
        );
    }
}

#[test]
fn a_device_that_cannot_be_read_costs_no_other_source() {
    let home = Home::with_repository();
    home.make_source();
    home.script(&[], "mkfifo pipe; chmod 000 pipe; mknod nodev b 240 77 || ln -s /dev/full nodev")
        .ok();
    // A fifo that may not be opened, a device that is none.
    let run = |args: &[&str]| {
        Ran::of(
            &home
                .without_capabilities([&["-q", "backup", "--read-special"], args].concat())
                .output()
                .unwrap(),
        )
    };
    for special in ["pipe", "nodev"] {
        if special == "nodev" && home.path("nodev").is_symlink() {
            continue;
        }
        let ran = run(&[special, "src"]).code(3);
        assert!(ran.err.contains(&format!("{special}: this source was not read: ")), "{}", ran.err);
        assert_eq!(
            home.run(["cat", &format!("latest:{}", home.text("src/a.txt"))]).ok().out,
            "alpha\n"
        );
        run(&[special]).fails(1, "cannot read source", "");
    }
    // Commands are another matter: half a dump must never look like a whole one.
    home.run(["backup", "src", "--command", "false", "--command-name", "x"]).code(1);
}

#[test]
fn sources_can_be_named_in_files() {
    let home = Home::with_repository();
    home.make_source();
    home.write("src/new\nline", "n");
    home.write("list", "src/a.txt\n\nsrc/sub\n");
    let (code, files, said) = files_of(&home, &["--files-from", "list"]);
    assert_eq!(
        (code, files),
        (0, vec!["src/a.txt".to_owned(), "src/sub/b.txt".into(), "src/sub/c.tmp".into()]),
        "{said}"
    );
    home.run_with_input(["backup", "--files-from", "-", "--null"], b"src/new\nline\0src/a.txt\0")
        .ok();
    assert!(home.run(["ls", "-R", "latest"]).ok().out.contains("src/new\\x0aline"));
    home.write("marked", "\u{feff}src/a.txt\n");
    let (code, files, said) = files_of(&home, &["--files-from", "marked"]);
    assert_eq!((code, files), (0, vec!["src/a.txt".to_owned()]), "{said}");
    home.write("\u{feff}strange", "s");
    home.run_with_input(["backup", "--files-from", "-", "--null"], "\u{feff}strange\0".as_bytes())
        .ok();
    home.write("nothing", "\n");
    home.run(["backup", "--files-from", "nothing"]).fails(
        2,
        "nothing names nothing to back up",
        "",
    );
    home.write("zeros", "src/a.txt\0");
    home.run(["backup", "--files-from", "zeros"]).fails(2, "", "--null");
}

#[test]
fn patterns_are_taken_as_they_are_typed_and_those_that_match_nothing_are_said() {
    let home = Home::with_repository();
    for name in ["x", "dir/sub", "B.JPG", "c\u{e9}"] {
        home.write(&format!("src/{name}"), "1");
    }
    let raw = std::os::unix::ffi::OsStrExt::from_bytes(&b"src/caf\xe9"[..]);
    fs::write(home.path("").join::<&std::ffi::OsStr>(raw), "1").unwrap();
    home.write("marked", "\u{feff}x\r\n");
    for (args, gone) in [
        (&["--exclude", "./src/x"][..], "src/x"),
        (&["--exclude", "src/dir/sub"], "src/dir/sub"),
        (&["--exclude", "dir/sub"], "src/dir/sub"),
        (&["--exclude", "src//x"], "src/x"),
        (&["--exclude", "src/dir/."], "src/dir/sub"),
        (&["--exclude", "~/src/x"], "src/x"),
        (&["--exclude", "[[:alpha:]]"], "src/x"),
        (&["--iexclude", "*.jpg"], "src/B.JPG"),
        (&["--exclude", "caf\\xe9"], "src/caf\\xe9"),
        (&["--exclude-file", "marked"], "src/x"),
    ] {
        let (code, files, said) = files_of(&home, &[&["src"][..], args].concat());
        assert!(
            code == 0 && files.len() == 4 && !files.contains(&gone.to_owned()),
            "{args:?}: {files:?} {said}"
        );
        assert!(!said.contains("matched nothing"), "{args:?}: {said}");
    }
    let (code, files, said) = files_of(&home, &["src/caf\\xe9"]);
    assert_eq!((code, files), (0, vec!["src/caf\\xe9".to_owned()]), "{said}");
    assert_eq!(home.run(["cat", "latest:src/caf\\xe9"]).ok().out, "1");
    files_of(&home, &["src"]);
    for pattern in ["nothing/here", "/x", "*.png", "{x,dir}"] {
        let (code, files, said) = files_of(&home, &["src", "--exclude", pattern]);
        assert_eq!((code, files.len()), (0, 5));
        assert!(said.contains(&format!("note: {pattern}: this pattern matched nothing")), "{said}");
    }
    let restored = home.run([
        "restore",
        &format!("latest:{}", home.text("src")),
        "-t",
        "out",
        "-i",
        "./x",
        "-i",
        "src/dir/sub",
        "-i",
        "no",
    ]);
    let said = restored.ok().err;
    assert!(
        home.path("out/x").exists()
            && home.path("out/dir/sub").exists()
            && !home.path("out/B.JPG").exists(),
        "{said}"
    );
    assert!(
        said.contains("no: this pattern matched nothing") && !said.contains("x: this"),
        "{said}"
    );
}

#[test]
fn what_keeps_its_times_is_read_if_asked() {
    let home = Home::with_repository();
    let file = home.write("src/vault", "1");
    home.write("src/other", "1");
    // Stamps of just now prove nothing yet; once they do, nothing is read.
    let read = |args: &[&str]| {
        home.json(["backup", "src", "--always-snapshot"].iter().chain(args))["stats"]["bytes_read"]
            .clone()
    };
    while read(&[]) != json!(0) {
        assert!(file.exists());
    }
    assert_eq!(
        (read(&["--always-read", "vault"]), read(&["--always-read", "src/"]), read(&[])),
        (json!(1), json!(2), json!(0))
    );
    home.write("drumlin.toml", "[defaults]\nalways-read = \"*vault\"\n");
    assert_eq!(read(&["--config", "drumlin.toml"]), json!(1));
    // It matches what is new or has changed, too.
    home.write("src/new.hc", "1");
    for _ in 0..2 {
        let said = home
            .run([
                "backup",
                "src",
                "--always-snapshot",
                "--always-read",
                "*.hc",
                "--always-read",
                "*.no",
            ])
            .ok()
            .err;
        assert!(
            said.contains("*.no: this pattern matched nothing")
                && !said.contains("*.hc: this pattern"),
            "{said}"
        );
        home.write("src/new.hc", "changed");
    }
}

#[test]
fn a_cache_folder_is_not_the_program_s_own_as_a_whole() {
    let home = Home::with_repository();
    home.write("data/docs/p", "precious");
    fs::set_permissions(home.path("data"), std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .unwrap();
    let (code, files, said) = files_of(&home, &["--cache-dir", "data", "data"]);
    assert_eq!((code, files), (0, vec!["data/docs/p".to_owned()]), "{said}");
    assert!(said.contains("not entered: it is the repository itself or its cache"), "{said}");
    home.run([
        "--cache-dir",
        "data",
        "restore",
        &format!("latest:{}", home.text("data/docs")),
        "-t",
        "data/new",
    ])
    .ok();
    assert_eq!(home.read("data/new/p"), "precious");
    let named = home.run(["backup", "repo", "data"]).code(3);
    assert!(named.err.contains("repo: not entered: it is the repository itself"), "{}", named.err);
}

#[test]
fn signals_that_the_starter_ignores_are_ignored() {
    let home = Home::with_repository();
    home.make_source();
    let script = "mkfifo p; (trap '' HUP; exec $drumlin -r repo --key-file test.key backup --command 'cat p' --command-name d) & id=$!\n\
                  exec 3>p; kill -HUP $id; echo half >&3; kill -HUP $id; exec 3>&-; wait $id";
    home.script(&[], script).ok();
    assert_eq!(home.run(["cat", "latest:/d"]).ok().out, "half\n");
    // The kernel is asked, so that it holds where /proc is missing.
    std::fs::remove_file(home.path("p")).unwrap();
    let hidden = ["unshare", "-rm"];
    if home.script(&hidden, "mount -t tmpfs none /proc").code == 0 {
        home.script(&hidden, &format!("mount -t tmpfs none /proc; {script}")).ok();
    }
}

#[test]
fn other_programs_of_the_user_cannot_look_into_this_one() {
    let home = Home::with_repository();
    let look = "cat /proc/$PPID/environ >/dev/null 2>&1 && echo open || echo shut";
    let mut command =
        home.without_capabilities(["backup", "--command", look, "--command-name", "seen"]);
    Ran::of(&command.output().unwrap()).ok();
    assert_eq!(home.run(["cat", "latest:/seen"]).ok().out, "shut\n");
}

/// What docs/scripting.md says is taken out of the environment, name by name.
#[test]
fn none_of_the_secrets_that_are_named_reaches_a_command() {
    let names = [
        "DRUMLIN_PASSWORD",
        "DRUMLIN_PASSWORD_FILE",
        "DRUMLIN_PASSWORD_COMMAND",
        "DRUMLIN_KEY_FILE",
        "DRUMLIN_SSH_PASSWORD",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_SECURITY_TOKEN",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    ];
    let home = Home::with_repository().with("AWS_ACCESS_KEY_ID", "stays");
    let page =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/scripting.md")).unwrap();
    for name in names {
        assert!(page.contains(&format!("`{name}`")), "docs/scripting.md does not name {name}");
        let backup = [
            "--key-file",
            "test.key",
            "backup",
            "--command",
            "env | tee seen",
            "--command-name",
            "e",
        ];
        let mut command = home.command(backup);
        command.env_remove("DRUMLIN_KEY_FILE").env(name, "not for you");
        Ran::of(&command.output().unwrap()).ok();
        let seen = home.read("seen");
        assert!(
            seen.contains("AWS_ACCESS_KEY_ID=stays") && !seen.contains("not for you"),
            "{name}: {seen}"
        );
    }
}

/// A mistyped name may lead to an image of a disk: nothing of that length is taken into memory.
#[test]
fn lists_in_files_have_limits() {
    let home = Home::with_repository();
    home.make_source();
    fs::File::create(home.path("big")).unwrap().set_len(2 << 30).unwrap();
    home.write("lines", "x\n".repeat(50_001));
    home.write("line", format!("x\n{}\n", "y".repeat(5_000)));
    home.write("names", format!("{}\n", "n".repeat(1_000)).repeat(70_000));
    home.write("name", "n".repeat(17 << 20));
    for (options, says) in [
        ("--exclude-file big", "the exclude file big is longer than 8 MiB"),
        ("--exclude-file lines", "the exclude file lines has more than 50000 lines"),
        ("--exclude-file line", "the exclude file line has a line 2 that is longer than 4 KiB"),
        ("--files-from big", "big has a name that is longer than 16 MiB"),
        ("--files-from big --null", "big has more names than fit into 64 MiB"),
        ("--files-from names", "names has more names than fit into 64 MiB"),
        ("--files-from name", "name has a name that is longer than 16 MiB"),
        ("--files-from - <big", "- has a name that is longer than 16 MiB"),
        ("--config big", "it is longer than 4 MiB"),
    ] {
        let ran = home.script(
            &[],
            &format!(
                "ulimit -v 2000000; $drumlin -r repo --key-file test.key backup src {options}"
            ),
        );
        assert!(ran.code == 2 && ran.err.contains(says), "{options}: {ran:?}");
    }
    home.write("lines", "x\n".repeat(49_999));
    home.run(["backup", "src", "--exclude-file", "lines"]).ok();
}
