//! Columns with typed values: ids, names and times. [`crate::json_columns`] reads those with JSON.

use std::error::Error as StdError;
use std::str::FromStr;

use lar_base::Timestamp;
use rusqlite::Row;
use rusqlite::types::Type;

/// rusqlite's index for an unknown column; its message then consists of the cause.
pub(crate) const UNKNOWN_COLUMN: usize = usize::MAX;

/// The value of a column is not what Lar stores in it.
#[derive(Debug, thiserror::Error)]
#[error("column {column} has an invalid value")]
struct BadColumn {
    column: String,
    #[source]
    cause: Box<dyn StdError + Send + Sync>,
}

/// Returns the error for a column with a value that Lar never stores in it.
pub(crate) fn bad_column(column: &str, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> rusqlite::Error {
    let bad = BadColumn { column: column.into(), cause: cause.into() };
    rusqlite::Error::FromSqlConversionFailure(UNKNOWN_COLUMN, Type::Text, Box::new(bad))
}

/// Parses an id or another typed value from a text column.
pub(crate) fn parse_column<T>(row: &Row<'_>, column: &str) -> rusqlite::Result<T>
where
    T: FromStr<Err: Into<Box<dyn StdError + Send + Sync>>>,
{
    let text: String = row.get(column)?;
    text.parse().map_err(|cause| bad_column(column, cause))
}

/// Like [`parse_column`], for a column that may be NULL.
pub(crate) fn parse_optional_column<T>(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<T>>
where
    T: FromStr<Err: Into<Box<dyn StdError + Send + Sync>>>,
{
    let text: Option<String> = row.get(column)?;
    text.map(|text| text.parse().map_err(|cause| bad_column(column, cause))).transpose()
}

/// Returns the time in a column with milliseconds since 1970.
pub(crate) fn time(row: &Row<'_>, column: &str) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_millis)
}

/// Like [`time`], for a column that may be NULL.
pub(crate) fn optional_time(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_millis))
}
