//! Reads the header of a safetensors file, without loading it, and checks that its data are all there.
//!
//! Format: 8 bytes of header length (little endian), a JSON object of tensors, the data.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;

/// As the reference implementation limits it.
const HEADER_BYTES_MAX: u64 = 100_000_000;

#[derive(Deserialize)]
struct Tensor {
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// Reads the number of weights.
///
/// # Errors
/// A reason, for a person, why it is not a whole safetensors file.
pub fn parameters(path: &Path) -> Result<u64, String> {
    let mut file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let size = file.metadata().map_err(|error| error.to_string())?.len();
    parse(&mut file, size)
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
    let mut header = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    reader.read_exact(&mut header).map_err(|error| error.to_string())?;
    let header: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(&header).map_err(|error| format!("its header is no JSON object: {error}"))?;
    let (mut parameters, mut end) = (0u64, 0u64);
    for (name, value) in header.into_iter().filter(|(name, _)| name != "__metadata__") {
        let tensor: Tensor = serde_json::from_value(value)
            .map_err(|error| format!("its tensor `{name}` is corrupt: {error}"))?;
        parameters = parameters
            .saturating_add(tensor.shape.iter().fold(1, |product: u64, side| product.saturating_mul(*side)));
        end = end.max(tensor.data_offsets.1);
    }
    let need = end.saturating_add(length + 8);
    if need > size {
        return Err(format!("it is cut short: {size} bytes of {need}"));
    }
    Ok(parameters)
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
}
