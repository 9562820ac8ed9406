//! Reader of ignore files.
//!
//! Everyone with a directory in the backup can write them, so their length is limited.

use std::io::Read;

use rustix::io::Errno;

use crate::monitor::ProblemKind;
use crate::os::dir::Dir;

/// Longest ignore file that is used.
const FILE_LEN_MAX_BYTES: usize = 1 << 20;
/// Longest line that is used.
const LINE_LEN_MAX_BYTES: usize = 4 << 10;
/// Most lines that the ignore files of a directory and of those above it may have together.
pub(super) const LINES_MAX: usize = 10_000;

/// Reports lines that are not used, and why.
pub(super) type Report<'a> = dyn FnMut(ProblemKind, String) + 'a;

/// Reads an ignore file of at most `room` lines; returns the lines and their number.
///
/// Reports lines that are not used: the backup has the files that they would leave out.
pub(super) fn read(
    dir: &Dir,
    name: &[u8],
    room: usize,
    report: &mut Report<'_>,
) -> (Vec<u8>, usize) {
    let mut text = Vec::new();
    let read = dir
        .open_file(name)
        .and_then(|file| file.take(FILE_LEN_MAX_BYTES as u64 + 1).read_to_end(&mut text));
    match read {
        Ok(_) if text.len() <= FILE_LEN_MAX_BYTES => used_lines(&text, room, report),
        Ok(_) => {
            report(
                ProblemKind::Unreadable,
                format!("it is longer than {} KiB: {UNUSED}", FILE_LEN_MAX_BYTES >> 10),
            );
            (Vec::new(), 0)
        }
        Err(error) => {
            // It was deleted, or is a directory or a link, which are no ignore files.
            let harmless = [Errno::NOENT, Errno::ISDIR, Errno::LOOP];
            let is_harmless =
                Errno::from_io_error(&error).is_some_and(|errno| harmless.contains(&errno));
            let kind = if is_harmless { ProblemKind::Notice } else { ProblemKind::Unreadable };
            report(kind, format!("it cannot be read ({error}): {UNUSED}"));
            (Vec::new(), 0)
        }
    }
}

const UNUSED: &str = "its rules are not used, and what they leave out is backed up";

fn used_lines(text: &[u8], room: usize, report: &mut Report<'_>) -> (Vec<u8>, usize) {
    let lines = || text.split(|byte| *byte == b'\n');
    let count = lines().count();
    if count > room {
        let what =
            format!("it and the ignore files above it have more than {LINES_MAX} lines: {UNUSED}");
        report(ProblemKind::Unreadable, what);
        return (Vec::new(), 0);
    }
    let is_long = |line: &[u8]| line.len() > LINE_LEN_MAX_BYTES;
    let Some(first) = lines().position(is_long) else {
        return (text.to_vec(), count);
    };
    let long = lines().filter(|line| is_long(line)).count();
    let more = if long > 1 { format!(" and {} more are", long - 1) } else { " is".to_owned() };
    let what =
        format!("line {}{more} longer than {} KiB: not used", first + 1, LINE_LEN_MAX_BYTES >> 10);
    report(ProblemKind::Unreadable, what);
    let short: Vec<&[u8]> =
        lines().map(|line| if is_long(line) { &[][..] } else { line }).collect();
    (short.join(&b'\n'), count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_from(text: &[u8], room: usize) -> (Vec<u8>, usize, Vec<String>) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ignore"), text).unwrap();
        let mut told = Vec::new();
        let dir = Dir::open(directory.path()).unwrap();
        let (lines, count) = read(&dir, b"ignore", room, &mut |kind, what| {
            assert_eq!(kind, ProblemKind::Unreadable);
            told.push(what);
        });
        (lines, count, told)
    }

    #[test]
    fn too_long_lines_are_reported_and_not_used() {
        assert_eq!(read_from(b"a\nb", 2), (b"a\nb".to_vec(), 2, Vec::new()));
        let (lines, count, told) = read_from(b"a\nb", 1);
        assert!(lines.is_empty() && count == 0 && told[0].contains("10000 lines"), "{told:?}");
        let long = vec![b'x'; LINE_LEN_MAX_BYTES + 1];
        let (lines, count, told) = read_from(&[&b"a\n"[..], &long, b"\nb\n", &long].concat(), 9);
        assert_eq!((&lines[..], count), (&b"a\n\nb\n"[..], 4));
        assert_eq!(told, ["line 2 and 1 more are longer than 4 KiB: not used"]);
        assert_eq!(read_from(&long[1..], 9).0, &long[1..]);
        let (lines, _, told) = read_from(&vec![b'\n'; FILE_LEN_MAX_BYTES + 1], usize::MAX);
        assert!(lines.is_empty() && told[0].contains("1024 KiB"), "{told:?}");
    }

    /// Method: a sparse file of two gibibytes.
    #[test]
    fn a_long_hole_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::File::create(directory.path().join("ignore")).unwrap().set_len(2 << 30).unwrap();
        let mut told = 0;
        read(&Dir::open(directory.path()).unwrap(), b"ignore", LINES_MAX, &mut |_, _| told += 1);
        assert_eq!(told, 1);
    }
}
