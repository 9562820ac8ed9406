//! Included files: what they may hold, and hostile ones; and files that others may write to.

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::time::{Duration, Instant};

use super::{REPOSITORY, check, configure, expect, found_in, home, set_mode};
use crate::support::home::Home;
use crate::support::needs::{can_run, is_root};

fn apps(home: &Home) -> Vec<String> {
    let document = home.json(["apps"]);
    let apps = document["apps"].as_array().unwrap().clone();
    apps.iter().map(|app| app["app"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn apps_lie_in_files_of_their_own() {
    let home = home();
    configure(&home, "defaults = { tag = \"t\" }");
    home.write("etc/apps.d/wiki.toml", "[app.wiki]\npaths = \"../../source\"\n");
    home.write(
        "etc/apps.d/shop.toml",
        "[app.shop]\npaths = \"${SHOP:-../../source}\"\nrepository = \"usb\"\n\
         [repository.usb]\nurl = \"../usb\"\npassword-file = \"../password\"\n",
    );
    home.write("etc/apps.d/.#wiki.toml", "broken [");
    home.write("etc/apps.d/wiki.toml~", "broken [");
    assert_eq!(apps(&home), ["shop", "wiki"]);
    // Paths begin at the file that says them, that of a repository, too.
    home.run(["init", "--repo", "usb"]).ok();
    assert!(home.path("etc/usb").is_dir());
    let ran = home.json(["run", "shop"]);
    assert_eq!(ran["runs"][0]["files"], 1, "{ran}");
    let found = check(&home);
    let files = expect(&found, "note", "configuration", "and 2 files that it includes");
    assert!(files.message.contains("etc/drumlin.toml"), "{files:?}");
    // Several patterns, in this order; a file of two is read once.
    configure(&home, "include = [\"apps.d/wiki.toml\", \"apps.d/*.toml\"]");
    let lines = home.run(["config", "show"]).ok().out;
    let files: Vec<&str> = lines.lines().filter(|line| line.starts_with("# /")).collect();
    assert!(files.len() == 3 && files[1].ends_with("wiki.toml"), "{files:?}");
    configure(&home, "include = []");
    assert!(apps(&home).is_empty());
}

/// Expects that the configuration is refused at this place of a file below `etc`, and why.
#[track_caller]
fn refused(home: &Home, place: &str, part: &str) {
    let started = Instant::now();
    let ran = home.run(["config", "check", "--json"]).code(2);
    assert!(started.elapsed() < Duration::from_secs(30), "it took {:?}", started.elapsed());
    expect(&found_in(&ran), "error", &home.text(&format!("etc/{place}")), part);
}

#[test]
fn a_name_twice_and_other_tables_are_refused_with_both_places() {
    let home = home();
    configure(&home, "[app.wiki]\npaths = \"/x\"\n");
    home.write("etc/apps.d/a.toml", "# two\n\n[app.wiki]\npaths = \"/y\"\n");
    let first = format!("[app.wiki] is there already: {}:2", home.text("etc/drumlin.toml"));
    refused(&home, "apps.d/a.toml:3", &first);
    home.write("etc/apps.d/a.toml", "[app.a]\npaths = \"/y\"\n");
    home.write("etc/apps.d/b.toml", "[[app.a.command]]\nname = \"x\"\nrun = \"y\"\n");
    let first = format!("[app.a] is there already: {}:1", home.text("etc/apps.d/a.toml"));
    refused(&home, "apps.d/b.toml:1", &first);
    home.write("etc/apps.d/b.toml", "repository.box = { url = \"/y\" }\n");
    let first = format!("[repository.box] is there already: {}:1", home.text("etc/drumlin.toml"));
    refused(&home, "apps.d/b.toml:1", &first);
    for text in ["defaults = { tag = \"x\" }", "include = \"*.toml\"", "notify = {}", "x = 1"] {
        home.write("etc/apps.d/b.toml", format!("\n{text}\n"));
        refused(&home, "apps.d/b.toml:2", "is not for an included file");
    }
    home.write("etc/apps.d/b.toml", "[app.b]\npaths = \"/y\"\nschedule = \"often\"\n");
    refused(&home, "apps.d/b.toml:3", "is not a schedule");
    home.write("etc/apps.d/b.toml", "[app.b]\npaths = \"/y\"\nrepository = \"usb\"\n");
    refused(&home, "apps.d/b.toml:1", "there is no [repository.usb]");
}

#[test]
fn patterns_of_hostile_people_end_in_an_error() {
    let home = home();
    let include = |pattern: &str| configure(&home, &format!("include = [{pattern:?}]"));
    include("none.d/*.toml");
    refused(&home, "drumlin.toml:2", "no file is found by");
    include("missing.toml");
    refused(&home, "missing.toml", "No such file");
    include("../*/x.toml");
    refused(&home, "drumlin.toml:2", "only the last part");
    include("a[.toml");
    refused(&home, "drumlin.toml:2", "cannot look for");
    include("d/*");
    home.write("etc/d/x/y", "");
    refused(&home, "d/x", "is not a plain file");
    fs::remove_dir_all(home.path("etc/d/x")).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, home.path("etc/d/fifo"), mode).unwrap();
    refused(&home, "d/fifo", "is not a plain file");
    fs::remove_file(home.path("etc/d/fifo")).unwrap();
    symlink("loop", home.path("etc/d/loop")).unwrap();
    refused(&home, "d/loop", "symbolic links");
    fs::remove_file(home.path("etc/d/loop")).unwrap();
    for n in 0..10_000 {
        fs::write(home.path(&format!("etc/d/{n}")), "").unwrap();
    }
    refused(&home, "drumlin.toml:2", "more than 1000 files");
}

#[test]
fn a_file_that_is_no_configuration_is_not_shown() {
    if !can_run(is_root(), "root, to read /etc/shadow") {
        return;
    }
    let home = home();
    configure(&home, "include = [\"/etc/shadow\"]");
    let ran = home.run(["config", "check", "--json"]).code(2);
    let found = found_in(&ran);
    assert!(found[0].place.starts_with("/etc/shadow"), "{found:?}");
    let shadow = fs::read_to_string("/etc/shadow").unwrap();
    let fields = shadow.lines().flat_map(|line| line.split(':').skip(1));
    for field in fields.filter(|field| field.len() > 5) {
        assert!(!ran.out.contains(field) && !ran.err.contains(field), "{ran:?}");
    }
}

#[test]
fn root_does_not_read_what_others_may_write_to() {
    if !can_run(is_root(), "root, who trusts less than others") {
        return;
    }
    let home = home();
    configure(&home, "[app.a]\npaths = \"/x\"\nbefore = \"touch ran\"");
    home.write("etc/apps.d/b.toml", "[app.b]\npaths = \"/x\"\n");
    let refused = |path: &str, part: &str, way_out: &str| {
        let message = format!("root does not read {}", home.text("etc"));
        let ran = home.run(["run", "a"]).fails(2, &message, way_out);
        assert!(ran.err.contains(part) && ran.err.contains(&home.text(path)), "{ran:?}");
        let found = home.run(["config", "check", "--json"]).code(2);
        assert!(found_in(&found)[0].hint.contains(way_out), "{found:?}");
    };
    for (path, good) in [
        ("etc/drumlin.toml", 0o644),
        ("etc/apps.d/b.toml", 0o644),
        ("etc/apps.d", 0o755),
        ("etc", 0o755),
    ] {
        set_mode(&home.path(path), good | 0o002);
        refused(path, "others may write to", &format!("chmod go-w {}", home.text(path)));
        set_mode(&home.path(path), good | 0o020);
        chown(home.path(path), None, Some(65_534)).unwrap();
        refused(path, "others may write to", &format!("chmod go-w {}", home.text(path)));
        set_mode(&home.path(path), good);
        chown(home.path(path), Some(65_534), None).unwrap();
        refused(path, "belongs to nobody", &format!("chown root {}", home.text(path)));
        chown(home.path(path), Some(0), None).unwrap();
        home.run(["apps"]).ok();
    }
    assert!(!home.path("ran").exists());
    // A pipe of the shell has no name that others could replace.
    let script = format!("echo '{}' | $drumlin config show --config /dev/stdin", REPOSITORY.trim());
    assert!(home.script(&[], &script).ok().out.contains("[repository.box]"));
}
