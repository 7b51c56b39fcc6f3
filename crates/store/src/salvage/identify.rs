//! Determines which schema a damaged database has, from the readable definitions of its tables and indexes.
//! One flipped bit changes the schema number in the header (`PRAGMA user_version`), and rows that are written
//! into tables of an older schema lose their newer columns without an error.
//!
//! A flipped bit does not create a column of another schema. So the number counts only among the schemas that
//! the definitions allow. This module also refuses databases of other programs and of a newer Lar: a salvage
//! would lose everything that Lar has no tables for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::Connection;

use super::definitions::{DAMAGED_LETTERS_MAX, Definition, Definitions, ObjectName, is_nearly};
use super::repair::Header;
use super::report::Schema;
use crate::{Error, conversation_search, memory_counts, migrations};

/// The fewest columns of a definition that proves that the database is Lar's, if its text is Lar's. The
/// tables that SQLite creates for a full-text index have fewer, and the same text in every program.
const COLUMNS_OF_PROOF_MIN: usize = 3;
/// The prefix of SQLite's own tables and indexes.
const OF_SQLITE: &str = "sqlite_";
/// The most schemas that a newer Lar can be ahead. A larger number is damage, unless something new is found
/// beside it.
const SCHEMAS_AHEAD_MAX: u32 = 1_000;
/// The most names that an error shows.
const NAMES_SHOWN_MAX: usize = 5;
/// The most letters of each name that an error shows: names may come from any file.
const LETTERS_SHOWN_MAX: usize = 40;

/// Determines the schema of a damaged database from its copy.
///
/// # Errors
/// [`Error::Newer`] and [`Error::Unusable`] when a newer Lar made the database; [`Error::Unusable`] when
/// another program did.
pub(super) fn schema(copy: &Path, damaged: &Path, header: Header) -> Result<Schema, Error> {
    let schemas = Schemas::all()?;
    let found = schemas.rename(Definitions::of_copy(copy));
    if let Some(reason) = schemas.reason_not_lar(&found, header) {
        return Err(Error::Unusable {
            path: damaged.to_owned(),
            reason: format!("is another program's database: {reason}"),
            step: "name the `lar.db` of a Lar data directory: lar backup salvage --database FILE FOLDER"
                .into(),
        });
    }
    let unknown = schemas.unknown(&found);
    refuse_newer(damaged, header, &found, &unknown)?;
    let candidates = schemas.candidates(&found);
    let newest = candidates.last().copied().unwrap_or_else(migrations::newest_schema);
    let number = header.schema.filter(|number| candidates.contains(number)).unwrap_or(newest);
    let may_lack = schemas.additions(number, newest);
    if header.schema != Some(number) {
        tracing::warn!(
            schema = number,
            in_header = ?header.schema,
            "the schema number is damaged; the definitions of tables are used instead"
        );
    }
    Ok(Schema { number, in_header: header.schema, may_lack, unknown_tables: unknown.tables() })
}

/// Refuses a database with tables or columns that this Lar does not know, unless damage explains them. A
/// number above the newest schema is believed if something new is found, or may be among unreadable
/// definitions.
fn refuse_newer(damaged: &Path, header: Header, found: &Definitions, unknown: &Unknown) -> Result<(), Error> {
    let known = migrations::newest_schema();
    let is_new_found = !unknown.objects.is_empty() || !unknown.columns.is_empty();
    let is_believed =
        |number: u32| is_new_found || (!found.is_complete && number - known <= SCHEMAS_AHEAD_MAX);
    if let Some(number) = header.schema
        && number > known
        && is_believed(number)
    {
        return Err(Error::Newer { found: number, known });
    }
    let added: Vec<&str> =
        unknown.columns.iter().filter(|column| column.is_added).map(|column| column.name.as_str()).collect();
    if added.is_empty() {
        return Ok(());
    }
    Err(Error::Unusable {
        path: damaged.to_owned(),
        reason: format!("belongs to a newer Lar: this one does not know {}", join_names(&added)),
        step: "salvage it with the newer Lar: lar backup salvage FOLDER".into(),
    })
}

/// The objects and columns that no schema of this Lar has.
struct Unknown {
    /// Tables and indexes.
    objects: Vec<ObjectName>,
    columns: Vec<UnknownColumn>,
}

struct UnknownColumn {
    /// The name of its table, a dot, and its own.
    name: String,
    /// Whether the table also has every column that this Lar knows, so that this one is none of them.
    is_added: bool,
}

impl Unknown {
    fn tables(&self) -> Vec<String> {
        self.objects.iter().filter(|name| name.0 == "table").map(|name| sanitize(&name.1)).collect()
    }
}

/// The definitions of every schema that this Lar knows.
struct Schemas {
    /// Schema 1 first.
    each: Vec<BTreeMap<ObjectName, Definition>>,
}

impl Schemas {
    fn all() -> Result<Self, Error> {
        let definitions = |connection: &Connection| Ok(Definitions::read(connection)?.by_name);
        Ok(Self { each: migrations::create_each_schema(&Connection::open_in_memory()?, definitions)? })
    }

    /// Returns the definitions of a table or index in all schemas, the oldest first.
    fn versions<'a>(&'a self, name: &'a ObjectName) -> impl DoubleEndedIterator<Item = &'a Definition> {
        self.each.iter().filter_map(move |schema| schema.get(name))
    }

    fn is_known(&self, name: &ObjectName) -> bool {
        self.versions(name).next().is_some()
    }

    fn has_column(&self, table: &ObjectName, column: &str) -> bool {
        self.versions(table).any(|version| version.columns.contains(column))
    }

    /// Returns the definitions under the names that they had before damage.
    fn rename(&self, found: Definitions) -> Definitions {
        let known: BTreeSet<&ObjectName> = self.each.iter().flat_map(BTreeMap::keys).collect();
        let missing: Vec<&ObjectName> =
            known.iter().copied().filter(|name| !found.by_name.contains_key(*name)).collect();
        let Definitions { by_name, is_complete } = found;
        let renamed = by_name.into_iter().map(|(name, definition)| {
            let is_it = |missing: &ObjectName| {
                missing.0 == name.0 && is_nearly(&missing.1, &name.1, DAMAGED_LETTERS_MAX)
            };
            let before = match known.contains(&name) {
                true => None,
                false => missing.iter().copied().find(|missing| is_it(missing)).cloned(),
            };
            (before.unwrap_or(name), definition)
        });
        Definitions { by_name: renamed.collect(), is_complete }
    }

    /// Explains why a database is not Lar's. Returns `None` if one definition proves that it is, or too few
    /// can be read to tell. A Lar database with a damaged encoding in its header still has Lar's definitions
    /// in UTF-8.
    fn reason_not_lar(&self, found: &Definitions, header: Header) -> Option<String> {
        let is_proof = |(name, definition): (&ObjectName, &Definition)| {
            definition.columns.len() >= COLUMNS_OF_PROOF_MIN
                && self.versions(name).any(|version| version.is_like(definition))
        };
        if found.by_name.iter().any(is_proof) {
            return None;
        }
        if header.is_utf16 {
            return Some("its texts are UTF-16, but Lar writes only UTF-8".into());
        }
        let is_table = |name: &&ObjectName| name.0 == "table" && !name.1.starts_with(OF_SQLITE);
        let tables: Vec<&ObjectName> = found.by_name.keys().filter(is_table).collect();
        let is_unclear = !found.is_complete && tables.iter().all(|name| self.is_known(name));
        if tables.is_empty() || is_unclear {
            return None;
        }
        let names: Vec<&str> = tables.into_iter().map(|name| name.1.as_str()).collect();
        Some(format!("its tables are not Lar's ({})", join_names(&names)))
    }

    /// Returns the definitions that no schema has, and that are not a known name with damaged letters.
    fn unknown(&self, found: &Definitions) -> Unknown {
        let is_new = |name: &&ObjectName| {
            matches!(name.0.as_str(), "table" | "index")
                && !name.1.starts_with(OF_SQLITE)
                && !self.is_known(name)
        };
        let objects = found.by_name.keys().filter(is_new).cloned().collect();
        let mut columns = Vec::new();
        for (table, definition) in &found.by_name {
            let Some(newest) = self.versions(table).next_back() else { continue };
            let missing: Vec<&String> = newest.columns.difference(&definition.columns).collect();
            let is_damaged =
                |column: &str| missing.iter().any(|missing| is_nearly(missing, column, DAMAGED_LETTERS_MAX));
            for column in &definition.columns {
                if !self.has_column(table, column) && !is_damaged(column) {
                    let name = format!("{}.{column}", table.1);
                    columns.push(UnknownColumn { name, is_added: missing.is_empty() });
                }
            }
        }
        Unknown { objects, columns }
    }

    /// Returns the schemas that the definitions allow, the oldest first; all of them if no definition could
    /// be read.
    fn candidates(&self, found: &Definitions) -> Vec<u32> {
        let misfits: Vec<_> = self.each.iter().map(|schema| self.mismatch(schema, found)).collect();
        let least = misfits.iter().min();
        let mut best: Vec<usize> = (0..misfits.len()).filter(|at| misfits.get(*at) == least).collect();
        // If all definitions could be read, a table without one does not exist.
        let is_there = |name: &ObjectName| name.1.starts_with(OF_SQLITE) || found.by_name.contains_key(name);
        let is_whole = |at: &usize| self.each[*at].keys().all(is_there);
        if found.is_complete && best.iter().any(is_whole) {
            best.retain(is_whole);
        }
        best.into_iter().filter_map(|at| u32::try_from(at + 1).ok()).collect()
    }

    /// Rates how badly a schema fits the definitions. The first number counts tables, indexes and columns
    /// that it lacks, which would be lost. The second counts definitions with the text of another schema.
    fn mismatch(&self, schema: &BTreeMap<ObjectName, Definition>, found: &Definitions) -> (usize, usize) {
        let (mut lacks, mut differs) = (0, 0);
        for (name, definition) in found.by_name.iter().filter(|(name, _)| self.is_known(name)) {
            let Some(own) = schema.get(name) else {
                lacks += 1;
                continue;
            };
            let newer = definition.columns.difference(&own.columns);
            lacks += newer.filter(|column| self.has_column(name, column)).count();
            let is_of_another = || self.versions(name).any(|version| version.is_like(definition));
            differs += usize::from(!own.is_like(definition) && is_of_another());
        }
        (lacks, differs)
    }

    /// Returns the tables and columns that the schema `newer` has and `older` lacks, except those rebuilt
    /// from other tables.
    fn additions(&self, older: u32, newer: u32) -> Vec<String> {
        let of = |schema: u32| self.each.get((schema as usize).checked_sub(1)?);
        let (Some(older), Some(newer)) = (of(older), of(newer)) else { return Vec::new() };
        let rebuilt = [conversation_search::ROWS_TABLE, memory_counts::TABLE];
        let is_rebuilt = |name: &str| rebuilt.contains(&name) || name.starts_with(OF_SQLITE);
        let mut gains = Vec::new();
        for (name, definition) in newer.iter().filter(|(name, _)| name.0 == "table" && !is_rebuilt(&name.1)) {
            match older.get(name) {
                None => gains.push(name.1.clone()),
                Some(own) => {
                    let columns = definition.columns.difference(&own.columns);
                    gains.extend(columns.map(|column| format!("{}.{column}", name.1)));
                }
            }
        }
        gains
    }
}

/// Joins some names for an error message.
fn join_names(names: &[&str]) -> String {
    let some: Vec<String> = names.iter().take(NAMES_SHOWN_MAX).map(|name| sanitize(name)).collect();
    let more = if names.len() > NAMES_SHOWN_MAX { ", …" } else { "" };
    format!("{}{more}", some.join(", "))
}

/// Escapes a name for a terminal, and cuts a long one.
fn sanitize(name: &str) -> String {
    name.chars().take(LETTERS_SHOWN_MAX).flat_map(char::escape_debug).collect()
}
