//! `restore`: what goes where, what is kept, and what it says.

use std::fs;

use serde_json::{Value, json};

use crate::support::fixture::noise;
use crate::support::home::{Home, Ran, fields};
use crate::support::needs::{can_run, is_root, may_trace};

fn with_backup() -> Home {
    let home = Home::with_repository();
    home.make_source();
    home.run(["backup", "src"]).ok();
    home
}

/// Restores the folder `src` of the newest snapshot into `out`.
fn restore(home: &Home, args: &[&str]) -> Ran {
    let place = format!("latest:{}", home.text("src"));
    home.run(["restore", &place, "--target", "out"].iter().chain(args))
}

fn restore_json(home: &Home, args: &[&str]) -> Value {
    restore(home, &[args, &["--json"]].concat()).ok().json()
}

#[test]
fn everything_below_the_target_or_one_path_into_it() {
    let home = with_backup();
    home.run(["restore", "latest", "--target", "all"]).ok();
    assert_eq!(home.tree(&format!("all{}", home.text("src"))), home.tree("src"));
    restore(&home, &[]).ok();
    assert_eq!(home.tree("out"), home.tree("src"));
    home.run(["restore", &format!("latest:{}", home.text("src/sub/b.txt")), "-t", "one"]).ok();
    assert_eq!(home.tree("one"), [("b.txt".to_owned(), home.read("src/sub/b.txt").into_bytes())]);
}

#[test]
fn the_document_has_every_field() {
    let home = with_backup();
    let document = restore_json(&home, &["--verify"]);
    let all = "bytes bytes_fetched bytes_kept bytes_written damaged deleted dirs failed files files_kept left_alone problem_count problems \
               requests seconds snapshot target verified verify_failed";
    assert_eq!(fields(&document), all.split_whitespace().collect::<Vec<_>>().join(" "));
    assert_eq!(
        (&document["files"], &document["bytes_written"], &document["verify_failed"]),
        (&json!(4), &json!(5012), &json!(0))
    );
    assert_eq!(document["verified"], 4);
    let again = restore_json(&home, &[]);
    assert_eq!((&again["bytes_written"], &again["bytes_kept"]), (&json!(0), &json!(5012)));
    let text = restore(&home, &[]).ok().out;
    assert!(text.starts_with("restored 4 files in ") && text.contains("right already"), "{text}");
}

/// What is reported to be restored survives the loss of power: the file system is asked to write
/// everything before the mark of an unfinished restore goes away, and before anything is said.
#[test]
fn the_disk_is_waited_for_before_success_is_reported() {
    if !can_run(may_trace(), "the permission to trace a program") {
        return;
    }
    let home = with_backup();
    let tracer = ["strace", "-f", "-e", "trace=syncfs,fremovexattr,write", "-o", "calls", "--"];
    let traced = home.wrapped(&tracer, ["restore", "latest", "--target", "out"]).output();
    let ran = Ran::of(&traced.unwrap()).ok();
    let calls = home.read("calls");
    let place = |what: &str| calls.lines().position(|line| line.contains(what));
    let synced = place("syncfs(").unwrap_or_else(|| panic!("nothing was synced:\n{calls}"));
    assert!(place("restored 4 files") > Some(synced), "{ran:?}\n{calls}");
    assert!(place("fremovexattr(").is_none_or(|cleared| cleared > synced), "{calls}");
    assert_eq!(calls.matches("syncfs(").count(), 1);
}

/// As root where owners cannot be given: one notice, not one problem for each file. So it is on
/// file systems of other systems, on servers that trust no client's root, and in containers.
/// Without a right, and in a user namespace with one user, it is the same.
#[test]
fn a_superuser_who_may_not_give_files_away_is_told_once() {
    let home = Home::with_repository();
    let is_root = is_root();
    for number in 0..5 {
        let path = home.write(&format!("src/{number}"), "x");
        if is_root {
            std::os::unix::fs::chown(path, Some(54_321), Some(54_321)).unwrap();
        }
    }
    home.run(["backup", "src"]).ok();
    let restore = |target: &str, wrapper: &[&str]| {
        let mut command = home
            .wrapped(wrapper, ["restore", "latest", "--numeric-ids", "--target", target, "--json"]);
        let document = Ran::of(&command.output().unwrap()).ok().json();
        assert_eq!(
            (&document["failed"], &document["problem_count"]),
            (&json!(0), &json!(1)),
            "{document:#}"
        );
        let problem = &document["problems"][0];
        assert_eq!(problem["kind"], "notice");
        assert!(
            problem["message"]
                .as_str()
                .unwrap()
                .contains("not even the superuser may set the owner"),
            "{problem}"
        );
        assert_eq!(home.read(&format!("{target}{}/4", home.text("src"))), "x");
    };
    if is_root {
        restore("no right", &["setpriv", "--bounding-set=-chown", "--inh-caps=-chown", "--"]);
    }
    let has_namespaces = std::process::Command::new("unshare")
        .args(["-r", "true"])
        .output()
        .unwrap()
        .status
        .success();
    if has_namespaces {
        restore("one user", &["unshare", "-r", "--"]);
    }
    let _ = can_run(is_root && has_namespaces, "root and user namespaces, to be refused by both");
    assert!(is_root || has_namespaces, "this needs root, or user namespaces (`unshare -r`)");
}

#[test]
fn a_dry_run_lists_and_changes_nothing() {
    let home = with_backup();
    let document = restore_json(&home, &["--dry-run"]);
    assert_eq!(fields(&document), "planned problem_count problems report snapshot target");
    assert_eq!(fields(&document["planned"][0]), "action is_dir path size");
    let lines: Vec<(&str, &str)> = document["planned"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| (line["action"].as_str().unwrap(), line["path"].as_str().unwrap()))
        .collect();
    assert_eq!(
        lines,
        ["a.txt", "link", "sub", "sub/b.txt", "sub/c.tmp"].map(|path| ("create", path))
    );
    assert!(!home.path("out").exists());
    restore(&home, &[]).ok();
    home.write("out/a.txt", "spoiled, longer");
    home.write("out/extra", "");
    let text = restore(&home, &["-n", "--delete"]).ok().out;
    for (action, path) in
        [("update", "a.txt"), ("keep", "link"), ("keep", "sub/"), ("delete", "extra")]
    {
        assert!(
            text.lines()
                .any(|line| line.starts_with(action) && line.ends_with(&format!(" {path}"))),
            "{action} {path} is missing in:\n{text}"
        );
    }
    assert!(text.ends_with("nothing was changed\n"));
    assert_eq!(home.read("out/a.txt"), "spoiled, longer");
}

#[test]
fn patterns_choose() {
    let home = with_backup();
    restore(&home, &["--include", "*.txt", "--exclude", "b.txt"]).ok();
    let names: Vec<String> = home.tree("out").into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a.txt"]);
    restore(&home, &["--include", "[ab"]).code(2);
}

#[test]
fn existing_files_are_treated_as_asked() {
    let home = with_backup();
    restore(&home, &[]).ok();
    // The same size and time, but other content: only `if-changed` does not look.
    let time = fs::metadata(home.path("out/a.txt")).unwrap().modified().unwrap();
    home.write("out/a.txt", "OMEGA\n");
    fs::File::options()
        .write(true)
        .open(home.path("out/a.txt"))
        .unwrap()
        .set_modified(time)
        .unwrap();
    restore(&home, &["--overwrite", "if-changed"]).ok();
    assert_eq!(home.read("out/a.txt"), "OMEGA\n");
    let spoilt = home.path("out/a.txt");
    for more in [&["--overwrite", "always"][..], &[]] {
        home.write("out/a.txt", "OMEGA\n");
        fs::File::options().write(true).open(&spoilt).unwrap().set_modified(time).unwrap();
        restore(&home, more).ok();
        assert_eq!(home.read("out/a.txt"), "alpha\n", "{more:?}");
    }
    home.write("out/a.txt", "mine");
    assert_eq!(restore_json(&home, &["--overwrite", "never"])["left_alone"], 4);
    assert_eq!(home.read("out/a.txt"), "mine");
    restore(&home, &[]).ok();
    assert_eq!(home.read("out/a.txt"), "alpha\n");
    restore(&home, &["--overwrite", "sometimes"]).code(2);
}

#[test]
fn only_delete_removes() {
    let home = with_backup();
    restore(&home, &[]).ok();
    home.write("out/sub/extra", "x");
    restore(&home, &["--low-memory", "--numeric-ids", "--threads", "1"]).ok();
    assert!(home.path("out/sub/extra").exists());
    assert_eq!(restore_json(&home, &["--delete"])["deleted"], 1);
    assert!(!home.path("out/sub/extra").exists());
}

#[test]
fn damage_is_4_and_the_rest_is_restored() {
    let home = with_backup();
    home.write(
        "src/noise",
        (0..200_000u32)
            .flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect::<Vec<_>>(),
    );
    let first: Vec<String> = home.tree("repo/data").into_iter().map(|(name, _)| name).collect();
    home.run(["backup", "src"]).ok();
    for (name, _) in home.tree("repo/data").into_iter().filter(|(name, _)| !first.contains(name)) {
        fs::remove_file(home.path("repo/data").join(name)).unwrap();
    }
    let ran = restore(&home, &["--json"]).code(4);
    let document = ran.json();
    assert_eq!(document["damaged"], 1);
    assert_eq!(document["problems"][0]["kind"], "damaged");
    assert_eq!(home.read("out/a.txt"), "alpha\n");
    assert_eq!(home.tree("out/sub"), home.tree("src/sub"));
}

#[test]
fn what_cannot_be_restored_is_said() {
    let home = with_backup();
    home.run(["restore", "latest:/missing", "-t", "x"]).fails(
        1,
        "/missing",
        "paths are stored absolute",
    );
    home.run(["restore", "latest"]).code(2);
    home.write("file", "");
    home.run(["restore", "latest", "-t", "file"]).fails(1, "cannot use", "");
    home.run(["restore", "zzzz", "-t", "x"]).fails(
        1,
        "no snapshot matches 'zzzz'",
        "`drumlin snapshots`",
    );
}

/// A document is all that a script reads.
#[test]
fn a_dry_run_names_its_problems_in_its_document() {
    let home = Home::with_repository();
    home.write("src/a", "a");
    home.write("src/large", noise(1, 300_000));
    home.run(["backup", "src"]).ok();
    let place = format!("latest:{}", home.text("src"));
    let plan = |more: &[&str], code: i32| {
        let document = home
            .run([&["restore", &place, "-t", "out", "--json", "--dry-run"], more].concat())
            .code(code)
            .json();
        assert_eq!(fields(&document), "planned problem_count problems report snapshot target");
        assert_eq!(document["problem_count"], document["problems"].as_array().unwrap().len());
        document["problems"].clone()
    };
    assert_eq!(plan(&[], 0), json!([]));
    let unmatched = plan(&["-i", "nothing"], 0);
    assert_eq!(
        (&unmatched[0]["path"], &unmatched[0]["kind"]),
        (&json!("nothing"), &json!("not-restored"))
    );
    // A folder is in the way of a file.
    home.write("out/a/b", "b");
    let barred = plan(&[], 1);
    assert_eq!(
        (&barred[0]["path"], &barred[0]["kind"]),
        (&json!(home.text("src/a")), &json!("not-restored"))
    );
    fs::remove_dir_all(home.path("out")).unwrap();
    // The tree is gone.
    fs::remove_dir_all(home.path(".cache")).unwrap();
    fs::remove_dir_all(home.path("repo/meta")).unwrap();
    let code = |args: &[&str]| home.run([&["restore", "latest", "-t", "out"], args].concat()).code;
    assert_eq!(
        (
            code(&["--dry-run"]),
            code(&["--dry-run", "--json"]),
            code(&["--plan"]),
            code(&["--plan", "--json"])
        ),
        (4, 4, 4, 4)
    );
    let document = home.run(["restore", "latest", "-t", "out", "--dry-run", "--json"]).json();
    assert_eq!(document["problems"][0]["kind"], "damaged");
}

/// A snapshot has the repository's folder without its content, because a backup does not enter it;
/// `--delete` would remove all of it.
#[test]
fn the_repository_itself_is_never_touched() {
    let home = Home::with_repository();
    home.make_source();
    home.run(["backup", "."]).ok();
    home.write("src/extra", "goes");
    let place = format!("latest:{}", home.text(""));
    let restore = |target: &str, more: &[&str]| {
        home.run([&["restore", &place, "--target", target], more].concat())
    };
    let planned = restore(".", &["--delete", "--dry-run"]).ok();
    let deleted: Vec<_> = planned.out.lines().filter(|line| line.starts_with("delete")).collect();
    assert!(deleted.len() == 1 && deleted[0].contains("extra"), "{planned:?}");
    let ran = restore(".", &["--delete", "--overwrite", "always", "--verify"]).ok();
    assert!(
        ran.err
            .contains(&format!("{}: left alone: it is the repository itself", home.text("repo"))),
        "{}",
        ran.err
    );
    assert!(!home.path("src/extra").exists());
    home.run(["check", "--level", "full"]).ok();
    // Where the snapshot does not know of it, it is spared as well.
    home.run(["backup", "src"]).ok();
    fs::rename(home.path("repo"), home.path("src/repo")).unwrap();
    let place = format!("latest:{}", home.text("src"));
    let restore =
        |repo: &str| home.run(["--repo", repo, "restore", &place, "--target", "src", "--delete"]);
    assert!(restore("src/repo").ok().err.contains("left alone: it is the repository itself"));
    fs::create_dir(home.path("src/deeper")).unwrap();
    fs::rename(home.path("src/repo"), home.path("src/deeper/repo")).unwrap();
    let ran = restore("src/deeper/repo").code(1);
    assert!(ran.err.contains("the repository itself or its cache is in it"), "{}", ran.err);
    home.run(["--repo", "src/deeper/repo", "check", "--level", "full"]).ok();
}

#[test]
fn nothing_is_restored_into_the_repository() {
    let home = with_backup();
    let copies = fs::read_dir(home.path(".cache/drumlin"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .next()
        .unwrap();
    for target in ["repo", "repo/data/new", copies.to_str().unwrap()] {
        for more in ["--verify", "--dry-run"] {
            let ran = home.run(["restore", "latest", "--target", target, more]);
            ran.fails(
                2,
                "is in the repository itself or in its cache",
                "restore to a folder outside of it",
            );
        }
    }
    assert!(!home.path("repo/data/new").exists());
    home.run(["check", "--level", "full"]).ok();
}

/// Two names of one file, which the snapshot has as two files, become two, though both are right; a
/// name elsewhere keeps what it has.
#[test]
fn what_is_no_other_name_in_the_snapshot_is_none_afterwards() {
    use std::os::unix::fs::MetadataExt;
    let home = Home::with_repository();
    home.write("src/a", "the same");
    fs::copy(home.path("src/a"), home.path("src/b")).unwrap();
    let time = fs::metadata(home.path("src/a")).unwrap().modified().unwrap();
    fs::File::options().write(true).open(home.path("src/b")).unwrap().set_modified(time).unwrap();
    home.run(["backup", "src"]).ok();
    for options in [&[][..], &["--overwrite=always"]] {
        let _ = fs::remove_dir_all(home.path("out"));
        restore(&home, &[]).ok();
        fs::remove_file(home.path("out/b")).unwrap();
        fs::hard_link(home.path("out/a"), home.path("out/b")).unwrap();
        fs::hard_link(home.path("out/a"), home.path("elsewhere")).unwrap();
        restore(&home, &[options, &["--dry-run"]].concat()).ok();
        restore(&home, options).ok();
        let inode = |name: &str| fs::metadata(home.path(name)).unwrap().ino();
        assert!(
            inode("out/a") != inode("out/b") && inode("out/a") != inode("elsewhere"),
            "{options:?}"
        );
        fs::write(home.path("elsewhere"), "changed").unwrap();
        assert_eq!([home.read("out/a"), home.read("out/b")], ["the same", "the same"]);
        fs::remove_file(home.path("elsewhere")).unwrap();
    }
}
