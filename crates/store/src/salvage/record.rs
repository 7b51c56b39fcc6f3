//! Decodes the values of a record (SQLite's file format, 2.1), which is an index entry or a row.

use rusqlite::types::Value;

use crate::page::varint;

/// Decodes the values of a record; returns `None` if it is damaged. Invalid UTF-8 is replaced.
pub(super) fn values(record: &[u8]) -> Option<Vec<Value>> {
    let (header_bytes, mut at) = varint(record)?;
    let header_bytes = usize::try_from(header_bytes).ok()?;
    let (header, mut body) = record.split_at_checked(header_bytes)?;
    let mut values = Vec::new();
    while at < header.len() {
        let (kind, length) = varint(&header[at..])?;
        at += length;
        let bytes = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return None,
            _ => (kind - 12) / 2,
        };
        let (value, rest) = body.split_at_checked(usize::try_from(bytes).ok()?)?;
        body = rest;
        values.push(match kind {
            0 => Value::Null,
            1..=6 => Value::Integer(integer(value)),
            7 => Value::Real(f64::from_be_bytes(value.try_into().ok()?)),
            8 => Value::Integer(0),
            9 => Value::Integer(1),
            _ if kind % 2 == 0 => Value::Blob(value.to_vec()),
            _ => Value::Text(String::from_utf8_lossy(value).into_owned()),
        });
    }
    Some(values)
}

/// Decodes a signed big-endian integer of up to 8 bytes.
fn integer(bytes: &[u8]) -> i64 {
    let is_negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    bytes.iter().fold(if is_negative { -1 } else { 0 }, |number, byte| number << 8 | i64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_kind_are_read_from_a_record() {
        // NULL, -2 in one byte, 2^32 in six, 0.5, the numbers 0 and 1, a blob of two bytes, a text of three.
        let header = [9, 0, 1, 5, 7, 8, 9, 16, 19];
        let body = [&[0xfe][..], &[0, 1, 0, 0, 0, 0], &0.5_f64.to_be_bytes(), &[7, 8], b"now"].concat();
        let record = [&header[..], &body].concat();
        let expected = [
            Value::Null,
            Value::Integer(-2),
            Value::Integer(1 << 32),
            Value::Real(0.5),
            Value::Integer(0),
            Value::Integer(1),
            Value::Blob(vec![7, 8]),
            Value::Text("now".into()),
        ];
        assert_eq!(values(&record).unwrap(), expected);
        assert_eq!(values(&[1]), Some(Vec::new()));
        // Truncated, empty, with a header longer than the record, of an unused type, and with truncated
        // varints.
        let damaged: [&[u8]; 6] =
            [&record[..record.len() - 1], &[], &[5, 0], &[2, 10], &[2, 0x81], &[0xff; 9]];
        for record in damaged {
            assert_eq!(values(record), None, "{record:?}");
        }
    }
}
