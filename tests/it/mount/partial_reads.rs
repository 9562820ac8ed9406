//! Partial and concurrent reads, holes, and large folders.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;

use rustix::fs::{Dir, SeekFrom, seek};

use crate::support::fixture::noise;
use crate::support::home::Home;
use crate::support::mount::{Mount, read, sh};

#[test]
fn any_part_of_a_file_is_what_it_was() {
    let home = Home::with_repository();
    let mut content = noise(1, 20 << 20);
    content[5 << 20..9 << 20].fill(0);
    home.write("src/file", &content);
    home.write("src/small", &content[..100]);
    home.run(["backup", "src"]).ok();
    // Little memory, so that most is read more than once.
    let mount = Mount::with(&home, &["--cache-memory", "1MiB"]);
    let file = File::open(mount.latest(&home.path("src/file"))).unwrap();
    for at in 0..400_usize {
        let (from, len) = (at * 7_919_333 % content.len(), 1 + at * 3571 % 200_000);
        let mut bytes = vec![0; len.min(content.len() - from)];
        file.read_exact_at(&mut bytes, from as u64).unwrap();
        assert!(bytes == content[from..from + bytes.len()], "{from}");
    }
    assert_eq!(file.read_at(&mut [0; 10], content.len() as u64).unwrap(), 0);
    let small = File::open(mount.latest(&home.path("src/small"))).unwrap();
    let mut bytes = [0; 90];
    small.read_exact_at(&mut bytes, 10).unwrap();
    assert_eq!(bytes, content[10..100]);
}

#[test]
fn several_readers_read_the_same_and_different_files() {
    let home = Home::with_repository();
    let contents: Vec<Vec<u8>> = (0..4).map(|number| noise(number, 6 << 20)).collect();
    for (number, content) in contents.iter().enumerate() {
        home.write(&format!("src/{number}"), content);
    }
    home.run(["backup", "src"]).ok();
    let mount = Mount::with(&home, &["--cache-memory", "32MiB"]);
    std::thread::scope(|scope| {
        for reader in 0..8 {
            let path = mount.latest(&home.path(&format!("src/{}", reader % 4)));
            let content = &contents[reader % 4];
            scope.spawn(move || assert!(read(&path).unwrap() == *content));
        }
    });
}

#[test]
fn holes_are_found_without_reading() {
    let home = Home::with_repository();
    std::fs::create_dir(home.path("src")).unwrap();
    let sparse = File::create(home.path("src/sparse")).unwrap();
    sparse.write_all_at(&noise(1, 1 << 20), 8 << 20).unwrap();
    sparse.set_len(32 << 20).unwrap();
    home.write("src/small", "x");
    home.run(["backup", "src"]).ok();
    let mount = Mount::new(&home);
    let shown = File::open(mount.latest(&home.path("src/sparse"))).unwrap();
    assert_eq!(seek(&shown, SeekFrom::Data(0)), Ok(8 << 20));
    assert_eq!(seek(&shown, SeekFrom::Data((8 << 20) + 77)), Ok((8 << 20) + 77));
    assert_eq!(seek(&shown, SeekFrom::Hole(8 << 20)), Ok(9 << 20));
    assert_eq!(seek(&shown, SeekFrom::Hole(100)), Ok(100));
    assert_eq!(seek(&shown, SeekFrom::Data(20 << 20)), Err(rustix::io::Errno::NXIO));
    let small = File::open(mount.latest(&home.path("src/small"))).unwrap();
    assert_eq!((seek(&small, SeekFrom::Data(0)), seek(&small, SeekFrom::Hole(0))), (Ok(0), Ok(1)));
}

#[test]
fn a_large_folder_is_listed_piece_by_piece() {
    const FILES: usize = 20_000;
    let home = Home::with_repository();
    std::fs::create_dir(home.path("src")).unwrap();
    sh(
        &home.path("src"),
        &format!(
            "seq -f 'a rather long name of a file, number %07g' {FILES} | xargs -d '\\n' touch"
        ),
    );
    home.run(["backup", "src"]).ok();
    let mount = Mount::new(&home);
    let folder = File::open(mount.latest(&home.path("src"))).unwrap();
    let mut listed = Dir::read_from(&folder).unwrap();
    let mut places = Vec::new();
    let mut names = BTreeSet::new();
    while let Some(entry) = listed.read() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_bytes().to_vec();
        places.push((entry.offset(), name.clone()));
        assert!(names.insert(name), "a name is listed twice");
    }
    assert_eq!(names.len(), FILES + 2);
    // From any place the listing goes on behind it.
    for at in [0, 1, 2, 500, 9_999, FILES] {
        listed.seek(places[at].0).unwrap();
        let next = listed.read().map(|entry| entry.unwrap().file_name().to_bytes().to_vec());
        assert_eq!(next, places.get(at + 1).map(|(_, name)| name.clone()), "{at}");
    }
    assert_eq!(
        sh(&mount.latest(&home.path("src")), "ls -U | wc -l; ls -l | grep -c number"),
        format!("{FILES}\n{FILES}\n")
    );
    let last = std::ffi::OsStr::from_bytes(&places[FILES / 2].1);
    assert!(mount.latest(&home.path("src")).join(last).exists());
    assert!(!mount.latest(&home.path("src/missing")).exists());
}
