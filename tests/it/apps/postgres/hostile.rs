//! Goal: no content of a database confuses its dump. Method: markers of dumps as rows, functions,
//! comments and names, all kinds of objects, many tables, large rows; each dump is loaded into a
//! new database and dumped again: the same bytes.

use super::server::Postgres;
use crate::support::needs::is_long;

/// Lines that mean something to the scanner where the dump itself writes them.
const MARKERS: &str = "\\.
--
-- Data for Name: x; Type: TABLE DATA; Schema: y; Owner: z
--

COPY y.x (a) FROM stdin;
1
\\.
-- PostgreSQL database dump complete
--
\\restrict x
\\unrestrict x
/* ' \" $$ $_$ $a$";

/// Returns statements that make a database of hostile content.
fn hostile() -> String {
    let literal = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let name = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let text = literal(MARKERS);
    let evil_name = name("x; Type: TABLE DATA; Schema: y\n--\n'$$");
    let from_stdin = name("c FROM stdin;\n\\.\n");
    let longest = name(&"é".repeat(31));
    let longest_escaped = name(&"/".repeat(63));
    let twin = name(&format!("{}.", "/".repeat(62)));
    let mut sql = format!(
        "SET check_function_bodies = off;
         CREATE TABLE rows (id integer PRIMARY KEY, a text, b bytea);
         INSERT INTO rows VALUES (1, {text}, '\\x00010a5c2e0aff'), (2, '\\.', NULL),
            (3, E'\\\\.\\n', ''), (4, '😀 \u{1F469}\u{200D}\u{1F680}', '\\x5c2e'), (5, '', '\\x'),
            (6, E'\\t\\r\\n\\b\\f\\v\\\\N', NULL), (7, '\\N', NULL);
         CREATE TABLE one (a text);
         INSERT INTO one VALUES ('\\.'), (''), ('\\'), ('-- Data for Name: x; Type: TABLE DATA; '),
            ('--'), ('COPY y.x (a) FROM stdin;'), ('.'), (NULL), ({text});
         COMMENT ON TABLE rows IS {text};
         COMMENT ON COLUMN rows.a IS E'it''s \\\\ $$';
         CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $body$
BEGIN
{MARKERS}
*/
    RETURN {text};
END $body$;
         CREATE FUNCTION g(a text DEFAULT {text}) RETURNS text
            BEGIN ATOMIC SELECT a || {text}; SELECT $1 || 'b'; END;
         CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN RETURN NEW; END --
--
-- Data for Name: x; Type: TABLE DATA; Schema: y; Owner: z
--
';
         CREATE TRIGGER t BEFORE UPDATE ON rows FOR EACH ROW WHEN (NEW.a <> {text})
            EXECUTE FUNCTION t({text});
         CREATE VIEW v AS SELECT a, {text} AS {from_stdin} FROM rows;
         CREATE VIEW vv AS SELECT * FROM v;
         CREATE MATERIALIZED VIEW m AS SELECT *, {text} AS text FROM v;
         CREATE RULE r AS ON INSERT TO vv DO INSTEAD (
            INSERT INTO one VALUES ({text}); INSERT INTO one VALUES ('b'));
         CREATE TABLE {evil_name} ({from_stdin} text DEFAULT {text}, {longest} integer);
         INSERT INTO {evil_name} VALUES (DEFAULT, 3);
         COMMENT ON TABLE {evil_name} IS {text};
         CREATE TABLE none ();
         INSERT INTO none DEFAULT VALUES; INSERT INTO none DEFAULT VALUES;
         CREATE TYPE mood AS ENUM ('ok', {0});
         CREATE DOMAIN word AS text CHECK (VALUE <> {text});
         CREATE TABLE generated (id integer GENERATED ALWAYS AS IDENTITY, a numeric,
            twice numeric GENERATED ALWAYS AS (a * 2) STORED, m mood, w word,
            at timestamptz DEFAULT '2024-06-01 12:00:00+02', r int4range, x xml, j jsonb,
            d double precision);
         INSERT INTO generated (a, m, w, at, r, x, j, d) VALUES
            (1.5, 'ok', 'w', '2024-03-31 01:59:59.999999+01', '[1,5)', '<a>\n</a>', '{{\"a\":[]}}',
             'NaN'), ('Infinity', NULL, NULL, 'infinity', NULL, NULL, NULL, 0.1);
         CREATE TABLE parted (at timestamptz, a text) PARTITION BY RANGE (at);
         CREATE TABLE \"parted-1\" PARTITION OF parted
            FOR VALUES FROM ('2024-01-01 00:00+01') TO ('2025-01-01 00:00+01');
         CREATE TABLE parted_2 PARTITION OF parted DEFAULT;
         INSERT INTO parted SELECT '2024-06-01'::date + i * 30, i::text
            FROM generate_series(1, 20) i;
         CREATE TABLE parent (a integer); CREATE TABLE child (b integer) INHERITS (parent);
         INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2, 3);
         CREATE UNLOGGED TABLE fast AS SELECT 1 AS a;
         CREATE TABLE policed (a integer); ALTER TABLE policed ENABLE ROW LEVEL SECURITY;
         CREATE POLICY p ON policed USING (a::text <> {text}); INSERT INTO policed VALUES (1);
         SELECT lo_from_bytea(70001, '\\x00' || convert_to({text}, 'UTF8'));
         SELECT lo_from_bytea(70002, decode(repeat('00ff5c2e0a', 100000), 'hex'));
         COMMENT ON LARGE OBJECT 70001 IS {text};
         CREATE STATISTICS s ON a, b FROM rows;
         CREATE EVENT TRIGGER e ON ddl_command_end WHEN TAG IN ('CREATE FOREIGN TABLE')
            EXECUTE FUNCTION nothing();
        ",
        literal("a'b\n--")
    );
    sql = sql.replace(
        "CREATE EVENT TRIGGER",
        "CREATE FUNCTION nothing() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
         CREATE EVENT TRIGGER",
    );
    let names = [
        "a;b--", "a/b", "a%2Fb", "..", ".", "-", "~", "!", " ", "é", "日本", "a\nb", "a b", "a\\b",
        "COPY", "A", "a.b", "\"", "'", "😀", "public", "%",
    ];
    for (at, table) in names.iter().enumerate() {
        let table = name(table);
        sql += &format!("CREATE TABLE {table} (a integer); INSERT INTO {table} VALUES ({at});\n");
    }
    for table in [&longest, &longest_escaped, &twin] {
        sql += &format!("CREATE TABLE {table} (a text); INSERT INTO {table} VALUES ('x');\n");
    }
    for (schema, table) in [("a.b", "c"), ("a", "b.c"), ("~", "!"), ("..", ".."), ("日", "本")] {
        let (schema, table) = (name(schema), name(table));
        sql += &format!(
            "CREATE SCHEMA {schema}; CREATE TABLE {schema}.{table} AS SELECT {} AS a;\n",
            literal(&format!("{schema}{table}"))
        );
    }
    sql
}

#[test]
fn hostile_content_loads_to_the_same() {
    let Some(postgres) = Postgres::start() else { return };
    postgres.sql("postgres", "CREATE DATABASE evil; CREATE DATABASE copy");
    postgres.sql("evil", &hostile());
    let (files, record) = postgres.dump("evil");
    postgres.sql("postgres", "DROP DATABASE copy");
    postgres.load(&files, "copy", "CREATE DATABASE copy");
    let sums = postgres.checksums("evil");
    assert!(sums.len() > 40, "{}", sums.len());
    assert_eq!(sums, postgres.checksums("copy"));
    files.assert_equal(&postgres.dump("copy").0);
    for (table, rows) in [("public.\"rows\"", 7), ("public.one", 9), ("public.none", 2)] {
        let found =
            record.files.iter().find(|file| file.holds.replace('"', "") == table.replace('"', ""));
        assert_eq!(found.unwrap().rows, Some(rows), "{table}");
    }
    let footer = files.text("~footer.sql");
    assert!(footer.contains("lowrite") && footer.contains("REFRESH MATERIALIZED VIEW"));
    assert!(files.text("!header.sql").contains("lo_create"));
}

/// Values of an enumeration are hashed by numbers that differ in each database, so rows move to
/// other partitions: `pg_dump` loads them by their root.
#[test]
fn partitions_by_hash_of_an_enumeration_load_by_their_root() {
    let Some(postgres) = Postgres::start() else { return };
    postgres.sql("postgres", "CREATE DATABASE moods");
    postgres.sql(
        "moods",
        "CREATE TYPE mood AS ENUM ('ok', 'sad', 'glad'); \
         CREATE TABLE by_mood (m mood, a integer) PARTITION BY HASH (m); \
         CREATE TABLE \"a0\" PARTITION OF by_mood FOR VALUES WITH (MODULUS 2, REMAINDER 0); \
         CREATE TABLE \"z1\" PARTITION OF by_mood FOR VALUES WITH (MODULUS 2, REMAINDER 1); \
         CREATE TABLE y AS SELECT 1 AS a; \
         INSERT INTO by_mood SELECT (enum_range(NULL::mood))[i % 3 + 1], i \
             FROM generate_series(1, 60) i",
    );
    let (files, record) = postgres.dump("moods");
    let rows = record.files.iter().filter(|file| file.holds == "public.by_mood");
    assert_eq!(rows.clone().count(), 2, "{:?}", files.0.keys());
    assert_eq!(rows.map(|file| file.rows.unwrap()).sum::<u64>(), 60);
    postgres.load(&files, "again", "CREATE DATABASE again");
    let sum = "SELECT m, count(*), sum(a) FROM by_mood GROUP BY m ORDER BY m";
    assert_eq!(postgres.sql("moods", sum), postgres.sql("again", sum));
}

#[test]
fn databases_in_other_encodings_keep_their_bytes() {
    let Some(postgres) = Postgres::start() else { return };
    for (name, encoding) in [("latin", "LATIN1"), ("ascii", "SQL_ASCII"), ("euc", "EUC_JP")] {
        let create = |name: &str| {
            format!(
                "CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' \
                 LC_CTYPE 'C'"
            )
        };
        postgres.sql("postgres", &create(name));
        match encoding {
            "SQL_ASCII" => postgres.sql(
                name,
                "DO $$ BEGIN EXECUTE convert_from('\\x437265617465207461626c6520e9e8202861207465787429', \
                 'SQL_ASCII'); END $$; DO $$ BEGIN EXECUTE 'INSERT INTO ' || \
                 convert_from('\\xe9e8', 'SQL_ASCII') || ' VALUES (convert_from(''\\xfffe5c2e'', \
                 ''SQL_ASCII''))'; END $$;",
            ),
            _ => postgres.sql(
                name,
                "SET client_encoding = 'UTF8'; CREATE TABLE \"Äé\" (a text); \
                 INSERT INTO \"Äé\" VALUES ('é'), ('\\.')",
            ),
        };
        let (files, record) = postgres.dump(name);
        let copy = format!("{name}_copy");
        postgres.load(&files, &copy, &create(&copy));
        files.assert_equal(&postgres.dump(&copy).0);
        assert_eq!(postgres.checksums(name), postgres.checksums(&copy));
        assert_eq!(record.character_set, encoding);
        assert_eq!(files.0.len(), 3, "{:?}", files.0.keys());
    }
}

#[test]
fn each_of_many_tables_is_a_file() {
    let count: usize = if is_long() { 10_000 } else { 400 };
    let Some(postgres) = Postgres::start() else { return };
    postgres.sql("postgres", "CREATE DATABASE many");
    postgres.sql(
        "many",
        &format!(
            "DO $$ BEGIN FOR i IN 1..{count} LOOP \
                 EXECUTE format('CREATE TABLE t_%s (a integer)', i); \
                 IF i % 10 = 0 THEN \
                     EXECUTE format('INSERT INTO t_%s VALUES (%s)', i, i); END IF; \
             END LOOP; END $$"
        ),
    );
    let (files, record) = postgres.dump("many");
    assert_eq!((files.0.len(), record.files.len()), (count + 2, count + 2));
    assert_eq!(record.files.iter().filter_map(|file| file.rows).sum::<u64>(), count as u64 / 10);
    assert!(files.text("public.t_377.sql").contains("COPY public.t_377 (a) FROM stdin;\n\\.\n"));
    postgres.load(&files, "again", "CREATE DATABASE again");
    files.assert_equal(&postgres.dump("again").0);
}

#[test]
fn a_row_of_60_mib_is_passed_on() {
    let Some(postgres) = Postgres::start() else { return };
    postgres.sql("postgres", "CREATE DATABASE large");
    postgres.sql(
        "large",
        "CREATE TABLE t (a text, b text); \
         INSERT INTO t VALUES (repeat('x', 60 * 1024 * 1024), E'\\\\.'), ('y', 'z'); \
         CREATE VIEW v AS SELECT 1 AS a;",
    );
    let (files, record) = postgres.dump("large");
    let rows = record.files.iter().find(|file| file.path == "public.t.sql").unwrap();
    assert_eq!(rows.rows, Some(2));
    assert!(rows.bytes > 60 << 20);
    postgres.load(&files, "again", "CREATE DATABASE again");
    assert_eq!(postgres.checksums("large"), postgres.checksums("again"));
    files.assert_equal(&postgres.dump("again").0);
}
