//! Encodes a frame as bytes: its length in 4 bytes, little endian, and a postcard body without trailing
//! bytes.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

/// The largest body of a frame, in bytes. The largest legitimate one is a prompt, with at most 4 bytes per
/// token.
pub const FRAME_BYTES_MAX: usize = 16 << 20;

/// Encodes a frame with its length.
///
/// # Errors
/// The body exceeds [`FRAME_BYTES_MAX`].
pub fn encode<T: Serialize>(frame: &T) -> io::Result<Vec<u8>> {
    let mut bytes = postcard::to_extend(frame, vec![0; 4]).map_err(invalid)?;
    let length = bytes.len() - 4;
    if length > FRAME_BYTES_MAX {
        return Err(invalid(format!("a frame of {length} bytes is over the limit")));
    }
    bytes[..4].copy_from_slice(&u32::try_from(length).map_err(invalid)?.to_le_bytes());
    Ok(bytes)
}

/// Returns the body length in a frame's first four bytes.
///
/// # Errors
/// The length exceeds [`FRAME_BYTES_MAX`].
pub fn body_length(head: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_le_bytes(head) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(invalid(format!("a frame of {length} bytes is over the limit")));
    }
    Ok(length)
}

/// Decodes the body of a frame, which must have no trailing bytes.
///
/// # Errors
/// The body is not a frame of this type.
pub fn decode<'a, T: Deserialize<'a>>(body: &'a [u8]) -> io::Result<T> {
    match postcard::take_from_bytes(body).map_err(invalid)? {
        (frame, []) => Ok(frame),
        (_, rest) => Err(invalid(format!("{} bytes follow the frame", rest.len()))),
    }
}

/// Writes a frame, blocking.
///
/// # Errors
/// The frame is too large, or the socket fails.
pub fn write<T: Serialize>(socket: &mut impl Write, frame: &T) -> io::Result<()> {
    socket.write_all(&encode(frame)?)
}

/// Reads a frame, blocking; `None` at a clean end of file.
///
/// # Errors
/// The frame is malformed, or the socket fails.
pub fn read<T: for<'a> Deserialize<'a>>(socket: &mut impl Read) -> io::Result<Option<T>> {
    let mut head = [0; 4];
    match socket.read_exact(&mut head) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut body = vec![0; body_length(head)?];
    socket.read_exact(&mut body)?;
    decode(&body).map(Some)
}

fn invalid(error: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}
