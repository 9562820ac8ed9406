//! Goal: `config show` says what holds, hides secrets, and can be read again. Method: generated
//! configurations are shown, read again, and compared as settings.

use std::path::PathBuf;

use drumlin::settings::Settings;
use drumlin::settings::app::AppSettings;
use drumlin::settings::environment::Environment;
use proptest::prelude::*;

use super::{configure, home};

fn settings(text: &str) -> Settings {
    let env =
        Environment::of([("HOME", "/root"), ("NAME", "a"), ("LIST", "/l/1:/l/2"), ("DB", "1")]);
    let file = PathBuf::from("/etc/drumlin/drumlin.toml");
    Settings::parse(text, file, &env).unwrap_or_else(|error| panic!("{error} in\n{text}"))
}

/// Returns the apps as runs see them.
fn merged(settings: &Settings) -> Vec<(String, AppSettings)> {
    let apps = settings.apps.iter().map(|(name, app)| {
        let merged = app.clone().with_defaults(&settings.defaults);
        // What the words of a cycle meant is there; the words are not.
        (name.clone(), AppSettings { cycle: None, ..merged })
    });
    apps.collect()
}

/// Lines that may be in `[app.NAME]` and in `[defaults]`, one of each group.
const LINES: &[&[&str]] = &[
    &["", "tag = \"one\"", "tag = [\"one\", \"two\"]"],
    &["", "exclude = [\"*.tmp\", \"!a.tmp\"]", "exclude = \"*.tmp\"", "exclude = \"$${x}\""],
    &["", "iexclude = \"*.BAK\""],
    &["", "exclude-file = [\"x\", \"~/y\"]", "exclude-file = \"${LIST}\""],
    &["", "exclude-if-present = \".nobackup\"", "ignore-file = \".gitignore\""],
    &["", "always-read = [\"*.img\"]"],
    &[
        "",
        "exclude-caches = true",
        "exclude-caches = \"${UNSET:-false}\"",
        "exclude-larger-than = \"2GiB\"",
    ],
    &[
        "",
        "keep = \"decay 2y\"",
        "keep = { daily = 7, tag = [\"gold\"] }",
        "schedule = \"daily\"",
        "schedule = [\"hourly\", \"weekly sun 04:00\"]",
        "cycle = { every = \"1d\", diffs = 7, fulls = 2 }",
        "keep = \"${UNSET:-last 3}\"\nschedule = \"every 6h\"",
    ],
    &["", "before = \"echo ${NAME} $${HOME}\"", "after = [\"a\", \"b\"]\nhook-timeout = \"1m\""],
    &["", "alarm = false", "alarm = { changed = \"50%\" }"],
    &[
        "",
        "timezone = \"Europe/Berlin\"\njitter = \"5m\"",
        "catch-up = \"12h\"\nfirst-run = \"scheduled\"",
    ],
    &["", "compression = 19", "compression = \"fast\"", "chunker = \"fixed\""],
    &["", "one-file-system = true", "one-file-system = false", "root = \"/host\""],
    &["", "retry = 2\nnice = 5", "low-memory = true\ntimeout = \"2d\"", "host = \"${NAME}-x\""],
];

/// Lines that only an app may have.
const OWN: &[&[&str]] = &[
    &[
        "",
        "mariadb = { databases = [\"a\"], socket = \"run/x\" }",
        "mariadb = [{ name = \"one\" }, { name = \"two\", tls = \"verify\", port = 3307 }]",
    ],
    &["", "postgres = { user = \"${NAME}\", password-file = \"p${DB}\" }"],
    &["", "sqlite = [\"/srv/*.db\", \"rel.db\"]", "sqlite = \"${LIST}\""],
    &["", "subversion = \"~/svn\"\nsubversion-parent = [\"/srv/svn\"]"],
    &[
        "",
        "[[app.NAME.command]]\nname = \"x\"\nrun = \"echo '${NAME}'\\\\t\\\"\"\n\
           [[app.NAME.command]]\nname = \"y\"\npipe = [\"a\", \"b ${NAME}\"]\nmin-size = \"1k\"",
    ],
];

fn lines(groups: &'static [&'static [&'static str]]) -> impl Strategy<Value = String> {
    let choices: Vec<_> = groups.iter().map(|group| proptest::sample::select(*group)).collect();
    choices.prop_map(|lines| lines.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..Default::default() })]
    #[test]
    fn what_is_shown_means_the_same(
        defaults in lines(LINES),
        one in lines(LINES),
        other in lines(LINES),
        own in lines(OWN),
    ) {
        let text = format!(
            "[repository.box]\nurl = \"../repo\"\npassword-file = \"secret\"\n\
             [repository.far]\nurl = \"s3://bucket/${{NAME}}\"\nregion = \"eu-1\"\n\
             storage-class = {{ data = \"GLACIER_IR\" }}\nlock = {{ mode = \"governance\", days = 3 }}\n\
             [defaults]\nrepository = \"box\"\n{defaults}\n\
             [app.one]\npaths = [\"x\", \"${{LIST}}\"]\n{one}\n{}\n\
             [app.\"o.ther\"]\npaths = \"/y\"\nrepository = \"far\"\n{other}\n",
            own.replace("NAME.", "one."),
        );
        let before = settings(&text);
        let shown = toml::to_string(&before.effective(None)).unwrap();
        let after = settings(&shown);
        prop_assert_eq!(merged(&before), merged(&after), "{}\nbecame\n{}", text, shown);
        prop_assert_eq!(&before.repositories, &after.repositories);
        prop_assert_eq!(before.default_repository(), after.default_repository());
        // What was shown is shown as it is.
        prop_assert_eq!(before.effective(None), after.effective(None));
        for name in ["one", "o.ther"] {
            let alone = settings(&toml::to_string(&before.effective(Some(name))).unwrap());
            let of = |settings: &Settings| {
                merged(settings).into_iter().find(|(app, _)| app == name).unwrap()
            };
            prop_assert_eq!(of(&before), of(&alone));
            prop_assert_eq!((alone.apps.len(), alone.repositories.len()), (1, 1));
        }
    }
}

#[test]
fn the_program_prints_what_it_can_read() {
    let home = home();
    configure(
        &home,
        "defaults = { tag = \"t\", after = \"curl https://hc.example.org/${TOKEN:-none}\" }\n\
         [app.\"a.b\"]\npaths = [\"../source\", \"../n\\u0085\\te\\\"w\"]\nschedule = \"daily\"\n\
         mariadb = { password-command = \"echo hunter2\", user = \"u\" }\n\
         [[app.\"a.b\".command]]\nname = \"facts\"\nrun = \"uname\"\nload = \"cat > x\"\n\
         [repository.far]\nurl = \"sftp://u:hunter3@h/x\"\nssh-password-command = \"gpg -d pw\"\n\
         [app.plain]\npaths = \"/x\"\nrepository = \"far\"\n",
    );
    let shown = home.run(["config", "show"]).ok().out;
    assert!(!shown.contains("hunter"), "{shown}");
    assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
    for line in [
        "schedule = \"daily\"",
        "after = \"curl https://hc.example.org/${TOKEN:-none}\"",
        "ssh-password-command = \"gpg ***\"",
        "url = \"sftp://u:***@h/x\"",
        "[app.\"a.b\"]",
        "[[app.\"a.b\".command]]",
        "tag = [\"t\"]",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "`{line}` is not in\n{shown}");
    }
    assert!(shown.contains("\n# daily 0"), "the time of the word is shown:\n{shown}");
    // It can be put in the place of the file, and says the same.
    home.write("etc/drumlin.toml", &shown);
    let again = home.run(["config", "show"]).ok().out;
    assert_eq!(shown, again);
    let one = home.run(["config", "show", "--app", "plain"]).ok().out;
    assert!(one.contains("[app.plain]") && one.contains("[repository.far]"), "{one}");
    assert!(!one.contains("a.b") && !one.contains("[repository.box]"), "{one}");
    let document = home.json(["config", "show", "--app", "a.b"]);
    assert_eq!(document["schedules"][0]["app"], "a.b");
    assert_eq!(document["schedules"][0]["next"].as_array().unwrap().len(), 3);
    assert_eq!(document["tables"][0]["table"], "app.a.b");
    assert_eq!(document["tables"][0]["values"]["tag"], serde_json::json!(["t"]));
    home.run(["config", "show", "--app", "none"]).fails(2, "there is no [app.none]", "");
}
