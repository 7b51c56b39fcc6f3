//! Reads the metadata of a split model. The first file describes the model; each file has a part of the
//! weights.

use std::io::{BufReader, Read, Seek};
use std::path::PathBuf;

use super::{GgufError, Metadata, Value, header, parse};

/// Reads the metadata of a model from all its files, in order. The number of weights is the sum over all
/// files.
///
/// # Errors
/// As [`super::parse`]; also fails if the files are not exactly the files of one split model.
pub fn read_files(paths: &[PathBuf]) -> Result<Metadata, GgufError> {
    let mut whole: Option<Metadata> = None;
    for (at, path) in paths.iter().enumerate() {
        let open = || -> Result<(BufReader<std::fs::File>, u64), GgufError> {
            let file = std::fs::File::open(path).map_err(|error| GgufError::Io(error.to_string()))?;
            let size = file.metadata().map_err(|error| GgufError::Io(error.to_string()))?.len();
            Ok((BufReader::with_capacity(1 << 16, file), size))
        };
        let in_file = |error: GgufError| match error {
            error if paths.len() == 1 => error,
            error => GgufError::Corrupt(format!("file {} of {}: {error}", at + 1, paths.len())),
        };
        let (reader, size) = open()?;
        let part = part(reader, size).map_err(in_file)?;
        part.check(at, paths.len())?;
        match &mut whole {
            None => {
                let (reader, size) = open()?;
                whole = Some(parse(reader, size).map_err(in_file)?);
            }
            Some(whole) => whole.parameters = whole.parameters.saturating_add(part.parameters),
        }
    }
    whole.ok_or_else(|| GgufError::Corrupt("it has no files".into()))
}

/// The number of weights of one file, and its position in a split model.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    parameters: u64,
    /// `split.no`, from 0, and `split.count`; `None` for a model in a single file.
    position: Option<(u64, u64)>,
}

impl Part {
    /// Checks that this is file `at`, from 0, of `count`.
    fn check(&self, at: usize, count: usize) -> Result<(), GgufError> {
        let expected = (count > 1).then_some((at as u64, count as u64));
        let found = self.position.filter(|(_, count)| *count > 1);
        if found == expected {
            return Ok(());
        }
        Err(GgufError::Corrupt(match found {
            Some((number, all)) => format!(
                "it is file {} of {all} of a split model, but file {} of {count} was expected",
                number + 1,
                at + 1
            ),
            None => format!("file {} of {count} is not part of a split model", at + 1),
        }))
    }
}

fn part(reader: impl Read + Seek, size: u64) -> Result<Part, GgufError> {
    let (values, parameters) = header(reader, size)?;
    let number = |key: &str| match values.get(key) {
        Some(Value::Number(number)) if (0.0..1e6).contains(number) => Some(*number as u64),
        _ => None,
    };
    Ok(Part { parameters, position: number("split.no").zip(number("split.count")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_the_wrong_position_is_rejected() {
        let file = |position| Part { parameters: 1, position };
        assert_eq!(file(None).check(0, 1), Ok(()));
        assert_eq!(file(Some((0, 1))).check(0, 1), Ok(()));
        assert_eq!(file(Some((1, 3))).check(1, 3), Ok(()));
        for (position, at, count) in
            [(Some((0, 3)), 0, 1), (Some((0, 3)), 1, 3), (Some((1, 2)), 1, 3), (None, 1, 2)]
        {
            assert!(file(position).check(at, count).is_err(), "{position:?} as {at} of {count}");
        }
    }
}
