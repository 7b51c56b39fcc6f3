//! Reads the header of a safetensors file without loading the weights, and checks that the data is complete.
//!
//! Format: 8 bytes of header length (little endian), a JSON object of tensors, the data. The file is
//! untrusted, so the header is read as a stream and only a few numbers stay in memory. (The `safetensors`
//! crate reads the whole header into a map first.)

use std::fmt;
use std::io::{BufReader, Read};
use std::path::Path;

use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The size limit of a header. The largest real headers, with about 30,000 tensors, have 3 MB.
const HEADER_BYTES_MAX: u64 = 16 << 20;
/// The maximum number of tensors in a file.
const TENSORS_MAX: u64 = 100_000;
/// The maximum number of dimensions of a tensor.
const DIMENSIONS_MAX: usize = 8;

/// Returns whether a file starts like safetensors: with a header length that fits in the file, and a JSON
/// object.
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
/// Fails if the file is not a complete safetensors file. The error is text for the user.
pub fn parameters(path: &Path) -> Result<u64, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let size = file.metadata().map_err(|error| error.to_string())?.len();
    parse(&mut BufReader::with_capacity(1 << 16, file), size)
}

/// Reads the number of weights from a reader over `size` bytes.
///
/// # Errors
/// As [`parameters`].
pub fn parse(reader: &mut impl Read, size: u64) -> Result<u64, String> {
    let mut length = [0; 8];
    reader.read_exact(&mut length).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "it is not a safetensors file".into(),
        _ => format!("it cannot be read: {error}"),
    })?;
    let length = u64::from_le_bytes(length);
    if length > HEADER_BYTES_MAX || length + 8 > size {
        return Err(format!("its header claims to have {length} bytes"));
    }
    let mut json = serde_json::Deserializer::from_reader(reader.take(length));
    let header =
        TensorTotals::deserialize(&mut json).map_err(|error| format!("its header is corrupt: {error}"))?;
    json.end().map_err(|error| format!("its header is corrupt: {error}"))?;
    if header.tensors == 0 {
        return Err("it has no tensors".into());
    }
    let need = header.end.saturating_add(length + 8);
    if need > size {
        return Err(format!("it is truncated: {size} of {need} bytes"));
    }
    Ok(header.parameters)
}

/// The sums over all tensors.
#[derive(Default)]
struct TensorTotals {
    tensors: u64,
    parameters: u64,
    /// The end of the last tensor, as an offset into the data.
    end: u64,
}

impl TensorTotals {
    fn add(&mut self, tensor: &Tensor) -> Result<(), String> {
        let (start, end) = tensor.data_offsets;
        let bytes = end.checked_sub(start).ok_or("its data ends before it starts")?;
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

impl<'de> Deserialize<'de> for TensorTotals {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tensors;
        impl<'de> Visitor<'de> for Tensors {
            type Value = TensorTotals;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TensorTotals, A::Error> {
                let mut header = TensorTotals::default();
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

/// The number of elements of a shape.
struct Elements(u64);

impl<'de> Deserialize<'de> for Elements {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Dimensions;
        impl<'de> Visitor<'de> for Dimensions {
            type Value = Elements;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "up to {DIMENSIONS_MAX} dimensions")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut shape: A) -> Result<Elements, A::Error> {
                let (mut elements, mut count) = (1u64, 0);
                while let Some(length) = shape.next_element::<u64>()? {
                    count += 1;
                    if count > DIMENSIONS_MAX {
                        let reason = format!("it has more than {DIMENSIONS_MAX} dimensions");
                        return Err(A::Error::custom(reason));
                    }
                    elements = elements.saturating_mul(length);
                }
                Ok(Elements(elements))
            }
        }
        deserializer.deserialize_seq(Dimensions)
    }
}

/// Returns the size of an element in bytes; `None` for packed and for newer types.
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
    fn weights_are_counted_and_missing_data_is_detected() {
        let header = r#"{"__metadata__":{"a":"b"},"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}"#;
        assert_eq!(parse_bytes(&file(header, 24)), Ok(6));
        assert_eq!(parse_bytes(&file(header, 20)), Err("it is truncated: 110 of 114 bytes".into()));
        assert!(parse_bytes(&file("[]", 0)).is_err());
        assert!(parse_bytes(&[0xff; 16]).is_err());
        assert!(parse_bytes(&[]).is_err());
    }

    #[test]
    fn invalid_safetensors_headers_are_rejected() {
        let tensor = |fields: &str| format!(r#"{{"w":{{{fields}}}}}"#);
        let cases = [
            ("{}".to_owned(), "it has no tensors"),
            (r#"{"a":[0,0,0]}"#.to_owned(), "its header is corrupt"),
            (tensor(r#""dtype":"F32","shape":[2],"data_offsets":[8,0]"#), "its data ends before it starts"),
            (
                tensor(r#""dtype":"F32","shape":[2],"data_offsets":[0,4]"#),
                "its 2 elements of F32 do not take 4 bytes",
            ),
            (
                tensor(r#""dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]"#),
                "more than 8 dimensions",
            ),
            (tensor(r#""dtype":"F32","shape":[1],"data_offsets":[0,4]"#) + "x", "its header is corrupt"),
        ];
        for (header, reason) in cases {
            let found = parse_bytes(&file(&header, 64));
            assert!(found.as_ref().is_err_and(|found| found.contains(reason)), "{header}: {found:?}");
        }
    }
}
