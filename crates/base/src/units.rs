//! Quantities that print and parse with their unit.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

/// A number of bytes, written with binary units: `4096`, `96 MiB`, `1.5 GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

impl Bytes {
    /// Returns `count` mebibytes.
    #[must_use]
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// Returns the number of bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().find(|(_, size)| self.0 >= *size) {
            Some((name, size)) => {
                let value = self.0 as f64 / *size as f64;
                if value < 10.0 { write!(f, "{value:.1} {name}") } else { write!(f, "{value:.0} {name}") }
            }
            None => write!(f, "{} B", self.0),
        }
    }
}

impl FromStr for Bytes {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = (&text[..split], text[split..].trim());
        let size = match unit {
            "" | "B" => 1,
            _ => UNITS
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(unit))
                .map(|(_, size)| *size)
                .ok_or_else(|| format!("`{unit}` is not a unit of size; use B, KiB, MiB, GiB or TiB"))?,
        };
        let number: f64 = number.parse().map_err(|_| format!("`{text}` is not a size, such as `1.5 GiB`"))?;
        let bytes = number * size as f64;
        if !(0.0..1.8e19).contains(&bytes) {
            return Err(format!("`{text}` is out of range"));
        }
        Ok(Self(bytes as u64))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(u64),
            Text(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Number(bytes) => Ok(Self(bytes)),
            Form::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_parses_binary_units() {
        assert_eq!(Bytes(98_362_432).to_string(), "94 MiB");
        assert_eq!(Bytes(1536).to_string(), "1.5 KiB");
        assert_eq!("1.5 GiB".parse(), Ok(Bytes(1_610_612_736)));
        assert_eq!("12".parse(), Ok(Bytes(12)));
        assert!("12 apples".parse::<Bytes>().is_err());
        assert!("".parse::<Bytes>().is_err());
    }
}
