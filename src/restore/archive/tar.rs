//! Tar archives with pax headers (POSIX), and sparse files in GNU's format 1.0.

use std::io::{self, Write};

use super::format::{AddError, Counted, Format, Lack, Member, WriteContent};
use super::holes::{DataMap, WithoutHoles};
use crate::format::entry::{Content, Entry, EntryKind, Timestamp};
use crate::monitor::Monitor;
use crate::repo::{self, DirEntry, Trees};

/// Block size of a tar archive.
const BLOCK_LEN_BYTES: usize = 512;

/// Type flags of entries.
const FILE: u8 = b'0';
const HARD_LINK: u8 = b'1';
const SYMLINK: u8 = b'2';
const CHAR_DEVICE: u8 = b'3';
const BLOCK_DEVICE: u8 = b'4';
const DIR: u8 = b'5';
const FIFO: u8 = b'6';
const EXTENDED: u8 = b'x';

/// A tar archive, while it is written.
pub(super) struct Tar<'a> {
    out: &'a mut dyn Write,
    trees: Trees,
    monitor: &'a Monitor,
    numeric_ids: bool,
}

impl<'a> Tar<'a> {
    /// Begins an archive; `numeric_ids` leaves out names of owners.
    pub(super) fn new(
        out: &'a mut dyn Write,
        trees: Trees,
        monitor: &'a Monitor,
        numeric_ids: bool,
    ) -> Self {
        Self { out, trees, monitor, numeric_ids }
    }

    fn write_headers(&mut self, header: &mut UstarHeader, pax: &Pax) -> io::Result<()> {
        if !pax.0.is_empty() {
            let mut before = UstarHeader::new(EXTENDED);
            before.text(NAME, b"PaxHeaders/entry");
            before.number(MODE, 0o644);
            before.number(SIZE, pax.0.len() as u64);
            self.out.write_all(before.sealed())?;
            self.out.write_all(&pax.0)?;
            self.pad(pax.0.len() as u64)?;
        }
        self.out.write_all(header.sealed())
    }

    /// Pads the last block with zeros.
    fn pad(&mut self, len_bytes: u64) -> io::Result<()> {
        let rest = len_bytes.next_multiple_of(BLOCK_LEN_BYTES as u64) - len_bytes;
        self.out.write_all(&[0; BLOCK_LEN_BYTES][..rest as usize])
    }

    /// Adds a sparse file: the map of its data, and the data.
    fn add_with_holes(
        &mut self,
        member: &Member<'_>,
        mut header: UstarHeader,
        mut pax: Pax,
        map: DataMap,
        content: &mut WriteContent<'_>,
    ) -> Result<(), AddError> {
        let entry = &member.found.entry;
        let list = list_of(&map, entry.size);
        let len_bytes = list.len() as u64 + map.data_len();
        pax.record(b"GNU.sparse.major", b"1");
        pax.record(b"GNU.sparse.minor", b"0");
        pax.record(b"GNU.sparse.name", member.path);
        pax.record(b"GNU.sparse.realsize", entry.size.to_string().as_bytes());
        // A program that does not know sparse files must not take the map for the file.
        header.text(NAME, &[b"GNUSparseFile.0/", &entry.name[..]].concat());
        header.size(&mut pax, len_bytes);
        self.write_headers(&mut header, &pax)?;
        self.out.write_all(&list)?;
        let mut filter = WithoutHoles::new(self.out, &map);
        content(&mut filter)?;
        let at = filter.at();
        check_len(member, at)?;
        Ok(self.pad(len_bytes)?)
    }
}

impl Format for Tar<'_> {
    fn holds_links(&self) -> bool {
        true
    }

    fn lack(&self, _path: &[u8], found: &DirEntry) -> Lack {
        match found.entry.kind {
            EntryKind::Socket => Lack::Trifle("a socket, which archives do not hold"),
            _ => Lack::Nothing,
        }
    }

    fn add(&mut self, member: &Member<'_>, content: &mut WriteContent<'_>) -> Result<(), AddError> {
        let entry = &member.found.entry;
        let has_content = member.link_to.is_none() && entry.kind == EntryKind::File;
        let holes =
            || DataMap::of(&self.trees, &entry.content, self.monitor).map_err(AddError::Before);
        let map = if has_content { holes()? } else { None };
        let (mut header, mut pax) = describe(member, self.numeric_ids);
        if let Some(map) = map {
            return self.add_with_holes(member, header, pax, map, content);
        }
        let slash: &[u8] = if entry.kind == EntryKind::Dir { b"/" } else { b"" };
        header.text_or(&mut pax, NAME, "path", &[member.path, slash].concat());
        if !has_content {
            return Ok(self.write_headers(&mut header, &pax)?);
        }
        header.size(&mut pax, entry.size);
        self.write_headers(&mut header, &pax)?;
        let mut counted = Counted { out: &mut *self.out, written: 0 };
        content(&mut counted)?;
        let written = counted.written;
        check_len(member, written)?;
        Ok(self.pad(entry.size)?)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.write_all(&[0; 2 * BLOCK_LEN_BYTES])
    }
}

/// Checks that the content had the announced length.
fn check_len(member: &Member<'_>, len_bytes: u64) -> Result<(), AddError> {
    if len_bytes == member.found.entry.size {
        return Ok(());
    }
    Err(AddError::Torn(repo::Error::WrongContent {
        object: String::from_utf8_lossy(member.path).into_owned(),
    }))
}

/// Returns the map that precedes the data of a sparse file; its last entry is at the end of the
/// file.
fn list_of(map: &DataMap, size: u64) -> Vec<u8> {
    let mut pieces = map.0.clone();
    if pieces.last().is_none_or(|(offset, len)| offset + len < size) {
        pieces.push((size, 0));
    }
    let numbers =
        pieces.iter().map(|(offset, len)| format!("{offset}\n{len}\n")).collect::<String>();
    let mut list = format!("{}\n{numbers}", pieces.len()).into_bytes();
    list.resize(list.len().next_multiple_of(BLOCK_LEN_BYTES), 0);
    list
}

/// Returns the headers of an entry, without its path and length.
fn describe(member: &Member<'_>, numeric_ids: bool) -> (UstarHeader, Pax) {
    let DirEntry { entry, user, group, .. } = member.found;
    let mut header = UstarHeader::new(kind_of(member));
    let mut pax = Pax::default();
    let target = match (&entry.content, entry.kind) {
        (Content::Inline(target), EntryKind::Symlink) => target,
        _ => &b""[..],
    };
    header.text_or(&mut pax, LINK_NAME, "linkpath", member.link_to.unwrap_or(target));
    header.number(MODE, u64::from(entry.mode));
    header.number_or(&mut pax, UID, "uid", u64::from(entry.uid));
    header.number_or(&mut pax, GID, "gid", u64::from(entry.gid));
    header.number(SIZE, 0);
    header.time(&mut pax, entry.mtime);
    if !numeric_ids {
        header.text_or(&mut pax, USER, "uname", user.as_deref().unwrap_or_default().as_bytes());
        header.text_or(&mut pax, GROUP, "gname", group.as_deref().unwrap_or_default().as_bytes());
    }
    let (major, minor) = entry.device.unwrap_or_default();
    header.number_or(&mut pax, DEVICE_MAJOR, "SCHILY.devmajor", u64::from(major));
    header.number_or(&mut pax, DEVICE_MINOR, "SCHILY.devminor", u64::from(minor));
    if member.link_to.is_none() {
        add_xattrs(&mut pax, entry);
    }
    (header, pax)
}

fn kind_of(member: &Member<'_>) -> u8 {
    match member.found.entry.kind {
        _ if member.link_to.is_some() => HARD_LINK,
        EntryKind::File | EntryKind::Socket => FILE,
        EntryKind::Dir => DIR,
        EntryKind::Symlink => SYMLINK,
        EntryKind::Fifo => FIFO,
        EntryKind::CharDevice => CHAR_DEVICE,
        EntryKind::BlockDevice => BLOCK_DEVICE,
    }
}

/// Adds extended attributes as star and GNU tar write them: `%` and `=` in names are escaped.
fn add_xattrs(pax: &mut Pax, entry: &Entry) {
    for xattr in &entry.xattrs {
        let mut key = b"SCHILY.xattr.".to_vec();
        for byte in &xattr.name {
            match byte {
                b'%' => key.extend(b"%25"),
                b'=' => key.extend(b"%3D"),
                byte => key.push(*byte),
            }
        }
        pax.record(&key, &xattr.value);
    }
}

/// A field of a header.
#[derive(Clone, Copy)]
struct HeaderField {
    start: usize,
    len: usize,
}

const fn field(start: usize, len: usize) -> HeaderField {
    HeaderField { start, len }
}

const NAME: HeaderField = field(0, 100);
const MODE: HeaderField = field(100, 8);
const UID: HeaderField = field(108, 8);
const GID: HeaderField = field(116, 8);
const SIZE: HeaderField = field(124, 12);
const MTIME: HeaderField = field(136, 12);
const CHECKSUM: HeaderField = field(148, 8);
const KIND_AT: usize = 156;
const LINK_NAME: HeaderField = field(157, 100);
const MAGIC: HeaderField = field(257, 8);
const USER: HeaderField = field(265, 32);
const GROUP: HeaderField = field(297, 32);
const DEVICE_MAJOR: HeaderField = field(329, 8);
const DEVICE_MINOR: HeaderField = field(337, 8);

/// A header of the format ustar.
struct UstarHeader([u8; BLOCK_LEN_BYTES]);

impl UstarHeader {
    fn new(kind: u8) -> Self {
        let mut header = Self([0; BLOCK_LEN_BYTES]);
        header.text(MAGIC, b"ustar\x0000");
        header.0[KIND_AT] = kind;
        header
    }

    /// Sets a field to as much of a text as fits; returns whether all of it does.
    fn text(&mut self, field: HeaderField, text: &[u8]) -> bool {
        let HeaderField { start, len } = field;
        let fitting = &text[..text.len().min(len)];
        self.0[start..start + len].fill(0);
        self.0[start..start + fitting.len()].copy_from_slice(fitting);
        fitting.len() == text.len()
    }

    /// Sets a field to a text, and adds a record to the extended header if it does not fit.
    fn text_or(&mut self, pax: &mut Pax, field: HeaderField, key: &str, text: &[u8]) {
        // Names of owners end with a zero byte.
        let is_short = text.len() < field.len || field.len == NAME.len;
        if !self.text(field, text) || !is_short {
            pax.record(key.as_bytes(), text);
        }
    }

    /// Sets a field to a number, or to 0 if it does not fit; returns whether it does.
    fn number(&mut self, field: HeaderField, number: u64) -> bool {
        let digits = field.len - 1;
        let fits = number < 1 << (3 * digits);
        self.text(field, format!("{:0digits$o}", if fits { number } else { 0 }).as_bytes());
        fits
    }

    fn number_or(&mut self, pax: &mut Pax, field: HeaderField, key: &str, number: u64) {
        if !self.number(field, number) {
            pax.record(key.as_bytes(), number.to_string().as_bytes());
        }
    }

    fn size(&mut self, pax: &mut Pax, len_bytes: u64) {
        self.number_or(pax, SIZE, "size", len_bytes);
    }

    /// Sets the time; fractions of seconds, and times before 1970, go to the extended header.
    fn time(&mut self, pax: &mut Pax, time: Timestamp) {
        let whole = u64::try_from(time.seconds).ok();
        let fits = whole.is_some_and(|seconds| self.number(MTIME, seconds));
        if whole.is_none() {
            self.number(MTIME, 0);
        }
        if !fits || time.nanos != 0 {
            pax.record(b"mtime", decimal(time).as_bytes());
        }
    }

    /// Returns the header with its checksum, in which the field itself counts as blanks.
    fn sealed(&mut self) -> &[u8] {
        self.text(CHECKSUM, b"        ");
        let sum: u64 = self.0.iter().map(|byte| u64::from(*byte)).sum();
        self.text(CHECKSUM, format!("{sum:06o}\0 ").as_bytes());
        &self.0
    }
}

/// Returns a time in seconds as a decimal fraction.
fn decimal(time: Timestamp) -> String {
    let Timestamp { seconds, nanos } = time;
    let text = match (seconds, nanos) {
        (_, 0) => return seconds.to_string(),
        (0.., _) => format!("{seconds}.{nanos:09}"),
        // Before 1970, too, nanoseconds count forwards.
        _ => format!("-{}.{:09}", (seconds + 1).unsigned_abs(), 1_000_000_000 - nanos),
    };
    text.trim_end_matches('0').to_owned()
}

/// Records of an extended header.
#[derive(Default)]
struct Pax(Vec<u8>);

impl Pax {
    /// Adds a record; its length counts its own digits.
    fn record(&mut self, key: &[u8], value: &[u8]) {
        let rest = key.len() + value.len() + 3;
        let mut digits = 1;
        while (rest + digits).to_string().len() > digits {
            digits += 1;
        }
        self.0.extend_from_slice(format!("{} ", rest + digits).as_bytes());
        self.0.extend_from_slice(&[key, b"=", value, b"\n"].concat());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_count_their_own_length() {
        for len in [0, 1, 80, 90, 91, 92, 93, 94, 95, 986, 987, 988, 989, 990, 9_981, 9_982, 99_990]
        {
            let mut pax = Pax::default();
            pax.record(b"path", &vec![b'x'; len]);
            let text = String::from_utf8(pax.0).unwrap();
            assert_eq!(text.split(' ').next().unwrap().parse(), Ok(text.len()), "{len}");
        }
    }

    #[test]
    fn times_are_decimal_fractions() {
        let time = |seconds, nanos| decimal(Timestamp { seconds, nanos });
        assert_eq!(time(1, 0), "1");
        assert_eq!(time(1, 500_000_000), "1.5");
        assert_eq!(time(10, 1), "10.000000001");
        assert_eq!(time(-10, 0), "-10");
        assert_eq!(time(-1, 500_000_000), "-0.5");
        assert_eq!(time(-2, 999_999_999), "-1.000000001");
    }

    #[test]
    fn numbers_that_do_not_fit_stand_in_the_extended_header() {
        let (mut header, mut pax) = (UstarHeader::new(FILE), Pax::default());
        header.number_or(&mut pax, UID, "uid", 0o7_777_777);
        assert!(pax.0.is_empty() && &header.0[108..116] == b"7777777\0");
        header.number_or(&mut pax, UID, "uid", 0o10_000_000);
        assert!(pax.0 == b"15 uid=2097152\n" && &header.0[108..116] == b"0000000\0");
        header.size(&mut pax, 8 << 30);
        assert!(pax.0.ends_with(b"19 size=8589934592\n"));
    }
}
