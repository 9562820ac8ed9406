//! Zip files: deflated, with names in UTF-8, modes, times, and zip64 where it is needed.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::DeflateEncoder;
use rawzip::path::ZipFilePath;
use rawzip::time::UtcDateTime;
use rawzip::{CompressionMethod, ZipArchiveWriter};

use super::format::{AddError, Format, Lack, Member, WriteContent};
use crate::format::entry::{Content, EntryKind};
use crate::repo::{self, DirEntry};

/// File type bits of a mode, as in `stat`.
const MODE_FILE: u32 = 0o100_000;
const MODE_DIR: u32 = 0o040_000;
const MODE_SYMLINK: u32 = 0o120_000;
/// Longest path that is written: Linux cannot unpack longer ones.
const PATH_LEN_MAX_BYTES: usize = 4_095;

/// A zip file, while it is written.
pub(super) struct Zip<W>(Option<ZipArchiveWriter<W>>);

impl<W: Write> Zip<W> {
    /// Begins a zip file.
    pub(super) fn new(out: W) -> Self {
        Self(Some(ZipArchiveWriter::new(out)))
    }

    fn writer(&mut self) -> &mut ZipArchiveWriter<W> {
        self.0.as_mut().expect("nothing is added behind the end")
    }

    fn add_dir(&mut self, name: &str, member: &Member<'_>) -> Result<(), AddError> {
        let entry = &member.found.entry;
        let name = format!("{name}/");
        let dir = self.writer().new_dir(&name).unix_permissions(MODE_DIR | u32::from(entry.mode));
        dir.last_modified(UtcDateTime::from_unix(entry.mtime.seconds))
            .create()
            .map(drop)
            .map_err(failed)
    }

    fn add_file(
        &mut self,
        name: &str,
        member: &Member<'_>,
        content: &mut WriteContent<'_>,
    ) -> Result<(), AddError> {
        let entry = &member.found.entry;
        let is_link = entry.kind == EntryKind::Symlink;
        let method = if is_link || entry.size == 0 {
            CompressionMethod::STORE
        } else {
            CompressionMethod::DEFLATE
        };
        let mode = if is_link { MODE_SYMLINK | 0o777 } else { MODE_FILE | u32::from(entry.mode) };
        let file = self.writer().new_file(name).compression_method(method).unix_permissions(mode);
        let (mut out, config) = file
            .last_modified(UtcDateTime::from_unix(entry.mtime.seconds))
            .start()
            .map_err(failed)?;
        let end = if method == CompressionMethod::STORE {
            let mut plain = config.wrap(&mut out);
            match &entry.content {
                Content::Inline(target) if is_link => plain.write_all(target)?,
                _ => content(&mut plain)?,
            }
            plain.finish().map_err(failed)?.1
        } else {
            let mut deflated = config.wrap(DeflateEncoder::new(&mut out, Compression::default()));
            content(&mut deflated)?;
            let (encoder, end) = deflated.finish().map_err(failed)?;
            encoder.finish()?;
            end
        };
        if end.uncompressed_size() != entry.size {
            return Err(AddError::Torn(repo::Error::WrongContent { object: name.to_owned() }));
        }
        out.finish(end).map(drop).map_err(failed)
    }
}

fn failed(error: rawzip::Error) -> AddError {
    AddError::Output(io::Error::other(error))
}

impl<W: Write> Format for Zip<W> {
    fn holds_links(&self) -> bool {
        false
    }

    fn lack(&self, path: &[u8], found: &DirEntry) -> Lack {
        let entry = &found.entry;
        let is_held = |name: &str| ZipFilePath::from_str(name).as_str() == name;
        match entry.kind {
            EntryKind::Socket => return Lack::Trifle("a socket, which archives do not hold"),
            EntryKind::Fifo => return Lack::All("a named pipe, which zip files do not hold"),
            EntryKind::CharDevice | EntryKind::BlockDevice => {
                return Lack::All("a device, which zip files do not hold");
            }
            EntryKind::File | EntryKind::Dir | EntryKind::Symlink => {}
        }
        if path.len() > PATH_LEN_MAX_BYTES {
            return Lack::All(
                "its path is longer than 4,095 bytes, and zip files with such paths cannot be \
                    unpacked",
            );
        }
        if !std::str::from_utf8(path).is_ok_and(is_held) {
            return Lack::All(
                "its name is not UTF-8, or has a backslash or colon: zip files do not hold it",
            );
        }
        match (entry.hard_link, entry.xattrs.is_empty()) {
            (Some(_), _) => Lack::Part("a hard link, which is a file of its own in a zip file"),
            (None, false) => Lack::Part("has attributes, which zip files do not hold"),
            (None, true) => Lack::Nothing,
        }
    }

    fn add(&mut self, member: &Member<'_>, content: &mut WriteContent<'_>) -> Result<(), AddError> {
        let name = std::str::from_utf8(member.path)
            .map_err(|error| AddError::Output(io::Error::other(error)))?;
        match member.found.entry.kind {
            EntryKind::Dir => self.add_dir(name, member),
            _ => self.add_file(name, member, content),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        let writer = self.0.take().expect("it is ended once");
        writer.finish().map(drop).map_err(io::Error::other)
    }
}
