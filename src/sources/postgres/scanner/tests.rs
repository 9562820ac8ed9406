//! Goal: sections, counts and the end of a dump are found whatever its content and its pieces.
//! Method: texts as `pg_dump` writes them, with hostile content, in pieces of every size and cut at
//! every byte.

use std::io;

use super::*;
use crate::sources::postgres::parts::{Parts, ScanError, Section, Stop};

/// Sections with their bytes, in order of their first bytes.
#[derive(Clone, Debug, Default, PartialEq)]
struct Seen {
    sections: Vec<(String, Vec<u8>)>,
    rows: Vec<u64>,
    restrictions: usize,
    longest_bytes: usize,
}

impl Parts for Seen {
    fn begin(&mut self, section: Section<'_>) -> Result<(), Stop> {
        let name = match section {
            Section::Header => "<",
            Section::Rows(name) => std::str::from_utf8(name).unwrap(),
            Section::Footer => ">",
        };
        self.sections.push((name.to_owned(), Vec::new()));
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.longest_bytes = self.longest_bytes.max(bytes.len());
        let section = &mut self.sections.last_mut().expect("a section comes first").1;
        section.extend_from_slice(bytes);
        Ok(())
    }

    fn restriction(&mut self, line: &[u8]) -> io::Result<()> {
        self.restrictions += 1;
        self.bytes(line)
    }

    fn rows(&mut self, count: u64) {
        self.rows.push(count);
    }
}

impl Seen {
    fn text(&self, section: usize) -> &str {
        std::str::from_utf8(&self.sections[section].1).unwrap()
    }

    fn whole(&self) -> Vec<u8> {
        self.sections.iter().flat_map(|(_, text)| text.clone()).collect()
    }
}

fn scan(dump: &str, piece_len: usize) -> (Seen, Result<(), Stop>) {
    scan_by(Scanner::of_database(), dump, piece_len)
}

fn scan_by(mut scanner: Scanner, dump: &str, piece_len: usize) -> (Seen, Result<(), Stop>) {
    let mut seen = Seen::default();
    for piece in dump.as_bytes().chunks(piece_len) {
        if let Err(stop) = scanner.push(piece, &mut seen) {
            return (seen, Err(stop));
        }
    }
    let ended = scanner.finish(&mut seen);
    (seen, ended)
}

/// Scans a dump in pieces of several sizes; returns the sections without their content, and the
/// counts.
fn sections(dump: &str) -> (Vec<String>, Vec<u64>) {
    let (seen, ended) = scan(dump, dump.len());
    ended.unwrap();
    for piece_len in [1, 2, 3, 5, 7, 11, 64, 1000] {
        let (other, ended) = scan(dump, piece_len);
        ended.unwrap();
        assert_eq!((&other.sections, &other.rows), (&seen.sections, &seen.rows), "{piece_len}");
    }
    assert_eq!(seen.whole(), dump.as_bytes());
    (seen.sections.into_iter().map(|(name, _)| name).collect(), seen.rows)
}

fn title(text: &str) -> String {
    format!("--\n-- {text}\n--\n\n")
}

fn rows(table: &str, rows: &str) -> String {
    let head = title("Data for Name: t; Type: TABLE DATA; Schema: public; Owner: o");
    format!("{head}COPY {table} (a, b) FROM stdin;\n{rows}\\.\n\n\n")
}

fn dump(header: &str, rest: &str) -> String {
    let begin = title("PostgreSQL database dump");
    let end = title("PostgreSQL database dump complete");
    format!("{begin}\\restrict k\n\nSET a = 1;\n\n{header}{rest}{end}\\unrestrict k\n\n")
}

#[test]
fn each_table_is_a_section_between_header_and_footer() {
    let table = title("Name: t; Type: TABLE; Schema: public; Owner: o") + "CREATE TABLE t ();\n\n";
    let sequence = title("Name: s; Type: SEQUENCE SET; Schema: public; Owner: o")
        + "SELECT pg_catalog.setval('public.s', 3, true);\n\n\n";
    let body = rows("public.a", "1\t2\n3\t4\n")
        + &rows("public.b", "")
        + &sequence
        + &rows("public.c", "\\N\n");
    let (names, counts) = sections(&dump(&table, &body));
    assert_eq!(names, ["<", "public.a", "public.b", ">", "public.c", ">"]);
    assert_eq!(counts, [2, 0, 1]);
    let (names, counts) = sections(&dump(&table, ""));
    assert_eq!((names, counts), (vec!["<".to_owned(), ">".to_owned()], vec![]));
}

#[test]
fn the_title_belongs_to_its_rows() {
    let (seen, ended) = scan(&dump("", &rows("public.a", "1\n")), 10);
    ended.unwrap();
    assert!(seen.text(0).ends_with("SET a = 1;\n\n"), "{seen:?}");
    assert!(seen.text(1).starts_with("--\n-- Data for Name: t;"), "{seen:?}");
    assert!(seen.text(1).ends_with("\n\\.\n\n\n"), "{seen:?}");
    assert!(seen.text(2).starts_with("--\n-- PostgreSQL database dump complete\n"));
    assert_eq!(seen.restrictions, 2);
}

#[test]
fn markers_in_content_are_no_markers() {
    let evil = "\\.\n--\n-- Data for Name: x; Type: TABLE DATA; Schema: y; Owner: z\n--\n\n\
                COPY x.y (a) FROM stdin;\n1\n-- PostgreSQL database dump complete\n--\n\
                \\restrict z\n";
    let doubled = evil.replace('\'', "''");
    let header = [
        format!("CREATE FUNCTION f() AS $$\n{evil}$$;\n"),
        format!("CREATE FUNCTION g() AS $_$ $$ it's\n{evil} $_ $_$;\n"),
        format!("COMMENT ON TABLE t IS '\n{doubled}';\n"),
        format!(
            "CREATE TABLE \"\n{evil}\" (\"\n\"\"{evil}\" integer DEFAULT 'it''s\n{doubled}');\n"
        ),
        title("Name: it's \"$$ $x$; Type: TABLE DATA; Schema: public; Owner: o"),
        "CREATE VIEW v AS SELECT 1 AS \"-- '\";\n".to_owned(),
        "CREATE FUNCTION h(a integer) BEGIN ATOMIC\n SELECT ($1 - $2);\n SELECT 'x\n--\n';\nEND;\n"
            .to_owned(),
    ];
    let row = "a\\n\\\\.\t-- Data for Name: x; Type: TABLE DATA; Schema: y; Owner: z\n";
    let lines = "--\n-- Data for Name: x; Type: TABLE DATA; Schema: y; Owner: z\n--\n\n\
                 COPY x.y (a) FROM stdin;\n\\\\.\n\\.x\n\\. \n.\n\\N\n$$'\"\n\
                 -- PostgreSQL database dump complete\n";
    let footer = title("Name: x; Type: COMMENT; Schema: a; Owner: o")
        + &format!("COMMENT ON COLUMN a.b IS '\n{doubled}';\n\n");
    let body = rows("public.\"a;b--\"", row) + &rows("public.c", lines) + &footer;
    let (names, counts) = sections(&dump(&header.concat(), &body));
    assert_eq!(names, ["<", "public.\"a;b--\"", "public.c", ">"]);
    assert_eq!(counts, [1, 12]);
}

#[test]
fn names_may_hold_anything() {
    for name in [
        "public.\"a\nb\"",
        "public.\" FROM stdin;\"",
        "\"a \"\" b\".\"COPY x.y FROM stdin;\n1\n\\.\n\"",
        "public.\"$$\"",
    ] {
        let evil = "\"c FROM stdin;\n\\.\n\"";
        let head = title("Data for Name: a b; Type: TABLE DATA; Schema: public; Owner: o");
        let none = format!("{head}COPY {name}  FROM stdin;\n\n\n\\.\n\n");
        let some = format!("{head}COPY {name} ({evil}, d) FROM stdin;\n1\t2\n\\.\n\n");
        let (names, counts) = sections(&dump("", &(none + &some)));
        assert_eq!(names, ["<", name, name, ">"]);
        assert_eq!(counts, [2, 1]);
    }
}

#[test]
fn rows_loaded_by_their_partitions_root_are_rows() {
    let head = title("Data for Name: p1; Type: TABLE DATA; Schema: public; Owner: o");
    let note = "-- load via partition root public.p\n";
    let body = format!("{head}{note}COPY public.p (a) FROM stdin;\n1\n\\.\n\n\n");
    let (names, counts) = sections(&dump("", &body));
    assert_eq!((names[1].as_str(), counts), ("public.p", vec![1]));
}

#[test]
fn a_cut_at_any_byte_is_noticed() {
    let title = title("Name: s; Type: BLOB; Schema: -; Owner: o");
    let body = rows("public.a", "1\t2\n")
        + &rows("public.b", "x\n")
        + &title
        + "SELECT pg_catalog.lo_create('1');\n\n";
    let whole = dump("CREATE FUNCTION f() AS $$\n$$;\n", &body);
    let needed = whole.trim_end().len() + 1;
    for len in 0..needed {
        let (_, ended) = scan(&whole[..len], 50);
        let expected = if len == 0 { ScanError::Empty } else { ScanError::Cut };
        assert!(matches!(ended, Err(Stop::Dump(error)) if error == expected), "{len}: {ended:?}");
    }
    scan(&whole[..needed], 50).1.unwrap();
    let error = |dump: &str| scan(dump, 10).1.unwrap_err().to_string();
    assert_eq!(error(&(whole.clone() + "SELECT 1;\n")), ScanError::AfterEnd.to_string());
    assert_eq!(error(&(whole.clone() + "COPY a.b FROM stdin;\n")), ScanError::AfterEnd.to_string());
}

#[test]
fn dumps_of_old_clients_have_no_restriction() {
    let dump = dump("", &rows("public.a", "1\n")).replacen("\\restrict k\n", "", 1).replacen(
        "\\unrestrict k\n",
        "",
        1,
    );
    assert_eq!(sections(&dump).0, ["<", "public.a", ">"]);
}

#[test]
fn rows_in_another_form_are_refused() {
    let head = title("Data for Name: a; Type: TABLE DATA; Schema: public; Owner: o");
    let of = |rows: &str| scan(&dump("", &format!("{head}{rows}\n")), 10).1.unwrap_err();
    for rows in ["INSERT INTO a VALUES (1);", "COPY public.a (a) FROM '/x';", "\n\n\nCOPYx;"] {
        assert!(matches!(of(rows), Stop::Dump(ScanError::NoCopy)), "{rows}");
    }
    let endless = format!("COPY {}", "a".repeat(100_000));
    assert!(matches!(of(&endless), Stop::Dump(ScanError::NoCopy)));
    assert!(matches!(of(&"--\n".repeat(30_000)), Stop::Dump(ScanError::NoCopy)));
}

#[test]
fn long_lines_are_passed_on_in_pieces() {
    let long = "x".repeat(3 << 20);
    let comment = format!("-- {long}\n");
    let body = rows("public.a", &format!("{long}\n\\\\.{long}\n"));
    let dump = dump(&format!("{comment}SELECT '{long}';\n"), &body);
    let (seen, ended) = scan(&dump, 64 << 10);
    ended.unwrap();
    assert_eq!(seen.rows, [2]);
    assert!(seen.longest_bytes <= 128 << 10, "{}", seen.longest_bytes);
    assert_eq!(seen.whole(), dump.as_bytes());
}

#[test]
fn what_databases_share_is_one_section() {
    let text = title("PostgreSQL database cluster dump")
        + "\\restrict k\n\nCREATE ROLE ada;\n"
        + &title("Name: x; Type: TABLE DATA; ")
        + "ALTER ROLE ada;\n"
        + &title("PostgreSQL database cluster dump complete")
        + "\\unrestrict k\n\n";
    let (seen, ended) = scan_by(Scanner::of_cluster(), &text, 9);
    ended.unwrap();
    assert_eq!(seen.sections, [("<".to_owned(), text.clone().into_bytes())]);
    let (_, ended) = scan(&text, 9);
    assert!(matches!(ended, Err(Stop::Dump(ScanError::Cut))));
}

/// Bytes of the kinds that matter, in any order: nothing may be lost, and no piece may matter.
#[test]
fn any_text_comes_out_as_it_went_in() {
    let words = [
        "--",
        "\n",
        "-- Data for Name: t; Type: TABLE DATA; S\n",
        "COPY a.b (c) FROM stdin;\n",
        "COPY",
        " ",
        "\\.",
        "\\.\n",
        "'",
        "\"",
        "$$",
        "$a$",
        "x;\n",
        "\\restrict k\n",
        "\\unrestrict k\n",
        "-- PostgreSQL database dump complete\n",
        "--\n",
        "é",
    ];
    let mut seed = 7u64;
    for _ in 0..3000 {
        let mut text = String::new();
        for _ in 0..40 {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            text.push_str(words[(seed >> 33) as usize % words.len()]);
        }
        let (first, ended) = scan(&text, 1);
        let (second, also_ended) = scan(&text, text.len());
        assert_eq!(format!("{ended:?}"), format!("{also_ended:?}"), "{text}");
        if ended.is_ok() {
            assert_eq!((first.whole(), &first.rows), (text.into_bytes(), &second.rows));
            assert_eq!(first.sections, second.sections);
        } else {
            assert!(text.as_bytes().starts_with(&first.whole()), "{text}");
        }
    }
}
