//! Reads the header of a safetensors file, without loading it, and checks that its data are all there.
//!
//! Format: 8 bytes of header length (little endian), a JSON object of tensors, the data. The header is read as a stream
//! and nothing of it is kept but numbers: it may have been written by anybody. (The `safetensors` crate reads all of it
//! into a map first.)

use std::fmt;
use std::io::{BufReader, Read};
use std::path::Path;

use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Bytes of a header; the largest real ones, of some 30,000 tensors, have 3 MB.
const HEADER_BYTES_MAX: u64 = 16 << 20;
/// Tensors in a file.
const TENSORS_MAX: u64 = 100_000;
/// Sides of a tensor.
const SIDES_MAX: usize = 8;

/// Whether a file begins as safetensors do: with the length of a header that fits in it, and an object.
pub(crate) fn has_header(path: &Path) -> bool {
    let mut start = [0; 9];
    let read = std::fs::File::open(path).and_then(|mut file| {
        file.read_exact(&mut start)?;
        file.metadata()
    });
    let Ok(size) = read.map(|metadata| metadata.len()) else { return false };
    let [length @ .., first] = start;
    let length = u64::from_le_bytes(length);
    (2..=HEADER_BYTES_MAX).contains(&length) && length + 8 <= size && first == b'{'
}

/// Reads the number of weights.
///
/// # Errors
/// A reason, for a person, why it is not a whole safetensors file.
pub fn parameters(path: &Path) -> Result<u64, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let size = file.metadata().map_err(|error| error.to_string())?.len();
    parse(&mut BufReader::with_capacity(1 << 16, file), size)
}

/// As [`parameters`], from any reader over `size` bytes.
///
/// # Errors
/// As [`parameters`].
pub fn parse(reader: &mut impl Read, size: u64) -> Result<u64, String> {
    let mut length = [0; 8];
    reader.read_exact(&mut length).map_err(|_| "it is no safetensors file")?;
    let length = u64::from_le_bytes(length);
    if length > HEADER_BYTES_MAX || length + 8 > size {
        return Err(format!("its header claims {length} bytes"));
    }
    let mut json = serde_json::Deserializer::from_reader(reader.take(length));
    let header = Header::deserialize(&mut json).map_err(|error| format!("its header is corrupt: {error}"))?;
    json.end().map_err(|error| format!("its header is corrupt: {error}"))?;
    if header.tensors == 0 {
        return Err("it has no tensors".into());
    }
    let need = header.end.saturating_add(length + 8);
    if need > size {
        return Err(format!("it is cut short: {size} bytes of {need}"));
    }
    Ok(header.parameters)
}

/// What is kept of all tensors.
#[derive(Default)]
struct Header {
    tensors: u64,
    parameters: u64,
    /// Where the last of the data ends, from their beginning.
    end: u64,
}

impl Header {
    fn add(&mut self, tensor: &Tensor) -> Result<(), String> {
        let (start, end) = tensor.data_offsets;
        let bytes = end.checked_sub(start).ok_or("its data end before they begin")?;
        let elements = tensor.shape.0;
        if element_bytes(&tensor.dtype).is_some_and(|size| elements.saturating_mul(size) != bytes) {
            return Err(format!("its {elements} elements of {} do not take {bytes} bytes", tensor.dtype));
        }
        self.tensors += 1;
        if self.tensors > TENSORS_MAX {
            return Err(format!("there are more than {TENSORS_MAX} tensors"));
        }
        self.parameters = self.parameters.saturating_add(elements);
        self.end = self.end.max(end);
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tensors;
        impl<'de> Visitor<'de> for Tensors {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut header = Header::default();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    let tensor: Tensor = map.next_value()?;
                    let added = header.add(&tensor);
                    added.map_err(|reason| A::Error::custom(format!("tensor `{name:.100}`: {reason}")))?;
                }
                Ok(header)
            }
        }
        deserializer.deserialize_map(Tensors)
    }
}

#[derive(Deserialize)]
struct Tensor {
    dtype: String,
    shape: Elements,
    data_offsets: (u64, u64),
}

/// The product of a shape's sides.
struct Elements(u64);

impl<'de> Deserialize<'de> for Elements {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Sides;
        impl<'de> Visitor<'de> for Sides {
            type Value = Elements;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "up to {SIDES_MAX} sides")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sides: A) -> Result<Elements, A::Error> {
                let (mut elements, mut count) = (1u64, 0);
                while let Some(side) = sides.next_element::<u64>()? {
                    count += 1;
                    if count > SIDES_MAX {
                        return Err(A::Error::custom(format!("it has more than {SIDES_MAX} sides")));
                    }
                    elements = elements.saturating_mul(side);
                }
                Ok(Elements(elements))
            }
        }
        deserializer.deserialize_seq(Sides)
    }
}

/// Bytes of an element; `None` for types that are packed or came later.
fn element_bytes(dtype: &str) -> Option<u64> {
    Some(match dtype {
        "F64" | "I64" | "U64" => 8,
        "F32" | "I32" | "U32" => 4,
        "F16" | "BF16" | "I16" | "U16" => 2,
        "I8" | "U8" | "BOOL" | "F8_E4M3" | "F8_E5M2" => 1,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(vec![0; data]);
        bytes
    }

    fn parse_bytes(bytes: &[u8]) -> Result<u64, String> {
        parse(&mut &*bytes, bytes.len() as u64)
    }

    #[test]
    fn counts_weights_and_finds_what_is_missing() {
        let header = r#"{"__metadata__":{"a":"b"},"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}"#;
        assert_eq!(parse_bytes(&file(header, 24)), Ok(6));
        assert_eq!(parse_bytes(&file(header, 20)), Err("it is cut short: 110 bytes of 114".into()));
        assert!(parse_bytes(&file("[]", 0)).is_err());
        assert!(parse_bytes(&[0xff; 16]).is_err());
        assert!(parse_bytes(&[]).is_err());
    }

    #[test]
    fn invalid_safetensors_headers_are_refused() {
        let tensor = |fields: &str| format!(r#"{{"w":{{{fields}}}}}"#);
        let cases = [
            ("{}".to_owned(), "it has no tensors"),
            (r#"{"a":[0,0,0]}"#.to_owned(), "its header is corrupt"),
            (tensor(r#""dtype":"F32","shape":[2],"data_offsets":[8,0]"#), "its data end before they begin"),
            (
                tensor(r#""dtype":"F32","shape":[2],"data_offsets":[0,4]"#),
                "its 2 elements of F32 do not take 4 bytes",
            ),
            (
                tensor(r#""dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]"#),
                "more than 8 sides",
            ),
            (tensor(r#""dtype":"F32","shape":[1],"data_offsets":[0,4]"#) + "x", "its header is corrupt"),
        ];
        for (header, reason) in cases {
            let found = parse_bytes(&file(&header, 64));
            assert!(found.as_ref().is_err_and(|found| found.contains(reason)), "{header}: {found:?}");
        }
    }
}
