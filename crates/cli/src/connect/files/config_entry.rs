//! The record of one setting that was written to a configuration file.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A setting that was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::connect) struct ConfigEntry {
    /// The setting, such as `mcpServers.lar`. With `[]` at its end, it is a list that got one more element.
    #[serde(rename = "at")]
    pub(in crate::connect) setting: String,
    /// The value before the change. `None` for a list.
    pub(in crate::connect) before: Option<Value>,
    /// The value after the change, or the new element of the list.
    pub(in crate::connect) after: Value,
}
