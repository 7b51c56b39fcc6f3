//! The names of wire enums in text, such as a table of the command line. They are the names in JSON.
//!
//! The enums that the command line decodes have a variant `Unknown` for the values of a newer Lar, so that one
//! such value does not make the whole response unreadable. `server/src/openapi/complete.rs` removes it from the
//! schemas.

use std::fmt;

use serde::Serialize as _;

use crate::keys::KeyScope;
use crate::memories::MemoryKind;
use crate::models::{ModelKind, ModelState, PullState, SpeedBasis};
use crate::spaces::{GrantAccess, SpaceAccess, SpaceKind};
use crate::tasks::TaskState;

/// Implements [`fmt::Display`] for enums: the name that serde writes to JSON.
macro_rules! display {
    ($($name:ty),+ $(,)?) => {
        $(
            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    self.serialize(f)
                }
            }
        )+
    };
}

display!(
    GrantAccess,
    KeyScope,
    MemoryKind,
    ModelKind,
    ModelState,
    PullState,
    SpaceAccess,
    SpaceKind,
    SpeedBasis,
    TaskState,
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memories::IngestResult;

    #[test]
    fn a_value_has_the_same_name_in_text_as_in_json() {
        assert_eq!(KeyScope::MemoryRead.to_string(), "memory:read");
        assert_eq!(format!("{:>9}", ModelState::Ready), "    ready");
    }

    #[test]
    fn a_value_of_a_newer_lar_is_decoded_as_unknown() {
        let models: Vec<ModelState> = serde_json::from_str(r#"["ready", "migrating"]"#).unwrap();
        assert_eq!(models, [ModelState::Ready, ModelState::Unknown]);
        assert_eq!(models[1].to_string(), "unknown");
        assert_eq!(serde_json::to_string(&models).unwrap(), r#"["ready","unknown"]"#);
        let scope: KeyScope = serde_json::from_str(r#""memory:audit""#).unwrap();
        assert_eq!(scope, KeyScope::Unknown);
        // `memory` is flattened, which decodes its fields from buffered values.
        let ingested = serde_json::json!({ "id": "mem_1", "kind": "dream", "created": true });
        let ingested: IngestResult = serde_json::from_value(ingested).unwrap();
        assert_eq!(ingested.memory.kind, Some(MemoryKind::Unknown));
    }
}
