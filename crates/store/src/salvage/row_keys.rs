//! The keys of rows: rowids, and the columns of primary keys.

use rusqlite::types::Value;

/// The key of a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// Its rowid.
    Row(i64),
    /// The columns of its primary key.
    Columns(Vec<KeyPart>),
}

impl Key {
    /// Returns the values of its columns, or its rowid.
    pub(super) fn values(&self) -> Vec<Value> {
        match self {
            Self::Row(number) => vec![Value::Integer(*number)],
            Self::Columns(columns) => columns.iter().map(KeyPart::value).collect(),
        }
    }
}

/// A value of a key, with an order of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum KeyPart {
    Null,
    Integer(i64),
    Text(String),
    Other(Vec<u8>),
}

impl KeyPart {
    fn value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Integer(number) => Value::Integer(*number),
            Self::Text(text) => Value::Text(text.clone()),
            Self::Other(bytes) => Value::Blob(bytes.clone()),
        }
    }
}

/// Converts the columns of a primary key.
pub(super) fn key_parts(values: &[Value]) -> Vec<KeyPart> {
    let one = |value: &Value| match value {
        Value::Null => KeyPart::Null,
        Value::Integer(number) => KeyPart::Integer(*number),
        Value::Text(text) => KeyPart::Text(text.clone()),
        Value::Blob(bytes) => KeyPart::Other(bytes.clone()),
        Value::Real(number) => KeyPart::Other(number.to_be_bytes().to_vec()),
    };
    values.iter().map(one).collect()
}
