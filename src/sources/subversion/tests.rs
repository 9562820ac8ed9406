//! Plans and dumps with untrue answers: a runner answers in place of `svnadmin` and `svnlook`.
//!
//! Tests with the real programs are in `tests/it/apps/subversion.rs`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{SubversionSettings, check, plan};
use crate::backup::{DumpSource, FileNumber, FileSink};
use crate::monitor::{Monitor, in_words};
use crate::sources::finding::Severity;
use crate::sources::process::Output;
use crate::sources::runner::{HostRunner, Invocation, Runner};

/// Runs a line of the shell in place of a dump.
struct Untrue {
    host: HostRunner,
    youngest: &'static str,
    dump: &'static str,
}

impl Untrue {
    fn runner(youngest: &'static str, dump: &'static str) -> Arc<dyn Runner> {
        let host = HostRunner::new(&Arc::new(Monitor::default()));
        Arc::new(Self { host, youngest, dump })
    }
}

impl Runner for Untrue {
    fn start(&self, invocation: Invocation) -> io::Result<Box<dyn Output>> {
        assert_eq!(invocation.environment[0].0, "LC_ALL");
        let line = match invocation.arguments[0].as_str() {
            "--version" => "echo 1.14.2",
            "youngest" => self.youngest,
            "dump" => self.dump,
            other => panic!("{other}"),
        };
        let arguments = ["-c", line].map(str::to_owned).to_vec();
        self.host.start(Invocation { program: "sh".to_owned(), arguments, ..invocation })
    }

    fn passes_files(&self) -> bool {
        true
    }

    fn place(&self) -> String {
        "this host".to_owned()
    }
}

struct Ignored;

impl FileSink for Ignored {
    fn begin(&mut self, _: &[u8]) -> io::Result<FileNumber> {
        Ok(FileNumber(0))
    }

    fn write(&mut self, _: FileNumber, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn end(&mut self, _: FileNumber) -> io::Result<()> {
        Ok(())
    }
}

fn repository(path: &Path, kind: &str) {
    std::fs::create_dir_all(path.join("db")).unwrap();
    std::fs::create_dir_all(path.join("conf")).unwrap();
    std::fs::write(path.join("conf/authz"), "").unwrap();
    std::fs::write(path.join("format"), "5\n").unwrap();
    std::fs::write(path.join("db/fs-type"), format!("{kind}\n")).unwrap();
    std::fs::write(path.join("db/format"), "8\nlayout sharded 2\n").unwrap();
}

fn settings(root: &Path, repositories: &[&str], parents: &[&str]) -> SubversionSettings {
    let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect();
    SubversionSettings {
        section: "app.code".to_owned(),
        repositories: paths(repositories),
        parents: paths(parents),
        root: root.to_owned(),
        range_len_min: 2,
        known: Vec::new(),
    }
}

fn run(source: DumpSource) -> Result<(), String> {
    (source.open)().and_then(|dump| dump.run(&mut Ignored)).map_err(|error| in_words(&error))
}

#[test]
fn a_dump_that_is_not_whole_fails() {
    let folder = tempfile::tempdir().unwrap();
    repository(&folder.path().join("code"), "fsfs");
    let ends = |dump: &'static str| {
        let runner = Untrue::runner("echo 1", dump);
        let settings = settings(folder.path(), &["/code"], &[]);
        let mut plan = plan(&settings, &runner).unwrap();
        let mut planned = plan.repositories.remove(0);
        let range = planned.ranges.remove(0);
        assert!(planned.ranges.is_empty());
        let ended = run(range.source);
        let known = planned.notes.known();
        assert_eq!(known.len(), usize::from(ended.is_ok()));
        ended
    };
    let whole = "printf 'SVN-fs-dump-format-version: 2\\n\\nRevision-number: 0\\n\\n\
                 Revision-number: 1\\n\\n'";
    ends(whole).unwrap();
    for (dump, why) in [
        ("exit 0", "before revision 0"),
        ("echo hello", "no dump"),
        (
            "printf 'SVN-fs-dump-format-version: 2\\n\\nRevision-number: 0\\n\\n'",
            "before revision 1",
        ),
        (
            "printf 'SVN-fs-dump-format-version: 2\\n\\nRevision-number: 0\\n\\n\
             Revision-number: 1\\nContent-length: 9\\n\\nabc'",
            "within a record",
        ),
        (
            "printf 'SVN-fs-dump-format-version: 2\\n\\nRevision-number: 0\\n\\n\
             Revision-number: 1\\n\\n'; echo 'svnadmin: E1: torn' >&2; exit 1",
            "exit status: 1: svnadmin: E1: torn",
        ),
        ("echo hello; echo 'svnadmin: E2' >&2; exit 1", "svnadmin: E2"),
        ("kill -KILL $$", "signal: 9"),
    ] {
        let said = ends(dump).unwrap_err();
        assert!(said.contains(why), "{dump}: {said}");
        assert!(said.contains("revisions 0 to 1") && said.contains("[app.code]"), "{said}");
    }
}

#[test]
fn names_are_different_and_repositories_dumped_once() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a/code", "b/code", "b/été %", "c/code"] {
        repository(&folder.path().join(name), "fsfs");
    }
    std::os::unix::fs::symlink("../a/code", folder.path().join("b/alias")).unwrap();
    let runner = Untrue::runner("echo 2", "");
    let plan = plan(&settings(folder.path(), &["/a/code"], &["/b", "/c"]), &runner).unwrap();
    let places: Vec<String> = plan
        .repositories
        .iter()
        .map(|planned| planned.notes.record.get().place["/@app/subversion/".len()..].to_owned())
        .collect();
    assert_eq!(places, ["code", "code-2", "%C3%A9té %25", "code-3"]);
    let first = &plan.repositories[0];
    let paths: Vec<&[u8]> = first.ranges.iter().map(|range| &range.source.path[..]).collect();
    let wanted = ["00000000.dump", "00000002.dump"];
    assert_eq!(paths, wanted.map(|file| format!("/@app/subversion/code/{file}").into_bytes()));
    assert_eq!(first.files[0].to, b"/@app/subversion/code/conf");
    assert_eq!((first.files.len(), plan.notices.len()), (1, 0));
    assert_eq!(first.notes.record.get().client, "1.14.2");
}

#[test]
fn folders_without_files_are_left_out_and_links_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let code = folder.path().join("code");
    repository(&code, "fsfs");
    std::fs::create_dir_all(code.join("db/locks/666")).unwrap();
    std::fs::create_dir(code.join("hooks")).unwrap();
    std::os::unix::fs::symlink("/bin/true", code.join("hooks/post-commit")).unwrap();
    let runner = Untrue::runner("echo 0", "");
    let planned = plan(&settings(folder.path(), &["/code"], &[]), &runner).unwrap();
    assert_eq!((planned.repositories[0].files.len(), planned.notices.len()), (1, 1));
    std::fs::write(code.join("hooks/pre-commit"), "x").unwrap();
    std::fs::write(code.join("db/locks/666/a"), "x").unwrap();
    let planned = plan(&settings(folder.path(), &["/code"], &[]), &runner).unwrap();
    let from: Vec<&Path> = planned.repositories[0].files.iter().map(|f| &*f.from).collect();
    assert_eq!(from, [code.join("conf"), code.join("hooks"), code.join("db/locks")]);
    let notice = &planned.notices[0];
    assert!(notice.contains("hooks has links") && notice.contains("[app.code]"), "{notice}");
}

#[test]
fn other_kinds_are_dumped_whole_and_said() {
    let folder = tempfile::tempdir().unwrap();
    repository(&folder.path().join("code"), "bdb");
    let runner = Untrue::runner("echo 0", "");
    let settings = settings(folder.path(), &["/code"], &[]);
    let plan = plan(&settings, &runner).unwrap();
    assert!(plan.notices[0].contains("kind bdb"), "{:?}", plan.notices);
    assert!(plan.repositories[0].notes.fingerprints.is_empty());
    let findings = check(&settings, &runner);
    assert_eq!(findings[0].message, "svnadmin 1.14.2 on this host");
    assert_eq!(findings[1].severity, Severity::Warning);
}

#[test]
fn what_is_not_there_is_said_with_section_and_key() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    repository(&folder.path().join("code"), "fsfs");
    let good = Untrue::runner("echo 0", "");
    let bad = Untrue::runner("echo 'svnlook: E000013: denied' >&2; exit 1", "");
    let odd = Untrue::runner("echo many", "");
    let many = Untrue::runner("echo 100000000", "");
    for (repositories, parents, runner, why) in [
        (&["/none"][..], &[][..], &good, "no repository of Subversion"),
        (&["code"], &[], &good, "begin it with `/`"),
        (&[], &["/empty"], &good, "there is no repository in"),
        (&[], &["/none"], &good, "cannot read the folder"),
        (&["/code"], &[], &bad, "E000013"),
        (&["/code"], &[], &odd, "`many`"),
        (&["/code"], &[], &many, "more than 99999999"),
    ] {
        let settings = settings(folder.path(), repositories, parents);
        let said = in_words(&plan(&settings, runner).err().unwrap());
        let key = if parents.is_empty() { "key `subversion`" } else { "key `subversion-parent`" };
        assert!(said.contains(why) && said.contains(key), "{said}");
        let found = check(&settings, runner);
        let is_error = found.iter().any(|finding| finding.severity == Severity::Error);
        assert!(is_error || why.contains("99999999"), "{found:?}");
    }
    let host: Arc<dyn Runner> = Arc::new(NoPrograms);
    let said = in_words(&plan(&settings(folder.path(), &["/code"], &[]), &host).err().unwrap());
    assert!(said.contains("install the package `subversion`"), "{said}");
}

/// A place without any programs.
struct NoPrograms;

impl Runner for NoPrograms {
    fn start(&self, invocation: Invocation) -> io::Result<Box<dyn Output>> {
        Err(io::Error::new(io::ErrorKind::NotFound, format!("cannot run {}", invocation.program)))
    }

    fn passes_files(&self) -> bool {
        true
    }

    fn place(&self) -> String {
        "this host".to_owned()
    }
}
