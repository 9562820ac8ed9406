//! Goal: a stream is unpacked only if every rule of the format holds, however its bytes are split.
//! Method: streams made by hand, whole ones and ones that break a single rule; each cut and each
//! flipped bit of a small one; random ones, split at random.

mod metadata;
mod splits;

use std::io;

use super::*;

/// A receiver in memory: paths, contents, and whether they ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Memory {
    files: Vec<(Vec<u8>, Vec<u8>, bool)>,
    write_max_bytes: usize,
}

impl FileSink for Memory {
    fn begin(&mut self, path: &[u8]) -> io::Result<FileNumber> {
        self.files.push((path.to_vec(), Vec::new(), false));
        Ok(FileNumber(u32::try_from(self.files.len() - 1).unwrap()))
    }

    fn write(&mut self, file: FileNumber, bytes: &[u8]) -> io::Result<()> {
        let (_, content, has_ended) = &mut self.files[file.0 as usize];
        assert!(!*has_ended && !bytes.is_empty());
        content.extend_from_slice(bytes);
        self.write_max_bytes = self.write_max_bytes.max(bytes.len());
        Ok(())
    }

    fn end(&mut self, file: FileNumber) -> io::Result<()> {
        let (_, _, has_ended) = &mut self.files[file.0 as usize];
        assert!(!std::mem::replace(has_ended, true));
        Ok(())
    }
}

fn head(kind: u8, flags: u8, path: &str) -> Vec<u8> {
    let len_bytes = u32::try_from(path.len()).unwrap().to_le_bytes();
    [b"XBSTCK01", &[flags, kind][..], &len_bytes, path.as_bytes()].concat()
}

fn content_with(flags: u8, path: &str, offset: u64, content: &[u8]) -> Vec<u8> {
    let len_bytes = (content.len() as u64).to_le_bytes();
    let crc32 = crc32fast::hash(content).to_le_bytes();
    let head = head(b'P', flags, path);
    [&head, &len_bytes[..], &offset.to_le_bytes(), &crc32, content].concat()
}

fn content(path: &str, offset: u64, content: &[u8]) -> Vec<u8> {
    content_with(0, path, offset, content)
}

fn end(path: &str) -> Vec<u8> {
    head(b'E', 0, path)
}

fn file(path: &str, bytes: &[u8]) -> Vec<u8> {
    [content(path, 0, bytes), end(path)].concat()
}

fn rename(from: &str, to: &str) -> Vec<u8> {
    let len_bytes = u32::try_from(to.len()).unwrap().to_le_bytes();
    [&head(b'R', 0, from), &len_bytes[..], to.as_bytes()].concat()
}

const CHECKPOINTS_TEXT: &str =
    "backup_type = full-backuped\nfrom_lsn = 0\nto_lsn = 44003\nlast_lsn = 44019\n";
const INFO_TEXT: &str = "uuid = 1\nname = \ntool_name = mariadb-backup\ntool_command = --backup\n\
    tool_version = 10.11.14-MariaDB\nserver_version = 10.11.14-MariaDB-0+deb12u2\n\
    partial = N\nincremental = N\nformat = xbstream\ncompressed = N\n";

/// Returns the files that every backup has, without those that a test gives itself.
fn needed_but(left_out: &[&str]) -> Vec<u8> {
    let files = [
        ("ib_logfile0", "log"),
        ("xtrabackup_checkpoints", CHECKPOINTS_TEXT),
        ("xtrabackup_info", INFO_TEXT),
        ("backup-my.cnf", "[mysqld]"),
    ];
    let given = files.iter().filter(|(name, _)| !left_out.contains(name));
    given.flat_map(|(name, text)| file(name, text.as_bytes())).collect()
}

/// Returns a whole backup with these chunks.
fn backup(chunks: &[Vec<u8>]) -> Vec<u8> {
    [chunks.concat(), needed_but(&[])].concat()
}

/// Returns a whole backup whose metadata say something else.
fn backup_with(name: &str, text: &str) -> Vec<u8> {
    [needed_but(&[name]), file(name, text.as_bytes())].concat()
}

fn unpack_pieces<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<(Unpacked, Memory), MbstreamError> {
    let (mut unpacker, mut memory) = (Unpacker::default(), Memory::default());
    for piece in pieces {
        unpacker.push(piece, &mut memory)?;
    }
    unpacker.finish().map(|unpacked| (unpacked, memory))
}

/// Returns the files of a stream, but not those that every backup has.
fn contents(stream: &[u8]) -> Result<Vec<(String, Vec<u8>)>, MbstreamError> {
    let (unpacked, memory) = unpack_pieces([stream])?;
    assert!(memory.files.iter().all(|(_, _, has_ended)| *has_ended));
    let needed: Vec<&str> = CHECKPOINTS.into_iter().chain(INFO).chain(NEEDED).collect();
    let mut found = Vec::new();
    for file in unpacked.files {
        let content = memory.files[file.number.0 as usize].1.clone();
        assert_eq!(content.len() as u64, file.len_bytes);
        let path = String::from_utf8(file.path).unwrap();
        if !needed.contains(&path.as_str()) {
            found.push((path, content));
        }
    }
    Ok(found)
}

#[track_caller]
fn holds(chunks: &[Vec<u8>], files: &[(&str, &str)]) {
    let expected: Vec<_> =
        files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
    assert_eq!(contents(&backup(chunks)).unwrap(), expected);
}

/// Checks that a stream is refused, with these words in the message.
#[track_caller]
fn refuses(stream: &[u8], words: &str) -> MbstreamError {
    let error = contents(stream).expect_err("it is refused");
    assert!(error.to_string().contains(words), "{error}");
    error
}

#[test]
fn files_that_come_in_turns_are_put_together() {
    let chunks = [
        content("d/a.ibd", 0, b"one "),
        content("ibdata1", 0, b"system "),
        content("d/a.ibd", 4, b"two"),
        end("d/a.ibd"),
        content("ibdata1", 7, b""),
        content("ibdata1", 7, b"tables"),
        end("d/empty.CSV"),
        end("ibdata1"),
    ];
    holds(&chunks, &[("d/a.ibd", "one two"), ("d/empty.CSV", ""), ("ibdata1", "system tables")]);
    let (unpacked, _) = unpack_pieces([&backup(&chunks)[..]]).unwrap();
    let info = BackupInfo {
        tool_version: "10.11.14-MariaDB".to_owned(),
        server_version: "10.11.14-MariaDB-0+deb12u2".to_owned(),
        last_lsn: 44_019,
        is_partial: false,
    };
    assert_eq!(unpacked.info, info);
}

#[test]
fn content_is_passed_on_as_it_comes() {
    let stream = backup(&[file("a", &[7; 100_000])]);
    let (mut unpacker, mut memory) = (Unpacker::default(), Memory::default());
    for piece in stream.chunks(100) {
        unpacker.push(piece, &mut memory).unwrap();
        assert!(unpacker.head.capacity() <= 2048 && unpacker.open.len() <= 1);
    }
    unpacker.finish().unwrap();
    assert_eq!(memory.write_max_bytes, 100);
}

#[test]
fn a_cut_stream_is_never_whole() {
    let stream = backup(&[content("a", 0, b"x"), content("a", 1, b"yz"), end("a"), end("b")]);
    for len_bytes in 0..stream.len() {
        let error = contents(&stream[..len_bytes]).expect_err("it is cut");
        assert!(matches!(error, MbstreamError::Incomplete { .. }), "{len_bytes}: {error}");
    }
    assert_eq!(contents(&stream).unwrap().len(), 2);
}

/// Paths are in no checksum: only empty files can have another one and not be noticed.
#[test]
fn a_flipped_bit_is_noticed() {
    let stream =
        backup(&[content("d/a", 0, b"one"), content("d/b", 0, b"two"), end("d/b"), end("d/a")]);
    let expected = unpack_pieces([&stream[..]]).unwrap();
    let mut unnoticed = Vec::new();
    for bit in 0..8 * stream.len() {
        let mut flipped = stream.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        match unpack_pieces([&flipped[..]]) {
            Err(_) => {}
            Ok(unpacked) => {
                assert_eq!(unpacked, expected, "bit {bit}");
                unnoticed.push(bit);
            }
        }
    }
    // Only the flag of content that replaces nothing.
    let heads = stream.windows(8).enumerate().filter(|(_, mark)| mark == b"XBSTCK01");
    let replacing: Vec<usize> =
        heads.filter(|(at, _)| stream[at + 9] == b'P').map(|(at, _)| 8 * (at + 8) + 1).collect();
    assert_eq!(unnoticed, replacing);
}

#[test]
fn paths_stay_below_the_folder() {
    let longest = &vec!["x".repeat(170); 3].join("/");
    for path in ["", "/a", "a/", "a//b", ".", "..", "./a", "a/..", "../a", "a/./b", "a\0b"] {
        refuses(&backup(&[file(path, b"x")]), "not a relative path");
        refuses(&backup(&[end(path)]), "not a relative path");
        refuses(&backup(&[rename(path, "a")]), "not a relative path");
        refuses(&backup(&[rename("a", path)]), "not a relative path");
        refuses(&backup(&[head(b'D', 0, path)]), "not a relative path");
    }
    holds(&[file(longest, b"x")], &[(longest, "x")]);
    refuses(&backup(&[file(&format!("{longest}b"), b"x")]), "at most 512");
    refuses(&backup(&[rename("a", &format!("{longest}b"))]), "at most 512");
    refuses(&backup(&[file("a", b"x"), file("a/b", b"y")]), "is a file and a directory");
    let odd = "…\u{1b} \\*#P#@002e";
    holds(&[file(odd, b"x")], &[(odd, "x")]);
}

#[test]
fn unknown_chunks_are_not_skipped() {
    refuses(b"mariadb-backup: error 1045", "has no mark");
    for (kind, flags) in [(b'\0', 1), (b'X', 1), (b'X', 0), (b'p', 0)] {
        refuses(&backup(&[head(kind, flags, "a")]), "");
    }
    refuses(&backup(&[head(b'X', 0, "a")]), "at byte 0: a chunk has the unknown type `X`");
    for flags in [1, 3, 4, 128] {
        refuses(&backup(&[content_with(flags, "a", 0, b"x"), end("a")]), "has the flags");
    }
    for kind in [b'E', b'R', b'D', b'S'] {
        refuses(&backup(&[head(kind, 2, "a"), vec![0; 8]]), "has the flags 0x02");
    }
}

#[test]
fn content_goes_on_where_it_was_and_ends_once() {
    let a = || content("a", 0, b"one");
    refuses(&backup(&[content("a", 1, b"x"), end("a")]), "does not go on");
    refuses(&backup(&[a(), content("a", 2, b"x"), end("a")]), "does not go on");
    refuses(&backup(&[a(), content("a", 4, b"x"), end("a")]), "does not go on");
    refuses(&backup(&[a(), content("a", 0, b"x"), end("a")]), "does not go on");
    refuses(&backup(&[a(), end("a"), content("a", 3, b"x"), end("a")]), "after its end");
    refuses(&backup(&[a(), end("a"), a(), end("a")]), "after its end");
    refuses(&backup(&[a()]), "`a` has no end");
    let mut wrong = content("a", 0, b"one");
    *wrong.last_mut().unwrap() ^= 1;
    let at = file("b", b"x").len();
    let error = refuses(&backup(&[file("b", b"x"), wrong, end("a")]), "has a wrong checksum");
    assert!(matches!(error, MbstreamError::Damaged { at: found, .. } if found == at as u64));
}

#[test]
fn payloads_and_open_files_are_limited() {
    let of_len = |len_bytes: u64| {
        [&head(b'P', 0, "a"), &len_bytes.to_le_bytes()[..], &[0; 12], &[0; 100]].concat()
    };
    refuses(&of_len((1 << 44) + 1), "at most 17592186044416");
    refuses(&of_len(u64::MAX), "at most 17592186044416");
    refuses(&of_len(1 << 44), "it ends within the chunk at byte 0");
    let many = |count: usize| {
        let paths: Vec<String> = (0..count).map(|number| number.to_string()).collect();
        let contents = paths.iter().map(|path| content(path, 0, b"x"));
        let all: Vec<_> = contents.chain(paths.iter().map(|path| end(path))).collect();
        backup(&all)
    };
    assert_eq!(contents(&many(64)).unwrap().len(), 64);
    refuses(&many(65), "take `--parallel` out");
}

#[test]
fn tables_that_changed_meanwhile_are_followed() {
    let replace =
        |path: &str, text: &str| [content_with(2, path, 0, text.as_bytes()), end(path)].concat();
    holds(&[file("d/t.MYD", b"old"), replace("d/t.MYD", "new")], &[("d/t.MYD", "new")]);
    holds(&[replace("d/new.MYD", "new")], &[("d/new.MYD", "new")]);
    holds(
        &[
            file("d/t.MYD", b"t"),
            file("d/u.MYD", b"u"),
            rename("d/t.MYD", "d/tmp.MYD"),
            rename("d/u.MYD", "d/t.MYD"),
            rename("d/tmp.MYD", "d/u.MYD"),
            file("d/later.MYD", b"v"),
            rename("d/never.MYD", "d/later.MYD"),
        ],
        &[("d/later.MYD", "v"), ("d/t.MYD", "u"), ("d/u.MYD", "t")],
    );
    holds(
        &[
            file("d/t.MYD", b"1"),
            file("d/t#P#p0.MYD", b"2"),
            file("e/t.MYD", b"3"),
            file("e/u.MYD", b"4"),
            head(b'D', 0, "d/t.MYD"),
            head(b'D', 0, "d/t#P#*"),
            head(b'D', 0, "e"),
            head(b'D', 0, "never"),
            file("e/t.MYD", b"5"),
        ],
        &[("e/t.MYD", "5")],
    );
    let open = || content("d/t", 0, b"x");
    for change in [rename("d/t", "u"), rename("u", "d/t"), head(b'D', 0, "d")] {
        assert!(refuses(&backup(&[open(), change, end("d/t")]), "try again").is_transient());
    }
}

#[test]
fn changes_that_a_stream_cannot_follow_are_transient() {
    let seek = |path: &str| [head(b'S', 0, path), 17u64.to_le_bytes().to_vec()].concat();
    let log = "aria_log.00000001";
    let tail = [content(log, 0, b"x"), seek(log), content(log, 17, b"y"), end(log)];
    assert!(refuses(&backup(&tail), "aria_log.00000001 was full").is_transient());
    assert!(refuses(&backup(&[file("t.MYD", b"x"), end("t.MYD")]), "emptied").is_transient());
    let lost = [rename("d/never.MAD", "d/t.MAD")];
    assert!(refuses(&backup(&lost), "d/t.MAD got lost").is_transient());
    let removed = [file("d/t.frm", b"x"), head(b'D', 0, "d/t.frm")];
    assert!(refuses(&backup(&removed), "d/t.frm got lost").is_transient());
    let mixed = [file("a", b"x"), file("b", b"y"), rename("a", "b")];
    assert!(refuses(&backup(&mixed), "a got the name of another").is_transient());
    let sparse = [content("d/t.ibd", 0, b"x"), seek("d/t.ibd")];
    assert!(!refuses(&backup(&sparse), "does not come in one piece").is_transient());
}

#[test]
fn compressed_and_encrypted_files_are_refused() {
    for path in ["d/t.ibd.qp", "ibdata1.lz4", "a.zst", "d/t.ibd.zst.xbcrypt"] {
        refuses(&backup(&[file(path, b"x")]), "take `--compress` and `--encrypt` out");
    }
    holds(&[file("qp", b"x"), file("a.qp2", b"x")], &[("a.qp2", "x"), ("qp", "x")]);
}

/// Fails at one of its calls.
struct Failing(usize);

impl Failing {
    fn count(&mut self) -> io::Result<()> {
        self.0 = self.0.checked_sub(1).ok_or_else(|| io::Error::other("full"))?;
        Ok(())
    }
}

impl FileSink for Failing {
    fn begin(&mut self, _: &[u8]) -> io::Result<FileNumber> {
        self.count().map(|()| FileNumber(0))
    }

    fn write(&mut self, _: FileNumber, _: &[u8]) -> io::Result<()> {
        self.count()
    }

    fn end(&mut self, _: FileNumber) -> io::Result<()> {
        self.count()
    }
}

#[test]
fn after_an_error_nothing_is_accepted() {
    let stream = backup(&[]);
    for calls in 0..12 {
        let (mut unpacker, mut sink) = (Unpacker::default(), Failing(calls));
        let error = unpacker.push(&stream, &mut sink).unwrap_err();
        assert!(matches!(error, MbstreamError::Sink(_)) && !error.is_transient());
        assert!(unpacker.push(&stream, &mut Memory::default()).is_err());
        assert!(unpacker.finish().is_err());
    }
    let mut unpacker = Unpacker::default();
    unpacker.push(&stream, &mut Failing(12)).unwrap();
    unpacker.finish().unwrap();
}
