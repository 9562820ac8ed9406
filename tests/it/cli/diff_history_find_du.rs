//! `diff`, `history`, `find` and `du`.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::home::{Home, fields};

/// Makes three snapshots: as it was, a letter changed and a folder renamed, and a letter gone.
fn three_snapshots() -> Home {
    let home = Home::with_repository();
    home.write("src/letters/one.txt", "one");
    home.write("src/letters/two.txt", "two");
    home.write("src/photos/large.jpg", vec![7; 5000]);
    home.write("src/same", "same");
    home.run(["backup", "src"]).ok();
    home.write("src/letters/one.txt", "one, changed");
    std::fs::rename(home.path("src/photos"), home.path("src/pictures")).unwrap();
    home.write("src/new.md", "new");
    std::fs::set_permissions(home.path("src/same"), std::fs::Permissions::from_mode(0o604))
        .unwrap();
    home.run(["backup", "src"]).ok();
    std::fs::remove_file(home.path("src/letters/one.txt")).unwrap();
    home.run(["backup", "src"]).ok();
    home
}

#[test]
fn diff_tells_each_change_in_a_line() {
    let home = three_snapshots();
    let src = home.text("src");
    let out = home.run(["diff", "latest~2", "latest~1"]).ok().out;
    let expected = format!(
        "M  {src}/letters/one.txt\n+  {src}/new.md\nR  {src}/photos/ -> {src}/pictures/\nU  {src}/same (mode)\n\
         1 added (3 B), 1 modified (12 B, were 3 B), 1 moved, 1 with other metadata only\n"
    );
    assert_eq!(out, expected);
    let out =
        home.run(["diff", &format!("latest~1:{src}/letters"), "latest:src/letters", "-q"]).ok().out;
    assert_eq!(out, format!("-  {src}/letters/one.txt\n"));
    assert_eq!(home.run(["diff", "latest", "latest"]).ok().out, "no differences\n");
    // Two places with other paths; each change is told where it is, or was.
    let out = home.run(["diff", "latest:src/letters", "latest:src/pictures"]).ok().out;
    let expected = format!(
        "+  {src}/pictures/large.jpg\n-  {src}/letters/two.txt\n1 added (4.88 KiB), 1 removed (3 B)\n"
    );
    assert_eq!(out, expected);
    home.run(["diff", "latest:src/none", "latest:src"]).fails(
        1,
        "there is no '",
        "paths are stored absolute",
    );
    home.run(["diff", "latest", "latest:src/new.md"]).fails(
        2,
        "a whole snapshot and a single file",
        "both sides",
    );
    home.run(["diff", "latest"]).code(2);
}

#[test]
fn diff_documents_have_every_field() {
    let home = three_snapshots();
    let document = home.json(["diff", "latest~2", "latest~1"]);
    assert_eq!(fields(&document), "changes left right summary");
    assert_eq!(document["left"], home.snapshot_ids()[0]);
    let summary = json!({
        "added": 1, "added_bytes": 3, "removed": 0, "removed_bytes": 0, "modified": 1, "modified_bytes_before": 3,
        "modified_bytes": 12, "metadata": 1, "type_changed": 0, "renamed": 1,
    });
    assert_eq!(document["summary"], summary);
    let changes = document["changes"].as_array().unwrap();
    let of =
        |kind: &str| -> &Value { changes.iter().find(|change| change["change"] == kind).unwrap() };
    assert_eq!(fields(of("added")), "after before change differs path");
    assert_eq!(
        (&of("added")["before"], &of("added")["after"]["kind"]),
        (&Value::Null, &json!("file"))
    );
    assert_eq!(fields(of("renamed")), "after before change differs from path");
    assert_eq!(of("renamed")["from"], home.text("src/photos"));
    assert_eq!(fields(&of("modified")["before"]), "kind mtime size");
    assert!(of("modified")["differs"].as_array().unwrap().contains(&json!("content")));
    let same = changes.iter().find(|change| change["path"] == home.text("src/same")).unwrap();
    assert_eq!((&same["change"], &same["differs"]), (&json!("metadata"), &json!(["mode"])));
    let times = changes
        .iter()
        .filter(|change| change["differs"] == json!(["mtime"]) && change["change"] == "metadata");
    assert!(times.count() >= 1, "folders of which only the time differs are in the document");
}

#[test]
fn history_tells_when_a_file_changed_and_vanished() {
    let home = three_snapshots();
    let ids = home.snapshot_ids();
    let path = home.text("src/letters/one.txt");
    let out = home.run(["history", "src/letters/one.txt"]).ok().out;
    let words: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[0][1], path);
    assert_eq!(words[1], ["what", "size", "changed", "snapshots", "first", "last"]);
    assert_eq!((words[2][0], words[2][1], words[2][5]), ("appeared", "3", "1"));
    assert_eq!((words[3][0], words[3][1], words[3][6]), ("modified", "12", &ids[1][..8]));
    assert_eq!((words[4][0], words[4][1], words[4][2]), ("vanished", "1", &ids[2][..8]));
    let restore = format!(
        "  drumlin restore {}:{path} --target DIR\n  drumlin cat {}:{path}\n",
        &ids[1][..8],
        &ids[1][..8]
    );
    assert!(out.ends_with(&restore), "{out}");
    let command =
        restore.lines().nth(1).unwrap().trim_start().strip_prefix("drumlin ").unwrap().split(' ');
    assert_eq!(home.run(command).ok().out, "one, changed");
    assert!(!home.run(["history", &path, "-q"]).ok().out.contains("drumlin restore"));
    let document = home.json(["history", &path]);
    assert_eq!(fields(&document), "path uncompared unread versions");
    let versions = document["versions"].as_array().unwrap();
    assert_eq!(
        versions.iter().map(|one| one["change"].as_str().unwrap()).collect::<Vec<_>>(),
        ["appeared", "modified", "vanished"]
    );
    assert_eq!(
        fields(&versions[0]),
        "app change differs first host kind last mode mtime size snapshots"
    );
    assert_eq!(fields(&versions[0]["first"]), "snapshot started");
    assert_eq!(
        (&versions[1]["size"], &versions[1]["first"]["snapshot"]),
        (&json!(12), &json!(ids[1]))
    );
    assert_eq!(versions[2]["kind"], Value::Null);
    let same = home.json(["history", "src/same", "--latest", "2"]);
    assert_eq!(same["versions"].as_array().unwrap().len(), 1);
    home.run(["history", "src/none"]).fails(1, "there is no '", "drumlin find NAME");
    home.run(["history", "/"]).fails(2, "the root has no history", "drumlin diff");
}

#[test]
fn history_tells_hosts_apart() {
    let home = Home::with_repository();
    home.write("src/file", "content");
    home.run(["backup", "src", "--host", "ann"]).ok();
    home.write("src/file", "other content");
    home.run(["backup", "src", "--host", "bob", "--app", "wiki"]).ok();
    let out = home.run(["history", "src/file"]).ok().out;
    let path = home.text("src/file");
    let headings: Vec<&str> = out.lines().filter(|line| line.ends_with(&path)).collect();
    assert_eq!(headings, [format!("ann, {path}"), format!("wiki on bob, {path}")]);
    let document = home.json(["history", "src/file", "--host", "bob"]);
    assert_eq!(
        (document["versions"].as_array().unwrap().len(), &document["versions"][0]["app"]),
        (1, &json!("wiki"))
    );
}

#[test]
fn find_shows_each_version_in_the_newest_snapshot() {
    let home = three_snapshots();
    let src = home.text("src");
    let short: Vec<String> = home.snapshot_ids().iter().map(|id| id[..8].to_owned()).collect();
    let find = |args: &[&str]| home.run(["find"].iter().chain(args)).ok().out;
    let expected = format!(
        "{0}:{src}/letters/two.txt\n{1}:{src}/letters/one.txt\n{2}:{src}/letters/one.txt\n",
        short[2], short[1], short[0]
    );
    assert_eq!(find(&["*.txt"]), expected);
    assert_eq!(
        find(&["--snapshot", "latest", "*.TXT", "-i"]),
        format!("{}:{src}/letters/two.txt\n", short[2])
    );
    assert_eq!(
        find(&["--snapshot", "latest~2:src/photos", "*"]),
        format!("{}:{src}/photos/large.jpg\n", short[0])
    );
    let folders = format!("{0}:{src}/pictures/\n{1}:{src}/photos/\n", short[2], short[0]);
    assert_eq!(find(&["p*", "--type", "d"]), folders);
    assert_eq!(
        find(&["--larger-than", "4k", "--type", "f,d", "*"]).lines().count(),
        2,
        "two names of one file"
    );
    assert_eq!(find(&["one.txt", "--newer-than", "2d", "--latest", "2"]).lines().count(), 1);
    assert_eq!(find(&["one.txt", "--older-than", "2001-01-01"]), "nothing found\n");
    assert_eq!(find(&["one.txt", "--host", "other", "-q"]), "");
    assert!(find(&["-l", "new.md"]).starts_with("-rw-"));
    assert_eq!(find(&["--regex", "ne\\.txt$"]).lines().count(), 2);
    let document = home.json(["find", "two.txt", "pictures"]);
    assert_eq!(fields(&document), "entries");
    let entries = document["entries"].as_array().unwrap();
    assert_eq!(
        fields(&entries[0]),
        "btime flags gid group kind mode mtime path size snapshot uid user xattrs"
    );
    assert_eq!(
        fields(&entries[1]),
        "btime flags gid group kind mode mtime path size snapshot totals uid user xattrs"
    );
    home.run(["find", "["]).fails(2, "the pattern '[' is not understood", "");
    home.run(["find", "--snapshot", "latest:src/new.md", "x"]).fails(
        2,
        "a file has nothing below it",
        "name a folder",
    );
    for wrong in
        [&["find"][..], &["find", "x", "--type", "q"], &["find", "x", "--newer-than", "soon"]]
    {
        home.run(wrong).code(2);
    }
}

/// Names that are no text, or that a terminal must not see, can be typed as they are printed, and
/// as they are.
#[test]
fn find_takes_names_as_they_are_printed() {
    use std::ffi::{OsStr, OsString};
    use std::os::unix::ffi::OsStrExt;

    let home = Home::with_repository();
    for name in
        [&b"caf\xe9"[..], b"new\nline", b"back\\slash", b"a\\x41b", b"star*", b"caf\xc3\xa9"]
    {
        home.write("src/x", "x");
        std::fs::rename(home.path("src/x"), home.path("src").join(OsStr::from_bytes(name)))
            .unwrap();
    }
    home.run(["backup", "src"]).ok();
    let find = |args: &[&OsStr]| home.run([&[OsStr::new("find")], args].concat()).ok().out;
    let listed = home.run(["ls", "-R", "latest:src"]).ok().out;
    assert_eq!(listed.lines().count(), 6);
    for path in listed.lines() {
        let name = path.rsplit('/').next().unwrap();
        for typed in [name.replace('*', "\\*"), path.replace('*', "\\*")] {
            assert!(find(&[OsStr::new(&typed)]).ends_with(&format!(":{path}\n")), "{typed}");
            assert_eq!(find(&[OsStr::new(&typed)]).lines().count(), 1, "{typed}");
            assert_eq!(find(&[OsStr::new("-i"), OsStr::new(&typed)]).lines().count(), 1, "{typed}");
        }
    }
    let raw = |bytes: &[u8]| OsString::from(OsStr::from_bytes(bytes));
    for (typed, count) in [
        (&b"caf\xe9"[..], 1),
        (b"caf\xc3\xa9", 1),
        (b"caf?", 2),
        (b"CAF[\xe0-\xef]", 1),
        (b"src/caf\xe9", 1),
        (b"\\xe9", 0),
    ] {
        assert_eq!(
            find(&[OsStr::new("-i"), &raw(typed)])
                .lines()
                .filter(|line| line.contains(':'))
                .count(),
            count,
            "{typed:?}"
        );
    }
    assert_eq!(find(&[OsStr::new("--regex"), OsStr::new(r"^caf(?-u:\xe9)$")]).lines().count(), 1);
    home.run([OsStr::new("find"), OsStr::new("--regex"), &raw(b"caf\xe9")]).fails(2, "caf", "");
}

#[test]
fn du_shows_the_largest_first() {
    let home = three_snapshots();
    let src = home.text("src");
    let shown = |args: &[&str]| -> Vec<String> {
        let out = home.run(["du", "latest:src"].iter().chain(args)).ok().out;
        out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    };
    let heading = "size files folders path".to_owned();
    let all = format!("4.89 KiB 4 2 {src}/");
    let (pictures, letters) =
        (format!("4.88 KiB 1 0 {src}/pictures/"), format!("3 B 1 0 {src}/letters/"));
    assert_eq!(shown(&[]), [&heading, &all, &pictures, &letters].map(String::as_str));
    assert_eq!(
        shown(&["--sort", "name"]),
        [&heading, &all, &letters, &pictures].map(String::as_str)
    );
    assert_eq!(shown(&["--depth", "0"]), [&heading, &all].map(String::as_str));
    assert_eq!(shown(&["-a", "-d", "2"]).len(), 8);
    let document = home.json(["du", "latest:src"]);
    assert_eq!(fields(&document), "entries snapshot");
    let entry = json!({ "path": src, "kind": "dir", "files": 4, "dirs": 2, "bytes": 5010 });
    assert_eq!(document["entries"][0], entry);
    let file = home.json(["du", "latest:src/new.md"]);
    assert_eq!(
        file["entries"],
        json!([{ "path": format!("{src}/new.md"), "kind": "file", "files": 1, "dirs": 0, "bytes": 3 }])
    );
    assert_eq!(home.json(["du", "latest"])["entries"][0]["path"], "/");
}

#[test]
fn an_empty_snapshot_can_be_looked_at() {
    let home = Home::with_repository();
    std::fs::create_dir(home.path("src")).unwrap();
    home.run(["backup", "src"]).ok();
    assert_eq!(home.run(["diff", "latest", "latest"]).ok().out, "no differences\n");
    assert_eq!(home.run(["find", "src"]).ok().out.lines().count(), 1);
    assert_eq!(home.json(["du", "latest:src"])["entries"][0]["files"], 0);
    assert_eq!(home.json(["history", "src"])["versions"].as_array().unwrap().len(), 1);
    Home::with_repository().run(["find", "x"]).ok();
}

#[test]
fn what_cannot_be_read_is_told_and_is_4() {
    let home = three_snapshots();
    std::fs::remove_dir_all(home.path("repo/meta")).unwrap();
    std::fs::remove_dir_all(home.path(".cache")).unwrap();
    for (args, told) in [
        (&["diff", "latest~1", "latest"][..], "warning: /: "),
        (&["find", "one.txt"], "warning: /: "),
        (&["du", "latest"], "warning: /: "),
        (&["ls", "latest"], "warning: /: "),
        (&["history", "src/same"], "is left out: "),
    ] {
        let ran = home.run(args).code(4);
        assert!(ran.err.contains(told), "{args:?}: {}", ran.err);
        home.run(args.iter().chain(&["--json"])).code(4).json();
    }
}

/// Sets when a file was changed.
fn changed(home: &Home, file: &str, seconds: u64) {
    let file = std::fs::File::options().write(true).open(home.path(file)).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
}

#[test]
fn older_than_a_day_is_older_than_its_beginning() {
    let home = Home::with_repository();
    home.write("src/noon", "x");
    // 2026-03-01T12:00:00Z.
    changed(&home, "src/noon", 1_772_366_400);
    home.run(["backup", "src"]).ok();
    let found = |args: &[&str]| {
        home.json(["find", "noon"].iter().chain(args))["entries"].as_array().unwrap().len()
    };
    for (args, count) in [
        (["--older-than", "2026-03-01"], 0),
        (["--older-than", "2026-03-02"], 1),
        (["--older-than", "2026-03-01T12:00:01"], 1),
        (["--older-than", "2026-03-01T12:00"], 0),
        (["--newer-than", "2026-02-28"], 1),
        (["--newer-than", "2026-03-01"], 0),
        (["--newer-than", "2026-03-01T11:59"], 1),
    ] {
        assert_eq!(found(&args), count, "{args:?}");
    }
}

#[test]
fn versions_that_differ_in_attributes_only_are_found() {
    let home = Home::with_repository();
    home.write("src/folder/file", "x");
    changed(&home, "src/folder/file", 1_772_366_400);
    let take = || home.run(["backup", "src", "--always-snapshot"]).ok();
    let found = |name: &str| home.json(["find", name])["entries"].as_array().unwrap().len();
    let versions = |path: &str| home.json(["history", path])["versions"].as_array().unwrap().len();
    take();
    take();
    assert_eq!((found("file"), versions("src/folder/file"), versions("src/folder")), (1, 1, 1));
    // Another name: no new time, no new content.
    std::fs::hard_link(home.path("src/folder/file"), home.path("src/other")).unwrap();
    take();
    assert_eq!((found("file"), versions("src/folder/file"), versions("src/folder")), (2, 2, 2));
    // Permissions there and back change the time of the inode, which nobody can set, and nothing
    // else.
    let set = |mode| {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(home.path("src/folder/file"), permissions).unwrap();
    };
    set(0o600);
    set(0o644);
    take();
    assert_eq!((found("file"), versions("src/folder/file"), versions("src/folder")), (2, 2, 2));
    assert_eq!(
        home.run(["diff", "latest~1:src/folder", "latest:src/folder"]).ok().out,
        "no differences\n"
    );
}

#[test]
fn sums_count_the_content_of_files_and_nothing_else() {
    let home = Home::with_repository();
    home.write("src/a", "12345");
    home.write("src/b", "123");
    std::os::unix::fs::symlink("a-target-of-some-length", home.path("src/link")).unwrap();
    home.run(["backup", "src"]).ok();
    let usage = home.json(["du", "latest:src", "-a"]);
    let bytes: Vec<u64> = usage["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["bytes"].as_u64().unwrap())
        .collect();
    assert_eq!(bytes, [8, 5, 3, 0]);
    assert_eq!(home.json(["du", "latest:src/link"])["entries"][0]["bytes"], 0);
    let stats = home.json(["stats"]);
    assert_eq!(
        (&stats["bytes"], &stats["unique_bytes"], &stats["inline_bytes"]),
        (&8.into(), &8.into(), &8.into())
    );
    let one = home.json(["stats", "latest"]);
    assert_eq!((&one["unique_bytes"], &one["inline_bytes"]), (&8.into(), &8.into()));
    std::fs::remove_file(home.path("src/link")).unwrap();
    home.write("src/c", "1");
    home.run(["backup", "src"]).ok();
    let summary = home.json(["diff", "latest~1", "latest"])["summary"].clone();
    assert_eq!(
        (&summary["added_bytes"], &summary["removed"], &summary["removed_bytes"]),
        (&1.into(), &1.into(), &0.into())
    );
}
