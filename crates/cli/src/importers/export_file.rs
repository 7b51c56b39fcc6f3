//! Reads the text of an export.

use std::path::Path;

use lar_base::Bytes;
use lar_base::files::read_text_at_most;

/// The maximum size of an export file.
pub(super) const FILE_BYTES_MAX: Bytes = Bytes::mib(256);

/// Reads a text file. Removes a byte order mark, and converts line ends to `\n`.
pub(crate) fn read_text(path: &Path) -> std::io::Result<String> {
    let text = read_text_at_most(std::fs::File::open(path)?, FILE_BYTES_MAX)?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(&text).replace("\r\n", "\n"))
}
