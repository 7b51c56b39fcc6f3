//! Splits a GGUF file as llama.cpp's `gguf-split` does: the first file has the metadata, all files have
//! tensors.
//!
//! The format is described in `docs/gguf.md` of the ggml repository. The keys are those that llama.cpp reads.

use std::path::{Path, PathBuf};

/// The alignment of tensors in bytes.
const ALIGNMENT: usize = 32;
const UINT16: u32 = 2;
const INT32: u32 = 5;
const STRING: u32 = 8;
const ARRAY: u32 = 9;

/// A reader of the header of a GGUF file.
struct HeaderReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> HeaderReader<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let taken = &self.bytes[self.at..self.at + length];
        self.at += length;
        taken
    }

    fn skip(&mut self, length: usize) {
        self.at += length;
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take(4).try_into().expect("four bytes"))
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take(8).try_into().expect("eight bytes"))
    }

    fn size(&mut self) -> usize {
        usize::try_from(self.u64()).expect("the size fits memory")
    }

    fn text(&mut self) {
        let length = self.size();
        self.skip(length);
    }

    fn value(&mut self, kind: u32) {
        match kind {
            STRING => self.text(),
            ARRAY => {
                let item = self.u32();
                (0..self.size()).for_each(|_| self.value(item));
            }
            0 | 1 | 7 => self.skip(1),
            2 | 3 => self.skip(2),
            4..=6 => self.skip(4),
            _ => self.skip(8),
        }
    }
}

/// A tensor: its description without the offset, and its data.
struct Tensor<'a> {
    description: &'a [u8],
    data: &'a [u8],
}

/// Splits the model at `path` into `count` files in `folder`, named `NAME-00001-of-0000N.gguf`. Returns their
/// paths in order.
///
/// # Panics
/// If the model is not a GGUF file with the default alignment.
#[must_use]
pub fn split_gguf(path: &Path, folder: &Path, name: &str, count: usize) -> Vec<PathBuf> {
    let bytes = std::fs::read(path).expect("the model exists");
    let mut reader = HeaderReader { bytes: &bytes, at: 4 };
    assert_eq!((&bytes[..4], reader.u32()), (&b"GGUF"[..], 3));
    let (tensors, pairs) = (reader.size(), reader.u64());
    let from = reader.at;
    for _ in 0..pairs {
        reader.text();
        let kind = reader.u32();
        reader.value(kind);
    }
    let metadata = &bytes[from..reader.at];
    let descriptions: Vec<(&[u8], usize)> = (0..tensors)
        .map(|_| {
            let from = reader.at;
            reader.text();
            let dimensions = reader.u32() as usize;
            reader.skip(dimensions * 8 + 4);
            (&bytes[from..reader.at], reader.size())
        })
        .collect();
    let data = &bytes[reader.at.next_multiple_of(ALIGNMENT)..];
    // The data of a tensor extends to the next tensor in the file. Padding between them does no harm.
    let mut offsets: Vec<usize> =
        descriptions.iter().map(|(_, offset)| *offset).chain([data.len()]).collect();
    offsets.sort_unstable();
    let all: Vec<Tensor<'_>> = descriptions
        .iter()
        .map(|(description, offset)| {
            let next = offsets.iter().find(|next| *next > offset).copied().unwrap_or(data.len());
            Tensor { description, data: &data[*offset..next] }
        })
        .collect();
    let each = all.len().div_ceil(count);
    let parts = all.chunks(each).enumerate();
    parts
        .map(|(number, part)| {
            let path = folder.join(format!("{name}-{:05}-of-{count:05}.gguf", number + 1));
            let first = (number == 0).then_some((metadata, pairs));
            std::fs::write(&path, file(part, first, number, count, all.len()))
                .expect("the file can be written");
            path
        })
        .collect()
}

fn file(
    part: &[Tensor<'_>],
    metadata: Option<(&[u8], u64)>,
    number: usize,
    count: usize,
    tensors: usize,
) -> Vec<u8> {
    let (metadata, pairs) = metadata.unwrap_or((&[], 0));
    let mut bytes = b"GGUF".to_vec();
    bytes.extend(3u32.to_le_bytes());
    bytes.extend((part.len() as u64).to_le_bytes());
    bytes.extend((pairs + 3).to_le_bytes());
    bytes.extend(metadata);
    let short = |value: usize| u16::try_from(value).expect("the number fits 16 bits").to_le_bytes().to_vec();
    let whole = i32::try_from(tensors).expect("the number fits 32 bits").to_le_bytes().to_vec();
    for (key, kind, value) in [
        ("split.no", UINT16, short(number)),
        ("split.count", UINT16, short(count)),
        ("split.tensors.count", INT32, whole),
    ] {
        bytes.extend((key.len() as u64).to_le_bytes());
        bytes.extend(key.as_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(value);
    }
    let mut data = Vec::new();
    for Tensor { description, data: values } in part {
        bytes.extend(*description);
        bytes.extend((data.len() as u64).to_le_bytes());
        data.extend(*values);
        data.resize(data.len().next_multiple_of(ALIGNMENT), 0);
    }
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
    bytes.extend(data);
    bytes
}
