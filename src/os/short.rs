//! Reading named files that are short by their nature: what else the name may
//! lead to is not taken into memory.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Returns what a file holds; fails if that is longer than this.
pub fn read(file: &Path, len_max_bytes: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(len_max_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > len_max_bytes {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is longer than {} KiB", len_max_bytes >> 10),
        ));
    }
    Ok(bytes)
}
