//! A tree with everything that a Unix file system holds, and the tools of others that compare two.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode};

use super::fixture::{noise, set_mtime, write};
use super::needs::is_root;

/// Fills a folder with everything that a Unix file system holds, and that this user may make.
pub fn make_everything(root: &Path) {
    ordinary_things(root);
    holes(root);
    modes(root);
    if is_root() {
        privileged_things(root);
    }
    set_mtime(&root.join("sub"), 1_234_567_890, 987_654_321);
    set_mtime(root, 1_111_111_111, 1);
}

/// Makes files, folders and links of every form, with odd names and times.
pub fn ordinary_things(root: &Path) {
    write(&root.join("empty"), b"");
    write(&root.join("short"), b"inline");
    write(&root.join("sub/one chunk"), &noise(1, 9_000));
    write(&root.join("sub/many chunks"), &noise(2, 3_000_000));
    write(&root.join("sub/copy"), &noise(2, 3_000_000));
    write(&root.join("twice").join("same"), &noise(1, 9_000));
    fs::create_dir_all(root.join("empty folder/deeper")).unwrap();
    for name in [&b"\xff\xfe not text"[..], b" ", b"-rf", b"new\nline", b"\x01\x7f", b"*?[x]"] {
        write(&root.join(OsStr::from_bytes(name)), name);
    }
    write(&root.join("n".repeat(255)), b"long name");
    let old = root.join("older than 1970");
    write(&old, b"x");
    set_mtime(&old, -1_000_000, 999_999_999);
    symlink("no such target", root.join("dangling")).unwrap();
    symlink(OsStr::from_bytes(b"../\xff"), root.join("odd link")).unwrap();
    set_mtime(&root.join("dangling"), 1_000_000_000, 123_456_789);
    fs::hard_link(root.join("sub/many chunks"), root.join("another name")).unwrap();
    fs::hard_link(root.join("short"), root.join("sub/short again")).unwrap();
    fs::hard_link(root.join("dangling"), root.join("dangling again")).unwrap();
}

fn holes(root: &Path) {
    let sparse = File::create(root.join("sparse")).unwrap();
    sparse.write_all_at(&noise(3, 200_000), 40 << 20).unwrap();
    sparse.set_len(90 << 20).unwrap();
    File::create(root.join("only a hole")).unwrap().set_len(1 << 30).unwrap();
}

/// Makes files and folders with odd permissions.
pub fn modes(root: &Path) {
    for (name, mode) in
        [("none", 0), ("setuid", 0o4755), ("setgid", 0o2755), ("read only", 0o444), ("all", 0o777)]
    {
        write(&root.join("modes").join(name), b"content that is a bit longer");
        set_mode(&root.join("modes").join(name), mode);
    }
    for (name, mode) in
        [("sticky", 0o1777), ("shared", 0o2775), ("closed", 0o000), ("read only", 0o555)]
    {
        write(&root.join("folders").join(name).join("inside"), &noise(4, 1000));
        set_mode(&root.join("folders").join(name), mode);
    }
}

/// What only the superuser may make.
fn privileged_things(root: &Path) {
    let path = |name: &str| root.join(name);
    for (number, name) in ["sub", "short", "dangling", "modes/setuid"].iter().enumerate() {
        let (uid, gid) = (1000 + number as u32, 2000 + number as u32);
        std::os::unix::fs::lchown(path(name), Some(uid), Some(gid)).unwrap();
    }
    set_mode(&path("modes/setuid"), 0o4755);
    for (name, kind, device) in [("fifo", FileType::Fifo, 0), ("socket", FileType::Socket, 0)] {
        rustix::fs::mknodat(CWD, path(name), kind, Mode::from_raw_mode(0o640), device).unwrap();
    }
    let device = rustix::fs::makedev(259, 1_000_000);
    rustix::fs::mknodat(
        CWD,
        path("char device"),
        FileType::CharacterDevice,
        Mode::from_raw_mode(0o600),
        device,
    )
    .unwrap();
    rustix::fs::mknodat(
        CWD,
        path("block device"),
        FileType::BlockDevice,
        Mode::from_raw_mode(0o660),
        device,
    )
    .unwrap();
    fs::hard_link(path("fifo"), path("fifo again")).unwrap();
    let set = |name: &str, attribute: &str, value: &[u8]| {
        rustix::fs::lsetxattr(path(name), attribute, value, rustix::fs::XattrFlags::empty())
            .unwrap();
    };
    set("sub/one chunk", "user.comment", b"with a \0 byte");
    set("empty", "user.empty", b"");
    set("sub", "user.of a folder", &noise(5, 2000));
    set("dangling", "trusted.of a link", b"link");
    set("fifo", "trusted.of a fifo", b"fifo");
    set("char device", "trusted.of a device", b"device");
    run("setcap", &["cap_net_bind_service=+ep".as_ref(), path("modes/all").as_os_str()]);
    run("setfacl", &["-m".as_ref(), "u:1234:rwx,g:4321:r".as_ref(), path("short").as_os_str()]);
    run(
        "setfacl",
        &["-d".as_ref(), "-m".as_ref(), "u:1234:rx,o::-".as_ref(), path("twice").as_os_str()],
    );
}

/// Returns a listing that `rsync` does not make: capabilities, ACLs, attributes of every file,
/// times with nanoseconds, blocks. Folders have no sizes and no links that mean anything.
pub fn listing(root: &Path) -> String {
    let quoted =
        root.as_os_str().as_bytes().iter().map(|byte| char::from(*byte)).collect::<String>();
    let script = format!(
        "cd '{quoted}' && find . -type d -printf '%p %y %m %U %G %T@\\n' -o -printf '%p %y %m %U %G %T@ %s %n %l\\n' | LC_ALL=C sort \
         && getfattr -hdR -m- -e hex . 2>/dev/null \
         && getfacl -nR . 2>/dev/null && getcap -r . && find . -type f -printf '%p %b\\n' | awk '$NF > 100000' && lsattr -aR . 2>/dev/null | sort"
    );
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Returns what `rsync` would have to do to make `target` equal to `source`: names, content,
/// metadata, links, ACLs, attributes.
pub fn differences(source: &Path, target: &Path) -> String {
    let slash = |path: &Path| format!("{}/", path.display());
    let mut rsync = std::process::Command::new("rsync");
    rsync
        .args(["-n", "-i", "-c", "-aHAX", "--devices", "--specials", "--delete"])
        .args([slash(source), slash(target)]);
    let output = rsync.output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// Sets permissions.
pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Runs a tool that must succeed.
pub fn run(tool: &str, arguments: &[&OsStr]) -> String {
    let output = Command::new(tool).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{tool} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
