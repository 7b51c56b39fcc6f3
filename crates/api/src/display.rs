//! The names of wire enums in text, such as a table of the command line. They are the names in JSON.

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

    #[test]
    fn a_value_has_the_same_name_in_text_as_in_json() {
        assert_eq!(KeyScope::MemoryRead.to_string(), "memory:read");
        assert_eq!(format!("{:>9}", ModelState::Ready), "    ready");
    }
}
