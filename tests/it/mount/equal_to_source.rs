//! Equality of a mounted snapshot with its source.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::support::full_tree::{differences, make_everything};
use crate::support::home::Home;
use crate::support::mount::{Mount, sh, try_sh};

/// Returns names, kinds, modes, owners, times, sizes, links and targets, and attributes as they are
/// stored. Folders have no sizes and no links that mean anything.
fn listing(root: &Path) -> String {
    sh(
        root,
        "find . -type d -printf '%p %y %m %U %G %T@\\n' -o -printf '%p %y %m %U %G %T@ %s %n %l\\n' | sort
         find . -type b -o -type c | sort | xargs -d '\\n' -r stat -c '%n %t %T'
         find . -print0 | sort -z | xargs -0 getfattr -hd -m- -e hex 2>/dev/null
         getfacl -nR . 2>/dev/null | sort; getcap -r . | sort",
    )
}

#[test]
fn everything_that_a_file_system_holds_is_there() {
    let home = Home::with_repository();
    let source = home.path("src");
    fs::create_dir(&source).unwrap();
    make_everything(&source);
    home.run(["backup", "src"]).ok();
    let mount = Mount::new(&home);
    let shown = mount.latest(&source);
    assert_eq!(differences(&source, &shown), "");
    assert_eq!(listing(&shown), listing(&source));
    sh(
        &home.path(""),
        &format!("diff -r --no-dereference src {}", shown.display())
            .replace("diff -r", "diff -rq --exclude='*device*' --exclude='fifo*' --exclude=socket"),
    );
    let is = |name: &str| fs::symlink_metadata(shown.join(name)).unwrap();
    assert_eq!((is("short").ino(), is("short").nlink()), (is("sub/short again").ino(), 2));
    assert_ne!(is("short").ino(), is("empty").ino());
    for name in ["sparse", "only a hole"] {
        assert!(
            is(name).blocks() <= fs::metadata(source.join(name)).unwrap().blocks() + 4096,
            "{name} is no longer sparse"
        );
    }
    let numbers = |root: &Path| sh(root, "find . -printf '%p %i\\n' | sort");
    let first = numbers(&shown);
    drop(mount);
    let mount = Mount::new(&home);
    assert_eq!(
        numbers(&mount.latest(&source)),
        first,
        "the numbers of files are the same each time"
    );
}

#[test]
fn tools_that_copy_find_what_was_there() {
    let home = Home::with_repository();
    home.make_source();
    sh(
        &home.path("src"),
        "truncate -s 30M holes; printf end >> holes; ln a.txt again; git init -q . && git add -A && git -c user.name=a -c user.email=a@b commit -qm one",
    );
    home.run(["backup", "src"]).ok();
    let mount = Mount::new(&home);
    let shown = mount.latest(&home.path("src"));
    let at = shown.display();
    sh(
        &home.path(""),
        &format!(
            "cp -a {at} copied && tar -C {at} -cf - . | (mkdir untarred && tar -C untarred -xpf -) && rsync -aHAXS {at}/ synced"
        ),
    );
    for copy in ["copied", "untarred", "synced"] {
        assert_eq!(differences(&home.path("src"), &home.path(copy)), "", "{copy}");
        let blocks = |path: &str| fs::metadata(home.path(path)).unwrap().blocks();
        assert!(
            blocks(&format!("{copy}/holes")) <= blocks("src/holes") + 64 || copy == "untarred",
            "{copy}"
        );
    }
    let status = sh(
        &shown,
        "git -c safe.directory='*' status --porcelain && git -c safe.directory='*' log --format=%s",
    );
    assert_eq!(status, "one\n", "the work tree is as clean as it was");
}

#[test]
fn nothing_can_be_written() {
    let home = Home::with_repository();
    home.make_source();
    home.run(["backup", "src"]).ok();
    let mount = Mount::new(&home);
    let shown = mount.latest(&home.path("src"));
    for attempt in [
        "touch new",
        "echo x > a.txt",
        "echo x >> a.txt",
        "mkdir folder",
        "rm a.txt",
        "mv a.txt b.txt",
        "ln a.txt hard",
        "ln -s a.txt soft",
        "chmod 600 a.txt",
        "truncate -s 0 a.txt",
        "setfattr -n user.x -v y a.txt",
        "touch -d 2020-01-01 a.txt",
    ] {
        let output = try_sh(&shown, attempt);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains("Read-only file system"),
            "{attempt}: {said}"
        );
    }
    assert!(!try_sh(&mount.dir, "mkdir x").status.success());
    let options = fs::read_to_string("/proc/self/mounts").unwrap();
    let own = options.lines().find(|line| line.contains(mount.dir.to_str().unwrap())).unwrap();
    for option in ["ro", "nosuid", "nodev", "default_permissions"] {
        assert!(own.split([' ', ',']).any(|word| word == option), "{option} in {own}");
    }
}

/// `make mount-long` takes 100,000 files.
#[test]
fn a_large_tree_is_the_same() {
    let files: usize =
        std::env::var("DRUMLIN_MOUNT_FILES").map_or(2_000, |text| text.parse().unwrap());
    let home = Home::with_repository();
    for number in 0..files {
        let content = format!("{number}\n").repeat(number % 400);
        home.write(&format!("src/{}/{}/{number}", number % 7, number / 7 % 40), content);
    }
    home.run(["backup", "src"]).ok();
    let mount = Mount::new(&home);
    let shown = mount.latest(&home.path("src"));
    sh(&home.path(""), &format!("diff -r src {}", shown.display()));
    assert_eq!(differences(&home.path("src"), &shown), "");
}
