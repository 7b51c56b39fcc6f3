//! Columns with JSON of Rust types, and the version that each value carries.
//!
//! A version is the first field of the stored object: `{"v":1,…}`. A list is stored as
//! `{"v":1,"items":[…]}`. Values that older releases stored without a version have version 1, so no row is
//! rewritten. Code outside this crate never sees the version. To change the meaning of a type's fields, raise
//! the version of its columns and convert the older ones in [`JsonColumn::read`]; adding an optional field
//! needs no new version.
//!
//! A value of a newer version is an error ([`NewerValue`]): reading it with defaults would lose what the newer
//! Lar wrote. `keys.scopes`, `keys.removed_scopes` and the `tags` have no version, because they are lists of
//! names that the API defines.

use std::borrow::Cow;

use rusqlite::Row;
use rusqlite::types::Type;
use serde::Serialize;
use serde::de::{DeserializeOwned, Error as _};

use crate::columns::{UNKNOWN_COLUMN, bad_column};

/// The start of a value with a version.
const START: &str = r#"{"v":"#;
/// The field of a list.
const ITEMS: &str = r#""items":"#;

/// `responses.input`: the items of a request to OpenAI's Responses API.
pub(crate) const RESPONSE_INPUT: JsonColumn = JsonColumn::list("responses.input");
/// `responses.body`: a response of that API.
pub(crate) const RESPONSE_BODY: JsonColumn = JsonColumn::object("responses.body");
/// `messages.memory`: the memory activity of an answer's turn.
pub(crate) const ANSWER_MEMORY: JsonColumn = JsonColumn::object("messages.memory");
/// `tasks.memory`: the ids of the memories that a task used.
pub(crate) const TASK_MEMORY: JsonColumn = JsonColumn::object("tasks.memory");
/// `source` of `memories`, `memory_candidates` and `memory_intentions`: who saved a text, through what and from where.
pub(crate) const PROVENANCE: JsonColumn = JsonColumn::object("source");
/// `memory_changes.before`: the patch that reverts a change.
pub(crate) const PATCH: JsonColumn = JsonColumn::object("memory_changes.before");
/// `memory_intentions.due_when`: the trigger of an intention.
pub(crate) const TRIGGER: JsonColumn = JsonColumn::object("memory_intentions.due_when");
/// `tunings.tuned`: the measurements of a model.
pub(crate) const TUNING: JsonColumn = JsonColumn::object("tunings.tuned");

/// The stored value is from a newer Lar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{column} has a value of version {found}, but this Lar supports at most {known}; use the newer Lar")]
pub struct NewerValue {
    /// The column with the value, as `table.column` or as the column alone.
    pub column: &'static str,
    /// The version that the value carries.
    pub found: u32,
    /// The newest version that this version of Lar supports.
    pub known: u32,
}

/// Serializes a list of names for a column without a version.
pub(crate) fn names(list: &impl Serialize) -> Result<String, serde_json::Error> {
    serde_json::to_string(list)
}

/// Parses a list of names from a column without a version.
pub(crate) fn read_names<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    parse(&text, column)
}

/// Returns whether an error is [`NewerValue`].
pub(crate) fn is_newer(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::FromSqlConversionFailure(.., cause) if cause.is::<NewerValue>())
}

/// A column with JSON, and the newest version of it that this Lar reads and writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JsonColumn {
    /// The table and the column, or the column of several tables.
    name: &'static str,
    version: u32,
    is_list: bool,
}

impl JsonColumn {
    const fn object(name: &'static str) -> Self {
        Self { name, version: 1, is_list: false }
    }

    const fn list(name: &'static str) -> Self {
        Self { name, version: 1, is_list: true }
    }

    /// Returns the name of the column in its table.
    fn column(&self) -> &'static str {
        self.name.rsplit('.').next().unwrap_or(self.name)
    }

    /// Serializes a value, with the version.
    ///
    /// # Errors
    /// If the value cannot be serialized, or is no object (or list).
    pub(crate) fn encode(&self, value: &impl Serialize) -> Result<String, serde_json::Error> {
        self.stamp(&serde_json::to_string(value)?)
    }

    /// Adds the version to serialized JSON.
    ///
    /// # Errors
    /// If it is no object (or list), such as the empty text of a failed serialization.
    pub(crate) fn stamp(&self, json: &str) -> Result<String, serde_json::Error> {
        self.join(self.version, json)
    }

    /// Like [`JsonColumn::stamp`], with the version of the value that was changed.
    ///
    /// # Errors
    /// As [`JsonColumn::stamp`].
    pub(crate) fn join(&self, version: u32, json: &str) -> Result<String, serde_json::Error> {
        let (open, close, kind) = if self.is_list { ('[', ']', "list") } else { ('{', '}', "object") };
        let inner = json.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
        let Some(inner) = inner else {
            let reason = format!("the value for {} is not a JSON {kind}", self.name);
            return Err(serde_json::Error::custom(reason));
        };
        Ok(match (self.is_list, inner.is_empty()) {
            (true, _) => format!("{START}{version},{ITEMS}{json}}}"),
            (false, true) => format!("{START}{version}}}"),
            (false, false) => format!("{START}{version},{inner}}}"),
        })
    }

    /// Separates a stored value into its version and its JSON. A value without a version has version 1.
    pub(crate) fn split<'a>(&self, stored: &'a str) -> (u32, Cow<'a, str>) {
        let versioned = stored.strip_prefix(START).and_then(|rest| {
            let (version, rest) = rest.split_at(rest.find([',', '}'])?);
            Some((version.parse().ok()?, rest))
        });
        let Some((version, rest)) = versioned else { return (1, Cow::Borrowed(stored)) };
        let json = match (self.is_list, rest.strip_prefix(',')) {
            (true, Some(fields)) => fields
                .strip_prefix(ITEMS)
                .and_then(|items| items.strip_suffix('}'))
                .map_or(Cow::Borrowed(stored), Cow::Borrowed),
            (false, Some(fields)) => Cow::Owned(format!("{{{fields}")),
            (_, None) => Cow::Owned(format!("{{{rest}")),
        };
        (version, json)
    }

    /// Returns the JSON of a stored value without its version.
    ///
    /// # Errors
    /// [`NewerValue`] within an error of rusqlite; `Error::from` takes it out.
    pub(crate) fn read(&self, stored: String) -> rusqlite::Result<String> {
        let (found, json) = self.split(&stored);
        if found > self.version {
            let newer = NewerValue { column: self.name, found, known: self.version };
            return Err(rusqlite::Error::FromSqlConversionFailure(
                UNKNOWN_COLUMN,
                Type::Text,
                Box::new(newer),
            ));
        }
        Ok(match json {
            Cow::Borrowed(json) if json.len() == stored.len() => stored,
            json => json.into_owned(),
        })
    }

    /// Returns the JSON of a row.
    ///
    /// # Errors
    /// As [`JsonColumn::read`].
    pub(crate) fn get(&self, row: &Row<'_>) -> rusqlite::Result<String> {
        self.read(row.get(self.column())?)
    }

    /// Returns the JSON of a row, if the column has a value.
    ///
    /// # Errors
    /// As [`JsonColumn::read`].
    pub(crate) fn get_optional(&self, row: &Row<'_>) -> rusqlite::Result<Option<String>> {
        row.get::<_, Option<String>>(self.column())?.map(|stored| self.read(stored)).transpose()
    }

    /// Parses the value of a row.
    ///
    /// # Errors
    /// As [`JsonColumn::read`]; also when the JSON does not fit the type.
    pub(crate) fn decode<T: DeserializeOwned>(&self, row: &Row<'_>) -> rusqlite::Result<T> {
        parse(&self.get(row)?, self.name)
    }
}

/// Parses JSON. The error has the position but no part of the value, which may be a person's text.
fn parse<T: DeserializeOwned>(json: &str, column: &str) -> rusqlite::Result<T> {
    serde_json::from_str(json).map_err(|error| {
        let cause =
            format!("{:?} error at line {} column {}", error.classify(), error.line(), error.column());
        bad_column(column, cause)
    })
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;
    use serde::Deserialize;

    use super::*;
    use crate::Error;

    #[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct Value {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    }

    fn text(text: &str) -> Value {
        Value { text: Some(text.into()) }
    }

    /// Returns a stored value after it was read from a database.
    fn read(column: JsonColumn, stored: &str) -> Result<String, Error> {
        let connection = Connection::open_in_memory()?;
        let sql = format!("SELECT ?1 AS {}", column.column());
        Ok(connection.query_row(&sql, [stored], |row| column.get(row))?)
    }

    #[test]
    fn values_carry_a_version_that_readers_do_not_see() {
        for (column, json, stored) in [
            (TUNING, r#"{"a":1,"v":2}"#, r#"{"v":1,"a":1,"v":2}"#),
            (TUNING, "{}", r#"{"v":1}"#),
            (RESPONSE_INPUT, r#"[{"a":1},2]"#, r#"{"v":1,"items":[{"a":1},2]}"#),
            (RESPONSE_INPUT, "[]", r#"{"v":1,"items":[]}"#),
        ] {
            assert_eq!(column.stamp(json).unwrap(), stored);
            assert_eq!(read(column, stored).unwrap(), json);
            assert_eq!(read(column, json).unwrap(), json, "a row without a version has version 1");
        }
        assert_eq!(PATCH.encode(&text("x")).unwrap(), r#"{"v":1,"text":"x"}"#);
    }

    #[test]
    fn a_value_of_a_newer_version_is_an_error_and_no_damage() {
        for stored in [r#"{"v":2}"#, r#"{"v":2,"items":[]}"#, r#"{"v":2,"unknown":{}}"#] {
            let error = read(RESPONSE_INPUT, stored).unwrap_err();
            let expected = NewerValue { column: "responses.input", found: 2, known: 1 };
            assert!(matches!(&error, Error::NewerValue(found) if *found == expected), "{error:?}");
            assert!(!error.is_damage());
            assert_eq!(
                error.to_string(),
                "responses.input has a value of version 2, but this Lar supports at most 1; use the newer Lar"
            );
        }
        // Text is removed from a value of any version, which keeps its version.
        let (version, json) = ANSWER_MEMORY.split(r#"{"v":7,"a":1}"#);
        assert_eq!((version, &*json), (7, r#"{"a":1}"#));
        assert_eq!(ANSWER_MEMORY.join(version, &json).unwrap(), r#"{"v":7,"a":1}"#);
    }

    #[test]
    fn nothing_but_json_of_the_right_kind_is_stored() {
        for (column, json) in [(TUNING, ""), (TUNING, "[]"), (TUNING, "null"), (RESPONSE_INPUT, "{}")] {
            assert!(column.stamp(json).is_err(), "{json}");
        }
        let error = Error::from(PATCH.encode(&1).unwrap_err());
        assert!(matches!(&error, Error::Json(_)), "{error:?}");
    }

    #[test]
    fn the_error_for_bad_json_names_the_column_and_no_text() {
        let connection = Connection::open_in_memory().unwrap();
        let query = |stored: &str| {
            connection
                .query_row("SELECT ?1 AS before", [stored], |row| PATCH.decode::<Value>(row))
                .map_err(Error::from)
        };
        assert_eq!(query(r#"{"text":"x"}"#).unwrap(), text("x"));
        assert_eq!(query(r#"{"v":1,"text":"x"}"#).unwrap(), text("x"));
        let error = query(r#"{"text":["secret"]}"#).unwrap_err();
        assert!(error.is_damage());
        let shown = lar_base::error_chain(&error).to_string();
        assert!(
            shown.ends_with(
                "column memory_changes.before has an invalid value: Data error at line 1 column 8"
            ),
            "{shown}"
        );
    }
}
