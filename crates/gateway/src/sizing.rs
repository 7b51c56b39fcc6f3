//! Sizes models: the context that each gets and the memory that it needs. All functions are pure: they depend
//! only on the model, the settings and the free memory.

mod context_length;
mod inputs;
mod model_memory;

pub(crate) use self::context_length::context_tokens;
pub(crate) use self::inputs::{ModelSize, SizingOptions};
pub use self::model_memory::Footprint;
pub(crate) use self::model_memory::footprint;
