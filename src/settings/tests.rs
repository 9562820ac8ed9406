//! The documented file, and the ways to get it wrong.

use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::repository::SecretSettings;
use super::sources::{CommandSettings, DatabaseKind};
use super::values::Chunker;
use super::{Settings, SettingsError};
use crate::compress::Compression;

fn parse(text: &str) -> Result<Settings, SettingsError> {
    Settings::parse(
        text,
        "/etc/drumlin/drumlin.toml".into(),
        &Environment::of([("HOME", "/root"), ("BOX", "u1")]),
    )
}

/// Returns line, message and hint of the error that `text` must give.
fn refused(text: &str) -> (usize, String, String) {
    match parse(text) {
        Err(SettingsError::Invalid { line, message, hint, .. }) => {
            (line, message, hint.unwrap_or_default())
        }
        other => panic!("expected a refusal of {text:?}, got {other:?}"),
    }
}

const EVERYTHING: &str = r#"
[repository.box]
url = "sftp://${BOX}@${BOX}.your-storagebox.de:23/./drumlin"
password-file = "/etc/drumlin/password"
limit-upload = "2MiB"

[repository.usb]
url = "/mnt/usb/drumlin"
key-file = "~/usb.key"
cache-dir = "cache"
cache-size = "500MiB"

[repository.cold]
url = "s3://bucket/prefix"
endpoint = "https://s3.example.com"
region = "eu-1"
path-style = true
storage-class = "GLACIER_IR"
password-command = "pass show drumlin"

[defaults]
repository = "box"
exclude = ["*.tmp"]
exclude-caches = true
compression = "fast"
keep = "decay 2y"

[app.wiki]
paths    = ["/srv/wiki"]
schedule = "daily 03:10"
keep     = { daily = 14, weekly = 8, monthly = 12, within = "3d", tag = ["gold"] }
repository = ["box", "usb"]
exclude = "/srv/wiki/cache"
exclude-larger-than = "2GiB"
compression = 19
chunker = "fixed"
tag = ["web"]

[[app.wiki.command]]
name = "facts.txt"
run = "uname -a; echo $${HOME}"

[app.shop]
mariadb = { databases = ["shop"], method = "dump" }
subversion = ["/srv/svn/x"]
subversion-parent = ["/srv/svn"]
before = "systemctl stop shop"
schedule = "10 3 * * *"

[notify]
email = "ops@example.com"
smtp = "smtps://mail.example.com"
webhook = "https://example.com/hook"
ping = "https://hc-ping.example/uuid"

[metrics]
listen = "127.0.0.1:9840"
textfile = "/var/lib/node_exporter/drumlin.prom"
push = "http://push.example:9091"
"#;

#[test]
fn the_documented_file_is_read() {
    let settings = parse(EVERYTHING).unwrap();
    assert_eq!(settings.repositories["box"].url, "sftp://u1@u1.your-storagebox.de:23/./drumlin");
    assert_eq!(
        settings.repositories["usb"].secret,
        Some(SecretSettings::KeyFile("/root/usb.key".into()))
    );
    assert_eq!(settings.repositories["usb"].cache_dir, Some(PathBuf::from("/etc/drumlin/cache")));
    assert_eq!(settings.repositories["usb"].cache_size, Some(500 << 20));
    assert_eq!(settings.default_repository(), Some("box"));
    let wiki = settings.apps["wiki"].clone().with_defaults(&settings.defaults);
    assert_eq!(wiki.paths, [Path::new("/srv/wiki")]);
    assert_eq!(wiki.repositories, ["box", "usb"]);
    assert_eq!(wiki.excludes.patterns, ["/srv/wiki/cache", "*.tmp"]);
    assert_eq!(wiki.excludes.caches, Some(true));
    assert_eq!(wiki.excludes.larger_than, Some(2 << 30));
    assert_eq!(wiki.compression, Some(Compression::Level(19)));
    assert_eq!(wiki.chunker, Some(Chunker::Fixed));
    assert_eq!(
        wiki.sources.commands,
        [CommandSettings {
            name: "facts.txt".into(),
            run: "uname -a; echo ${HOME}".into(),
            ..CommandSettings::default()
        }]
    );
    assert_eq!(wiki.run.schedule, ["daily 03:10"]);
    let shop = settings.apps["shop"].clone().with_defaults(&settings.defaults);
    assert_eq!(shop.repositories, ["box"]);
    assert_eq!(shop.compression, Some(Compression::FAST));
    assert_eq!(shop.run.hooks.before, ["systemctl stop shop"]);
    assert_eq!(shop.sources.mysql.len(), 1);
    let database = &shop.sources.mysql[0];
    assert_eq!(
        (database.kind, database.section.as_str(), database.databases.as_deref()),
        (DatabaseKind::Mariadb, "app.shop.mariadb", Some(&["shop".to_owned()][..]))
    );
    assert_eq!(shop.sources.subversion_parents, [Path::new("/srv/svn")]);
}

#[test]
fn unknown_keys_name_the_nearest_known_one() {
    let (line, message, hint) = refused("[repository.box]\nurl = \"/x\"\npasword-file = \"/p\"\n");
    assert_eq!((line, message.as_str()), (3, "unknown key `pasword-file` in [repository.box]"));
    assert_eq!(hint, "the nearest known key is `password-file`");
    assert_eq!(refused("[repositry.box]\nurl = \"/x\"").2, "the nearest known key is `repository`");
    assert_eq!(
        refused("[app.a]\npaths = \"/x\"\nscedule = \"hourly\"").2,
        "the nearest known key is `schedule`"
    );
    assert_eq!(
        refused("[app.a]\npaths = \"/x\"\nkeep = { dayly = 3 }").2,
        "the nearest known key is `daily`"
    );
    assert_eq!(refused("[defaults]\npaths = \"/x\"").1, "unknown key `paths` in [defaults]");
}

#[test]
fn wrong_values_say_what_is_expected() {
    for (text, line, part) in [
        ("[repository.a]\nurl = 3", 2, "`url` in [repository.a]: must be a string, not an integer"),
        ("[repository.a]\nkey-file = \"/k\"", 2, "[repository.a] has no `url`"),
        (
            "[repository.a]\nurl = \"/x\"\nkey-file = \"k\"\npassword-file = \"p\"",
            2,
            "more than one of",
        ),
        ("[repository.a]\nurl = \"${NOPE}\"", 2, "environment variable NOPE is not set"),
        ("[repository.a]\nurl = \"\"", 2, "is empty"),
        ("[repository.\"a b\"]\nurl = \"/x\"", 1, "names are letters"),
        ("[app.a]\npaths = [\"/x\", 4]", 2, "must be a string or a list of strings"),
        ("[app.a]\nschedule = \"hourly\"", 2, "names nothing to back up"),
        ("[app.a]\npaths = \"/x\"\nschedule = \"often\"", 3, "is not a schedule"),
        ("[app.a]\npaths = \"/x\"\nkeep = \"decay\"", 3, "must be a table of counts"),
        ("[app.a]\npaths = \"/x\"\nkeep = { daily = -1 }", 3, "must be a whole number"),
        ("[app.a]\npaths = \"/x\"\nrepository = \"b\"", 1, "there is no [repository.b]"),
        ("[app.a]\npaths = \"/x\"\ncompression = 40", 3, "level from 1 to 22"),
        ("[[app.a.command]]\nname = \"../x\"\nrun = \"true\"", 2, "cannot be the name of a file"),
        ("[app.a]\npaths = \"/x\"\ndrill = \"monthly\"", 3, "not supported by this version yet"),
        ("[app.a]\nmysql = { method = \"backup\" }", 2, "a method of MariaDB only"),
        ("[app.a.mariadb]\nmethod = \"backup\"\ndatabases = \"x\"", 3, "copies the whole server"),
        ("[app.a.mariadb]\nmethod = \"backup\"\nexclude = \"x\"", 3, "copies the whole server"),
        ("[app.a.mariadb]\nmethod = \"backup\"\nusers = true", 3, "copies the whole server"),
        ("[app.a.mariadb]\nmethod = \"backup\"\ndata-not = \"x\"", 3, "copies the whole server"),
        ("[app.a]\npostgres = { container = \"../db\" }", 2, "not the name of a container"),
        (
            "[app.a]\nmariadb = { method = \"backup\", container = \"db\" }",
            2,
            "a server on this host",
        ),
        ("[app.a]\npaths = \"/x\"\nstop = \"a b\"", 3, "not the name of a container"),
        ("[app.a]\nstop = [\"web\", \"db\"]\npostgres = { container = \"db\" }", 2, "it must run"),
        (
            "[[app.a.command]]\nname = \"x\"\npipe = [\"b\"]\ncontainer = \"db\"",
            4,
            "runs on this host",
        ),
        ("[docker]\nlabel = true", 2, "unknown key `label`"),
        ("[defaults]\nstop = \"web\"", 2, "unknown key `stop`"),
        ("[app.a]\nmariadb = { host = \"h\", socket = \"s\" }", 2, "keep one of them"),
        ("[app.a]\npostgres = { routines = false }", 2, "unknown key `routines`"),
        ("[app.a]\npaths = \"/x\"\ntimezone = \"Mars\"", 3, "is not a time zone"),
        ("[app.a]\npaths = \"/x\"\nalarm = { gone = \"0%\" }", 3, "is not a share"),
        ("[app.a]\npaths = \"/x\"\nretry = 11", 3, "from 0 to 10"),
        ("[[app.a.command]]\nname = \"x\"\nrun = \"a\"\npipe = [\"b\"]", 2, "either `run` or"),
        ("[metrics]\nlisten = \"everywhere\"", 2, "is not an address"),
        ("[app.a\n", 1, ""),
        ("a = 1\na = 2\n", 2, "duplicate key"),
    ] {
        let (found_line, message, _) = refused(text);
        assert_eq!(found_line, line, "{text:?}: {message}");
        assert!(message.contains(part), "{text:?}: {message}");
    }
}

#[test]
fn the_file_is_searched_in_order() {
    let scratch = tempfile::tempdir().unwrap();
    let home = scratch.path().to_str().unwrap();
    let env = Environment::of([("XDG_CONFIG_HOME", home)]);
    let explicit = scratch.path().join("other.toml");
    assert!(matches!(Settings::load(Some(&explicit), &env), Err(SettingsError::Read { .. })));
    std::fs::create_dir(scratch.path().join("drumlin")).unwrap();
    std::fs::write(
        scratch.path().join("drumlin/drumlin.toml"),
        "[repository.mine]\nurl = \"/mine\"",
    )
    .unwrap();
    assert_eq!(Settings::load(None, &env).unwrap().default_repository(), Some("mine"));
    std::fs::write(&explicit, "[repository.other]\nurl = \"/other\"").unwrap();
    let settings = Settings::load(Some(&explicit), &env).unwrap();
    assert_eq!(settings.default_repository(), Some("other"));
    assert_eq!(settings.file, Some(explicit));
}

/// What an app says counts, also where it says no.
#[test]
fn an_app_may_switch_off_what_the_defaults_switch_on() {
    let text = r#"
[defaults]
one-file-system = true
exclude-caches = true
[app.shop]
paths = ["/srv/shop"]
one-file-system = false
[app.wiki]
paths = ["/srv/wiki"]
"#;
    let settings = parse(text).unwrap();
    let of = |app: &str| settings.apps[app].clone().with_defaults(&settings.defaults).excludes;
    assert_eq!((of("shop").one_file_system, of("shop").caches), (Some(false), Some(true)));
    assert_eq!((of("wiki").one_file_system, of("wiki").caches), (Some(true), Some(true)));
}

#[test]
fn variables_stand_for_lists_numbers_and_nothing() {
    let env = Environment::of([
        ("HOME", "/root"),
        ("DIRS", "/srv/a:rel::~/b"),
        ("PORT", "3307"),
        ("YES", "true"),
        ("EMPTY", ""),
    ]);
    let text = r#"
[app.wiki]
paths = ["${DIRS}", "${UNSET:-/x}", "${UNSET:-}", "/with:colon"]
schedule = "${UNSET:-}"
keep = "${KEEP:-decay 2y}"
exclude-caches = "${YES}"
tag = ["${EMPTY:-}", "a"]
timezone = "${UNSET:-UTC}"
mariadb = { port = "${PORT:-3306}", host = "${UNSET:-}" }
"#;
    let settings = Settings::parse(text, "/etc/drumlin/drumlin.toml".into(), &env).unwrap();
    let wiki = &settings.apps["wiki"];
    let paths = ["/srv/a", "/etc/drumlin/rel", "/root/b", "/x", "/with:colon"];
    assert_eq!(wiki.paths, paths.map(PathBuf::from));
    assert!(wiki.run.schedule.is_empty() && wiki.keep.is_some());
    assert_eq!((wiki.excludes.caches, &wiki.tags[..]), (Some(true), &["a".to_owned()][..]));
    assert_eq!((wiki.sources.mysql[0].port, &wiki.sources.mysql[0].host), (Some(3307), &None));
    for (line, why) in [
        ("host = \"${EMPTY}\"", "is empty"),
        ("host = \"\"", "is empty"),
        ("exclude-caches = \"${PORT}\"", "must be true or false, not `3307`"),
        ("exclude-caches = \"yes\"", "must be true or false, not `yes`"),
        ("exclude-caches = 1", "must be true or false, not an integer"),
    ] {
        let text = format!("[app.a]\npaths = \"/x\"\n{line}");
        let error = Settings::parse(&text, "/x.toml".into(), &env).unwrap_err().to_string();
        assert!(error.starts_with("/x.toml:3: ") && error.contains(why), "{error}");
    }
}

#[test]
fn a_cycle_is_a_schedule_and_a_policy() {
    let of = |text: &str| {
        let settings = parse(&format!("[app.a]\npaths = \"/x\"\n{text}")).unwrap();
        let app = settings.apps["a"].clone().with_defaults(&settings.defaults);
        (app.run.schedule.join(","), app.keep.map(|keep| keep.to_string()).unwrap_or_default())
    };
    let cycle = |every: &str, diffs, fulls| {
        format!("cycle = {{ every = \"{every}\", diffs = {diffs}, fulls = {fulls} }}")
    };
    let means = |schedule: &str, keep: &str| (schedule.to_owned(), keep.to_owned());
    assert_eq!(of(&cycle("1d", 7, 2)), means("every 1d", "last 14"));
    assert_eq!(of(&cycle("12h", 0, 14)), means("every 12h", "last 14"));
    let defaults = format!("[defaults]\n{}", cycle("1w", 1, 3));
    assert_eq!(of(&defaults), means("every 1w", "last 3"));
    assert_eq!(of(&format!("keep = \"last 5\"\n{defaults}")), means("every 1w", "last 5"));
    for (text, why) in [
        (cycle("1d", 7, 0), "`0` is not a number from 1"),
        (cycle("often", 7, 1), "is not a number and one of m, h, d, w"),
        (cycle("1d", 10_001, 1), "is not a number from 0 to 10000"),
        (format!("{}\nschedule = \"daily\"", cycle("1d", 7, 1)), "`schedule` is there, too"),
        ("cycle = { every = \"1d\", diffs = 1, fulls = 1, x = 1 }".to_owned(), "unknown key `x`"),
        ("cycle = \"1d\"".to_owned(), "must be a table"),
    ] {
        let (line, message, _) = refused(&format!("[app.a]\npaths = \"/x\"\n{text}"));
        assert!(line == 3 && message.contains(why), "{text}: {line}: {message}");
    }
}
