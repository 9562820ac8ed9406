//! Commands by each kind of shell: a runner has the programs of one folder only, so that it has or
//! lacks bash.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::action::{Action, CommandSettings, Part};
use super::shell::{Shell, shell_of};
use super::{check, plan};
use crate::backup::{FileNumber, FileSink};
use crate::monitor::{Monitor, in_words};
use crate::sources::finding::{Finding, Severity};
use crate::sources::manifest::SharedRecord;
use crate::sources::process::Output;
use crate::sources::runner::{HostRunner, Invocation, Runner};

#[derive(Default)]
struct Kept(Vec<u8>);

impl FileSink for Kept {
    fn begin(&mut self, path: &[u8]) -> io::Result<FileNumber> {
        assert!(path.is_empty());
        Ok(FileNumber(0))
    }

    fn write(&mut self, _: FileNumber, bytes: &[u8]) -> io::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self, _: FileNumber) -> io::Result<()> {
        Ok(())
    }
}

/// Runs programs of one folder.
struct Few {
    host: HostRunner,
    folder: tempfile::TempDir,
}

impl Few {
    fn new(programs: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, at) in programs {
            std::os::unix::fs::symlink(at, folder.path().join(name)).unwrap();
        }
        Self { host: HostRunner::new(&Arc::new(Monitor::default())), folder }
    }
}

impl Runner for Few {
    fn start(&self, mut invocation: Invocation) -> io::Result<Box<dyn Output>> {
        let path = self.folder.path().to_str().unwrap().to_owned();
        invocation.environment.push(("PATH".to_owned(), path.into()));
        self.host.start(invocation)
    }

    fn passes_files(&self) -> bool {
        true
    }

    fn place(&self) -> String {
        "container db".to_owned()
    }
}

fn settings(name: &str, action: Action) -> CommandSettings {
    CommandSettings {
        section: "app.wiki.command".to_owned(),
        name: name.to_owned(),
        action,
        size_min_bytes: 1,
    }
}

fn run(line: &str) -> Action {
    Action::Run(line.to_owned())
}

fn pipe(lines: &[&str]) -> Action {
    Action::Pipe(lines.iter().map(|line| Part::Line((*line).to_owned())).collect())
}

/// Runs a command on this host, or elsewhere.
fn dump(
    settings: &CommandSettings,
    container: Option<&Arc<dyn Runner>>,
) -> Result<(Vec<u8>, SharedRecord), String> {
    let run = || {
        let planned = plan(settings, container, &Arc::default())?;
        let mut kept = Kept::default();
        (planned.source.open)()?.run(&mut kept)?;
        Ok::<_, io::Error>((kept.0, planned.record))
    };
    run().map_err(|error| in_words(&error))
}

#[test]
fn output_is_kept_and_recorded() {
    let settings = settings("dumps/db.json", run("printf 'b\\na\\n' | sort"));
    let (content, record) = dump(&settings, None).unwrap();
    assert_eq!(content, b"a\nb\n");
    let record = record.get();
    assert_eq!((record.place.as_str(), record.files[0].bytes), ("/dumps/db.json", 4));
    assert_eq!(record.files[0].blake3, blake3::hash(b"a\nb\n").to_hex().as_str());
    let words = ["echo", "it's $HOME"].map(str::to_owned).to_vec();
    let parts = vec![Part::Words(words), Part::Line("tr a-z A-Z".to_owned())];
    let piped = self::settings("/x", Action::Pipe(parts));
    assert_eq!(dump(&piped, None).unwrap().0, b"IT'S $HOME\n");
}

#[test]
fn failures_say_section_key_and_last_words() {
    let said = dump(&settings("x", run("echo a; false | cat; exit 0; ")), None);
    assert_eq!(said.unwrap().0, b"a\n", "only the last status of a line counts");
    let said = dump(&settings("x", run("(echo no such db >&2; exit 3) | cat")), None).unwrap_err();
    assert!(said.contains("[[app.wiki.command]] with name `x`, key `run`"), "{said}");
    assert!(said.contains("exit status: 3") && said.ends_with("no such db"), "{said}");
    let said = dump(&settings("x", pipe(&["echo a", "sh -c 'cat; exit 5'", "cat"])), None);
    let said = said.unwrap_err();
    assert!(said.contains("key `pipe`") && said.contains("part 2 of 3, `sh`, failed"), "{said}");
}

#[test]
fn too_little_output_is_a_failure() {
    for action in [run("true"), pipe(&["true"])] {
        let mut settings = settings("x", action);
        let said = dump(&settings, None).unwrap_err();
        assert!(said.contains("wrote 0 bytes, fewer than `min-size` (1)"), "{said}");
        settings.size_min_bytes = 0;
        assert_eq!(dump(&settings, None).unwrap().0, b"");
    }
    let mut long = settings("x", run("printf 12345"));
    long.size_min_bytes = 6;
    assert!(dump(&long, None).is_err());
    long.size_min_bytes = 5;
    assert!(dump(&long, None).is_ok());
}

#[test]
fn without_pipefail_a_pipe_is_refused() {
    let host: BTreeMap<&str, &str> =
        BTreeMap::from([("cat", "/bin/cat"), ("sh", "/bin/dash"), ("bash", "/bin/bash")]);
    let few = |names: &[&str]| {
        let programs: Vec<(&str, &str)> = names.iter().map(|name| (*name, host[name])).collect();
        Arc::new(Few::new(&programs)) as Arc<dyn Runner>
    };
    let (plain, bash, none) = (few(&["sh", "cat"]), few(&["sh", "bash", "cat"]), few(&["cat"]));
    // A bash that is called `sh` knows `pipefail`, as the shell of Alpine Linux does.
    let capable: Arc<dyn Runner> = Arc::new(Few::new(&[("sh", "/bin/bash"), ("cat", "/bin/cat")]));
    for (runner, shell) in
        [(&plain, Shell::Plain), (&bash, Shell::Bash), (&capable, Shell::Capable)]
    {
        assert_eq!(shell_of(runner.as_ref()).unwrap(), shell);
    }
    let (good, bad) = (settings("x", run("echo a | cat")), settings("x", run("false | cat")));
    for runner in [&bash, &capable] {
        assert_eq!(dump(&good, Some(runner)).unwrap().0, b"a\n");
        assert!(dump(&bad, Some(runner)).unwrap_err().contains("exit status: 1"));
    }
    for settings in [&good, &bad] {
        let said = dump(settings, Some(&plain)).unwrap_err();
        assert!(said.contains("install bash, or use `pipe`"), "{said}");
    }
    assert_eq!(dump(&settings("x", run("echo 'a|b'")), Some(&plain)).unwrap().0, b"a|b\n");
    let said = dump(&good, Some(&none)).unwrap_err();
    assert!(said.contains("there is no shell on container db: use `pipe`"), "{said}");
}

#[test]
fn what_cannot_work_is_refused_before_anything_runs() {
    let container: Arc<dyn Runner> = Arc::new(Few::new(&[]));
    for (name, action, why) in [
        ("", run("true"), "must be a path"),
        ("a//b", run("true"), "must be a path"),
        ("../a", run("true"), "must be a path"),
        ("@app/mariadb", run("true"), "choose another"),
        ("x", run("  "), "empty"),
        ("x", run("a\0"), "NUL"),
        ("x", pipe(&[]), "no part"),
        ("x", pipe(&["true", "echo $HOME"]), "part 2: `$` means something to a shell"),
        ("x", pipe(&["true", ""]), "part 2: it has no words"),
        ("x", Action::Pipe(vec![Part::Words(vec![])]), "part 1: it has no words"),
        ("x", Action::Pipe(vec![Part::Words(vec![String::new()])]), "has no name"),
    ] {
        let planned = plan(&settings(name, action), None, &Arc::default());
        let said = in_words(&planned.err().unwrap());
        assert!(said.contains(why) && said.contains("[[app.wiki.command]]"), "{said}");
    }
    let said = plan(&settings("x", pipe(&["true"])), Some(&container), &Arc::default());
    assert!(in_words(&said.err().unwrap()).contains("use `run`"));
}

#[test]
fn findings_tell_of_shells_and_programs() {
    let see = |action, container: Option<&Arc<dyn Runner>>| -> Vec<Finding> {
        check(&settings("x", action), container, &Arc::default())
    };
    let plain: Arc<dyn Runner> = Arc::new(Few::new(&[("sh", "/bin/dash")]));
    let noted = see(run("echo"), Some(&plain));
    assert_eq!(noted[0].message, "runs by `sh` on container db");
    let refused = see(run("a | b"), Some(&plain));
    assert!(refused[0].severity == Severity::Error && refused[0].message.contains("install bash"));
    assert_eq!(see(pipe(&["cat", "sort"]), None), []);
    let missing = see(pipe(&["cat", "no-such-program x"]), None);
    assert_eq!(missing.len(), 1);
    assert!(missing[0].message.contains("no program `no-such-program`"));
    assert_eq!(see(pipe(&[]), None)[0].severity, Severity::Error);
}
