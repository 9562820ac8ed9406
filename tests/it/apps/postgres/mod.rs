//! Goal: what is dumped of PostgreSQL loads again, whatever it holds and while others write.
//! Method: a real server on a socket in a scratch folder; a dump is loaded by `cat *` and `psql`
//! into a new database, compared table by table, and dumped again: the same bytes.

mod failures; // dumps that die, and access
mod hostile; // hostile content
pub mod server; // a server of a test's own

use std::process::{Child, Stdio};

use drumlin::sources::postgres::{Databases, Settings, create_statements, plan};

use server::{Postgres, run_all, runner};

const BANK: &str = "
CREATE TABLE account (id integer PRIMARY KEY, balance bigint NOT NULL, note text);
CREATE TABLE transfer (id bigserial PRIMARY KEY, account integer NOT NULL REFERENCES account,
    amount bigint NOT NULL, at timestamptz NOT NULL DEFAULT now());
INSERT INTO account SELECT i, 0, md5(i::text) FROM generate_series(1, 20000) i;
";
/// Moves an amount between two accounts; each transfer is written down twice.
const TRANSFER: &str = "
\\set from random(1, 20000)
\\set to random(1, 20000)
\\set amount random(1, 1000)
BEGIN;
UPDATE account SET balance = balance - :amount WHERE id = :from;
UPDATE account SET balance = balance + :amount WHERE id = :to;
INSERT INTO transfer (account, amount) VALUES (:from, -:amount), (:to, :amount);
COMMIT;
";
/// Accounts whose balance is not the sum of their transfers, and the sum of all balances.
const INVARIANT: &str = "
SELECT (SELECT count(*) FROM account a WHERE balance <>
        (SELECT coalesce(sum(amount), 0) FROM transfer t WHERE t.account = a.id)),
    (SELECT sum(balance) FROM account), (SELECT count(*) > 1000 FROM transfer)
";

/// Clients that write until this is dropped.
struct Writers(Child);

impl Writers {
    fn start(postgres: &Postgres) -> Self {
        let script = postgres.folder.path().join("transfer.sql");
        std::fs::write(&script, TRANSFER).unwrap();
        let mut pgbench = postgres.client("pgbench");
        pgbench.args(["--no-vacuum", "--client=4", "--time=600", "--username=postgres"]);
        pgbench.arg("--file").arg(script).arg("bank");
        Self(pgbench.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn dumps_under_load_are_consistent_and_load_to_the_same() {
    let Some(postgres) = Postgres::start() else { return };
    postgres.sql("postgres", "CREATE DATABASE bank");
    postgres.sql("bank", BANK);
    postgres.sql("bank", "CREATE INDEX ON transfer (account)");
    let writers = Writers::start(&postgres);
    let count = |sql: &str| postgres.sql("bank", sql).parse::<u64>().unwrap();
    let written = "SELECT count(*) FROM transfer";
    while count(written) < 2000 {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    for name in ["first", "second"] {
        let before = count(written);
        let (files, record) = postgres.dump("bank");
        let rows = record.files.iter().find(|file| file.path == "public.transfer.sql").unwrap();
        let now = count(written);
        assert!((before..=now).contains(&rows.rows.unwrap()), "{before} {rows:?} {now}");
        assert!(now > before, "nobody wrote meanwhile");
        postgres.load(&files, name, &format!("CREATE DATABASE {name}"));
        assert_eq!(postgres.sql(name, INVARIANT), "0|0|t");
        files.assert_equal(&postgres.dump(name).0);
    }
    drop(writers);
    let (files, record) = postgres.dump("bank");
    files.assert_equal(&postgres.dump("bank").0);
    postgres.load(&files, "quiet", "CREATE DATABASE quiet");
    let sums = postgres.checksums("bank");
    assert_eq!((sums.len(), &sums), (2, &postgres.checksums("quiet")));
    files.assert_equal(&postgres.dump("quiet").0);
    let paths: Vec<&str> = record.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["!header.sql", "public.account.sql", "public.transfer.sql", "~footer.sql"]);
    assert_eq!((record.name.as_str(), record.character_set.as_str()), ("bank", "UTF8"));
    assert!(record.server.starts_with(char::is_numeric) && record.client.contains("pg_dump"));
}

#[test]
fn all_databases_are_planned_and_what_they_share() {
    let Some(postgres) = Postgres::start() else { return };
    let odd = "a=b '\"\\ /%é";
    let create = format!("CREATE DATABASE \"{}\"", odd.replace('"', "\"\""));
    postgres.sql(
        "postgres",
        &format!(
            "CREATE DATABASE wiki; CREATE DATABASE closed ALLOW_CONNECTIONS false; {create}; \
             CREATE DATABASE skipped; CREATE ROLE ada LOGIN PASSWORD 'x'; \
             CREATE ROLE reader LOGIN"
        ),
    );
    postgres.sql(odd, "CREATE TABLE t AS SELECT 7 AS a; GRANT SELECT ON t TO reader");
    let settings = Settings {
        databases: Databases::All,
        exclude: vec!["skipped".to_owned(), "typo".to_owned()],
        ..postgres.settings(&[])
    };
    let planned = plan(&settings, &runner()).unwrap();
    let notices = &planned.notices;
    assert!(notices.len() == 2 && notices[0].contains("`typo`"), "{notices:?}");
    assert!(notices[1].contains("`closed` is left out"), "{notices:?}");
    let dumps = run_all(planned);
    let places: Vec<&str> = dumps.iter().map(|(_, record)| record.place.as_str()).collect();
    assert_eq!(
        places,
        [
            "/@app/postgres/a=b '\"%5C %2F%25é",
            "/@app/postgres/postgres",
            "/@app/postgres/wiki",
            "/@app/postgres/~globals.sql"
        ]
    );
    assert!(dumps[0].0.text("public.t.sql").contains("\n7\n"));
    let globals = dumps[3].0.text("");
    assert!(globals.contains("CREATE ROLE ada") && globals.contains("SCRAM-SHA-256"), "{globals}");
    let reader = Settings { access: postgres.access("reader"), globals: Some(true), ..settings };
    let planned = plan(&reader, &runner()).unwrap();
    assert!(planned.notices.iter().any(|notice| notice.contains("passwords of roles")));
    let dumps = run_all(planned);
    let (files, record) = &dumps[3];
    let globals = files.text("");
    assert!(globals.contains("CREATE ROLE ada") && !globals.contains("SCRAM"), "{globals}");
    assert_eq!(record.left_out, ["passwords of roles"]);
}

#[test]
fn options_and_rows_that_are_left_out_are_recorded() {
    let Some(postgres) = Postgres::start() else { return };
    postgres.sql(
        "postgres",
        "CREATE TABLE cache_page AS SELECT 1 AS a; CREATE TABLE page AS SELECT 2 AS a",
    );
    let settings = Settings {
        data_not: vec!["cache_*".to_owned()],
        options: vec!["--no-owner".to_owned(), "--lock-wait-timeout=60s".to_owned()],
        ..postgres.settings(&["postgres"])
    };
    let (files, record) = run_all(plan(&settings, &runner()).unwrap()).remove(0);
    assert!(files.text("!header.sql").contains("CREATE TABLE public.cache_page"));
    assert!(!files.text("!header.sql").contains("OWNER TO"));
    let paths: Vec<&str> = files.0.keys().map(String::as_str).collect();
    assert_eq!(paths, ["!header.sql", "public.page.sql", "~footer.sql"]);
    assert_eq!(record.left_out, ["--no-owner", "rows of tables `cache_*`"]);
}

#[test]
fn databases_are_made_as_they_were() {
    let Some(postgres) = Postgres::start() else { return };
    postgres.sql(
        "postgres",
        "CREATE ROLE ada; CREATE DATABASE shop OWNER ada TEMPLATE template0 ENCODING 'LATIN1' \
             LC_COLLATE 'C' LC_CTYPE 'C' CONNECTION LIMIT 9; \
         ALTER DATABASE shop SET search_path TO '$user', 'a,\"b', public; \
         ALTER DATABASE shop SET app.motto TO E'it''s \\\\ ours'; \
         ALTER ROLE ada IN DATABASE shop SET work_mem TO '5MB'; \
         REVOKE ALL ON DATABASE shop FROM PUBLIC; \
         GRANT CONNECT ON DATABASE shop TO ada WITH GRANT OPTION; \
         COMMENT ON DATABASE shop IS E'it''s \\\\ ours'; \
         CREATE DATABASE icu TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de' \
             LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'",
    );
    for name in ["shop", "icu"] {
        let (_, record) = postgres.dump(name);
        postgres.sql("postgres", &format!("DROP DATABASE {name}"));
        let statements = create_statements(name, &record).unwrap();
        statements.iter().for_each(|statement| {
            postgres.sql("postgres", statement);
        });
        let again = postgres.dump(name).1;
        assert_eq!(again, record);
        assert!(record.more["database"]["owner"].is_string());
    }
}
