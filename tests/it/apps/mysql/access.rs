//! Goal: every password lets its user in, wherever it travels; and what a user lacks is said.
//!
//! Method: users with passwords of all kinds log in by the file of the client and by its
//! environment, while other files say something else; users with few rights are dumped as.

use std::io;
use std::sync::Arc;

use drumlin::sources::finding::{Finding, Severity};
use drumlin::sources::mysql::{Databases, Failure, Retry, Tls, check, plan};
use drumlin::sources::process::Output;
use drumlin::sources::runner::{Invocation, Runner};
use zeroize::Zeroizing;

use super::server::{MariaDb, chain, dump_all, host};

/// Runs programs as a container does: no files, and another home.
struct Contained {
    host: Arc<dyn Runner>,
    home: String,
    passes_files: bool,
}

impl Runner for Contained {
    fn start(&self, mut invocation: Invocation) -> io::Result<Box<dyn Output>> {
        // Before all others, so that those replace it.
        invocation.environment.insert(0, ("HOME".to_owned(), self.home.clone().into()));
        assert!(self.passes_files || invocation.secret_file.is_none());
        self.host.start(invocation)
    }

    fn passes_files(&self) -> bool {
        self.passes_files
    }

    fn place(&self) -> String {
        "container wiki-db".to_owned()
    }
}

const PASSWORDS: &[&str] = &[
    "simple",
    "two words",
    " both ends ",
    "it's",
    "say \"x\"",
    "'quoted'",
    "\"quoted\"",
    "back\\slash\\",
    "\\n\\t\\s",
    "a#b",
    "#",
    "; [client]",
    "a=b",
    "!include /x",
    "é ü 日本 😀",
    "tab\tand\nline",
    "%$`&|<>(){}",
    "\\\"",
    "",
];

#[test]
fn every_password_lets_its_user_in() {
    let server = MariaDb::start(&[]);
    server.sql("CREATE DATABASE wiki;");
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join(".my.cnf"), "[client]\npassword=wrong\nuser=nobody\n").unwrap();
    for (number, password) in PASSWORDS.iter().enumerate() {
        let hex: String = password.bytes().map(|byte| format!("{byte:02X}")).collect();
        server.sql(&format!(
            "SET @s = CONCAT('CREATE USER u{number}@localhost IDENTIFIED BY ', QUOTE(X'{hex}')); \
             EXECUTE IMMEDIATE @s; GRANT SELECT ON *.* TO u{number}@localhost;"
        ));
        for passes_files in [true, false] {
            let home = home.path().to_str().unwrap().to_owned();
            let runner: Arc<dyn Runner> = Arc::new(Contained { host: host(), home, passes_files });
            let mut settings = server.settings();
            settings.access.user = Some(format!("u{number}"));
            settings.access.password = Some((*password).to_owned().into());
            let plan = plan(&settings, &runner);
            let plan = plan.unwrap_or_else(|error| panic!("{password:?}: {}", chain(&error)));
            assert_eq!(plan.dumps.len(), 2);
        }
    }
}

#[test]
fn a_file_of_the_user_says_what_is_not_configured() {
    let server = MariaDb::start(&[]);
    server.sql(
        "CREATE DATABASE wiki; CREATE USER u@localhost IDENTIFIED BY 'right'; \
         GRANT SELECT ON *.* TO u@localhost;",
    );
    let file = server.path().join("user file.cnf");
    let content = |password: &str| {
        let socket = server.socket();
        format!("[client]\nuser=u\npassword={password}\nsocket={}\n", socket.display())
    };
    let mut settings = server.settings();
    settings.access = Default::default();
    settings.access.defaults_file = Some(file.to_str().unwrap().to_owned());
    std::fs::write(&file, content("right")).unwrap();
    assert!(plan(&settings, &host()).is_ok());
    std::fs::write(&file, content("wrong")).unwrap();
    let error = plan(&settings, &host()).err().unwrap();
    assert!(chain(&error).contains("1045"), "{}", chain(&error));
    // A configured password goes before.
    settings.access.password = Some("right".to_owned().into());
    plan(&settings, &host()).map(drop).unwrap_or_else(|error| panic!("{}", chain(&error)));
}

#[test]
fn a_wrong_login_says_section_and_keys() {
    let server = MariaDb::start(&[]);
    let mut settings = server.settings();
    settings.access.user = Some("app".to_owned());
    settings.access.password = Some("wrong".to_owned().into());
    let error = plan(&settings, &host()).err().unwrap();
    let said = chain(&error);
    for word in ["cannot log in", "`password-file`", "[app.wiki.mariadb]", "1045", "this host"] {
        assert!(said.contains(word), "{said}");
    }
    assert!(!said.contains("wrong"), "{said}");
    assert_eq!(Failure::retry_of(&error), Some(Retry::Never));
    // A server without certificates: no login without encryption.
    let mut settings = server.settings();
    settings.access.tls = Tls::On;
    let said = chain(&plan(&settings, &host()).err().expect("there is no encryption"));
    assert!(said.contains("`tls`"), "{said}");
    settings.access.tls = Tls::Off;
    let said = chain(&plan(&settings, &host()).err().expect("there is no database"));
    assert!(said.contains("no database"), "{said}");
}

#[test]
fn databases_that_are_named_must_be_there() {
    let server = MariaDb::start(&[]);
    server.sql("CREATE DATABASE a; CREATE DATABASE b; CREATE DATABASE c;");
    let mut settings = server.settings();
    let mut places = |databases: Databases, exclude: &[&str]| {
        settings.databases = databases;
        settings.exclude = exclude.iter().map(|&name| name.to_owned()).collect();
        let plan = plan(&settings, &host()).map_err(|error| chain(&error))?;
        let place = |dump: &drumlin::sources::planned::Planned| dump.record.get().place;
        Ok::<_, String>(plan.dumps.iter().map(place).collect::<Vec<_>>().join(" "))
    };
    let named = |names: &[&str]| Databases::Named(names.iter().map(|&n| n.to_owned()).collect());
    let [a, b, c, users] =
        ["a", "b", "c", "~users.sql"].map(|name| format!("/@app/mariadb/{name}"));
    assert_eq!(places(Databases::All, &[]).unwrap(), format!("{a} {b} {c} {users}"));
    assert_eq!(places(Databases::All, &["b"]).unwrap(), format!("{a} {c} {users}"));
    assert_eq!(places(named(&["c", "a"]), &[]).unwrap(), format!("{a} {c}"));
    let refused = places(named(&["a", "x"]), &[]).unwrap_err();
    assert!(refused.contains("`x`") && refused.contains("`databases`"), "{refused}");
    let refused = places(named(&["mysql"]), &[]).unwrap_err();
    assert!(refused.contains("users = true"), "{refused}");
}

fn messages(findings: &[Finding], severity: Severity) -> String {
    let those = findings.iter().filter(|finding| finding.severity == severity);
    those.map(|finding| format!("{} ({})\n", finding.message, finding.hint)).collect()
}

#[test]
fn findings_say_what_a_dump_would_lack() {
    let server = MariaDb::start(&["--net-write-timeout=10"]);
    server.sql(
        "CREATE DATABASE wiki; USE wiki; CREATE TABLE old (id INT) ENGINE=MyISAM; \
         CREATE TABLE past (id INT) WITH SYSTEM VERSIONING; CREATE PROCEDURE hidden() SELECT 1; \
         CREATE TRIGGER t BEFORE INSERT ON old FOR EACH ROW SET @x = 1; \
         CREATE USER u@localhost IDENTIFIED BY 'x'; \
         GRANT SELECT, SHOW VIEW ON wiki.* TO u@localhost;",
    );
    let findings = check(&server.settings(), &host());
    assert_eq!(messages(&findings, Severity::Error), "");
    let warnings = messages(&findings, Severity::Warning);
    assert!(warnings.contains("`wiki.old`") && warnings.contains("`wiki.past`"), "{warnings}");
    assert!(!warnings.contains("TRIGGER"), "{warnings}");
    assert!(warnings.contains("10 s (`net_write_timeout`)"), "{warnings}");
    let information = messages(&findings, Severity::Note);
    assert!(
        information.contains("MariaDB 10.") && information.contains("Distrib"),
        "{information}"
    );

    let mut settings = server.settings();
    settings.access.user = Some("u".to_owned());
    settings.access.password = Some(Zeroizing::new("x".to_owned()));
    let findings = check(&settings, &host());
    let errors = messages(&findings, Severity::Error);
    assert!(errors.contains("EVENT") && errors.contains("SELECT on `mysql`"), "{errors}");
    let warnings = messages(&findings, Severity::Warning);
    assert!(warnings.contains("TRIGGER") && warnings.contains("`mysql.proc`"), "{warnings}");

    // What is dumped then lacks what was said, and says it each time.
    settings.has_events = false;
    settings.has_users = Some(false);
    let notices = plan(&settings, &host()).unwrap().notices.join("\n");
    for word in ["`wiki.old`", "TRIGGER", "`mysql.proc`", "[app.wiki.mariadb]"] {
        assert!(notices.contains(word), "{notices}");
    }
    let dump = dump_all(&settings).remove("/@app/mariadb/wiki").unwrap();
    let text = String::from_utf8(dump.cat()).unwrap();
    assert!(!text.contains("hidden") && !text.contains("CREATE TRIGGER"), "{text}");
    assert_eq!(dump.record.left_out, ["events"]);
    server
        .sql("GRANT SELECT ON mysql.proc TO u@localhost; GRANT TRIGGER ON wiki.* TO u@localhost;");
    let dump = dump_all(&settings).remove("/@app/mariadb/wiki").unwrap();
    let text = String::from_utf8(dump.cat()).unwrap();
    assert!(text.contains("hidden") && text.contains("TRIGGER"), "{text}");
}

#[test]
fn options_that_would_change_the_dump_are_refused() {
    let server = MariaDb::start(&[]);
    let mut settings = server.settings();
    settings.options = vec!["--all-databases".to_owned()];
    let said = chain(&plan(&settings, &host()).err().unwrap());
    assert!(said.contains("`options`") && said.contains("[app.wiki.mariadb]"), "{said}");
    assert_eq!(check(&settings, &host())[0].severity, Severity::Error);
}
