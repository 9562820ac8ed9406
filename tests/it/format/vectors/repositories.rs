//! Whole small repositories, and what they hold: kept as files, read by the program and by the
//! independent reader.
//!
//! They cannot be made twice alike (keys, salts and times differ), so regenerating them replaces
//! them all.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use drumlin::backup::BackupOptions;
use drumlin::crypto::phrase::{secret_of_words, words_of};
use drumlin::crypto::slot::Secret;
use drumlin::format::config::Profile;
use drumlin::format::container::ChunkKind;
use drumlin::format::entry::{Content, EntryKind, Ref};
use drumlin::format::slot::SlotKdf;
use drumlin::id::ChunkId;
use drumlin::maintain::prune::PruneOptions;
use drumlin::monitor::Monitor;
use drumlin::repo::snapshots::trash::{self, ForgetNote};
use drumlin::repo::snapshots::{self, protect};
use drumlin::repo::{InitOptions, OpenOptions, Reader, Repository, Trees};
use drumlin::store::local::LocalStore;
use zeroize::Zeroizing;

use super::decoders::PASSPHRASE;
use crate::support::fixture::{now, options, set_mtime};
use crate::support::needs::is_root;
use crate::support::python_with_modules;

/// Path in the snapshot, and what stands there.
type Listing = BTreeMap<Vec<u8>, String>;

pub fn folder(name: &str) -> PathBuf {
    super::folder().join("repositories").join(name)
}

pub fn secret(name: &str) -> Secret {
    match fs::read_to_string(folder(name).join("words.txt")) {
        Ok(words) => Secret::KeyFile(secret_of_words(&words).unwrap()),
        Err(_) => Secret::Passphrase(Zeroizing::new(PASSPHRASE.to_string())),
    }
}

fn print(listing: &Listing) -> String {
    listing.iter().map(|(path, line)| format!("{line} {}\n", path.escape_ascii())).collect()
}

/// A line of a listing: kind, mode, modification time, size, content (hash, link target or
/// nothing).
fn line(kind: &str, mode: u32, mtime: (i64, i64), size: u64, content: &str) -> String {
    let content = if content.is_empty() { "-" } else { content };
    format!("{kind} {:04o} {}.{:09} {size} {content}", mode & 0o7777, mtime.0, mtime.1)
}

/// Returns what a snapshot holds, by way of the program.
fn listing_of_snapshot(reader: &Arc<Reader>, root: &ChunkId) -> Listing {
    let mut found = Listing::new();
    list_tree(&Trees::new(reader.clone()), root, b"", &mut found);
    found
}

fn list_tree(trees: &Trees, dir: &ChunkId, path: &[u8], found: &mut Listing) {
    for entry in trees.entries(dir).map(|entry| entry.unwrap().entry) {
        let path = [path, b"/", &entry.name].concat();
        let content = match (&entry.content, entry.kind) {
            (Content::Inline(target), EntryKind::Symlink) => target.escape_ascii().to_string(),
            (_, EntryKind::File) => hash_of_file(trees, &entry.content),
            _ => entry.device.map_or_else(String::new, |(major, minor)| format!("{major}:{minor}")),
        };
        let xattrs = entry.xattrs.iter().map(|xattr| (xattr.name.clone(), xattr.value.clone()));
        insert_xattrs(&path, xattrs, found);
        let mtime = (entry.mtime.seconds, i64::from(entry.mtime.nanos));
        let kind = format!("{:?}", entry.kind).to_lowercase();
        found.insert(path.clone(), line(&kind, u32::from(entry.mode), mtime, entry.size, &content));
        if let Content::Tree(below) = entry.content {
            list_tree(trees, &below, &path, found);
        }
    }
}

/// Adds a line for each attribute that anybody may set.
fn insert_xattrs(
    path: &[u8],
    xattrs: impl Iterator<Item = (Vec<u8>, Vec<u8>)>,
    found: &mut Listing,
) {
    for (name, value) in xattrs.filter(|(name, _)| name.starts_with(b"user.")) {
        let value = drumlin::id::encode_hex(&value);
        found.insert([path, b" ", &name].concat(), format!("xattr - - - {value}"));
    }
}

/// Returns the names and values of a restored file's attributes.
fn xattrs_of(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut names = vec![0; 4096];
    let len = rustix::fs::llistxattr(path, &mut names).unwrap_or(0);
    let names = names[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let value_of = |name: &[u8]| {
        let mut value = vec![0; 4096];
        let len = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value).unwrap();
        value.truncate(len);
        (name.to_vec(), value)
    };
    names.map(value_of).collect()
}

fn hash_of_file(trees: &Trees, content: &Content) -> String {
    let mut hasher = blake3::Hasher::new();
    if let Content::Inline(bytes) = content {
        hasher.update(bytes);
    }
    for piece in trees.refs(content) {
        match piece.unwrap() {
            Ref::Data { id, .. } => {
                hasher.update(&trees.reader().read_chunk(ChunkKind::Data, &id).unwrap())
            }
            Ref::Hole { len } => hasher.update(&vec![0; len as usize]),
        };
    }
    hasher.finalize().to_hex().to_string()
}

/// Returns what was restored into a folder.
fn listing_of_folder(folder: &Path, path: &[u8], found: &mut Listing) {
    for restored in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let stat = fs::symlink_metadata(&restored).unwrap();
        let path = [path, b"/", restored.file_name().unwrap().as_bytes()].concat();
        let (kind, content, size) = match stat.file_type() {
            kind if kind.is_dir() => ("dir", String::new(), 0),
            kind if kind.is_symlink() => (
                "symlink",
                fs::read_link(&restored).unwrap().as_os_str().as_bytes().escape_ascii().to_string(),
                stat.size(),
            ),
            kind if kind.is_fifo() => ("fifo", String::new(), 0),
            kind if kind.is_char_device() => ("chardevice", device_of(&stat), 0),
            kind if kind.is_block_device() => ("blockdevice", device_of(&stat), 0),
            _ => (
                "file",
                blake3::hash(&fs::read(&restored).unwrap()).to_hex().to_string(),
                stat.size(),
            ),
        };
        found.insert(
            path.clone(),
            line(kind, stat.mode(), (stat.mtime(), stat.mtime_nsec()), size, &content),
        );
        insert_xattrs(&path, xattrs_of(&restored).into_iter(), found);
        if stat.is_dir() {
            listing_of_folder(&restored, &path, found);
        }
    }
}

fn device_of(stat: &fs::Metadata) -> String {
    format!("{}:{}", rustix::fs::major(stat.rdev()), rustix::fs::minor(stat.rdev()))
}

/// What a repository has whose collector was at work: content that goes and stays, attributes and
/// devices.
fn make_collected_sources(source: &Path, round: u32) {
    use rustix::fs::{CWD, FileType, XattrFlags, makedev, mknodat, setxattr};
    fs::write(source.join("stays"), "a line that stays\n".repeat(3000)).unwrap();
    fs::write(source.join("changes"), crate::support::fixture::noise(u64::from(round), 30_000))
        .unwrap();
    if round == 0 {
        let (character, block) = (source.join("null"), source.join("disk"));
        mknodat(CWD, &character, FileType::CharacterDevice, 0o666.into(), makedev(1, 3)).unwrap();
        mknodat(CWD, &block, FileType::BlockDevice, 0o660.into(), makedev(259, 70_000)).unwrap();
        setxattr(source.join("stays"), "user.comment", b"\0 any bytes \xff", XattrFlags::empty())
            .unwrap();
        setxattr(source.join("stays"), "user.empty", b"", XattrFlags::empty()).unwrap();
    }
}

/// Forgets the first snapshot and collects, forgets the second, and protects the third.
fn collect(repository: &Arc<Repository>) {
    let word = str::to_string;
    let (program, reason) = (word("drumlin vectors"), word("named"));
    let note = ForgetNote { host: word("host"), user: word("user"), program, now: now(), reason };
    let mut found = snapshots::list(repository).unwrap();
    found.sort_by_key(|snapshot| snapshot.sequence);
    let forget = |at: usize| {
        trash::forget(repository, &found[at].id, Some(snapshots::chain_hash(&found[at])), &note)
            .unwrap()
    };
    forget(0);
    let options = PruneOptions {
        trash_window_s: 0,
        max_unused_permille: 0,
        grace_s: 0,
        ..PruneOptions::new(now())
    };
    drumlin::maintain::prune::run(repository, &options, &Monitor::default()).unwrap();
    forget(1);
    protect::protect(repository, &found[2].id, snapshots::chain_hash(&found[2]), &note).unwrap();
}

fn make_sources(name: &str, source: &Path, round: u32) {
    if name == "collected" {
        return make_collected_sources(source, round);
    }
    if name == "void" {
        return fs::write(source.join("text"), format!("round {round}\n")).unwrap();
    }
    if name == "large" {
        let blocks = (0..700u32).flat_map(|block| {
            if block == 300 {
                vec![0; 65_536]
            } else {
                (block + round).to_le_bytes().repeat(16_384)
            }
        });
        fs::write(source.join("blocks"), blocks.collect::<Vec<u8>>()).unwrap();
        (0..600).for_each(|number| {
            fs::write(source.join(format!("file-{number:03}")), format!("{number}")).unwrap()
        });
        return;
    }
    if round == 1 {
        return fs::write(source.join("text"), "changed\n".repeat(100)).unwrap();
    }
    fs::create_dir_all(source.join("dir/empty")).unwrap();
    for len in [0, 1, 512, 513, 40_000] {
        fs::write(
            source.join(format!("file-{len}")),
            "drumlin ".repeat(len / 8 + 1).split_at(len).0,
        )
        .unwrap();
    }
    fs::write(source.join("text"), "first\n".repeat(100)).unwrap();
    fs::write(source.join(OsStr::from_bytes(b"\xe9t\xe9 \n")), "a name that is not UTF-8").unwrap();
    fs::hard_link(source.join("file-513"), source.join("dir/other name")).unwrap();
    symlink("../text", source.join("dir/link")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        source.join("fifo"),
        rustix::fs::FileType::Fifo,
        0o620.into(),
        0,
    )
    .unwrap();
    fs::set_permissions(source.join("file-1"), fs::Permissions::from_mode(0o4711)).unwrap();
    set_mtime(&source.join("file-0"), -1, 500_000_000);
    set_mtime(&source.join("dir/empty"), 4_102_444_800, 1);
}

/// Makes a repository with two snapshots and writes what they hold.
fn regenerate(name: &str, profile: Profile) {
    let _ = fs::remove_dir_all(folder(name));
    let source = Path::new("/tmp/drumlin-vectors").join(name);
    let _ = fs::remove_dir_all(&source);
    fs::create_dir_all(&source).unwrap();
    fs::create_dir_all(folder(name)).unwrap();
    let kdf = if name == "large" {
        fs::write(
            folder(name).join("words.txt"),
            words_of(&Zeroizing::new(super::master())).as_bytes(),
        )
        .unwrap();
        SlotKdf::KeyFile
    } else {
        SlotKdf::Passphrase { memory_kib: 256, passes: 2, lanes: 2 }
    };
    let cache = tempfile::tempdir().unwrap();
    let init = InitOptions {
        profile,
        secret: secret(name),
        kdf,
        label: "vector".to_string(),
        now: now(),
        program: "drumlin vectors".to_string(),
        cache_dir: cache.path().to_owned(),
    };
    let store = LocalStore::open_or_make(&folder(name).join("repository")).unwrap();
    let repository = Repository::init(Arc::new(store), &init).unwrap();
    for round in 0..if name == "collected" { 4 } else { 2 } {
        make_sources(name, &source, round);
        let options = BackupOptions {
            always_snapshot: true,
            ..options(std::slice::from_ref(&source), "vector")
        };
        drumlin::backup::run(&repository, options, &Monitor::default()).unwrap();
    }
    if name == "collected" {
        collect(&repository);
    }
    if name == "void" {
        super::foreign_configs::plant(&repository, &folder(name).join("repository/config"));
    }
    let reader = Reader::new(&repository).unwrap();
    for (number, snapshot) in snapshots::list(&repository).unwrap().iter().enumerate() {
        let listing = print(&listing_of_snapshot(&reader, &snapshot.root));
        fs::write(folder(name).join(format!("snapshot-{}.txt", number + 1)), listing).unwrap();
    }
    fs::remove_dir_all(&source).unwrap();
}

const REPOSITORIES: [(&str, Profile); 4] = [
    ("everything", Profile::Standard),
    ("large", Profile::Fixed),
    ("collected", Profile::Small),
    ("void", Profile::Small),
];

/// Returns whether this repository is to be made again: all, or the one that
/// `DRUMLIN_REGENERATE_VECTORS` names.
fn is_to_be_made(name: &str) -> bool {
    super::is_regenerating()
        || std::env::var_os("DRUMLIN_REGENERATE_VECTORS").is_some_and(|value| value == name)
}

#[test]
fn repositories_hold_what_they_held() {
    for (name, profile) in REPOSITORIES {
        if is_to_be_made(name) {
            regenerate(name, profile);
        }
        let cache = tempfile::tempdir().unwrap();
        let store = LocalStore::open(&folder(name).join("repository")).unwrap();
        let options = OpenOptions { cache_dir: cache.path().to_owned(), prefer_cached: false };
        let repository = Repository::open(Arc::new(store), &secret(name), &options).unwrap();
        let reader = Reader::new(&repository).unwrap();
        let found = snapshots::list(&repository).unwrap();
        assert_eq!(found.len(), 2);
        for (number, snapshot) in found.iter().enumerate() {
            let stated =
                fs::read_to_string(folder(name).join(format!("snapshot-{}.txt", number + 1)))
                    .unwrap();
            assert_eq!(print(&listing_of_snapshot(&reader, &snapshot.root)), stated, "{name}");
        }
    }
}

#[test]
fn the_reader_restores_the_kept_repositories() {
    for (name, _) in REPOSITORIES {
        let scratch = tempfile::tempdir().unwrap();
        let (password, target) = (scratch.path().join("password"), scratch.path().join("target"));
        fs::write(&password, PASSPHRASE).unwrap();
        let words = folder(name).join("words.txt");
        let secret =
            if words.exists() { ("--key-file", words) } else { ("--password-file", password) };
        let mut command = Command::new(python_with_modules());
        command
            .arg(super::folder().join("../reader.py"))
            .arg(secret.0)
            .arg(secret.1)
            .arg(folder(name).join("repository"));
        let output = command.args(["restore", "latest"]).arg(&target).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut found = Listing::new();
        listing_of_folder(&target, b"", &mut found);
        let stated = fs::read_to_string(folder(name).join("snapshot-2.txt")).unwrap();
        // Only root may make devices; who is not is told so by the reader.
        let is_root = is_root();
        let lines = stated.lines().filter(|line| {
            is_root || !line.starts_with("chardevice") && !line.starts_with("blockdevice")
        });
        assert_eq!(
            print(&found),
            lines.map(|line| format!("{line}\n")).collect::<String>(),
            "{name}"
        );
    }
}
