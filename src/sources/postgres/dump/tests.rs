//! Goal: only whole dumps are good, and each failure says section, action and cause. Method:
//! programs of a few words in place of `pg_dump`.

use std::collections::BTreeMap;
use std::error::Error;

use super::*;
use crate::backup::FileNumber;
use crate::monitor::{Monitor, in_words};
use crate::sources::manifest::SourceRecord;
use crate::sources::runner::HostRunner;

/// Files with their content, and whether each has ended.
#[derive(Default)]
struct Kept {
    files: Vec<(String, Vec<u8>, bool)>,
    fails_at: Option<usize>,
}

impl FileSink for Kept {
    fn begin(&mut self, path: &[u8]) -> io::Result<FileNumber> {
        let path = String::from_utf8(path.to_vec()).unwrap();
        assert!(self.files.iter().all(|(other, ..)| *other != path), "{path} twice");
        self.files.push((path, Vec::new(), false));
        Ok(FileNumber(self.files.len() as u32 - 1))
    }

    fn write(&mut self, file: FileNumber, bytes: &[u8]) -> io::Result<()> {
        if self.fails_at == Some(self.files.len()) {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "no room"));
        }
        let (_, content, has_ended) = &mut self.files[file.0 as usize];
        assert!(!*has_ended);
        content.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self, file: FileNumber) -> io::Result<()> {
        self.files[file.0 as usize].2 = true;
        Ok(())
    }
}

const HEAD: &str = "--\n-- PostgreSQL database dump\n--\n\nSET a = 1;\n";
const ROWS: &str = "--\n-- Data for Name: t; Type: TABLE DATA; Schema: s; Owner: o\n--\n\n\
    COPY s.t (a) FROM stdin;\n1\n2\n\\.\n\n";
const SEQUENCE: &str = "--\n-- Name: q; Type: SEQUENCE SET; Schema: s; Owner: o\n--\n\nSELECT 1;\n";
const MORE_ROWS: &str = "--\n-- Data for Name: u; Type: TABLE DATA; Schema: s; Owner: o\n--\n\n\
    COPY s.u (a) FROM stdin;\n\\.\n\n";
const END: &str = "--\n-- PostgreSQL database dump complete\n--\n\n";

fn whole() -> String {
    [HEAD, ROWS, SEQUENCE, MORE_ROWS, END].concat()
}

fn job(line: &str, text: &str, is_cluster: bool) -> Job {
    let arguments = ["-c", line, "sh", text].map(str::to_owned).to_vec();
    let invocation = Invocation { program: "sh".to_owned(), arguments, ..Invocation::default() };
    Job {
        runner: Arc::new(HostRunner::new(&Arc::new(Monitor::default()))),
        invocation,
        record: SharedRecord::new(SourceRecord::default()),
        section: "app.wiki.postgres".to_owned(),
        action: "cannot dump the database `wiki` from this host".to_owned(),
        is_cluster,
    }
}

fn run(line: &str, text: &str, sink: &mut Kept) -> io::Result<SourceRecord> {
    let job = job(line, text, false);
    let record = job.record.clone();
    job.open()?.run(sink).map(|()| record.get())
}

#[test]
fn sections_become_files_that_are_recorded() {
    let mut sink = Kept::default();
    let record = run("printf %s \"$1\"", &whole(), &mut sink).unwrap();
    assert!(sink.files.iter().all(|(.., has_ended)| *has_ended));
    let files: BTreeMap<&str, &[u8]> =
        sink.files.iter().map(|(path, content, _)| (path.as_str(), &content[..])).collect();
    let footer = [SEQUENCE, END].concat();
    let expected = [
        ("!header.sql", HEAD),
        ("s.t.sql", ROWS),
        ("s.u.sql", MORE_ROWS),
        ("~footer.sql", &footer),
    ];
    assert_eq!(files, expected.map(|(path, text)| (path, text.as_bytes())).into());
    let paths: Vec<&str> = record.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, expected.map(|(path, _)| path));
    let rows: Vec<Option<u64>> = record.files.iter().map(|file| file.rows).collect();
    assert_eq!(rows, [None, Some(2), Some(0), None]);
    assert_eq!(record.files[1].holds, "s.t");
    for (file, (_, text)) in record.files.iter().zip(expected) {
        assert_eq!(file.bytes, text.len() as u64);
        assert_eq!(file.blake3, blake3::hash(text.as_bytes()).to_hex().as_str());
    }
}

#[test]
fn what_databases_share_is_one_file() {
    let mut sink = Kept::default();
    let text = whole().replace("PostgreSQL database dump", "PostgreSQL database cluster dump");
    let job = job("printf %s \"$1\"", &text, true);
    let record = job.record.clone();
    job.open().unwrap().run(&mut sink).unwrap();
    assert_eq!(sink.files, [(String::new(), text.into_bytes(), true)]);
    assert_eq!(record.get().files[0].holds, "globals");
}

#[test]
fn a_dump_is_good_only_with_its_last_line_and_exit_status_0() {
    let complete = whole();
    let print = "printf %s \"$1\"";
    for (line, text, part) in [
        (print, "", "the dump is empty"),
        (print, HEAD, "ends before its last line"),
        (print, &complete[..HEAD.len() + 100], "ends before its last line"),
        (print, &[HEAD, ROWS].concat(), "ends before its last line"),
        (print, &[HEAD, ROWS, SEQUENCE].concat(), "ends before its last line"),
        ("printf %s \"$1\"; echo 'disk on fire' >&2; exit 3", &complete, "disk on fire"),
        ("printf %s \"$1\"; kill -KILL $$", &complete, "signal: 9"),
        ("echo 'FATAL:  database \"wiki\" does not exist' >&2; exit 1", "", "does not exist"),
    ] {
        let error = run(line, text, &mut Kept::default()).unwrap_err();
        let words = in_words(&error);
        let start = "app.wiki.postgres: cannot dump the database `wiki` from this host; ";
        assert!(words.starts_with(start) && words.contains(part), "{words}");
        assert!(error.get_ref().and_then(Error::source).is_some(), "{words}");
    }
}

#[test]
fn a_program_that_cannot_be_started_is_named() {
    let mut job = job("", "", false);
    job.invocation.program = "/no/such/pg_dump".to_owned();
    let Err(error) = job.open() else { panic!("it was started") };
    let words = in_words(&error);
    assert!(words.contains("/no/such/pg_dump") && words.contains("set `program`"), "{words}");
}

#[test]
fn errors_of_the_sink_are_passed_on() {
    for fails_at in [1, 2, 4] {
        let mut sink = Kept { fails_at: Some(fails_at), ..Kept::default() };
        let error = run("printf %s \"$1\"", &whole(), &mut sink).unwrap_err();
        assert_eq!(error.to_string(), "no room");
    }
}
