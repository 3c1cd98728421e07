//! Frames on a stream: cut anywhere, the same messages; written again, the same bytes.

use qianmo_protocol::limits::MESSAGE_BYTES_MAX;
use qianmo_protocol::session::message::{FrameReader, Message};
use qianmo_protocol::wire::DecodeError;

use super::session;

/// The first byte says how finely the stream is cut.
pub(super) fn run(bytes: &[u8]) {
    let Some((cut, stream)) = bytes.split_first() else { return };
    let whole = messages(stream, stream.len().max(1));
    assert_eq!(whole, messages(stream, usize::from(*cut) + 1), "cut otherwise, read otherwise");
    let mut offset = 0;
    for message in &whole.0 {
        let frame = message.encode_frame();
        assert_eq!(stream.get(offset..offset + frame.len()), Some(frame.as_slice()), "written otherwise than read");
        assert!(frame.len() <= MESSAGE_BYTES_MAX + 5, "{} of {} bytes", message.name(), frame.len());
        offset += frame.len();
    }
    if let (_, Err(error)) = whole {
        assert!(!error.to_string().is_empty());
    }
}

fn messages(stream: &[u8], cut: usize) -> (Vec<Message>, Result<usize, DecodeError>) {
    let mut reader = FrameReader::default();
    let mut found = Vec::new();
    for part in stream.chunks(cut) {
        reader.push(part);
        loop {
            match reader.next_message() {
                Ok(Some(message)) => found.push(message),
                Ok(None) => break,
                Err(error) => return (found, Err(error)),
            }
        }
    }
    (found, Ok(reader.pending_bytes()))
}

/// The messages of whole sessions, and the start of each.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let frames = session::honest_frames();
    let mut seeds: Vec<Vec<u8>> = frames.iter().map(|frame| [&[200], frame.as_slice()].concat()).collect();
    seeds.push([&[0], frames.concat().as_slice()].concat());
    seeds
}
