//! Frames of an exec's stream: a channel, three zeros, a length in four bytes (big-endian), and so
//! many bytes.
//!
//! Only headers are kept, never a payload: a frame of 4 GiB costs no memory. A stream without
//! frames, which is that of a terminal, fails at its first bytes.

/// Length of a header, in bytes.
const HEADER_LEN_BYTES: usize = 8;

/// The origin of a frame's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    /// Standard output of the process.
    Output,
    /// Standard error of the process.
    Error,
    /// A message of the engine itself.
    Engine,
}

/// A header that is none: the bytes do not come from an engine, or come from a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream has no frames")]
pub(super) struct NoFrame;

/// A part of the input that was understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Bytes that it has; none only if the input has none.
    pub len: usize,
    /// Their channel, `None` if they are a header's.
    pub channel: Option<Channel>,
}

/// A parser of frames; pieces of any length go in.
#[derive(Default)]
pub(super) struct FrameParser {
    header: [u8; HEADER_LEN_BYTES],
    header_len: usize,
    payload: Option<(Channel, u32)>,
}

impl FrameParser {
    /// Returns the part at the beginning of `input` that belongs together.
    pub(super) fn next(&mut self, input: &[u8]) -> Result<Step, NoFrame> {
        if let Some((channel, left)) = self.payload {
            let len = input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let left = left - u32::try_from(len).expect("it is at most `left`");
            self.payload = (left > 0).then_some((channel, left));
            return Ok(Step { len, channel: Some(channel) });
        }
        let len = input.len().min(HEADER_LEN_BYTES - self.header_len);
        self.header[self.header_len..][..len].copy_from_slice(&input[..len]);
        self.header_len += len;
        check_begin(&self.header[..self.header_len])?;
        if self.header_len == HEADER_LEN_BYTES {
            self.payload = parse(self.header)?;
            self.header_len = 0;
        }
        Ok(Step { len, channel: None })
    }

    /// Returns whether the stream may end here.
    pub(super) fn is_between_frames(&self) -> bool {
        self.payload.is_none() && self.header_len == 0
    }
}

/// Fails at the first byte that no header has, so that a short text is not taken for half of one.
fn check_begin(header: &[u8]) -> Result<(), NoFrame> {
    let is_possible = header.iter().enumerate().all(|(at, byte)| match at {
        0 => (1..=3).contains(byte),
        1..4 => *byte == 0,
        _ => true,
    });
    if is_possible { Ok(()) } else { Err(NoFrame) }
}

/// Returns channel and length; `None` if the frame is empty.
fn parse(header: [u8; HEADER_LEN_BYTES]) -> Result<Option<(Channel, u32)>, NoFrame> {
    let [channel, _, _, _, a, b, c, d] = header;
    let channel = match channel {
        1 => Channel::Output,
        2 => Channel::Error,
        3 => Channel::Engine,
        _ => return Err(NoFrame),
    };
    let len = u32::from_be_bytes([a, b, c, d]);
    Ok((len > 0).then_some((channel, len)))
}

#[cfg(test)]
mod tests;
