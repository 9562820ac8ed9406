//! `backup`: sources, excludes, streams, apps, and what it says.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::support::home::{Home, Ran, fields};

/// Returns the paths below the home folder that the newest snapshot holds, folders with a slash.
fn listed(home: &Home) -> Vec<String> {
    let prefix = format!("{}/", home.text(""));
    let text = home.run(["ls", "-R", "latest"]).ok().out;
    text.lines()
        .filter_map(|line| line.strip_prefix(&prefix))
        .map(str::to_owned)
        .filter(|line| !line.is_empty())
        .collect()
}

fn backup(home: &Home, args: &[&str]) -> Value {
    home.json(["backup"].iter().chain(args))
}

#[test]
fn the_document_has_every_field() {
    let home = Home::with_repository();
    home.make_source();
    let document =
        backup(&home, &["src", "--tag", "web", "--tag", "a", "--host", "h1", "--app", "wiki"]);
    assert_eq!(
        fields(&document),
        "dry_run problem_count problems requests seconds snapshot stats unchanged_since"
    );
    let snapshot = &document["snapshot"];
    assert_eq!(
        fields(snapshot),
        "app consistency ended host id instead_of parent problem_count program root sequence sources started stats tags user"
    );
    let stats = "bytes bytes_new_raw bytes_read bytes_stored chunks_new dirs files files_changed files_new files_unchanged";
    assert_eq!(fields(&snapshot["stats"]), stats);
    assert_eq!(fields(&document["stats"]), stats);
    assert_eq!(snapshot["tags"], json!(["a", "web"]));
    assert_eq!((&snapshot["host"], &snapshot["app"]), (&json!("h1"), &json!("wiki")));
    assert_eq!(snapshot["sources"], json!([home.text("src")]));
    assert_eq!(document["stats"]["files_new"], 4);
    assert_eq!(document["stats"]["bytes"], 6 + 5000 + 6);
    assert_eq!(snapshot["sequence"], 1);
    assert!(snapshot["parent"].is_null() && document["unchanged_since"].is_null());
}

#[test]
fn nothing_changed_means_no_snapshot_unless_asked() {
    let home = Home::with_repository();
    home.make_source();
    let first = backup(&home, &["src"])["snapshot"]["id"].clone();
    let second = backup(&home, &["src"]);
    assert!(second["snapshot"].is_null());
    assert_eq!(second["unchanged_since"], first);
    let text = home.run(["backup", "src"]).ok().out;
    assert!(
        text.starts_with(&format!(
            "nothing has changed since snapshot {}",
            &first.as_str().unwrap()[..8]
        )),
        "{text}"
    );
    let third = backup(&home, &["src", "--always-snapshot"]);
    assert_eq!(third["snapshot"]["parent"], first);
    assert_eq!(home.json(["snapshots"])["snapshots"].as_array().unwrap().len(), 2);
    home.write("src/new", "delta");
    let fourth = backup(&home, &["src"]);
    assert_eq!(
        (&fourth["stats"]["files_new"], &fourth["stats"]["files_unchanged"]),
        (&json!(1), &json!(4))
    );
}

#[test]
fn a_dry_run_stores_nothing() {
    let home = Home::with_repository();
    home.make_source();
    let before = home.tree("repo");
    let document = backup(&home, &["src", "--dry-run"]);
    assert!(document["snapshot"].is_null() && document["unchanged_since"].is_null());
    assert_eq!(document["dry_run"], true);
    assert_eq!(document["stats"]["files_new"], 4);
    let text = home.run(["backup", "src", "-n"]).ok().out;
    assert!(text.starts_with("dry run: nothing was stored"), "{text}");
    assert_eq!(home.tree("repo"), before);
}

#[test]
fn excludes_leave_out_what_they_say() {
    let home = Home::with_repository();
    home.make_source();
    home.write("src/cache/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n");
    home.write("src/cache/x", "x");
    home.write("src/skip/.nobackup", "");
    home.write("src/skip/y", "y");
    home.write("src/rules/.gitignore", "*.log\n");
    home.write("src/rules/z.log", "z");
    home.write("src/big", vec![1; 3000]);
    home.write("patterns", "# a comment\n\n*.tmp\n");
    let args = [
        "src",
        "--exclude-file",
        "patterns",
        "--exclude-caches",
        "--exclude-if-present",
        ".nobackup",
        "--ignore-file",
        ".gitignore",
    ];
    backup(
        &home,
        &[&args[..], &["--exclude-larger-than", "2k", "--exclude", "link", "--one-file-system"]]
            .concat(),
    );
    let found = listed(&home);
    for gone in [
        "src/sub/c.tmp",
        "src/cache/x",
        "src/skip/y",
        "src/rules/z.log",
        "src/big",
        "src/link",
        "src/sub/b.txt",
    ] {
        assert!(!found.contains(&gone.to_owned()), "{gone} is there: {found:?}");
    }
    for kept in ["src/a.txt", "src/sub/", "src/cache/", "src/skip/", "src/rules/.gitignore"] {
        assert!(found.contains(&kept.to_owned()), "{kept} is missing: {found:?}");
    }
    home.run(["backup", "src", "--exclude", "[ab"]).fails(2, "bad pattern '[ab'", "");
    home.run(["backup", "src", "--exclude-file", "missing"]).fails(
        1,
        "cannot read the exclude file missing",
        "",
    );
    home.run(["backup", "src", "--exclude-larger-than", "big"]).code(2);
}

#[test]
fn streams_become_files() {
    let home = Home::with_repository();
    home.run_with_input(["backup", "--stdin", "--stdin-name", "dump.sql"], b"select 1;\n").ok();
    assert_eq!(home.run(["cat", "latest:/dump.sql"]).ok().out, "select 1;\n");
    home.run_with_input(["backup", "--stdin"], b"unnamed").ok();
    assert_eq!(home.run(["cat", "latest:/stdin"]).ok().out, "unnamed");
    home.make_source();
    let document = backup(
        &home,
        &[
            "src",
            "--command",
            "seq 3",
            "--command-name",
            "n",
            "--command",
            "echo hi",
            "--command-name",
            "m",
        ],
    );
    assert_eq!(document["snapshot"]["sources"], json!(["/m", "/n", home.text("src")]));
    assert_eq!(home.run(["cat", "latest:/n"]).ok().out, "1\n2\n3\n");
    assert_eq!(home.run(["cat", "latest:/m"]).ok().out, "hi\n");
    assert_eq!(
        home.run(["cat", &format!("latest:{}", home.text("src/a.txt"))]).ok().out,
        "alpha\n"
    );
    home.run(["backup", "--command", "true"]).code(2);
    home.run(["backup", "--command", "true", "--command-name", &"n".repeat(256)]).fails(
        2,
        "longer than a file's name can be",
        "",
    );
    home.run(["backup", "--command-name", "x", "src"]).code(2);
    home.run_with_input(["backup", "--stdin", "--stdin-name", "db/dump.sql"], b"select 2;\n").ok();
    assert_eq!(home.run(["cat", "latest:/db/dump.sql"]).ok().out, "select 2;\n");
    home.run(["backup", "--stdin", "--stdin-name", "a/../b"]).code(2);
}

#[test]
fn a_failing_command_makes_no_snapshot() {
    let home = Home::with_repository();
    let ran = home.run(["backup", "--command", "echo half; exit 7", "--command-name", "dump"]);
    let ran = ran.fails(1, "the stream for /dump is not complete", "");
    assert!(ran.err.contains("name `dump`"), "{}", ran.err);
    assert!(ran.err.contains("failed: exit status: 7"), "{}", ran.err);
    assert_eq!(home.json(["snapshots"])["snapshots"], json!([]));
}

#[test]
fn unreadable_files_are_listed_and_the_snapshot_is_kept() {
    let home = Home::with_repository();
    home.make_source();
    fs::set_permissions(home.path("src/a.txt"), fs::Permissions::from_mode(0o000)).unwrap();
    // Root may read everything, unless it gives up its capabilities.
    let mut command = home.without_capabilities(["backup", "src", "--json"]);
    let ran = Ran::of(&command.output().unwrap()).code(3);
    let document = ran.json();
    let problem = &document["problems"][0];
    assert_eq!(fields(problem), "kind message path");
    assert_eq!(
        (&problem["path"], &problem["kind"]),
        (&json!(home.text("src/a.txt")), &json!("unreadable"))
    );
    assert_eq!(document["problem_count"], 1);
    assert_eq!(document["snapshot"]["problem_count"], 1);
    let ran = Ran::of(
        &home.without_capabilities(["backup", "src", "--always-snapshot"]).output().unwrap(),
    )
    .code(3);
    assert!(ran.out.contains("not read 1 file: listed below, exit code 3"), "{}", ran.out);
    assert!(
        ran.err.contains(&format!("warning: {}: ", home.text("src/a.txt")))
            && ran.err.contains("(unreadable)"),
        "{}",
        ran.err
    );
}

#[test]
fn a_repository_that_may_not_be_used_is_13() {
    let home = Home::with_repository();
    fs::set_permissions(home.path("repo/config"), fs::Permissions::from_mode(0o000)).unwrap();
    let ran = Ran::of(&home.without_capabilities(["snapshots"]).output().unwrap());
    ran.fails(13, "", "must be allowed to read and write the repository's folder");
    fs::set_permissions(home.path("repo/config"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(home.path("repo"), fs::Permissions::from_mode(0o000)).unwrap();
    let ran = Ran::of(&home.without_capabilities(["snapshots"]).output().unwrap());
    ran.fails(13, "", "must be allowed to read and write the repository's folder");
    fs::set_permissions(home.path("repo"), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn what_cannot_be_backed_up_is_said() {
    let home = Home::with_repository();
    home.run(["backup"]).fails(2, "nothing to back up was named", "give a PATH");
    home.run(["backup", "missing"]).fails(1, "cannot read source", "");
    home.run(["backup", "--app", "wiki"]).fails(2, "there is no [app.wiki]", "");
    home.run(["backup", "/etc", "--repo", "nowhere"]).fails(
        10,
        "there is no repository",
        "`drumlin init`",
    );
}

#[test]
fn chunkers_and_compressions_all_restore() {
    let home = Home::with_repository();
    home.write("src/text", "all work and no play\n".repeat(20_000));
    for (at, args) in [
        ["--compression", "none"],
        ["--compression", "fast"],
        ["--compression", "default"],
        ["--compression", "max"],
        ["--compression", "22"],
        ["--chunker", "fixed"],
        ["--chunker", "cdc"],
        ["--threads", "1"],
    ]
    .iter()
    .enumerate()
    {
        home.write("src/number", format!("{at}"));
        backup(&home, &[&["src", "--low-memory"][..], args].concat());
        assert_eq!(
            home.run(["cat", &format!("latest:{}", home.text("src/text"))]).ok().out,
            home.read("src/text")
        );
    }
    home.run(["backup", "src", "--compression", "23"]).code(2);
    home.run(["backup", "src", "--chunker", "both"]).code(2);
    home.run(["backup", "src", "--threads", "0"]).code(2);
}

#[test]
fn the_repository_is_never_backed_up_into_itself() {
    let home = Home::with_repository();
    home.make_source();
    backup(&home, &["."]);
    let found = listed(&home);
    assert!(found.contains(&"src/a.txt".to_owned()));
    assert!(!found.iter().any(|path| path.starts_with("repo/") && path.len() > 5), "{found:?}");
    // The second backup still sees that the first one made folders in the repository; from then on
    // nothing moves.
    backup(&home, &["."]);
    assert!(backup(&home, &["."])["snapshot"].is_null(), "a backup must not see its own traces");
}

/// The repository and the local copies change with every backup; the folder that they lie in does
/// not.
#[test]
fn a_folder_that_holds_the_repository_is_unchanged_the_second_time() {
    let home = Home::with_repository();
    home.make_source();
    let first = home.json(["backup", "."])["snapshot"]["id"].clone();
    let second = home.json(["backup", "."]);
    assert!(second["snapshot"].is_null(), "a second snapshot was made: {second:#}");
    let latest = home.json(["snapshots"])["snapshots"][0]["id"].clone();
    assert_eq!(latest, first);
    for folder in ["data", "intents", "gc"] {
        let _ = std::fs::remove_dir(home.path(&format!("repo/{folder}")));
    }
    home.write("src/new", "new");
    home.run(["backup", "."]).ok();
    home.run(["check", "--level", "full"]).ok();
}
