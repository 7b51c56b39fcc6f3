//! Searches the gap between two readable rows around damage, if no index names the rows in it.
//!
//! Keys are treated as numbers. A gap is halved: rows are read up and down from its middle until each walk
//! fails, and the rest of both halves is halved again. A damaged page costs a few searches; a lost branch
//! costs several for each of its rows. The first half of the walks goes to the widest gaps, the other half to
//! the gaps at the low end, since a damaged number can make a gap wider than the range of all keys that were
//! ever stored.

use std::collections::VecDeque;

use rusqlite::types::Value;

use super::indexes::IndexedKeys;
use super::row_keys::{Key, KeyPart};
use super::table_copy::{TableCopy, Walk};
use crate::Error;

/// The most walks through the gaps of one table; they take half a second.
const WALKS_MAX: u64 = 20_000;
/// The most rows of `sqlite_sequence` that are read. Lar has one for each table that never reuses a rowid.
const SEQUENCES_MAX: u32 = 100;
/// The number of hexadecimal digits in an id.
const ID_DIGITS: usize = 32;

/// A mapping of keys to numbers in the same order.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Scale {
    /// A rowid is its own number.
    Rows,
    /// The number of an id is in the digits after this prefix.
    Ids(String),
}

impl Scale {
    /// Returns the scale for ids like this key; `None` if it is not an id.
    fn of_ids(columns: &[KeyPart]) -> Option<Self> {
        let [KeyPart::Text(text)] = columns else { return None };
        let prefix = text.get(..text.len().checked_sub(ID_DIGITS)?)?;
        let scale = Self::Ids(prefix.to_owned());
        scale.number(&Key::Columns(columns.to_vec())).map(|_| scale)
    }

    fn number(&self, key: &Key) -> Option<u128> {
        match (self, key) {
            (Self::Rows, Key::Row(number)) => Some(u128::try_from(*number).unwrap_or(0)),
            (Self::Ids(prefix), Key::Columns(columns)) => {
                let [KeyPart::Text(text)] = columns.as_slice() else { return None };
                let digits = text.strip_prefix(prefix.as_str())?;
                let is_plain = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                (digits.len() == ID_DIGITS && is_plain).then(|| u128::from_str_radix(digits, 16).ok())?
            }
            _ => None,
        }
    }

    fn value(&self, number: u128) -> Value {
        match self {
            Self::Rows => Value::Integer(i64::try_from(number).unwrap_or(i64::MAX)),
            Self::Ids(prefix) => Value::Text(format!("{prefix}{number:032x}")),
        }
    }

    fn highest(&self) -> u128 {
        match self {
            Self::Rows => i64::MAX.unsigned_abs().into(),
            Self::Ids(_) => u128::MAX,
        }
    }
}

/// A range of numbers, without both ends, that is not fully searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Gap {
    from: u128,
    to: u128,
}

impl Gap {
    fn is_empty(self) -> bool {
        self.to.saturating_sub(self.from) < 2
    }
}

impl TableCopy<'_> {
    /// Reads the readable rows between the ends of a forward walk and a backward walk that failed.
    pub(super) fn search_gap(
        &mut self,
        forwards: &Walk,
        backwards: &Walk,
        indexed: &IndexedKeys,
    ) -> Result<(), Error> {
        let Some(scale) = self.scale(indexed) else {
            // Keys that are not numbers have no middle. The rows between two readable rows are unknown.
            self.unsearched = u64::from(!self.read.is_empty());
            return Ok(());
        };
        let ranges = self.table.ranges();
        let mut walks = 0;
        let mut wide = VecDeque::from(self.gaps(&scale, forwards, backwards, indexed));
        while walks < WALKS_MAX / 2
            && self.has_budget()
            && let Some(gap) = wide.pop_front()
        {
            wide.extend(self.halve(gap, &scale, &ranges, &mut walks)?);
        }
        let mut low = Vec::from(wide);
        low.sort_unstable_by(|one, two| two.cmp(one));
        while walks < WALKS_MAX
            && self.has_budget()
            && let Some(gap) = low.pop()
        {
            low.extend(self.halve(gap, &scale, &ranges, &mut walks)?.into_iter().rev());
        }
        self.unsearched = low.iter().filter(|gap| !gap.is_empty()).count() as u64;
        Ok(())
    }

    /// Returns the gaps to search: between the two walks, cut where rows are known to begin or end.
    fn gaps(&self, scale: &Scale, forwards: &Walk, backwards: &Walk, indexed: &IndexedKeys) -> Vec<Gap> {
        let numbers =
            |walk: &Walk| walk.recent.iter().filter_map(|key| scale.number(key)).collect::<Vec<_>>();
        let from = numbers(forwards).into_iter().min().unwrap_or(0);
        let to = numbers(backwards).into_iter().max().unwrap_or(scale.highest());
        let mut cuts = vec![from, to];
        let known = || indexed.keys.iter().filter_map(|key| scale.number(key));
        cuts.extend(known().min().map(|first| first.saturating_sub(1)));
        cuts.extend(known().max());
        if self.table.has_row_numbers() {
            cuts.extend(
                self.highest_row_number().and_then(|last| u128::try_from(last).ok()).map(|last| last + 1),
            );
        }
        cuts.retain(|cut| (from..=to).contains(cut));
        cuts.sort_unstable();
        cuts.dedup();
        // The row at `from` was read. A row at another cut may be unread: the gap after it includes it.
        let start = |cut: u128| if cut == from { cut } else { cut.saturating_sub(1) };
        cuts.windows(2).map(|pair| Gap { from: start(pair[0]), to: pair[1] }).collect()
    }

    /// Returns the highest rowid that was ever used, if the table records it.
    fn highest_row_number(&self) -> Option<i64> {
        let sql = "SELECT seq FROM (SELECT name, seq FROM sqlite_sequence LIMIT ?2) WHERE name = ?1";
        self.source.connection.query_row(sql, (&self.table.name, SEQUENCES_MAX), |row| row.get(0)).ok()
    }

    /// Returns how the keys of this table map to numbers, if they do.
    fn scale(&self, indexed: &IndexedKeys) -> Option<Scale> {
        match self.table.key.len() {
            0 => Some(Scale::Rows),
            1 => {
                let some = if self.read.is_empty() { &indexed.keys } else { &self.read };
                // The first and last keys may be damaged.
                some.iter().skip(some.len() / 2).find_map(|key| match key {
                    Key::Columns(columns) => Scale::of_ids(columns),
                    Key::Row(_) => None,
                })
            }
            _ => None,
        }
    }

    /// Reads up and down from the middle of a gap; returns what is left of it, the lower half first.
    fn halve(
        &mut self,
        gap: Gap,
        scale: &Scale,
        [up, down]: &[String; 2],
        walks: &mut u64,
    ) -> Result<Vec<Gap>, Error> {
        if gap.is_empty() {
            return Ok(Vec::new());
        }
        let middle = gap.from + (gap.to - gap.from) / 2;
        let mut read = |sql: &str, end: u128| -> Result<Option<u128>, Error> {
            *walks += 1;
            let walk = self.walk(sql, &[scale.value(middle), scale.value(end)])?;
            let last = walk.recent.back().and_then(|key| scale.number(key)).unwrap_or(middle);
            Ok((!walk.ended).then_some(last))
        };
        let lower = read(down, gap.from)?.map(|last| Gap { to: last.clamp(gap.from, middle), ..gap });
        let upper = read(up, gap.to)?.map(|last| Gap { from: last.clamp(middle, gap.to), ..gap });
        Ok(lower.into_iter().chain(upper).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_numbers_in_the_order_of_their_texts() {
        let key = |text: &str| Key::Columns(vec![KeyPart::Text(text.to_owned())]);
        let id = "msg_019200000000000000000000000000ff";
        let Key::Columns(columns) = key(id) else { unreachable!() };
        let scale = Scale::of_ids(&columns).unwrap();
        assert_eq!(scale, Scale::Ids("msg_".into()));
        let number = scale.number(&key(id)).unwrap();
        assert_eq!(scale.value(number), Value::Text(id.into()));
        assert_eq!(scale.value(number + 1), Value::Text("msg_01920000000000000000000000000100".into()));
        for other in
            ["msg_01920000000000000000000000000G00", "conv_01920000000000000000000000000100", "msg_01"]
        {
            assert_eq!(scale.number(&key(other)), None, "{other}");
        }
        assert_eq!(Scale::of_ids(&[KeyPart::Text("2026-11-28".into())]), None);
        assert_eq!(Scale::Rows.number(&Key::Row(-1)), Some(0));
        assert_eq!(Scale::Rows.value(Scale::Rows.highest()), Value::Integer(i64::MAX));
    }
}
