//! zstd compression of segments: reused contexts, a probe that skips incompressible data, and a
//! hard limit of the output.
//!
//! Spec: `format-spec/04-container.md`, section "Segments". The level is not part of the format.

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::CParameter;

use crate::format::codec::DecodeError;
use crate::format::limits::SEGMENT_RAW_LEN_MAX_BYTES;

/// How hard to compress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// A zstd level, 1 to 22.
    Level(i32),
}

impl Compression {
    /// What `--compression default` means.
    pub const DEFAULT: Self = Self::Level(3);
    /// What `--compression fast` means.
    pub const FAST: Self = Self::Level(1);
    /// What `--compression max` means.
    pub const MAX: Self = Self::Level(12);
}

/// Segments that shrink by less than this share (in 1/1000) are stored raw.
const GAIN_MIN_PERMILLE: usize = 30;
/// Bytes of each of the probe's samples.
const PROBE_LEN_BYTES: usize = 8 << 10;
/// zstd level of the probe. It finds repeats and codes no literals, so that bytes are counted too.
const PROBE_LEVEL: i32 = -5;
/// Number of counted windows, and the bytes of each.
const WINDOWS: usize = 16;
const WINDOW_LEN_BYTES: usize = 2 << 10;
/// Excess of equal pairs of bytes over random data (in 1/10) from which a window shrinks by about a
/// 30th or more.
const ALIKE_MIN_TENTHS: usize = 14;

/// Compresses segments on one thread.
pub struct SegmentCompressor {
    level: Option<i32>,
    is_thorough: bool,
    compressor: Compressor<'static>,
    probe: Compressor<'static>,
    scratch: Vec<u8>,
}

impl SegmentCompressor {
    /// Makes a compressor for one thread.
    pub fn new(compression: Compression) -> Self {
        let make = |level| Compressor::new(level).expect("a compression context needs only memory");
        let level = match compression {
            Compression::None => None,
            Compression::Level(level) => Some(level),
        };
        let mut compressor = make(level.unwrap_or(1));
        for parameter in parameters_for(level) {
            compressor.set_parameter(*parameter).expect("the parameters are within zstd's bounds");
        }
        Self {
            level,
            is_thorough: false,
            compressor,
            probe: make(PROBE_LEVEL),
            scratch: Vec::new(),
        }
    }

    /// Makes a compressor without probe that accepts any gain: for callers that rewrite segments,
    /// which must not grow.
    pub fn thorough(compression: Compression) -> Self {
        Self { is_thorough: true, ..Self::new(compression) }
    }

    /// Returns the compressed segment, or `None` if it is to be stored raw.
    ///
    /// The result depends only on `raw` and the level; the next call reuses the buffer.
    pub fn compress<'a>(&'a mut self, raw: &[u8]) -> Option<&'a [u8]> {
        self.level?;
        if !self.is_thorough && !self.looks_compressible(raw) {
            return None;
        }
        let worth = if self.is_thorough {
            raw.len()
        } else {
            raw.len() - raw.len() * GAIN_MIN_PERMILLE / 1000
        };
        self.scratch.resize(zstd::zstd_safe::compress_bound(raw.len()), 0);
        let len = self.compressor.compress_to_buffer(raw, &mut self.scratch[..]).ok()?;
        (len < worth).then(|| &self.scratch[..len])
    }

    /// Compresses three small samples at a fast level, and counts bytes of further windows. Returns
    /// false only if nothing promises a gain.
    fn looks_compressible(&mut self, raw: &[u8]) -> bool {
        if raw.len() <= 8 * PROBE_LEN_BYTES {
            return true;
        }
        let last = raw.len() - PROBE_LEN_BYTES;
        self.scratch
            .resize(zstd::zstd_safe::compress_bound(PROBE_LEN_BYTES).max(self.scratch.len()), 0);
        let shrinks = [0, last / 2, last].into_iter().any(|start| {
            let sample = &raw[start..start + PROBE_LEN_BYTES];
            let worth = PROBE_LEN_BYTES - PROBE_LEN_BYTES * GAIN_MIN_PERMILLE / 1000;
            self.probe
                .compress_to_buffer(sample, &mut self.scratch[..])
                .is_ok_and(|len| len < worth)
        });
        shrinks || windows(raw).any(is_uneven)
    }
}

/// Returns windows spread over the data, which must be longer than all of them.
fn windows(raw: &[u8]) -> impl Iterator<Item = &[u8]> {
    let last = raw.len() - WINDOW_LEN_BYTES;
    (0..WINDOWS)
        .map(move |at| last / (WINDOWS - 1) * at)
        .map(|start| &raw[start..start + WINDOW_LEN_BYTES])
}

/// Returns whether byte frequencies alone let a window shrink, as in hexadecimal digits and base64
/// without repetitions.
fn is_uneven(window: &[u8]) -> bool {
    let mut counts = [0u32; 256];
    window.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    let alike: usize = counts.iter().map(|count| (count * count) as usize).sum();
    // Pairs of a byte with itself do not count.
    (alike - window.len()) * 256 * 10 > window.len() * window.len() * ALIKE_MIN_TENTHS
}

/// Table sizes that suit segments better than zstd's own for the two usual levels.
///
/// Measured on the benchmark data with 2 MiB segments: level 3 with a larger table of long matches
/// and a smaller one of short matches stores 0.6 % less of `sql`, 0.5 % less of `vm` and 0.3 % more
/// of `tree` in the same time; level 1 with a larger table stores 3 % less for a sixth more time.
fn parameters_for(level: Option<i32>) -> &'static [CParameter] {
    match level {
        Some(3) => &[CParameter::HashLog(18), CParameter::ChainLog(14)],
        Some(1) => &[CParameter::HashLog(16)],
        _ => &[],
    }
}

/// Decompresses segments on one thread; its context is made with the first segment that needs it.
#[derive(Default)]
pub struct SegmentDecompressor(Option<Decompressor<'static>>);

impl SegmentDecompressor {
    /// Replaces `out` by the `raw_len` bytes of a compressed segment; more or fewer are refused,
    /// and so is anything but one plain frame.
    pub fn decompress(
        &mut self,
        body: &[u8],
        raw_len: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), DecodeError> {
        if zstd::zstd_safe::find_frame_compressed_size(body) != Ok(body.len()) {
            return Err(DecodeError::new("segment", "its body is not one zstd frame"));
        }
        check_frame_header(body)?;
        out.clear();
        out.reserve(raw_len);
        let make = || Decompressor::new().expect("a decompression context needs only memory");
        match self.0.get_or_insert_with(make).decompress_to_buffer(body, out) {
            Ok(len) if len == raw_len => Ok(()),
            _ => Err(DecodeError::new("segment", "does not decompress to its stated length")),
        }
    }
}

/// Start of a zstd frame; a skippable frame begins otherwise.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Refuses what another decompressor might: a skippable frame, a dictionary, a window over the
/// longest segment.
///
/// Spec: `format-spec/04-container.md`, section 2; the fields are those of RFC 8878, section
/// 3.1.1.1.
fn check_frame_header(body: &[u8]) -> Result<(), DecodeError> {
    let refuse = |why| Err(DecodeError::new("segment", why));
    let Some([descriptor, window, ..]) = body.strip_prefix(&ZSTD_MAGIC) else {
        return refuse("its body is not one zstd frame");
    };
    if descriptor & 0b11 != 0 {
        return refuse("its zstd frame names a dictionary");
    }
    let is_single_segment = descriptor & 0b10_0000 != 0;
    let (exponent, mantissa) = (u32::from(window >> 3), u64::from(window & 0b111));
    let window_bytes = (1u64 << (10 + exponent)) + (1u64 << (7 + exponent)) * mantissa;
    // Without a window of its own, a frame needs as much as it holds, which is at most a segment.
    if !is_single_segment && window_bytes > SEGMENT_RAW_LEN_MAX_BYTES as u64 {
        return refuse("its zstd frame asks for too large a window");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEN_BYTES: usize = 2 << 20;

    fn noise(len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }

    /// Noise in an alphabet of so many letters, all as frequent as each other.
    fn letters(count: u8) -> Vec<u8> {
        noise(LEN_BYTES).into_iter().map(|byte| b' ' + byte % count).collect()
    }

    /// Noise in which one byte of 25 is zero: too little to be worth compressing.
    fn spiked() -> Vec<u8> {
        noise(LEN_BYTES).chunks(25).flat_map(|chunk| [&[0], &chunk[1..]].concat()).collect()
    }

    #[test]
    fn what_shrinks_is_found_wherever_it_lies() {
        let base64: Vec<u8> =
            letters(64).chunks(76).flat_map(|line| [line, b"\r\n"].concat()).collect();
        let mixed = |share: usize| {
            let mut bytes = noise(LEN_BYTES);
            let len = LEN_BYTES / share;
            bytes[LEN_BYTES / 5..][..len].copy_from_slice(&letters(16)[..len]);
            bytes
        };
        let cases: [(&str, Vec<u8>, Option<usize>); 8] = [
            ("zeros", vec![0; LEN_BYTES], Some(1)),
            ("hexadecimal digits", letters(16), Some(52)),
            ("base64", base64, Some(78)),
            ("four letters", letters(4), Some(32)),
            ("digits in the eighth part", mixed(8), Some(95)),
            ("digits in the quarter", mixed(4), Some(89)),
            ("noise", noise(LEN_BYTES), None),
            ("noise with a spike", spiked(), None),
        ];
        let mut compressor = SegmentCompressor::new(Compression::DEFAULT);
        for (name, raw, most_percent) in cases {
            let len = compressor.compress(&raw).map(<[u8]>::len);
            assert_eq!(len.is_some(), most_percent.is_some(), "{name}: {len:?}");
            let most = most_percent.map_or(raw.len(), |percent| raw.len() * percent / 100);
            assert!(len.unwrap_or(0) <= most, "{name}: {len:?} of {}", raw.len());
        }
    }

    /// Noise is told without compressing it.
    #[test]
    fn noise_is_passed_over() {
        let mut compressor = SegmentCompressor::new(Compression::DEFAULT);
        for len in [64 << 10, (64 << 10) + 1, 100_000, LEN_BYTES] {
            assert_eq!(compressor.compress(&noise(len)), None);
            assert_eq!(compressor.looks_compressible(&noise(len)), len <= 64 << 10, "{len}");
        }
    }

    /// A segment of what was compressed apart before may hold little that shrinks: a collector must
    /// not store that raw.
    #[test]
    fn who_is_thorough_takes_any_gain() {
        let mut raw = noise(LEN_BYTES);
        raw[100_000..120_000].fill(b'x');
        let len = |mut compressor: SegmentCompressor| compressor.compress(&raw).map(<[u8]>::len);
        assert_eq!(len(SegmentCompressor::new(Compression::DEFAULT)), None);
        assert!(
            len(SegmentCompressor::thorough(Compression::DEFAULT))
                .is_some_and(|len| len < raw.len() - 19_000)
        );
        assert_eq!(len(SegmentCompressor::thorough(Compression::None)), None);
        assert_eq!(
            SegmentCompressor::thorough(Compression::DEFAULT).compress(&noise(LEN_BYTES)),
            None
        );
    }
}
