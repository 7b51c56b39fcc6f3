//! Reads the text of an export.

use std::io::{Error, ErrorKind, Result};
use std::path::Path;

use lar_base::Bytes;
use lar_base::files::read_at_most;

/// The maximum size of an export file.
pub(super) const FILE_BYTES_MAX: Bytes = Bytes::mib(1024);

/// Reads a text file in UTF-8, or in UTF-16 with a byte order mark. Removes the byte order mark, and converts
/// line ends to `\n`.
///
/// # Errors
/// When the file cannot be read, is too large, or is no text.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    let text = decode(read_at_most(std::fs::File::open(path)?, FILE_BYTES_MAX)?)?;
    Ok(match (text.contains("\r\n"), text.contains('\n')) {
        (true, _) => text.replace("\r\n", "\n"),
        // A text without `\n` can have the line ends of the classic Mac OS.
        (false, false) => text.replace('\r', "\n"),
        (false, true) => text,
    })
}

fn decode(bytes: Vec<u8>) -> Result<String> {
    let utf_16 = |rest: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = rest.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        String::from_utf16(&units).map_err(|_| invalid("it is not UTF-16 text, although it begins like one"))
    };
    match bytes.as_slice() {
        [0xff, 0xfe, rest @ ..] => utf_16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf_16(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => utf_8(rest.to_vec()),
        _ => utf_8(bytes),
    }
}

fn utf_8(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        invalid(&format!("it is not UTF-8 text (line {line}); convert it to UTF-8"))
    })
}

fn invalid(reason: &str) -> Error {
    Error::new(ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_encoding_with_a_byte_order_mark_gives_the_same_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("export.txt");
        let text = "Käse\r\n🍎\r\n";
        let units = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
        let encoded = [
            text.as_bytes().to_vec(),
            [b"\xef\xbb\xbf", text.as_bytes()].concat(),
            [b"\xff\xfe".as_slice(), &units(u16::to_le_bytes)].concat(),
            [b"\xfe\xff".as_slice(), &units(u16::to_be_bytes)].concat(),
        ];
        for bytes in encoded {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(read_text(&path).unwrap(), "Käse\n🍎\n");
        }
        std::fs::write(&path, "one\rtwo\r").unwrap();
        assert_eq!(read_text(&path).unwrap(), "one\ntwo\n");
        std::fs::write(&path, b"one\nK\xe4se\n").unwrap();
        let error = read_text(&path).unwrap_err().to_string();
        assert_eq!(error, "it is not UTF-8 text (line 2); convert it to UTF-8");
    }
}
