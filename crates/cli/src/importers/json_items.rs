//! The items of a JSON export: a list, a list in a field of an object, or one object per line.

use std::fmt;

use anyhow::bail;
use serde::Deserializer as _;
use serde::de::{SeqAccess, Visitor};
use serde_json::{Deserializer, Value};

use super::parsed_export::ParsedExport;
use super::report::Location;
use super::times;

/// The least number of a time that counts milliseconds since 1970. As seconds, it is in the year 5138.
const MILLISECONDS_MIN: f64 = 1e11;
/// The reason for a line that failed.
pub(super) const NOT_JSON: &str = "not valid JSON";

/// Returns the items of an export with their locations. Bad lines, and the bad end of a list, fail, and the rest
/// is returned. An empty file has no items. Lists and objects beside the list are named, except those in
/// `other_names`, which the caller reads.
///
/// # Errors
/// If nothing of the file is JSON, or there is no list.
pub(super) fn items(
    text: &str,
    file: &Location,
    list_names: &[&str],
    other_names: &[&str],
    read: &mut ParsedExport,
) -> anyhow::Result<Vec<(Location, Value)>> {
    let start = text.trim_start();
    if start.is_empty() {
        return Ok(Vec::new());
    }
    if start.starts_with('[') {
        let mut items = Vec::new();
        for_each_item(text, file, read, |location, item, _| items.push((location, item)))?;
        return Ok(items);
    }
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(mut fields)) => {
            let is_list = |name: &&&str| fields.get(**name).is_some_and(Value::is_array);
            if let Some(name) = list_names.iter().find(is_list)
                && let Some(Value::Array(items)) = fields.remove(*name)
            {
                let rest = fields.iter().filter(|(name, _)| !other_names.contains(&name.as_str()));
                for (name, _) in rest.filter(|(_, value)| has_items(value)) {
                    read.skip(
                        file.item(format!("`{name}`")),
                        "parts of the file beside the list of memories",
                    );
                }
                return Ok(numbered(file, items));
            }
            // One object per line, and there is only one line.
            if ["content", "memory"].iter().any(|name| fields.contains_key(*name)) {
                return Ok(numbered(file, vec![Value::Object(fields)]));
            }
            bail!("the file has no list, neither at the top level nor in {}", list_names.join(", "))
        }
        Ok(_) => bail!("the file has no list"),
        Err(whole) => lines(text, file, read, &whole),
    }
}

/// Calls `take` with each item of a list at the top level. Only one item is in memory at a time. If the list
/// ends in an error, names the line, and the items before it are kept.
///
/// # Errors
/// If there is no item before the error.
pub(super) fn for_each_item(
    text: &str,
    file: &Location,
    read: &mut ParsedExport,
    take: impl FnMut(Location, Value, &mut ParsedExport),
) -> anyhow::Result<()> {
    let mut deserializer = Deserializer::from_str(text);
    let mut items = Items { file, count: 0, read, take };
    let parsed = deserializer.deserialize_seq(&mut items).and_then(|()| deserializer.end());
    let (count, Err(error)) = (items.count, parsed) else { return Ok(()) };
    if count == 0 {
        bail!("the file is not valid JSON: {error}");
    }
    let reason = format!("{NOT_JSON}; the items from here on were not read ({error})");
    read.fail(file.line(error.line()), reason);
    Ok(())
}

/// Returns the string in the first of these fields that has one.
pub(super) fn string(item: &Value, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| item[*name].as_str()).map(ToOwned::to_owned)
}

/// Returns the text or the number in the first of these fields that has one.
pub(super) fn name(item: &Value, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| scalar(&item[*name]))
}

/// Returns the text of a scalar value.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// Returns the time in the first of these fields that has a value, as a text. A number counts seconds or milliseconds
/// since 1970. A value that is no time is returned as it is, so that the import names it.
pub(super) fn time(item: &Value, names: &[&str]) -> Option<String> {
    let is_empty =
        |value: &Value| value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty());
    let value = names.iter().map(|name| &item[*name]).find(|value| !is_empty(value))?;
    let number =
        value.as_f64().map(|number| if number.abs() < MILLISECONDS_MIN { number } else { number / 1000.0 });
    let parsed = number.and_then(times::from_seconds).map(|time| time.to_string());
    parsed.or_else(|| scalar(value)).or_else(|| Some(value.to_string()))
}

/// Returns whether a list or an object has something in it.
pub(super) fn has_items(value: &Value) -> bool {
    match value {
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => false,
    }
}

/// Returns whether a value has something that a person could miss: a text or a number.
pub(super) fn has_content(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) => false,
        Value::Number(_) => true,
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(items) => items.iter().any(has_content),
        Value::Object(fields) => fields.values().any(has_content),
    }
}

fn numbered(file: &Location, items: Vec<Value>) -> Vec<(Location, Value)> {
    items.into_iter().enumerate().map(|(at, item)| (item_location(file, at + 1), item)).collect()
}

fn item_location(file: &Location, number: usize) -> Location {
    file.item(format!("item {number}"))
}

fn lines(
    text: &str,
    file: &Location,
    read: &mut ParsedExport,
    whole: &serde_json::Error,
) -> anyhow::Result<Vec<(Location, Value)>> {
    let (mut items, mut bad) = (Vec::new(), Vec::new());
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match serde_json::from_str::<Value>(line) {
            Ok(item @ Value::Object(_)) => items.push((file.line(number + 1), item)),
            _ => bad.push(number + 1),
        }
    }
    if items.is_empty() {
        bail!("the file is not valid JSON: {whole}");
    }
    bad.into_iter().for_each(|number| read.fail(file.line(number), NOT_JSON));
    Ok(items)
}

struct Items<'a, F> {
    file: &'a Location,
    count: usize,
    read: &'a mut ParsedExport,
    take: F,
}

impl<'de, F: FnMut(Location, Value, &mut ParsedExport)> Visitor<'de> for &mut Items<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(item) = list.next_element::<Value>()? {
            self.count += 1;
            (self.take)(item_location(self.file, self.count), item, self.read);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<String>, Vec<String>) {
        let mut read = ParsedExport::default();
        let found = items(text, &Location::file("f"), &["results"], &[], &mut read).unwrap();
        let found = found.into_iter().map(|(location, item)| format!("{location}: {item}"));
        (found.collect(), read.failed.iter().map(|one| format!("{}: {}", one.location, one.reason)).collect())
    }

    #[test]
    fn lists_objects_with_a_list_and_lines_have_items() {
        let expected = ["f, item 1: {\"a\":1}", "f, item 2: {\"a\":2}"];
        for text in
            ["[{\"a\":1},{\"a\":2}]", "{\"results\":[{\"a\":1},{\"a\":2}]}", " \n[{\"a\":1},\n{\"a\":2}]\n"]
        {
            assert_eq!(read(text), (expected.map(ToOwned::to_owned).to_vec(), Vec::new()), "{text}");
        }
        let (lines, failed) = read("{\"a\":1}\n\n{\"a\":2}\n");
        assert_eq!(
            (lines, failed.len()),
            (vec!["f, line 1: {\"a\":1}".into(), "f, line 3: {\"a\":2}".into()], 0)
        );
        for empty in ["", " \n\n", "[]", "{\"results\":[]}"] {
            assert_eq!(read(empty), (Vec::new(), Vec::new()), "{empty:?}");
        }
    }

    #[test]
    fn a_bad_line_and_the_bad_end_of_a_list_fail_and_the_rest_is_read() {
        let (found, failed) = read("{\"a\":1}\nnope\n7\n{\"a\":2}\n");
        assert_eq!(
            (found.len(), failed),
            (2, vec!["f, line 2: not valid JSON".into(), "f, line 3: not valid JSON".into()])
        );
        let (found, failed) = read("[{\"a\":1},\n{\"a\":2},\n{\"a\":");
        assert_eq!((found.len(), failed.len()), (2, 1));
        assert!(failed[0].starts_with("f, line 3: not valid JSON; the items from here on"), "{}", failed[0]);
    }

    #[test]
    fn parts_beside_the_list_are_named() {
        let mut read = ParsedExport::default();
        let text =
            r#"{"results": [{"a": 1}], "edges": [{"b": 2}], "relations": [1], "count": 1, "none": []}"#;
        let found =
            items(text, &Location::file("f"), &["nodes", "results"], &["relations"], &mut read).unwrap();
        let named: Vec<String> = read.skipped.iter().map(|one| one.location.to_string()).collect();
        assert_eq!((found.len(), named), (1, vec!["f, `edges`".to_owned()]));
    }

    #[test]
    fn times_are_texts_or_numbers() {
        let of = |value: Value| time(&serde_json::json!({ "at": value }), &["none", "at"]);
        assert_eq!(of(1_717_236_000.into()).as_deref(), Some("2024-06-01T10:00:00.000Z"));
        assert_eq!(of(1_717_236_000_000_u64.into()).as_deref(), Some("2024-06-01T10:00:00.000Z"));
        assert_eq!(of("2024-06-01".into()).as_deref(), Some("2024-06-01"));
        assert_eq!(
            of(serde_json::json!([2024, 6])).as_deref(),
            Some("[2024,6]"),
            "it is named as unreadable"
        );
        assert_eq!((of(Value::Null), of(" ".into())), (None, None));
    }

    #[test]
    fn a_file_without_any_item_is_an_error() {
        for bad in ["{", "[", "7", "{\"a\": 1}", "not json"] {
            assert!(
                items(bad, &Location::file("f"), &["results"], &[], &mut ParsedExport::default()).is_err(),
                "{bad}"
            );
        }
    }
}
