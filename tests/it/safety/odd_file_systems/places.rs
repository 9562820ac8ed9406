//! File systems, made and mounted in a scratch folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::needs::is_root;

/// A kind of file system.
pub struct Kind {
    pub name: &'static str,
    /// A program makes it up.
    pub is_fuse: bool,
    make: fn(&Path) -> Result<Made, String>,
}

/// Where it is, and how it is taken away again.
struct Made {
    dir: PathBuf,
    undo: Undo,
}

/// What is to be taken away, in this order.
#[derive(Default)]
pub struct Undo {
    mounts: Vec<PathBuf>,
    device: Option<String>,
}

impl Drop for Undo {
    fn drop(&mut self) {
        for dir in &self.mounts {
            let dir = dir.to_str().unwrap();
            // A program that serves it may need a moment to see that nobody uses it any more.
            let since = Instant::now();
            while run("umount", &[dir]).is_err() && since.elapsed() < Duration::from_secs(5) {
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = run("umount", &["-l", dir]);
        }
        if let Some(device) = &self.device {
            let _ = run("losetup", &["-d", device]);
        }
    }
}

/// All kinds.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "tmpfs",
        is_fuse: false,
        make: |at| mount(at, &["-t", "tmpfs", "-o", "size=600m", "none"]),
    },
    Kind { name: "ext4", is_fuse: false, make: |at| disk(at, 300, "mkfs.ext4", &["-q"]) },
    Kind { name: "xfs", is_fuse: false, make: |at| disk(at, 600, "mkfs.xfs", &["-q"]) },
    Kind { name: "btrfs", is_fuse: false, make: |at| disk(at, 600, "mkfs.btrfs", &["-q"]) },
    Kind { name: "overlayfs", is_fuse: false, make: overlay },
    Kind {
        name: "exFAT by FUSE",
        is_fuse: true,
        make: |at| served_disk(at, "mkfs.exfat", &[], "mount.exfat-fuse"),
    },
    Kind {
        name: "NTFS by FUSE",
        is_fuse: true,
        make: |at| served_disk(at, "mkfs.ntfs", &["-FQq"], "ntfs-3g"),
    },
    Kind { name: "bindfs over two disks", is_fuse: true, make: bindfs },
    Kind { name: "mergerfs", is_fuse: true, make: mergerfs },
];

/// Returns a kind by its name.
pub fn kind(name: &str) -> &'static Kind {
    KINDS.iter().find(|kind| kind.name == name).unwrap()
}

/// A mounted file system; it goes away when this is dropped.
pub struct Mounted {
    kind: &'static Kind,
    made: Made,
}

impl Mounted {
    /// Makes one below `scratch`; fails with what the machine lacks.
    pub fn new(kind: &'static Kind, scratch: &Path) -> Result<Self, String> {
        if !is_root() {
            return Err("only root can mount it".to_owned());
        }
        (kind.make)(scratch).map(|made| Self { kind, made })
    }

    pub fn kind(&self) -> &'static Kind {
        self.kind
    }

    pub fn dir(&self) -> &Path {
        &self.made.dir
    }
}

/// Shows a folder in the place of another, until it is dropped.
pub fn bind(from: &Path, to: &Path) -> Result<Undo, String> {
    run("mount", &["--bind", from.to_str().unwrap(), to.to_str().unwrap()])?;
    Ok(Undo { mounts: vec![to.to_owned()], device: None })
}

/// Runs a program of the system; fails with what it said.
pub fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new(program);
    let output = command.args(arguments).env("PATH", path).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

fn folder(at: &Path, name: &str) -> PathBuf {
    let dir = at.join(name);
    fs::create_dir_all(&dir).unwrap();
    dir
}

fn mount(at: &Path, arguments: &[&str]) -> Result<Made, String> {
    let dir = folder(at, "mounted");
    run("mount", &[arguments, &[dir.to_str().unwrap()]].concat())?;
    Ok(Made { undo: Undo { mounts: vec![dir.clone()], device: None }, dir })
}

fn image(at: &Path, mib: u64) -> String {
    let path = at.join("image");
    // The long form puts more on it. All of it is a hole.
    let mib = if super::is_long() { mib * 4 } else { mib };
    fs::File::create(&path).unwrap().set_len(mib << 20).unwrap();
    path.to_str().unwrap().to_owned()
}

fn disk(at: &Path, mib: u64, program: &str, arguments: &[&str]) -> Result<Made, String> {
    let image = image(at, mib);
    run(program, &[arguments, &[&image]].concat())?;
    mount(at, &["-o", "loop", &image])
}

/// A disk that a program mounts.
fn served_disk(at: &Path, program: &str, arguments: &[&str], server: &str) -> Result<Made, String> {
    let image = image(at, 600);
    run(program, &[arguments, &[&image]].concat())?;
    let device = run("losetup", &["-f", "--show", &image])?;
    let mut undo = Undo { mounts: Vec::new(), device: Some(device.clone()) };
    let dir = folder(at, "mounted");
    run(server, &[&device, dir.to_str().unwrap()])?;
    undo.mounts.push(dir.clone());
    Ok(Made { dir, undo })
}

fn overlay(at: &Path) -> Result<Made, String> {
    // The kernel refuses an upper folder that is on an overlay itself, as in a container.
    let below = mount(at, &["-t", "tmpfs", "-o", "size=600m", "none"])?;
    let [lower, upper, work] = ["lower", "upper", "work"].map(|name| folder(&below.dir, name));
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.display(),
        upper.display(),
        work.display()
    );
    let dir = folder(at, "union");
    let mut undo = below.undo;
    run("mount", &["-t", "overlay", "-o", &options, "none", dir.to_str().unwrap()])?;
    undo.mounts.insert(0, dir.clone());
    Ok(Made { dir, undo })
}

/// Two disks in a folder, which number their files alike.
fn two_disks(below: &Path) -> Result<Undo, String> {
    let mut undo = Undo::default();
    for name in ["one", "two"] {
        let dir = folder(below, name);
        run("mount", &["-t", "tmpfs", "-o", "size=600m", "none", dir.to_str().unwrap()])?;
        undo.mounts.push(dir);
    }
    Ok(undo)
}

fn bindfs(at: &Path) -> Result<Made, String> {
    let base = folder(at, "below");
    // What is backed up lies on both; a repository and a target lie beside them.
    let below = folder(&base, "source");
    let mut undo = two_disks(&below)?;
    let dir = folder(at, "view");
    run("bindfs", &[base.to_str().unwrap(), dir.to_str().unwrap()])?;
    undo.mounts.insert(0, dir.clone());
    // Files with equal numbers and several names, of the same length, made at once.
    for (name, content) in [("one", "first "), ("two", "second")] {
        for file in ["a", "b"] {
            fs::write(below.join(name).join(file), content).unwrap();
            fs::hard_link(
                below.join(name).join(file),
                below.join(name).join(format!("{file} too")),
            )
            .unwrap();
        }
    }
    Ok(Made { dir, undo })
}

fn mergerfs(at: &Path) -> Result<Made, String> {
    let below = folder(at, "below");
    let mut undo = two_disks(&below)?;
    let dir = folder(at, "pool");
    let branches = format!("{}:{}", below.join("one").display(), below.join("two").display());
    run(
        "mergerfs",
        &["-o", "category.create=rand,minfreespace=0", &branches, dir.to_str().unwrap()],
    )?;
    undo.mounts.insert(0, dir.clone());
    Ok(Made { dir, undo })
}
