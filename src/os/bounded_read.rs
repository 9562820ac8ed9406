//! Reading of files that must be short: a wrong name may lead to a huge file, which must not fill
//! the memory.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Returns the content of a file; fails if it is longer than `len_max_bytes`.
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
