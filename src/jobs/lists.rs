//! Files with lists of patterns or of sources.
//!
//! A mistyped name may be any file, even a disk image or an endless device, so all lengths have
//! limits.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::connect::{Error, Result};
use crate::format::limits::PATH_LEN_MAX_BYTES;
use crate::rules::BYTE_ORDER_MARK;

/// Limits of a file of patterns: its length, the length of a line, and the number of lines.
const RULES_LEN_MAX_BYTES: u64 = 8 << 20;
const RULE_LEN_MAX_BYTES: usize = 4 << 10;
const RULES_MAX: usize = 50_000;
/// Memory limit for the names in one file, and the overhead of each.
const NAMES_LEN_MAX_BYTES: usize = 64 << 20;
const NAME_BESIDE_BYTES: usize = 32;

/// Returns the content of a file of patterns; fails if it exceeds the limits.
pub fn rules_in(file: &Path) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let read = File::open(file)
        .and_then(|opened| opened.take(RULES_LEN_MAX_BYTES + 1).read_to_end(&mut text));
    read.map_err(|error| Error::file("read the exclude file", file, error))?;
    let too_much =
        |what: String| Err(Error::usage(format!("the exclude file {} {what}", file.display())));
    if text.len() as u64 > RULES_LEN_MAX_BYTES {
        return too_much(format!("is longer than {} MiB", RULES_LEN_MAX_BYTES >> 20));
    }
    let lines = || text.split(|byte| *byte == b'\n');
    if lines().count() > RULES_MAX {
        return too_much(format!("has more than {RULES_MAX} lines"));
    }
    match lines().position(|line| line.len() > RULE_LEN_MAX_BYTES) {
        Some(at) => too_much(format!(
            "has a line {} that is longer than {} KiB",
            at + 1,
            RULE_LEN_MAX_BYTES >> 10
        )),
        None => Ok(text),
    }
}

/// Returns the names of sources in a file, or in standard input for `-`: one per line, or one
/// before each zero byte.
pub fn names_in(file: &Path, end_in_zero: bool) -> Result<Vec<PathBuf>> {
    let fail = |error: io::Error| Error::file("read the names of sources from", file, error);
    let input: Box<dyn Read> = match file.as_os_str().as_bytes() {
        b"-" => Box::new(io::stdin()),
        _ => Box::new(File::open(file).map_err(fail)?),
    };
    let mut input = BufReader::new(input);
    let end = if end_in_zero { 0 } else { b'\n' };
    let refused = |what: String| Error::usage(format!("{} has {what}", file.display()));
    let (mut names, mut room, mut is_first) = (Vec::new(), NAMES_LEN_MAX_BYTES, true);
    loop {
        let mut name = Vec::new();
        // One byte more, for its end.
        let longest = PATH_LEN_MAX_BYTES as u64 + 1;
        if input.by_ref().take(longest).read_until(end, &mut name).map_err(fail)? == 0 {
            return Ok(names);
        }
        name.pop_if(|last| *last == end);
        // Some editors write a byte order mark; names that end with zero bytes come from programs.
        if std::mem::take(&mut is_first) && !end_in_zero && name.starts_with(BYTE_ORDER_MARK) {
            name.drain(..BYTE_ORDER_MARK.len());
        }
        if name.len() > PATH_LEN_MAX_BYTES {
            return Err(refused(format!(
                "a name that is longer than {} MiB",
                PATH_LEN_MAX_BYTES >> 20
            )));
        }
        if name.contains(&0) {
            let hint = "names that end with a zero byte, as `find -print0` gives them, need --null";
            return Err(refused("zero bytes in its names".to_owned()).hint(hint));
        }
        room = room.checked_sub(name.len() + NAME_BESIDE_BYTES).ok_or_else(|| {
            let hint = "name folders instead of all that lies in them, or take several backups";
            refused(format!("more names than fit into {} MiB", NAMES_LEN_MAX_BYTES >> 20))
                .hint(hint)
        })?;
        if !name.is_empty() {
            name.shrink_to_fit();
            names.push(PathBuf::from(std::ffi::OsString::from_vec(name)));
        }
    }
}
