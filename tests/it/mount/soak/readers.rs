//! Readers: each a loop of processes.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::ledger::{Lease, Ledger};
use super::{FIXED, MOVING, STATES};
use crate::support::home::Home;
use crate::support::mount::wait_for;

/// What a reader does in a turn, which has a number; returns how many bytes it has read.
pub type Act = fn(&Reader, u64) -> u64;

/// Their names, and what each does.
pub const READERS: [(&str, Act); 8] = [
    ("cp and rsync", copy),
    ("tar", tar),
    ("grep and find", search),
    ("random reads", random),
    ("whole files", whole),
    ("git status", status),
    ("listings", listings),
    ("the newest", newest),
];

/// Reads at places and of lengths that only the seed decides, past the system's cache, and
/// compares.
const RANDOM_READS: &str = "
import os, random, sys
seed, pairs = int(sys.argv[1]), sys.argv[2:]
random.seed(seed)
files = [tuple(os.open(path, os.O_RDONLY) for path in pair.split(':')) for pair in pairs]
for shown, expected in files:
    os.posix_fadvise(shown, 0, 0, os.POSIX_FADV_DONTNEED)
for _ in range(150):
    shown, expected = random.choice(files)
    size = os.fstat(expected).st_size
    length, place = random.choice([1, 17, 4096, 65537, 200_000]), random.randrange(size)
    if os.pread(shown, length, place) != os.pread(expected, length, place):
        sys.exit(f'other bytes: {length} at {place} of {pairs}, seed {seed}')
";

/// The same from the beginning to the end.
const WHOLE_FILES: &str = "
import os, sys
for pair in sys.argv[1:]:
    shown, expected = (os.open(path, os.O_RDONLY) for path in pair.split(':'))
    os.posix_fadvise(shown, 0, 0, os.POSIX_FADV_DONTNEED)
    place = 0
    while part := os.read(expected, 300_000):
        found = b''
        while len(found) < len(part) and (more := os.read(shown, len(part) - len(found))):
            found += more
        if found != part:
            sys.exit(f'other bytes behind {place} of {pair}')
        place += len(part)
    if os.read(shown, 1):
        sys.exit(f'longer than it was: {pair}')
";

/// Prints every id in by-id, and of every link the id that it leads to, and whether it leads there.
const LISTINGS: &str = "
import errno, os, sys
GONE = (errno.ENOENT, errno.ESTALE)
def tell(id, path):
    try:
        os.listdir(path)
        print('there', id)
    except OSError as error:
        if error.errno not in GONE:
            raise
        print('gone', id)
hosts = ['by-host/' + name for name in os.listdir('by-host')]
for folder in ['by-time', *hosts]:
    for name in os.listdir(folder):
        try:
            target = os.readlink(f'{folder}/{name}')
        except OSError as error:
            if error.errno not in GONE or name in os.listdir(folder):
                raise
            continue
        tell(os.path.basename(target), f'{folder}/{name}')
for id in os.listdir('by-id'):
    tell(id, 'by-id/' + id)
";

/// What a reader works with.
pub struct Reader<'a> {
    pub home: &'a Home,
    pub ledger: &'a Ledger,
    /// Where the repository is mounted.
    pub mounted: PathBuf,
    /// A folder of its own.
    pub scratch: PathBuf,
}

impl Reader<'_> {
    /// Returns where a path of the source is in a snapshot.
    fn shown(&self, id: &str, below: &str) -> String {
        let source = self.home.path(below);
        let inside = source.strip_prefix("/").unwrap();
        self.mounted.join("by-id").join(id).join(inside).to_str().unwrap().to_owned()
    }

    /// Leases a snapshot and waits until it is shown: new ones are within a few seconds.
    fn lease(&self, back: u64) -> Lease<'_> {
        let lease = self.ledger.lease(back);
        let root = self.mounted.join("by-id").join(&lease.id);
        wait_for("a new snapshot is shown", || root.exists());
        lease
    }

    /// Returns what is expected in the folders of a snapshot, beside where it is: what never
    /// changes, and what does.
    fn pairs(&self, lease: &Lease) -> [(String, String); 2] {
        let state = format!("{STATES}/{}", lease.round);
        [
            (self.shown(&lease.id, FIXED), self.home.text(FIXED)),
            (self.shown(&lease.id, MOVING), self.home.text(&state)),
        ]
    }

    fn python(&self, script: &str, arguments: &[String]) -> String {
        let mut python = Command::new("python3");
        python
            .arg("-c")
            .arg(script)
            .args(arguments)
            .current_dir(&self.mounted)
            .stdin(Stdio::null());
        said(&python.output().unwrap(), script)
    }

    fn bash(&self, script: &str) -> Output {
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", script]).env("LC_ALL", "C").env("TZ", "UTC");
        shell.current_dir(&self.scratch).stdin(Stdio::null()).output().unwrap()
    }

    fn sh(&self, script: &str) -> String {
        said(&self.bash(script), script)
    }

    /// Reads what changes of a snapshot that anybody may forget meanwhile: either all of it is
    /// right, or it really was forgotten.
    fn read_unleased(&self, id: &str) -> u64 {
        let folder = self.shown(id, MOVING);
        // A copy of the sums: of the file with them sha256sum does not say why it cannot be read.
        let sums = self.scratch.join("sums");
        let script = format!(
            "cat '{folder}/state'; cat '{folder}/sums' > '{0}'; cd '{folder}'; sha256sum --quiet --strict -c '{0}'; cd /",
            sums.display()
        );
        let output = self.bash(&script);
        if output.status.success() {
            return len(&self.home.path(MOVING));
        }
        let (out, err) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let is_excused = |line: &str| {
            ["Stale file handle", "No such file or directory", "sha256sum: WARNING"]
                .iter()
                .any(|words| line.contains(words))
        };
        let has_wrong_bytes =
            out.lines().any(|line| line.ends_with("FAILED")) || err.contains("did NOT match");
        assert!(!has_wrong_bytes && err.lines().all(is_excused), "{id}: {out}{err}");
        assert!(self.ledger.is_forgotten(id), "{id} was not forgotten: {out}{err}");
        0
    }
}

/// Returns what a program said that must have succeeded and complained of nothing.
#[track_caller]
fn said(output: &Output, script: &str) -> String {
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && err.is_empty(), "{script}\n{}\n{out}{err}", output.status);
    out.into_owned()
}

/// Returns the bytes of the files in a folder.
fn len(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            if entry.file_type().unwrap().is_dir() {
                len(&entry.path())
            } else {
                entry.metadata().unwrap().size()
            }
        })
        .sum()
}

fn sum(pairs: &[(String, String)]) -> u64 {
    pairs.iter().map(|(_, expected)| len(Path::new(expected))).sum()
}

fn copy(reader: &Reader, turn: u64) -> u64 {
    let lease = reader.lease(turn);
    let pairs = reader.pairs(&lease);
    for (shown, expected) in &pairs {
        reader.sh(&format!(
            "rm -rf copy; cp -a '{shown}' copy; diff -r --no-dereference '{expected}' copy"
        ));
        let differs = reader.sh(&format!(
            "rsync -aHAXn --itemize-changes --checksum --delete '{shown}/' '{expected}/'"
        ));
        assert_eq!(differs, "", "{shown}");
    }
    2 * sum(&pairs)
}

fn tar(reader: &Reader, turn: u64) -> u64 {
    let lease = reader.lease(turn / 2);
    let pairs = reader.pairs(&lease);
    for (shown, expected) in &pairs {
        assert_eq!(
            reader.sh(&format!("tar -C '{shown}' -cf - . | tar -C '{expected}' --compare -f -")),
            "",
            "{shown}"
        );
    }
    sum(&pairs)
}

fn search(reader: &Reader, turn: u64) -> u64 {
    let lease = reader.lease(turn + 1);
    let pairs = reader.pairs(&lease);
    for (shown, expected) in &pairs {
        let in_folder = |folder: &str| {
            let files =
                "find . -type f -printf '%p %m %U %G %T@ %s %n\\n' -o -printf '%p %y %m %T@ %l\\n'";
            reader.sh(&format!(
                "cd '{folder}'; {{ grep -rc alpha . || test $? = 1; }} | sort; {files} | sort"
            ))
        };
        assert_eq!(in_folder(shown), in_folder(expected));
    }
    sum(&pairs)
}

/// Returns the large files of a snapshot, each with the one that it must be like.
fn large_files(pairs: &[(String, String)]) -> Vec<String> {
    pairs.iter().map(|(shown, expected)| format!("{shown}/large:{expected}/large")).collect()
}

fn random(reader: &Reader, turn: u64) -> u64 {
    let lease = reader.lease(turn);
    let arguments = [vec![turn.to_string()], large_files(&reader.pairs(&lease))].concat();
    reader.python(RANDOM_READS, &arguments);
    150 * 53_930
}

fn whole(reader: &Reader, turn: u64) -> u64 {
    let lease = reader.lease(turn / 2);
    let files = large_files(&reader.pairs(&lease));
    reader.python(WHOLE_FILES, &files);
    let expected = files.iter().map(|pair| pair.split_once(':').unwrap().1);
    expected.map(|path| std::fs::metadata(path).unwrap().size()).sum()
}

fn status(reader: &Reader, turn: u64) -> u64 {
    let lease = reader.lease(turn);
    let checkout = format!("{}/checkout", reader.shown(&lease.id, FIXED));
    let git = format!("git -c safe.directory='*' -C '{checkout}'");
    for _ in 0..4 {
        assert_eq!(
            reader.sh(&format!(
                "{git} status --porcelain; {git} log --format=%s; {git} fsck --no-progress"
            )),
            "one\n"
        );
    }
    4 * len(&reader.home.path(FIXED).join("checkout"))
}

fn listings(reader: &Reader, _turn: u64) -> u64 {
    let lease = reader.lease(2);
    let lines = reader.python(LISTINGS, &[]);
    let seen = |line: &&str| line.ends_with(&lease.id);
    let of_lease: Vec<&str> = lines.lines().filter(seen).collect();
    assert!(
        of_lease.len() >= 3 && of_lease.iter().all(|line| line.starts_with("there")),
        "{} in {lines}",
        lease.id
    );
    for id in lines.lines().filter_map(|line| line.strip_prefix("gone ")) {
        assert!(reader.ledger.is_forgotten(id), "{id} in {lines}");
    }
    // The oldest one, under the eyes of whoever forgets.
    let names = reader.sh(&format!("cd '{0}/by-time'; ls; cd /", reader.mounted.display()));
    let oldest =
        std::fs::read_link(reader.mounted.join("by-time").join(names.lines().next().unwrap()));
    oldest.map_or(0, |target| reader.read_unleased(target.file_name().unwrap().to_str().unwrap()))
}

fn newest(reader: &Reader, _turn: u64) -> u64 {
    let seen = reader.scratch.join("seen");
    let last = std::fs::read_to_string(&seen).unwrap_or_default();
    let id = loop {
        let target = std::fs::read_link(reader.mounted.join("latest")).unwrap();
        let id = target.file_name().unwrap().to_str().unwrap().to_owned();
        // Backups go on until it is over, however long each takes; then there may be no more new
        // ones.
        if id != last || reader.ledger.is_over() {
            break id;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    std::fs::write(&seen, &id).unwrap();
    reader.read_unleased(&id)
}
