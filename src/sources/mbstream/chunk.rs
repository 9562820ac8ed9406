//! Heads of the stream's chunks: all that precedes a payload.
//!
//! Integers are little-endian. Every chunk begins with a mark (8 bytes), flags (1), type (1), the
//! length of its path (4) and the path. Then, by type:
//!
//! | type | meaning | after the path | since |
//! |---|---|---|---|
//! | `P` | content | payload length (8), offset (8), CRC-32 of the payload (4), payload | |
//! | `E` | end of a file | | |
//! | `R` | a file has another name | length of the new path (4), new path | 10.11.8 |
//! | `D` | a file, directory or pattern is gone | | 10.11.8 |
//! | `S` | the file goes on elsewhere | offset (8) | 10.11.8 |
//!
//! The only flag is `REWRITE`, on content: the file replaces an earlier one of the same path. The
//! program uses it, `R` and `D` for tables outside of InnoDB that DDL statements changed after they
//! were copied. Percona's program has the same mark, but `S` and the flag mean other things there:
//! `metadata` refuses its backups.

/// Mark of every chunk.
const MARK: &[u8; 8] = b"XBSTCK01";
/// Flag of content that replaces the earlier content of its path.
const REWRITE: u8 = 2;
/// Length of the mark, flags, type, and length of the path.
const FIXED_LEN_BYTES: usize = 14;
/// Longest path; the program itself has no longer one (`FN_REFLEN`).
const PATH_LEN_MAX_BYTES: usize = 512;
/// Largest payload, which is never in memory as a whole. The program fills chunks to 10 MiB, but
/// sends what it finds of the server's log in one: as much as the log may hold.
const PAYLOAD_LEN_MAX_BYTES: u64 = 1 << 44;

/// The head of a chunk.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Head<'a> {
    /// Content of a file; the payload follows the head.
    Payload(Payload<'a>),
    /// End of a file.
    End { path: &'a [u8] },
    /// A file of another name.
    Rename { from: &'a [u8], to: &'a [u8] },
    /// A file, directory or pattern that is gone.
    Remove { path: &'a [u8] },
    /// A jump to another place of an open file.
    Seek { path: &'a [u8] },
}

/// The head of a chunk with content.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Payload<'a> {
    /// The file.
    pub(super) path: &'a [u8],
    /// The file replaces an earlier one of the same path.
    pub(super) is_rewrite: bool,
    /// Length of the payload.
    pub(super) len_bytes: u64,
    /// Position of the payload in the file.
    pub(super) offset: u64,
    /// Checksum of the payload.
    pub(super) crc32: u32,
}

/// What the first bytes of a chunk are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded<'a> {
    /// Not yet a whole head: this many bytes, counted from its first, are needed to know more.
    Needs(usize),
    /// The head; it takes all of the bytes.
    Whole(Head<'a>),
}

/// Decodes the bytes that a chunk begins with.
///
/// The caller gives as many bytes as the last answer needed, at first none; so a head is never
/// longer than 1,042 bytes. Fails with the rule that is broken.
pub(super) fn decode(bytes: &[u8]) -> Result<Decoded<'_>, String> {
    let mut fields = Fields { bytes, at: 0 };
    let Some(fixed) = fields.take(FIXED_LEN_BYTES) else { return Ok(fields.needs()) };
    if &fixed[..8] != MARK {
        return Err("a chunk has no mark".to_owned());
    }
    let [flags, kind] = [fixed[8], fixed[9]];
    let Some(path) = fields.path(fixed.last_chunk().expect("the fixed part has 14 bytes"))? else {
        return Ok(fields.needs());
    };
    if flags != 0 && (kind, flags) != (b'P', REWRITE) {
        return Err(format!("a chunk of type {} has the flags {flags:#04x}", shown(kind)));
    }
    let head = match kind {
        b'P' => fields.payload(path, flags == REWRITE)?.map(Head::Payload),
        b'E' => Some(Head::End { path }),
        b'R' => fields.second_path()?.map(|to| Head::Rename { from: path, to }),
        b'D' => Some(Head::Remove { path }),
        b'S' => fields.take(8).map(|_offset| Head::Seek { path }),
        // Not skipped even where a flag allows it: what is skipped is not backed up.
        _ => return Err(format!("a chunk has the unknown type {}", shown(kind))),
    };
    Ok(head.map_or_else(|| fields.needs(), Decoded::Whole))
}

/// Returns a type for people.
fn shown(kind: u8) -> String {
    format!("`{}`", kind.escape_ascii())
}

/// A reader of fields that remembers how many bytes it would have needed.
struct Fields<'a> {
    bytes: &'a [u8],
    /// The end of the last field, there or not.
    at: usize,
}

impl<'a> Fields<'a> {
    /// Returns the next field of this length, if it is there.
    fn take(&mut self, len_bytes: usize) -> Option<&'a [u8]> {
        let start = self.at;
        self.at += len_bytes;
        self.bytes.get(start..self.at)
    }

    fn needs(&self) -> Decoded<'a> {
        Decoded::Needs(self.at)
    }

    /// Returns a path whose length was read.
    fn path(&mut self, len_bytes: &[u8; 4]) -> Result<Option<&'a [u8]>, String> {
        match u32::from_le_bytes(*len_bytes) as usize {
            len_bytes if len_bytes <= PATH_LEN_MAX_BYTES => Ok(self.take(len_bytes)),
            len_bytes => Err(format!(
                "a path has {len_bytes} bytes, and at most {PATH_LEN_MAX_BYTES} may be"
            )),
        }
    }

    /// Returns a path with its length.
    fn second_path(&mut self) -> Result<Option<&'a [u8]>, String> {
        match self.take(4).and_then(|bytes| bytes.first_chunk()) {
            Some(len_bytes) => self.path(len_bytes),
            None => Ok(None),
        }
    }

    /// Returns the rest of the head of a chunk with content.
    fn payload(&mut self, path: &'a [u8], is_rewrite: bool) -> Result<Option<Payload<'a>>, String> {
        let Some(rest) = self.take(20) else { return Ok(None) };
        let number = |at: usize| {
            u64::from_le_bytes(*rest[at..].first_chunk().expect("8 of 20 bytes from 0 or 8"))
        };
        let crc32 = u32::from_le_bytes(*rest.last_chunk().expect("4 of 20 bytes"));
        let payload = Payload { path, is_rewrite, len_bytes: number(0), offset: number(8), crc32 };
        if payload.len_bytes > PAYLOAD_LEN_MAX_BYTES {
            return Err(format!(
                "a payload has {} bytes, and at most {PAYLOAD_LEN_MAX_BYTES} may be",
                payload.len_bytes
            ));
        }
        Ok(Some(payload))
    }
}
