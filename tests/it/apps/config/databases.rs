//! Findings about databases, by real servers.

use std::fs;

use super::{check, configure_app, expect, expect_peace, home, set_mode};
use crate::apps::mysql::server::MariaDb;
use crate::apps::postgres::server::Postgres;
use crate::support::home::Home;

fn with_mariadb(server: &MariaDb, lines: &str) -> Home {
    let home = home();
    let socket = server.socket();
    configure_app(&home, &format!("[app.wiki.mariadb]\nsocket = {:?}\n{lines}", socket));
    home.write("etc/db", "right\n");
    set_mode(&home.path("etc/db"), 0o600);
    home
}

#[test]
fn mariadb_says_who_may_not_log_in_and_what_is_not_granted() {
    let server = MariaDb::start(&[]);
    server.sql(
        "CREATE DATABASE wiki; CREATE TABLE wiki.old (id INT) ENGINE=MyISAM; \
         CREATE USER u@localhost IDENTIFIED BY 'right'; GRANT SELECT ON wiki.* TO u@localhost;",
    );
    let login = "user = \"u\"\npassword-file = \"db\"\ndatabases = \"wiki\"";
    let home = with_mariadb(&server, login);
    let section = "app.wiki.mariadb";
    let found = check(&home);
    expect(&found, "note", section, "MariaDB 10.");
    expect(&found, "warning", section, "`wiki.old`");
    let lacking = expect(&found, "error", section, "the user lacks SHOW VIEW on");
    assert!(lacking.hint.contains("GRANT SHOW VIEW"), "{lacking:?}");
    server.sql(
        "DROP TABLE wiki.old; GRANT SHOW VIEW, EVENT, TRIGGER ON wiki.* TO u@localhost; \
         GRANT SELECT ON mysql.proc TO u@localhost;",
    );
    expect_peace(&check(&home));
    set_mode(&home.path("etc/db"), 0o644);
    expect(&check(&home), "warning", section, "can be read by others");
    set_mode(&home.path("etc/db"), 0o600);
    home.write("etc/db", "wrong\n");
    let wrong = expect(&check(&home), "error", section, "1045");
    assert!(!wrong.message.contains("right"), "{wrong:?}");
    fs::remove_file(home.path("etc/db")).unwrap();
    expect(&check(&home), "error", section, "cannot read the password file");
    // No client anywhere.
    let bare = home.with("PATH", "/nonexistent");
    bare.write("etc/db", "right\n");
    let missing = check(&bare);
    let errors = missing.iter().filter(|found| found.place == section && found.severity == "error");
    assert_eq!(errors.count(), 1, "{missing:#?}");
}

#[test]
fn other_sources_say_what_they_miss() {
    let home = home();
    let pattern = home.text("source/*.db");
    configure_app(&home, &format!("sqlite = {pattern:?}\nsubversion = \"../svn\"\n"));
    let found = check(&home);
    expect(&found, "error", "app.wiki.sqlite", "finds no file");
    expect(&found, "error", "app.wiki.subversion", "svn");
    rusqlite::Connection::open(home.path("source/a.db"))
        .unwrap()
        .execute_batch("CREATE TABLE t (a)")
        .unwrap();
    crate::support::servers::run("svnadmin", &["create", &home.text("svn")]);
    let found = check(&home);
    expect_peace(&found);
    expect(&found, "note", "app.wiki.sqlite", "1 database found");
    expect(&found, "note", "app.wiki.subversion", "youngest revision 0");
    configure_app(&home, "mariadb = [{ socket = \"/x\" }, { socket = \"/y\" }]");
    let found = check(&home);
    expect(&found, "error", "app.wiki", "more than one source would be /@app/mariadb");
}

#[test]
fn postgresql_says_what_a_role_may_not_read() {
    let Some(server) = Postgres::start() else { return };
    server.sql("postgres", "CREATE DATABASE wiki");
    server.sql("wiki", "CREATE TABLE secrets (id int); CREATE ROLE poor LOGIN");
    let home = home();
    let socket = server.socket();
    let login = format!("socket = {socket:?}, user = \"poor\", databases = \"wiki\"");
    configure_app(&home, &format!("postgres = {{ {login} }}"));
    let found = check(&home);
    let denied = expect(&found, "error", "app.wiki.postgres", "`poor` may not read tables");
    assert!(denied.hint.contains("GRANT pg_read_all_data TO poor"), "{denied:?}");
    server.sql("wiki", "GRANT pg_read_all_data TO poor");
    let found = check(&home);
    assert!(!found.iter().any(|found| found.severity == "error"), "{found:#?}");
}
