//! Paths of open descriptors: `/dev/stdin`, `/dev/fd/3`, `/proc/self/fd/0`.

use std::ffi::OsStr;
use std::fs;
use std::path::{Component, Path};

/// Maximum number of links in a row, as in the kernel.
const LINKS_MAX: usize = 40;

/// Returns whether a path is, or leads through links to, an open descriptor of a process.
pub fn is_descriptor(path: &Path) -> bool {
    let Ok(mut path) = std::path::absolute(path) else {
        return false;
    };
    for _ in 0..LINKS_MAX {
        let (Some(above), Some(name)) =
            (path.parent().and_then(|above| fs::canonicalize(above).ok()), path.file_name())
        else {
            return false;
        };
        if is_table(&above) {
            return true;
        }
        match fs::read_link(above.join(name)) {
            Ok(target) => path = above.join(target),
            Err(_) => return false,
        }
    }
    false
}

/// Returns whether this is a directory of descriptors: `/proc/1/fd`, `/proc/1/task/2/fd`.
fn is_table(folder: &Path) -> bool {
    let names: Vec<&OsStr> = folder
        .components()
        .filter(|part| *part != Component::RootDir)
        .map(|part| part.as_os_str())
        .collect();
    matches!(names[..], [proc, _, fd] | [proc, _, _, _, fd] if proc == "proc" && fd == "fd")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_what_is_open_are_known() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/dev/stdin", &link).unwrap();
        for path in ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/1", "/proc/thread-self/fd/2"] {
            assert!(is_descriptor(Path::new(path)), "{path}");
        }
        assert!(is_descriptor(&link));
        for path in ["/dev/null", "/dev/fd", "/proc/self", "/proc/self/fd", "/", "/no/such"] {
            assert!(!is_descriptor(Path::new(path)), "{path}");
        }
        assert!(!is_descriptor(folder.path()));
    }
}
