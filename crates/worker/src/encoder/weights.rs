//! A model's weights, mapped from a safetensors file; f32 tensors are used in place.

#![expect(unsafe_code, reason = "listed in xtask/tests/house.rs")]

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::Arc;

use memmap2::{Mmap, MmapOptions};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

/// The weights of one file.
pub(super) struct Weights {
    map: Arc<Mmap>,
    /// The prefix of every name: `bert.` in some files, empty in most.
    prefix: String,
}

/// One tensor in row-major order.
pub(super) enum Tensor {
    Mapped { map: Arc<Mmap>, bytes: Range<usize> },
    Owned(Vec<f32>),
}

impl Deref for Tensor {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        match self {
            // The alignment was checked when the tensor was made.
            Tensor::Mapped { map, bytes } => {
                bytemuck::try_cast_slice(&map[bytes.clone()]).unwrap_or_default()
            }
            Tensor::Owned(values) => values,
        }
    }
}

impl Weights {
    /// Maps a file. Selects the first of `prefixes` with which the tensor `probe` exists.
    pub(super) fn open(path: &Path, prefixes: &[&str], probe: &str) -> Result<Self, String> {
        let mut file = File::open(path).map_err(|error| error.to_string())?;
        // A confined process may not call `stat`, so it finds the size by seeking to the end.
        let size = file.seek(SeekFrom::End(0)).map_err(|error| error.to_string())?;
        let size = usize::try_from(size).map_err(|error| error.to_string())?;
        // SAFETY: a map is sound while nobody changes the file. Model files are renamed into place once and
        // then only read or removed; removal leaves the map intact. Another program that writes to the file
        // changes the numbers, and one that truncates it ends the process, as with any mapped file.
        let map = unsafe { MmapOptions::new().len(size).map(&file) }.map_err(|error| error.to_string())?;
        let map = Arc::new(map);
        let tensors = SafeTensors::deserialize(&map).map_err(|error| error.to_string())?;
        let prefix = prefixes.iter().find(|prefix| tensors.tensor(&format!("{prefix}{probe}")).is_ok());
        let prefix = prefix.ok_or_else(|| format!("it has no tensor `{probe}`"))?;
        Ok(Self { prefix: (*prefix).to_owned(), map })
    }

    /// Returns the tensor with this name after the prefix, and this shape.
    pub(super) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, String> {
        self.tensor_outside(&format!("{}{name}", self.prefix), shape)
    }

    /// Returns the tensor with this whole name and shape: a model's head has no prefix.
    pub(super) fn tensor_outside(&self, name: &str, shape: &[usize]) -> Result<Tensor, String> {
        let tensors = SafeTensors::deserialize(&self.map).map_err(|error| error.to_string())?;
        let view = tensors.tensor(name).map_err(|error| format!("it has no tensor `{name}`: {error}"))?;
        if view.shape() != shape {
            return Err(format!("its tensor `{name}` has the shape {:?}, not {shape:?}", view.shape()));
        }
        self.values(&view)
            .ok_or_else(|| format!("its tensor `{name}` has the unsupported type {:?}", view.dtype()))
    }

    fn values(&self, view: &TensorView<'_>) -> Option<Tensor> {
        let data = view.data();
        let pairs = || data.chunks_exact(2).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
        Some(match view.dtype() {
            Dtype::F32 if bytemuck::try_cast_slice::<u8, f32>(data).is_ok() => {
                let start = data.as_ptr() as usize - self.map.as_ptr() as usize;
                Tensor::Mapped { map: self.map.clone(), bytes: start..start + data.len() }
            }
            Dtype::F32 => {
                let numbers = data.chunks_exact(4);
                Tensor::Owned(
                    numbers
                        .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
                        .collect(),
                )
            }
            Dtype::F16 => Tensor::Owned(pairs().map(|bits| half::f16::from_bits(bits).to_f32()).collect()),
            Dtype::BF16 => Tensor::Owned(pairs().map(|bits| half::bf16::from_bits(bits).to_f32()).collect()),
            _ => return None,
        })
    }
}
