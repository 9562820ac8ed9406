//! Sparse files: the map of their data, and a writer that leaves holes out.

use std::io::{self, Write};

use crate::format::entry::{Content, Ref};
use crate::monitor::Monitor;
use crate::repo::{Error, Result, Trees};

/// Most pieces of data in a map; a file with more is written with its zeros.
const PIECES_MAX: usize = 100_000;

/// Extents of data in a file: offsets and lengths, ascending and not adjacent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DataMap(pub Vec<(u64, u64)>);

impl DataMap {
    /// Returns the map of a file's content; `None` if it has no holes, or too many.
    ///
    /// A hostile list may be very long, so this checks `monitor` and fails with
    /// [`Error::Cancelled`].
    pub(super) fn of(trees: &Trees, content: &Content, monitor: &Monitor) -> Result<Option<Self>> {
        let (mut pieces, mut at, mut has_holes) = (Vec::<(u64, u64)>::new(), 0u64, false);
        for piece in trees.refs(content) {
            let piece = piece?;
            if monitor.is_cancelled() {
                return Err(Error::Cancelled);
            }
            match (piece, pieces.last_mut()) {
                (Ref::Hole { .. }, _) => has_holes = true,
                (Ref::Data { len, .. }, Some((offset, data_len))) if *offset + *data_len == at => {
                    *data_len += u64::from(len)
                }
                (Ref::Data { len, .. }, _) => pieces.push((at, u64::from(len))),
            }
            if pieces.len() > PIECES_MAX {
                return Ok(None);
            }
            at = at.saturating_add(piece.len());
        }
        Ok(has_holes.then_some(Self(pieces)))
    }

    /// Returns the bytes of data.
    pub(super) fn data_len(&self) -> u64 {
        self.0.iter().map(|(_, len)| len).sum()
    }
}

/// A writer that takes a file from its beginning, passes on its data and drops its holes.
pub(super) struct WithoutHoles<'a> {
    out: &'a mut dyn Write,
    /// Remaining pieces, the next one last.
    pieces: Vec<(u64, u64)>,
    at: u64,
}

impl<'a> WithoutHoles<'a> {
    /// Starts at the beginning of a file.
    pub(super) fn new(out: &'a mut dyn Write, map: &DataMap) -> Self {
        Self { out, pieces: map.0.iter().rev().copied().collect(), at: 0 }
    }

    /// Returns how many bytes of the file were written.
    pub(super) fn at(&self) -> u64 {
        self.at
    }
}

impl Write for WithoutHoles<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        while self.pieces.last().is_some_and(|(offset, len)| offset + len <= self.at) {
            self.pieces.pop();
        }
        let most = |len: u64| usize::try_from(len).unwrap_or(usize::MAX).min(bytes.len());
        let len = match self.pieces.last() {
            None => bytes.len(),
            Some((offset, _)) if *offset > self.at => most(offset - self.at),
            Some((offset, len)) => {
                let len = most(offset + len - self.at);
                self.out.write_all(&bytes[..len])?;
                len
            }
        };
        self.at += len as u64;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_left_out_however_the_bytes_come() {
        let map = DataMap(vec![(2, 3), (7, 1), (9, 4)]);
        let file: Vec<u8> = (0..16).collect();
        for step in 1..=16 {
            let mut out = Vec::new();
            let mut filter = WithoutHoles::new(&mut out, &map);
            file.chunks(step).for_each(|piece| filter.write_all(piece).unwrap());
            assert_eq!(filter.at(), 16);
            assert_eq!(out, [2, 3, 4, 7, 9, 10, 11, 12], "in steps of {step}");
        }
        assert_eq!(map.data_len(), 8);
    }
}
