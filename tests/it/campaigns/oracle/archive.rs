//! `restore --to-tar` and `--to-zip`, read by programs of others.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::disk::{Tree, differences, walk};
use super::history::{History, snap_path};
use super::listing::any_folder;
use super::restore_empty::{below, without_ways};

/// Writes an archive of a folder of a snapshot and unpacks it.
pub fn check(history: &mut History) {
    let at = history.any_shot();
    let path = any_folder(history, at);
    let what = snap_path(&history.shots[at].id, &path);
    let is_tar = history.dice.chance(85);
    let shot = &history.shots[at];
    let mut wanted = below(shot, &path);
    wanted.remove(&b""[..]);
    let mut arguments: Vec<OsString> = vec!["restore".into(), what];
    arguments.extend(if is_tar {
        ["--to-tar".into(), "archive".into()]
    } else {
        ["--to-zip".into(), "archive".into()]
    });
    let entries = wanted.len() as u64;
    if is_tar {
        let told = history.json(&arguments);
        let counted =
            ["files", "dirs"].map(|field| told[field].as_u64().unwrap()).iter().sum::<u64>();
        let ways = history.shots[at]
            .ways
            .keys()
            .filter(|way| way.starts_with(&path) && **way != path)
            .count() as u64;
        assert_eq!(counted, entries + ways, "{told:#}");
        let len = fs::metadata(history.home.path("archive")).unwrap().len();
        assert_eq!(told["archive_bytes"].as_u64(), Some(len), "{told:#}");
        untar(&history.home.path("archive"), &history.home.path("untarred"));
        let found = without_ways(&history.shots[at], &path, walk(&history.home.path("untarred")));
        let lines = differences(&wanted, &without_root(found));
        assert!(lines.is_empty(), "archived otherwise than it was: {lines:#?}");
        fs::remove_dir_all(history.home.path("untarred")).unwrap();
    } else {
        // What does not fit into the format is told, and is exit code 3.
        history.run_any(&arguments, &[0, 3]);
        compare_zip(history, &wanted, &path);
    }
    fs::remove_file(history.home.path("archive")).unwrap();
}

fn without_root(mut tree: Tree) -> Tree {
    tree.remove(&b""[..]);
    tree
}

fn untar(archive: &Path, into: &Path) {
    fs::create_dir(into).unwrap();
    let mut tar = Command::new("tar");
    tar.args([
        "--xattrs",
        "--xattrs-include=*",
        "--numeric-owner",
        "--warning=no-timestamp",
        "-xpf",
    ])
    .arg(archive)
    .arg("-C")
    .arg(into);
    let output = tar.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Names and contents of the files whose names every zip program takes.
fn compare_zip(history: &History, wanted: &Tree, path: &[u8]) {
    let script = "import sys, zipfile
z = zipfile.ZipFile(sys.argv[1])
for i in z.infolist():
    if not i.is_dir(): print(i.filename.encode().hex(), z.read(i).hex())";
    let output = Command::new("python3")
        .args(["-c", script])
        .arg(history.home.path("archive"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found = String::from_utf8(output.stdout).unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let is_plain = |name: &[u8]| {
        name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(byte))
    };
    let mut lines: Vec<&str> = found.lines().map(str::trim_end).collect();
    let plain = wanted.iter().filter(|(name, node)| {
        matches!(node.kind, "file" | "symlink") && is_plain(name) && is_plain(path)
    });
    for (name, node) in plain {
        let line = format!("{} {}", hex(name), hex(&node.bytes));
        let at = lines.iter().position(|other| *other == line.trim_end());
        lines.swap_remove(
            at.unwrap_or_else(|| panic!("{} is not in the archive as it was", name.escape_ascii())),
        );
    }
    assert!(lines.len() <= wanted.len(), "there is more in the archive than there was");
}
