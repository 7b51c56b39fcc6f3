//! The files of a split model together: the first says what the model is, each holds a part of the weights.

use std::io::{BufReader, Read, Seek};
use std::path::PathBuf;

use super::{Error, Metadata, Value, header, parse};

/// Reads the metadata of a model in these files, in order. The number of weights is that of all files.
///
/// # Errors
/// As [`super::parse`]; also when the files are not those of one split model, or not all of them.
pub fn read_files(paths: &[PathBuf]) -> Result<Metadata, Error> {
    let mut whole: Option<Metadata> = None;
    for (at, path) in paths.iter().enumerate() {
        let open = || -> Result<(BufReader<std::fs::File>, u64), Error> {
            let file = std::fs::File::open(path).map_err(|error| Error::Io(error.to_string()))?;
            let size = file.metadata().map_err(|error| Error::Io(error.to_string()))?.len();
            Ok((BufReader::with_capacity(1 << 16, file), size))
        };
        let in_file = |error: Error| match error {
            error if paths.len() == 1 => error,
            error => Error::Corrupt(format!("file {} of {}: {error}", at + 1, paths.len())),
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
    whole.ok_or_else(|| Error::Corrupt("it has no files".into()))
}

/// What one file says of its place in a split model.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    parameters: u64,
    /// `split.no`, from 0, and `split.count`; a file of its own has none.
    position: Option<(u64, u64)>,
}

impl Part {
    /// Checks that this is file `at` of `count`.
    fn check(&self, at: usize, count: usize) -> Result<(), Error> {
        let expected = (count > 1).then_some((at as u64, count as u64));
        let said = self.position.filter(|(_, count)| *count > 1);
        if said == expected {
            return Ok(());
        }
        Err(Error::Corrupt(match said {
            Some((number, all)) => format!(
                "the file says that it is number {} of {all} of a split model; it was read as number {} of {count}",
                number + 1,
                at + 1
            ),
            None => format!("file {} of {count} does not say that it is part of a split model", at + 1),
        }))
    }
}

fn part(reader: impl Read + Seek, size: u64) -> Result<Part, Error> {
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
    fn a_file_in_the_wrong_place_is_refused() {
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
