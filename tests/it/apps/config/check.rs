//! Findings of `config check`: repositories, paths, patterns, hooks, schedules.

use std::fs;
use std::os::unix::fs::symlink;

use super::{check, configure, configure_app, expect, expect_peace, found_in, home, set_mode};
use crate::support::home::{Home, Ran};
use crate::support::needs::{can_run, is_root};

#[test]
fn a_configuration_that_works_has_no_findings_but_notes() {
    let home = home();
    configure_app(
        &home,
        "schedule = [\"daily 03:10\", \"every 6h\"]\nkeep = { last = 3 }\nbefore = \"true | cat\"\n\
         exclude = \"*.tmp\"\n[[app.wiki.command]]\nname = \"facts\"\nrun = \"touch ran\"\n\
         [[app.wiki.command]]\nname = \"more\"\npipe = [\"echo a\", \"cat\"]",
    );
    let before = home.tree("repo");
    let found = check(&home);
    expect_peace(&found);
    expect(&found, "note", "repository.box", "opens");
    let times = expect(&found, "note", "app.wiki.schedule", "daily 03:10, every 6h: next ");
    assert_eq!(times.message.matches(", 20").count(), 2, "{times:?}");
    expect(&found, "note", "app.wiki.command.facts", "runs by `bash` on this host");
    expect(&found, "note", "configuration", "nothing here removes the data of forgotten");
    // Nothing ran, and nothing was written.
    assert!(!home.path("ran").exists() && home.tree("repo") == before);
    assert!(!home.path(".state/apps").exists());
    let said = home.run(["config", "check"]).ok().out;
    assert!(said.ends_with("no errors, no warnings\n") && said.contains("app.wiki\n"), "{said}");
    let quiet = home.run(["config", "check", "-q"]).ok();
    assert_eq!(quiet.out, "no errors, no warnings\n");
}

#[test]
fn what_is_wrong_with_a_repository_is_found() {
    let home = home();
    configure_app(&home, "");
    set_mode(&home.path("etc/password"), 0o644);
    let found = check(&home);
    expect(&found, "warning", "repository.box", "can be read by others (mode 0644)");
    home.write("etc/password", "wrong\n");
    set_mode(&home.path("etc/password"), 0o600);
    let wrong = expect(&check(&home), "error", "repository.box", "password");
    assert!(wrong.hint.contains("etc/password"), "{wrong:?}");
    fs::remove_file(home.path("etc/password")).unwrap();
    expect(&check(&home), "error", "repository.box", "cannot read the password file");
    home.write("etc/password", "secret\n");
    set_mode(&home.path("etc/password"), 0o600);
    fs::rename(home.path("repo"), home.path("away")).unwrap();
    let away = expect(&check(&home), "error", "repository.box", "no repository");
    assert!(!away.hint.is_empty(), "{away:?}");
    let offline = home.run(["config", "check", "--offline", "--json"]).ok();
    expect_peace(&found_in(&offline));
    home.write("etc/drumlin.toml", "repository.box = { url = \"rclone:x:y\" }\n");
    let found = check(&home);
    expect(&found, "error", "repository.box", "looks like a location of `rclone`");
    expect(&found, "warning", "configuration", "there is no app");
    home.write("etc/drumlin.toml", "repository.box = { url = \"../away\" }\n");
    expect(&check(&home), "error", "repository.box", "no password was given");
}

#[test]
fn what_cannot_be_read_as_it_is_written_is_found_with_its_line() {
    let home = home();
    for (lines, line, part, hint) in [
        ("[app.a]\npaths = \"/x\"\nschedule = \"often\"", 4, "is not a schedule", "daily 03:10"),
        (
            "[app.a]\npaths = \"/x\"\nschedule = [\"never\", \"daily\"]",
            4,
            "`never` has company",
            "remove it",
        ),
        (
            "[app.a]\npaths = \"/x\"\nschedule = [\n\"daily\",\n\"0 0 30 2 *\"]",
            6,
            "never comes",
            "",
        ),
        ("[app.a]\npaths = \"/x\"\npathz = 1", 4, "unknown key `pathz`", "`paths`"),
        ("[app.a]\npaths = \"/x\"\ncycle = { every = \"1d\", fulls = 2 }", 4, "needs `every`", ""),
        (
            "[app.a]\npaths = \"/x\"\ncycle = { every = \"1d\", diffs = 7, fulls = 2 }\nkeep = {}",
            4,
            "`keep` is there, too",
            "",
        ),
        ("[app.a]\npaths = \"${NOPE}\"", 3, "variable NOPE is not set", ""),
        ("[app.a", 2, "", ""),
    ] {
        configure(&home, lines);
        let place = format!("{}:{line}", home.text("etc/drumlin.toml"));
        let found = expect(&check(&home), "error", &place, part);
        assert!(found.hint.contains(hint), "{lines}: {found:?}");
        // Other commands say the same.
        let refused = home.run(["apps"]);
        assert!(refused.code == 2 && refused.err.contains(&place), "{refused:?}");
    }
    let none = Home::new().run(["config", "check", "--json"]);
    assert_eq!(none.code, 2);
    expect(&found_in(&none), "error", "configuration", "there is no configuration file");
}

#[test]
fn paths_patterns_hooks_and_times_are_looked_at() {
    let home = home();
    home.write("excludes", "*.tmp\n");
    home.write("empty/x", "");
    fs::remove_file(home.path("empty/x")).unwrap();
    configure(
        &home,
        "[app.wiki]\npaths = [\"../source\", \"../gone\", \"../empty\"]\n\
         exclude-file = \"../no-excludes\"\nbefore = [\"true\", \"if true\"]\n\
         schedule = \"daily\"\nmax-age = \"1h\"\n\
         [app.shop]\nenabled = false\npaths = \"../source\"\nexclude = \"a[\"\n\
         [[app.shop.command]]\nname = \"x\"\npipe = [\"no-such-program -x\"]\n\
         [[app.shop.command]]\nname = \"/x\"\nrun = \"true\"\n",
    );
    let found = check(&home);
    expect(&found, "error", "app.wiki.paths", "gone: No such file");
    expect(&found, "warning", "app.wiki.paths", "empty is empty");
    expect(&found, "error", "app.wiki.exclude", "no-excludes");
    expect(&found, "error", "app.wiki.before", "the shell cannot run it");
    expect(&found, "warning", "app.wiki.max-age", "is shorter than the time between two runs");
    expect(&found, "note", "app.wiki.keep", "nothing is forgotten");
    expect(&found, "note", "app.shop.schedule", "is not enabled");
    expect(&found, "error", "app.shop.command.x", "there is no program `no-such-program`");
    expect(&found, "error", "app.shop", "more than one source would be /x");
    configure_app(&home, "cycle = { every = \"1d\", diffs = 7, fulls = 2 }");
    let found = check(&home);
    expect(&found, "note", "app.wiki.cycle", "a snapshot every 1d, and the last 14 are kept");
    configure_app(&home, "cycle = { every = \"1w\", diffs = 0, fulls = 14 }");
    expect(&check(&home), "note", "app.wiki.cycle", "every 1w, and the last 14 are kept");
    configure_app(&home, "repository = [\"box\", \"usb\"]\n[repository.usb]\nurl = \"../usb\"");
    expect(&check(&home), "error", "app.wiki", "several repositories");
    configure_app(&home, "[repository.usb]\nurl = \"../usb\"");
    let unsaid = expect(&check(&home), "error", "app.wiki", "says no repository");
    assert!(unsaid.hint.contains("box, usb"), "{unsaid:?}");
}

/// Runs `config check` as another user, with little but its own programs in reach.
fn check_as_nobody(home: &Home) -> Ran {
    let wrapper = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--bounding-set=-all",
        "--",
    ];
    let mut command = home.wrapped(&wrapper, ["config", "check", "--json"]);
    Ran::of(&command.output().unwrap())
}

#[test]
fn what_another_user_may_not_read_or_write_is_found() {
    if !can_run(is_root(), "root, to become another user") {
        return;
    }
    let home = home();
    for path in ["", "etc", "repo"] {
        set_mode(&home.path(path), 0o755);
    }
    home.write("source/secret", "x");
    home.write("source/closed/x", "x");
    home.write("locked/x", "x");
    set_mode(&home.path("source/secret"), 0o600);
    set_mode(&home.path("source/closed"), 0o700);
    set_mode(&home.path("locked"), 0o700);
    configure(&home, "[app.wiki]\npaths = [\"../source\", \"../locked\"]\nschedule = \"daily\"\n");
    let found = found_in(&check_as_nobody(&home).code(2));
    let partly = expect(&found, "warning", "app.wiki.paths", "2 entries right below");
    assert!(partly.message.contains("secret") && partly.message.contains("closed"), "{partly:?}");
    assert!(partly.hint.contains("nobody"), "{partly:?}");
    expect(&found, "error", "app.wiki.paths", "locked: Permission denied");
    expect(&found, "error", "repository.box", "cannot read the password file");
    expect(&found, "error", "configuration", "cannot write to the state folder");
    // Root is above permissions.
    let found = check(&home);
    assert!(!found.iter().any(|found| found.place == "app.wiki.paths"), "{found:#?}");
}

#[test]
fn a_machine_without_bash_or_a_time_zone_is_told() {
    let home = home();
    let sh = home.path("bin/sh");
    fs::create_dir(home.path("bin")).unwrap();
    symlink("/bin/dash", &sh).unwrap();
    configure_app(&home, "[[app.wiki.command]]\nname = \"x\"\nrun = \"seq 3 | gzip\"");
    let home = home.with("PATH", sh.parent().unwrap().to_str().unwrap()).with("TZ", "Mars/Base");
    let found = check(&home);
    if fs::canonicalize("/bin/dash").is_ok() {
        expect(&found, "error", "app.wiki.command.x", "there is no bash");
    }
    expect(&found, "warning", "configuration", "TZ is `Mars/Base`");
}
