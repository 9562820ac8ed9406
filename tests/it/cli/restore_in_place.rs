//! `restore` to where things came from, by users without rights, and onto file systems that lack
//! something.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::support::home::{Home, Ran};
use crate::support::needs::{can_run, is_root};

fn about(path: &Path) -> (u32, u32, i64, i64) {
    fs::symlink_metadata(path)
        .map(|about| (about.mode(), about.uid(), about.mtime(), about.mtime_nsec()))
        .unwrap()
}

/// A disk was moved, and a link leads to it: `/home -> data/home`.
fn moved() -> Home {
    let home = Home::with_repository();
    home.write("data/home/ada/f", "A");
    home.write("data/home/bob/f", "B");
    symlink("data/home", home.path("home")).unwrap();
    home.run(["backup", "home/ada"]).ok();
    fs::remove_file(home.path("data/home/ada/f")).unwrap();
    home
}

#[test]
fn links_to_folders_on_the_way_are_kept_and_followed() {
    let home = moved();
    let (link, folder) = (about(&home.path("home")), about(&home.path("data/home")));
    let roots = ["restore".to_owned(), "latest".to_owned(), "--target".to_owned(), "/".to_owned()];
    let top = home.text("");
    let here = ["restore".to_owned(), format!("latest:{top}"), "--target".to_owned(), top];
    for way in [&roots, &here] {
        for more in [&[][..], &["--delete"], &["--verify"]] {
            let dry = home.run(way.iter().map(String::as_str).chain(["--dry-run"])).ok();
            assert!(dry.out.contains("create") && dry.out.contains("/f"), "{dry:?}");
            home.run(way.iter().map(String::as_str).chain(more.iter().copied())).ok();
            assert_eq!(
                (home.read("data/home/ada/f"), home.read("data/home/bob/f")),
                ("A".to_owned(), "B".to_owned())
            );
            assert_eq!((about(&home.path("home")), about(&home.path("data/home"))), (link, folder));
            fs::remove_file(home.path("data/home/ada/f")).unwrap();
        }
    }
}

#[test]
fn a_link_that_others_can_change_is_neither_followed_nor_replaced() {
    if !can_run(is_root(), "root, to make a link of another user") {
        return;
    }
    let home = moved();
    lchown(home.path("home"), Some(54_321), Some(54_321)).unwrap();
    let ran = home.run(["restore", "latest", "--target", "/"]).code(1);
    assert!(ran.err.contains("a symbolic link that others can change is in its place"), "{ran:?}");
    assert!(home.path("home").is_symlink() && !home.path("data/home/ada/f").exists());
    lchown(home.path("home"), Some(0), Some(0)).unwrap();
    fs::remove_file(home.path("home")).unwrap();
    symlink("nowhere", home.path("home")).unwrap();
    let ran = home.run(["restore", "latest", "--target", "/"]).code(1);
    assert!(ran.err.contains("is kept, and leads to no folder"), "{ran:?}");
    assert!(home.path("home").is_symlink());
}

#[test]
fn folders_above_the_sources_are_left_alone() {
    let home = Home::with_repository();
    home.write("srv/way/app/f", "x");
    home.run(["backup", "srv/way/app"]).ok();
    fs::remove_dir_all(home.path("srv/way/app")).unwrap();
    fs::set_permissions(home.path("srv/way"), PermissionsExt::from_mode(0o711)).unwrap();
    if is_root() {
        std::os::unix::fs::chown(home.path("srv"), Some(54_321), None).unwrap();
    }
    let before = about(&home.path("srv"));
    for _ in 0..2 {
        home.run(["restore", "latest", "--target", "/"]).ok();
        assert_eq!(home.read("srv/way/app/f"), "x");
        assert_eq!(about(&home.path("srv")), before);
        assert_eq!(about(&home.path("srv/way")).0 & 0o7777, 0o711);
    }
}

/// Gives the whole home to a user without rights, if this is root, and returns what runs a program
/// as him.
fn as_user(home: &Home) -> Vec<&'static str> {
    if !is_root() {
        return vec!["env"];
    }
    assert!(
        Command::new("chown")
            .args(["-R", "54321:54321"])
            .arg(home.path(""))
            .status()
            .unwrap()
            .success()
    );
    vec!["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", "--"]
}

#[test]
fn a_user_without_rights_on_his_own_folders_can_restore_again() {
    let home = Home::with_repository();
    home.write("src/none/f", "none");
    home.write("src/blind/deep/f", "blind");
    home.write("src/shut file", "shut");
    home.write("src/z", "z");
    fs::hard_link(home.path("src/none/f"), home.path("src/zz linked")).unwrap();
    let modes = [("none", 0o000), ("blind/deep", 0o555), ("blind", 0o333), ("shut file", 0o000)];
    let set = |name: &str, mode| {
        fs::set_permissions(home.path("src").join(name), PermissionsExt::from_mode(mode)).unwrap()
    };
    if is_root() {
        // Only root can back up what nobody may read.
        modes.iter().for_each(|(name, mode)| set(name, *mode));
        assert!(
            Command::new("chown")
                .args(["-R", "54321:54321"])
                .arg(home.path("src"))
                .status()
                .unwrap()
                .success()
        );
    }
    home.run(["backup", "src"]).ok();
    let user = as_user(&home);
    let place = format!("latest:{}", home.text("src"));
    for more in [
        &[][..],
        &["--delete"],
        &["--overwrite", "never"],
        &["--verify"],
        &["--overwrite", "if-changed"],
    ] {
        let mut command =
            home.wrapped(&user, [&["restore", &place, "--target", "out"], more].concat());
        let ran = Ran::of(&command.output().unwrap()).ok();
        assert!(!ran.err.contains("ermission denied"), "{more:?} {ran:?}");
        for (name, mode) in modes.iter().filter(|_| is_root()) {
            assert_eq!(about(&home.path("out").join(name)).0 & 0o7777, *mode, "{name} {more:?}");
        }
        if is_root() {
            assert_eq!(
                (home.read("out/none/f"), home.read("out/blind/deep/f")),
                ("none".to_owned(), "blind".to_owned())
            );
            assert_eq!(fs::metadata(home.path("out/none/f")).unwrap().nlink(), 2);
        }
    }
    // So that it can be removed.
    for (name, _) in modes {
        for top in ["src", "out"] {
            let _ =
                fs::set_permissions(home.path(top).join(name), PermissionsExt::from_mode(0o755));
        }
    }
}

/// An exFAT file system in a file: no links, no owners, no modes, and `a` is `A`.
struct ExFat<'a> {
    home: &'a Home,
    device: String,
}

impl<'a> ExFat<'a> {
    fn mount(home: &'a Home) -> Option<Self> {
        let image = home.path("image");
        fs::File::create(&image).unwrap().set_len(24 << 20).unwrap();
        fs::create_dir(home.path("disk")).unwrap();
        let run =
            |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
        let is_made = is_root() && run(Command::new("mkfs.exfat").arg(&image));
        let device = Command::new("losetup").args(["-f", "--show"]).arg(&image).output();
        let device = device.ok().filter(|output| is_made && output.status.success());
        let device = device.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        if let Some(device) = device {
            let disk = Self { home, device };
            if run(Command::new("mount.exfat-fuse").arg(&disk.device).arg(home.path("disk"))) {
                return Some(disk);
            }
        }
        assert!(!can_run(false, "root, loop devices, FUSE, mkfs.exfat and mount.exfat-fuse"));
        None
    }
}

impl Drop for ExFat<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.home.path("disk")).output();
        let _ = Command::new("losetup").arg("-d").arg(&self.device).output();
    }
}

#[test]
fn a_disk_without_links_that_folds_names() {
    let home = Home::with_repository();
    let Some(_disk) = ExFat::mount(&home) else { return };
    home.write("src/Readme", "first by the order of bytes is the other one");
    home.write("src/README", "upper");
    home.write("src/Photos/one", "1");
    home.write("src/photos/two", "2");
    home.write("src/large", vec![7; 700_000]);
    fs::hard_link(home.path("src/large"), home.path("src/larger")).unwrap();
    home.write("src/caf\u{e9}", "composed");
    home.run(["backup", "src"]).ok();
    let place = format!("latest:{}", home.text("src"));
    for (round, more) in
        [&[][..], &[], &["--overwrite", "always"], &["--delete"], &["--overwrite", "if-changed"]]
            .iter()
            .enumerate()
    {
        let ran = home
            .run([&["restore", &place, "--target", "disk/out", "--json"], *more].concat())
            .code(1);
        let document = ran.json();
        // Readme, and photos with what is in it.
        assert_eq!(document["failed"], json!(2), "{document:#}");
        assert_eq!(home.read("disk/out/README"), "upper", "{more:?}");
        assert_eq!(home.tree("disk/out/Photos"), [("one".to_owned(), b"1".to_vec())]);
        assert_eq!(home.read("disk/out/caf\u{e9}"), "composed");
        for name in ["large", "larger"] {
            assert_eq!(
                fs::read(home.path("disk/out").join(name)).unwrap(),
                vec![7; 700_000],
                "{name}"
            );
        }
        let words = document["problems"].to_string();
        let said = words.matches("further names of a file become copies").count();
        assert!(said <= 1 && (round > 0 || said == 1), "{document:#}");
        for name in ["Readme", "photos"] {
            assert!(words.contains(&format!("src/{name}\"")), "{name} is not named: {document:#}");
        }
    }
    // A name that is there in another spelling, and is the only one, is the same file here.
    home.write("other/CAF\u{c9}", "another spelling");
    home.run(["backup", "other"]).ok();
    let place = format!("latest:{}", home.text("other"));
    home.run(["restore", &place, "--target", "disk/out", "--delete"]);
    assert_eq!(home.read("disk/out/CAF\u{c9}"), "another spelling");
}
