//! Encoding of SFTP version 3 and two OpenSSH extensions. Pure: nothing is sent here.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Protocol version.
pub const VERSION: u32 = 3;
/// Longest accepted packet; OpenSSH's are at most 256 KiB.
pub const ANSWER_LEN_MAX_BYTES: usize = 1 << 20;
/// Bytes of a file per read or write request: every server accepts this length.
pub const BLOCK_LEN_BYTES: usize = 32 << 10;

/// Flags that create a file, which must not exist, for writing.
pub const NEW_FILE: u32 = 0x02 | 0x08 | 0x20;
/// Flags that open a file for reading.
pub const READING: u32 = 0x01;

/// The server's handle of an open file or directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handle(Vec<u8>);

/// One request.
#[derive(Clone, Copy, Debug)]
pub enum Request<'a> {
    /// Opens a file.
    Open(&'a Path, u32),
    /// Closes a file or directory.
    Close(&'a Handle),
    /// Reads bytes at an offset.
    Read(&'a Handle, u64, u32),
    /// Writes bytes at an offset.
    Write(&'a Handle, u64, &'a [u8]),
    /// Reads attributes, links not followed.
    LStat(&'a Path),
    /// Reads attributes, links followed.
    Stat(&'a Path),
    /// Opens a directory.
    OpenDir(&'a Path),
    /// Reads more names of an open directory.
    ReadDir(&'a Handle),
    /// Removes a file.
    Remove(&'a Path),
    /// Makes a directory with these permissions.
    MakeDir(&'a Path, u32),
    /// Resolves a path.
    RealPath(&'a Path),
    /// Renames a file; the new name must be free.
    Rename(&'a Path, &'a Path),
    /// `fsync@openssh.com`.
    Sync(&'a Handle),
    /// `fstatvfs@openssh.com`.
    StatFileSystem(&'a Handle),
}

impl Request<'_> {
    /// Appends the encoded request.
    pub fn encode(&self, id: u32, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        out.push(self.number());
        put_u32(out, id);
        match *self {
            Self::Open(path, flags) => {
                put_path(out, path);
                put_u32(out, flags);
                put_permissions(out, 0o600);
            }
            Self::Close(handle) | Self::ReadDir(handle) => put(out, &handle.0),
            Self::Read(handle, offset, len) => {
                put(out, &handle.0);
                out.extend_from_slice(&offset.to_be_bytes());
                put_u32(out, len);
            }
            Self::Write(handle, offset, bytes) => {
                put(out, &handle.0);
                out.extend_from_slice(&offset.to_be_bytes());
                put(out, bytes);
            }
            Self::LStat(path)
            | Self::Stat(path)
            | Self::OpenDir(path)
            | Self::Remove(path)
            | Self::RealPath(path) => {
                put_path(out, path);
            }
            Self::MakeDir(path, permissions) => {
                put_path(out, path);
                put_permissions(out, permissions);
            }
            Self::Rename(from, to) => {
                put_path(out, from);
                put_path(out, to);
            }
            Self::Sync(handle) => {
                put(out, b"fsync@openssh.com");
                put(out, &handle.0);
            }
            Self::StatFileSystem(handle) => {
                put(out, b"fstatvfs@openssh.com");
                put(out, &handle.0);
            }
        }
        end(out, start);
    }

    fn number(&self) -> u8 {
        match self {
            Self::Open(..) => 3,
            Self::Close(_) => 4,
            Self::Read(..) => 5,
            Self::Write(..) => 6,
            Self::LStat(_) => 7,
            Self::OpenDir(_) => 11,
            Self::ReadDir(_) => 12,
            Self::Remove(_) => 13,
            Self::MakeDir(..) => 14,
            Self::RealPath(_) => 16,
            Self::Stat(_) => 17,
            Self::Rename(..) => 18,
            Self::Sync(_) | Self::StatFileSystem(_) => 200,
        }
    }
}

/// Appends the greeting.
pub fn encode_greeting(out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, 1]);
    put_u32(out, VERSION);
    end(out, start);
}

fn put_u32(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_be_bytes());
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u32(out, u32::try_from(bytes.len()).expect("no request is that long"));
    out.extend_from_slice(bytes);
}

fn put_path(out: &mut Vec<u8>, path: &Path) {
    put(out, path.as_os_str().as_bytes());
}

fn put_permissions(out: &mut Vec<u8>, permissions: u32) {
    put_u32(out, HAS_PERMISSIONS);
    put_u32(out, permissions);
}

fn end(out: &mut [u8], start: usize) {
    let len = u32::try_from(out.len() - start - 4).expect("no request is that long");
    out[start..start + 4].copy_from_slice(&len.to_be_bytes());
}

const HAS_SIZE: u32 = 1;
const HAS_OWNER: u32 = 2;
const HAS_PERMISSIONS: u32 = 4;
const HAS_TIMES: u32 = 8;
const HAS_MORE: u32 = 1 << 31;

/// Attributes of a file or directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Length in bytes.
    pub len_bytes: Option<u64>,
    /// Kind and permissions, as in POSIX.
    pub mode: Option<u32>,
    /// When it was changed last, in seconds since 1970.
    pub modified_s: Option<u32>,
}

impl Attributes {
    /// Returns whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.mode.is_some_and(|mode| mode & 0o170_000 == 0o040_000)
    }

    /// Returns whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.mode.is_some_and(|mode| mode & 0o170_000 == 0o100_000)
    }
}

/// Status of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// Free bytes.
    pub room_bytes: u64,
    /// Total and free inodes; the total is 0 if there is no limit.
    pub files: (u64, u64),
    /// Whether it is mounted read-only.
    pub is_read_only: bool,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Status code; 0 is success.
    Status(u32),
    /// Handle of an open file or directory.
    Handle(Handle),
    /// Bytes of a file.
    Data(Vec<u8>),
    /// Names and their attributes.
    Names(Vec<(Vec<u8>, Attributes)>),
    /// Attributes of a path.
    Attributes(Attributes),
    /// Reply of an extension.
    Extended(Vec<u8>),
}

impl Answer {
    /// Decodes the reply to `fstatvfs`.
    pub fn file_system(&self) -> Option<FileSystem> {
        let Self::Extended(bytes) = self else { return None };
        let mut rest = &bytes[..];
        let mut fields = [0; 11];
        for field in &mut fields {
            *field = take_u64(&mut rest)?;
        }
        let room_bytes = fields[4].saturating_mul(fields[1]);
        Some(FileSystem {
            room_bytes,
            files: (fields[5], fields[7]),
            is_read_only: fields[9] & 1 != 0,
        })
    }
}

/// A packet from a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// The server's version.
    Version(u32),
    /// A reply, and the number of its request.
    Answer(u32, Answer),
}

/// Decodes a packet, without its four length bytes; `None` if a server must not send it.
pub fn decode(packet: &[u8]) -> Option<Packet> {
    let (kind, mut rest) = packet.split_first()?;
    let rest = &mut rest;
    let number = take_u32(rest)?;
    let answer = match kind {
        2 => return Some(Packet::Version(number)),
        101 => Answer::Status(take_u32(rest)?),
        102 => Answer::Handle(Handle(take(rest).filter(|handle| handle.len() <= 256)?.to_vec())),
        103 => Answer::Data(take(rest)?.to_vec()),
        104 => {
            let count = take_u32(rest)?;
            // Each name takes at least twelve bytes, which limits the capacity.
            let mut names = Vec::with_capacity((count as usize).min(packet.len() / 12));
            for _ in 0..count {
                let name = take(rest)?.to_vec();
                take(rest)?;
                names.push((name, take_attributes(rest)?));
            }
            Answer::Names(names)
        }
        105 => Answer::Attributes(take_attributes(rest)?),
        201 => Answer::Extended(rest.to_vec()),
        _ => return None,
    };
    Some(Packet::Answer(number, answer))
}

fn take_attributes(rest: &mut &[u8]) -> Option<Attributes> {
    let mut attributes = Attributes::default();
    let has = take_u32(rest)?;
    if has & HAS_SIZE != 0 {
        attributes.len_bytes = Some(take_u64(rest)?);
    }
    if has & HAS_OWNER != 0 {
        take_u64(rest)?;
    }
    if has & HAS_PERMISSIONS != 0 {
        attributes.mode = Some(take_u32(rest)?);
    }
    if has & HAS_TIMES != 0 {
        take_u32(rest)?;
        attributes.modified_s = Some(take_u32(rest)?);
    }
    if has & HAS_MORE != 0 {
        for _ in 0..take_u32(rest)? {
            take(rest)?;
            take(rest)?;
        }
    }
    Some(attributes)
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u32::from_be_bytes(*bytes))
}

fn take_u64(rest: &mut &[u8]) -> Option<u64> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u64::from_be_bytes(*bytes))
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(take_u32(rest)?).ok()?;
    let (bytes, after) = rest.split_at_checked(len)?;
    *rest = after;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(request: Request<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        request.encode(7, &mut out);
        out
    }

    #[test]
    fn requests_are_those_of_the_protocol() {
        assert_eq!(
            encoded(Request::Stat(Path::new("ab"))),
            b"\0\0\0\x0b\x11\0\0\0\x07\0\0\0\x02ab"
        );
        let open = encoded(Request::Open(Path::new("a"), NEW_FILE));
        assert_eq!(open, b"\0\0\0\x16\x03\0\0\0\x07\0\0\0\x01a\0\0\0\x2a\0\0\0\x04\0\0\x01\x80");
        let handle = Handle(b"h".to_vec());
        assert_eq!(
            encoded(Request::Write(&handle, 258, b"xy")),
            b"\0\0\0\x18\x06\0\0\0\x07\0\0\0\x01h\0\0\0\0\0\0\x01\x02\0\0\0\x02xy"
        );
        assert_eq!(
            encoded(Request::Sync(&handle)),
            b"\0\0\0\x1f\xc8\0\0\0\x07\0\0\0\x11fsync@openssh.com\0\0\0\x01h"
        );
        let mut greeting = Vec::new();
        encode_greeting(&mut greeting);
        assert_eq!(greeting, b"\0\0\0\x05\x01\0\0\0\x03");
    }

    #[test]
    fn answers_are_understood_or_refused_wherever_they_are_cut() {
        let attributes =
            b"\x80\0\0\x0f\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\x81\xa4\0\0\0\x05\0\0\0\x06\0\0\0\x01\0\0\0\x01k\0\0\0\x01v";
        let is = Attributes { len_bytes: Some(256), mode: Some(0o100_644), modified_s: Some(6) };
        let names =
            [b"\x68\0\0\0\x07\0\0\0\x01\0\0\0\x01n\0\0\0\x02ll".as_slice(), attributes].concat();
        let statvfs: Vec<u8> = b"\xc9\0\0\0\x07"
            .iter()
            .copied()
            .chain((1..=11u64).flat_map(u64::to_be_bytes))
            .collect();
        let expected = [
            (b"\x65\0\0\0\x07\0\0\0\x02".to_vec(), Answer::Status(2)),
            (b"\x66\0\0\0\x07\0\0\0\x01h".to_vec(), Answer::Handle(Handle(b"h".to_vec()))),
            (b"\x67\0\0\0\x07\0\0\0\x02ab".to_vec(), Answer::Data(b"ab".to_vec())),
            ([b"\x69\0\0\0\x07".as_slice(), attributes].concat(), Answer::Attributes(is)),
            (names, Answer::Names(vec![(b"n".to_vec(), is)])),
        ];
        for (bytes, answer) in expected {
            assert_eq!(decode(&bytes), Some(Packet::Answer(7, answer)));
            (0..bytes.len()).for_each(|len| assert_eq!(decode(&bytes[..len]), None, "{len}"));
        }
        let Some(Packet::Answer(7, answer)) = decode(&statvfs) else {
            panic!("an extension's answer")
        };
        let system = FileSystem { room_bytes: 10, files: (6, 8), is_read_only: false };
        assert_eq!(answer.file_system(), Some(system));
        assert!(is.is_file() && !is.is_dir());
        // A count of names never takes more memory than the packet has bytes.
        assert_eq!(decode(b"\x68\0\0\0\x07\xff\xff\xff\xff"), None);
        assert_eq!((decode(b""), decode(b"\x03\0\0\0\x07")), (None, None));
    }
}
