//! Chunking: FastCDC with a secret table, or fixed blocks. Spec: `format-spec/05-ids.md`.

use fastcdc::v2020::{Normalization, cut_gear, select_masks};
use zeroize::Zeroizing;

use crate::format::config::Profile;

/// How a file is cut. Spec: `format-spec/05-ids.md`, section 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cutting {
    /// By the profile of a repository, or by one that the user chose for a backup.
    Profile(Profile),
    /// 2 KiB, 8 KiB, 32 KiB: for dumps and files of databases, in which changes are small and
    /// scattered. A writer's choice for a file: no repository is made with it.
    Rows,
}

/// Finds cut points in a stream of bytes.
pub struct Cutter {
    len_min: usize,
    len_avg: usize,
    len_max: usize,
    masks: [u64; 4],
    gear: Zeroizing<[u64; 256]>,
    gear_shifted: Zeroizing<[u64; 256]>,
}

/// Length of a fixed block in bytes.
pub const FIXED_BLOCK_LEN_BYTES: usize = 64 << 10;

/// Returns the least, average and greatest chunk length in bytes.
pub const fn chunk_lens(cutting: Cutting) -> (usize, usize, usize) {
    let Cutting::Profile(profile) = cutting else {
        return (2 << 10, 8 << 10, 32 << 10);
    };
    match profile {
        Profile::Small => (16 << 10, 64 << 10, 256 << 10),
        Profile::Standard => (32 << 10, 128 << 10, 512 << 10),
        Profile::Large => (256 << 10, 1 << 20, 4 << 20),
        Profile::Fixed => (FIXED_BLOCK_LEN_BYTES, FIXED_BLOCK_LEN_BYTES, FIXED_BLOCK_LEN_BYTES),
    }
}

impl Cutter {
    /// Makes a cutter with the repository's secret table.
    pub fn new(cutting: Cutting, gear: &[u64; 256]) -> Self {
        let (len_min, len_avg, len_max) = chunk_lens(cutting);
        let (strict, loose) = select_masks(len_avg, Normalization::Level1);
        let mut shifted = Zeroizing::new([0; 256]);
        for (to, from) in shifted.iter_mut().zip(gear) {
            *to = from << 1;
        }
        Self {
            len_min,
            len_avg,
            len_max,
            masks: [strict, loose, strict << 1, loose << 1],
            gear: Zeroizing::new(*gear),
            gear_shifted: shifted,
        }
    }

    /// Returns the greatest length of a chunk in bytes.
    pub fn len_max(&self) -> usize {
        self.len_max
    }

    /// Returns the length of the first chunk of `bytes` (at least 1, at most [`Self::len_max`]).
    ///
    /// Unless `bytes` reaches the end of the stream it must hold at least [`Self::len_max`] bytes.
    pub fn cut(&self, bytes: &[u8]) -> usize {
        if bytes.len() <= self.len_min {
            return bytes.len();
        }
        if self.len_min == self.len_max {
            return self.len_max.min(bytes.len());
        }
        let [strict, loose, strict_shifted, loose_shifted] = self.masks;
        let (_, len) = cut_gear(
            bytes,
            self.len_min,
            self.len_avg,
            self.len_max,
            strict,
            loose,
            strict_shifted,
            loose_shifted,
            &*self.gear,
            &*self.gear_shifted,
        );
        len
    }
}
