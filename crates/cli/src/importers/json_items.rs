//! The items of a JSON export: a list, a list in a field of an object, or one object per line.

use std::fmt;

use anyhow::bail;
use serde::Deserializer as _;
use serde::de::{SeqAccess, Visitor};
use serde_json::{Deserializer, Value};

use super::parsed_export::ParsedExport;
use super::report::Location;

/// The reason for a line that failed.
pub(super) const NOT_JSON: &str = "not valid JSON";

/// Returns the items of an export with their locations. Bad lines, and the bad end of a list, fail, and the rest
/// is returned. An empty file has no items.
///
/// # Errors
/// If nothing of the file is JSON, or there is no list.
pub(super) fn items(
    text: &str,
    file: &Location,
    list_names: &[&str],
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
            if let Some(Value::Array(items)) = list_names.iter().find_map(|name| fields.remove(*name)) {
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

/// Returns the strings of a list.
pub(super) fn strings(value: &Value) -> Vec<String> {
    let all = value.as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect()
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
        let found = items(text, &Location::file("f"), &["results"], &mut read).unwrap();
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
    fn a_file_without_any_item_is_an_error() {
        for bad in ["{", "[", "7", "{\"a\": 1}", "not json"] {
            assert!(
                items(bad, &Location::file("f"), &["results"], &mut ParsedExport::default()).is_err(),
                "{bad}"
            );
        }
    }
}
