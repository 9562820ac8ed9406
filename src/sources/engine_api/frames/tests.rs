//! Goal: what was framed comes back, whatever the pieces; anything else fails at once. Method: a
//! parser of whole streams as the judge, chance for the streams and the pieces.

use proptest::prelude::*;

use super::{Channel, FrameParser, NoFrame};

/// Returns what each channel got, and whether the stream may end there.
fn parse(stream: &[u8], piece_len: usize) -> Result<([Vec<u8>; 3], bool), NoFrame> {
    let mut parser = FrameParser::default();
    let mut channels = [const { Vec::new() }; 3];
    for mut piece in stream.chunks(piece_len) {
        while !piece.is_empty() {
            let step = parser.next(piece)?;
            assert!(step.len > 0 && step.len <= piece.len(), "a step must go forward");
            let bytes = &piece[..step.len];
            match step.channel {
                None => {}
                Some(Channel::Output) => channels[0].extend_from_slice(bytes),
                Some(Channel::Error) => channels[1].extend_from_slice(bytes),
                Some(Channel::Engine) => channels[2].extend_from_slice(bytes),
            }
            piece = &piece[step.len..];
        }
    }
    Ok((channels, parser.is_between_frames()))
}

/// A parser that sees the whole stream: the judge.
fn judge(mut stream: &[u8]) -> Result<([Vec<u8>; 3], bool), NoFrame> {
    let mut channels = [const { Vec::new() }; 3];
    while !stream.is_empty() {
        let is_channel = (1..=3).contains(&stream[0]);
        if !is_channel || stream.iter().take(4).skip(1).any(|byte| *byte != 0) {
            return Err(NoFrame);
        }
        let Some((header, rest)) = stream.split_first_chunk::<8>() else {
            return Ok((channels, false));
        };
        let len = u32::from_be_bytes(header[4..].try_into().unwrap()) as usize;
        let channel = &mut channels[usize::from(header[0]) - 1];
        if rest.len() < len {
            channel.extend_from_slice(rest);
            return Ok((channels, false));
        }
        channel.extend_from_slice(&rest[..len]);
        stream = &rest[len..];
    }
    Ok((channels, true))
}

fn frame(channel: u8, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[channel, 0, 0, 0], &len[..], payload].concat()
}

#[test]
fn a_terminal_s_stream_fails_at_its_first_bytes() {
    for text in [&b"h"[..], b"hello", b"\0", b"\x01x", b"\x04\0\0\0", b"\x01\0\0\x01"] {
        assert_eq!(parse(text, 100), Err(NoFrame), "{text:?}");
    }
    // A message that begins with a frame's first byte is found out at the next one.
    assert_eq!(FrameParser::default().next(b"\x02-- PostgreSQL").unwrap_err(), NoFrame);
}

#[test]
fn a_frame_of_4_gib_takes_no_memory() {
    let mut parser = FrameParser::default();
    assert_eq!(parser.next(b"\x01\0\0\0\xff\xff\xff\xff").unwrap().len, 8);
    let (piece, mut sum) = (vec![7; 1 << 20], 0u64);
    while !parser.is_between_frames() {
        let step = parser.next(&piece).unwrap();
        assert_eq!(step.channel, Some(Channel::Output));
        sum += step.len as u64;
    }
    assert_eq!(sum, u64::from(u32::MAX));
    assert!(size_of::<FrameParser>() < 64);
}

#[test]
fn empty_frames_change_nothing() {
    let stream = [frame(1, b""), frame(2, b""), frame(1, b"x"), frame(3, b"")].concat();
    let (channels, may_end) = parse(&stream, 3).unwrap();
    assert_eq!((channels, may_end), ([b"x".to_vec(), Vec::new(), Vec::new()], true));
}

proptest! {
    #[test]
    fn frames_come_back(
        frames in prop::collection::vec(
            (1u8..=3, prop::collection::vec(any::<u8>(), 0..300)), 0..30),
        piece_len in 1usize..700,
        cut in any::<prop::sample::Index>(),
    ) {
        let mut stream = Vec::new();
        for (channel, payload) in &frames {
            stream.extend_from_slice(&frame(*channel, payload));
        }
        let parsed = parse(&stream, piece_len).unwrap();
        prop_assert_eq!(&parsed, &judge(&stream).unwrap());
        prop_assert!(parsed.1);
        // Cut anywhere, the part that came is the same, and the cut is known.
        let cut = &stream[..cut.index(stream.len() + 1)];
        prop_assert_eq!(parse(cut, piece_len), judge(cut));
    }

    #[test]
    fn arbitrary_bytes_are_judged_alike(
        bytes in prop::collection::vec(prop_oneof![Just(0u8), 0u8..5, any::<u8>()], 0..200),
        piece_len in 1usize..50,
    ) {
        prop_assert_eq!(parse(&bytes, piece_len), judge(&bytes));
    }
}
