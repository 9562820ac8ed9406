//! `mount`: all snapshots, read through the kernel.

use super::history::History;

/// Mounts the repository and walks through every snapshot.
#[cfg(feature = "mount")]
pub fn check(history: &mut History) {
    use std::fs;
    use std::os::unix::ffi::OsStrExt;

    use super::disk::{Tree, differences, lost_holes, walk};

    history.note("drumlin mount");
    let mount = crate::support::mount::Mount::new(&history.home);
    let home = history.home.path("");
    for shot in &history.shots {
        let place = mount.dir.join("by-id").join(&shot.id).join(home.strip_prefix("/").unwrap());
        let rest = |path: &[u8]| {
            path.strip_prefix(home.as_os_str().as_bytes())
                .and_then(|rest| rest.strip_prefix(b"/"))
                .map(<[u8]>::to_vec)
        };
        let wanted: Tree =
            shot.tree.iter().filter_map(|(path, node)| Some((rest(path)?, node.clone()))).collect();
        let mut found = if place.exists() { walk(&place) } else { Tree::new() };
        found.remove(&b""[..]);
        shot.ways.keys().filter_map(|path| rest(path)).for_each(|way| drop(found.remove(&way)));
        let lines = differences(&wanted, &found);
        assert!(lines.is_empty(), "mounted otherwise than it was: {lines:#?}");
        let lines = lost_holes(&wanted, &found);
        assert!(lines.is_empty(), "mounted without its holes: {lines:#?}");
    }
    drop(mount);
    fs::remove_dir(history.home.path("mnt")).unwrap();
}

#[cfg(not(feature = "mount"))]
pub fn check(_history: &mut History) {}
