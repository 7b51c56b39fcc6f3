//! Opens regular files and reads small ones. A pipe would keep its reader waiting, a device or a huge file would take its
//! memory: each is refused with the reason before anything of it is read. Also here is what every crate asks of a file that
//! it could not write or must move: whether there was room ([`NoRoom`]), and a move that keeps links ([`rename`]).
//!
//! What is there is looked at before it is opened, because opening a pipe waits, and opening a device can do something.
//! Symbolic links are followed, but by [`read_small_nofollow`]. The caller names the file in its own error.

use std::fmt;
use std::fs::{self, File, FileType};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, symlink};
use std::path::Path;

use crate::Bytes;

/// Settings, notes and certificates: the longest of them have some kilobytes.
pub const TEXT_BYTES_MAX: Bytes = Bytes::mib(1);
/// Keys and other files of one line.
pub const KEY_BYTES_MAX: Bytes = Bytes(4 << 10);

/// Why there was no room for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoom {
    /// The disk is full (ENOSPC).
    DiskFull,
    /// The user's quota on the disk is used up (EDQUOT).
    QuotaFull,
    /// This process may not make a file that large (EFBIG).
    FileTooLarge,
}

impl NoRoom {
    /// The reason that the system gave; none where a write failed for anything else.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<Self> {
        match error.kind() {
            ErrorKind::StorageFull => Some(Self::DiskFull),
            ErrorKind::QuotaExceeded => Some(Self::QuotaFull),
            ErrorKind::FileTooLarge => Some(Self::FileTooLarge),
            _ => None,
        }
    }
}

impl fmt::Display for NoRoom {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::DiskFull => "its disk is full; make room there",
            Self::QuotaFull => {
                "this user's quota on its disk is used up; make room there, or have the quota raised"
            }
            Self::FileTooLarge => {
                "it would be larger than this process may make a file; raise that limit (`ulimit -f`)"
            }
        })
    }
}

/// Whether a file could not be written because its disk, or the user's share of it, is full, or because this process may
/// not make a file that large.
#[must_use]
pub fn is_disk_full(error: &io::Error) -> bool {
    NoRoom::of(error).is_some()
}

/// Reads a file of at most `max` bytes.
///
/// # Errors
/// When it is not there, is no regular file, is longer, or cannot be read.
pub fn read_small(path: &Path, max: Bytes) -> io::Result<Vec<u8>> {
    read_at_most(open_regular(path)?, max)
}

/// As [`read_small`], and follows no symbolic link at the end of the path: for a folder where others may have put one.
///
/// # Errors
/// As [`read_small`]; when it is a link, or is exchanged while it is opened.
pub fn read_small_nofollow(path: &Path, max: Bytes) -> io::Result<Vec<u8>> {
    let found = fs::symlink_metadata(path)?;
    check_kind(found.file_type())?;
    let file = File::open(path)?;
    let opened = file.metadata()?;
    if (opened.dev(), opened.ino()) != (found.dev(), found.ino()) {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it was exchanged while it was opened"));
    }
    read_at_most(file, max)
}

fn read_at_most(file: File, max: Bytes) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(max.get() + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max.get() {
        let reason = format!("it has more than {max}, which is the most that is read of it");
        return Err(io::Error::new(ErrorKind::InvalidData, reason));
    }
    Ok(bytes)
}

/// As [`read_small`], of a text.
///
/// # Errors
/// As [`read_small`]; when it is no UTF-8.
pub fn read_small_text(path: &Path, max: Bytes) -> io::Result<String> {
    String::from_utf8(read_small(path, max)?)
        .map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is no text in UTF-8"))
}

/// Opens a regular file for reading.
///
/// # Errors
/// When it is not there, is something else, or cannot be opened.
pub fn open_regular(path: &Path) -> io::Result<File> {
    check_kind(fs::metadata(path)?.file_type())?;
    let file = File::open(path)?;
    // Something else may have taken its name.
    check_kind(file.metadata()?.file_type())?;
    Ok(file)
}

/// Refuses a path that is about to be written to where something else than a regular file is.
///
/// # Errors
/// When something else is there, or nobody can say what.
pub fn refuse_special(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(about) => check_kind(about.file_type()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Renames a file or folder within its disk. A symbolic link with a relative target gets the absolute one, so that it leads
/// where it led before.
///
/// # Errors
/// When it cannot be read or renamed.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let is_link = fs::symlink_metadata(from)?.is_symlink();
    let target = if is_link { fs::read_link(from)? } else { return fs::rename(from, to) };
    if target.is_absolute() {
        return fs::rename(from, to);
    }
    let folder = std::path::absolute(from)?.parent().map(Path::to_owned).unwrap_or_default();
    // Dots in the target are kept: they count from where a folder in it leads, if that is a link, too.
    symlink(folder.join(target), to)?;
    fs::remove_file(from)
}

/// What a file is, with its article.
#[must_use]
pub fn kind_of(file: FileType) -> &'static str {
    match file {
        file if file.is_file() => "a regular file",
        file if file.is_dir() => "a folder",
        file if file.is_symlink() => "a symbolic link",
        file if file.is_fifo() => "a pipe",
        file if file.is_socket() => "a socket",
        _ => "a device",
    }
}

fn check_kind(file: FileType) -> io::Result<()> {
    if file.is_file() {
        return Ok(());
    }
    let reason = format!("it is {}, not a regular file", kind_of(file));
    Err(io::Error::new(ErrorKind::InvalidInput, reason))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;

    use super::*;

    /// A folder that goes when the test ends.
    struct Folder(PathBuf);

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn folder(name: &str) -> Folder {
        let folder = Folder(std::env::temp_dir().join(format!("lar-{name}-{}", std::process::id())));
        fs::create_dir_all(&folder.0).unwrap();
        folder
    }

    #[test]
    fn a_full_disk_a_quota_and_a_size_limit_are_distinguished() {
        // ENOSPC, EDQUOT, EFBIG, EACCES.
        let errors = [28, 122, 27, 13].map(io::Error::from_raw_os_error);
        assert_eq!(errors.each_ref().map(is_disk_full), [true, true, true, false]);
        let [disk, quota, limit, other] = errors.each_ref().map(NoRoom::of);
        assert_eq!(other, None);
        let texts = [disk, quota, limit].map(|why| why.unwrap().to_string());
        assert!(texts[0].starts_with("its disk is full") && texts[1].contains("quota"), "{texts:?}");
        assert!(texts[2].ends_with("raise that limit (`ulimit -f`)"), "{texts:?}");
    }

    #[test]
    fn a_renamed_link_keeps_its_target() {
        let folder = folder("links");
        let at = |name: &str| folder.0.join(name);
        for name in ["data", "disk", "data/aside"] {
            fs::create_dir(at(name)).unwrap();
        }
        fs::write(at("disk/lar.db"), "there").unwrap();
        let absolute = at("disk/lar.db");
        for (name, target) in [("relative", Path::new("../disk/lar.db")), ("absolute", absolute.as_path())] {
            symlink(target, at("data").join(name)).unwrap();
            rename(&at("data").join(name), &at("data/aside").join(name)).unwrap();
            assert_eq!(fs::read_to_string(at("data/aside").join(name)).unwrap(), "there");
            assert!(fs::symlink_metadata(at("data").join(name)).is_err(), "{name}");
        }
        fs::write(at("data/file"), "moved").unwrap();
        rename(&at("data/file"), &at("data/aside/file")).unwrap();
        assert_eq!(fs::read_to_string(at("data/aside/file")).unwrap(), "moved");
    }

    #[test]
    fn read_small_nofollow_refuses_links() {
        let folder = folder("unlinked");
        let at = |name: &str| folder.0.join(name);
        let read = |name: &str| read_small_nofollow(&at(name), Bytes(8)).map_err(|error| error.to_string());
        fs::write(at("key"), "12345678").unwrap();
        symlink("key", at("link")).unwrap();
        File::create(at("huge")).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(read("key"), Ok(b"12345678".to_vec()));
        assert_eq!(read("link"), Err("it is a symbolic link, not a regular file".into()));
        assert_eq!(read("huge"), Err("it has more than 8 B, which is the most that is read of it".into()));
        assert_eq!(read_small_nofollow(&at("none"), Bytes(8)).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn only_small_regular_files_are_read() {
        let folder = folder("files");
        let at = |name: &str| folder.0.join(name);
        let read = |name: &str| read_small_text(&at(name), Bytes(8)).map_err(|error| error.to_string());
        fs::write(at("key"), "12345678").unwrap();
        symlink("key", at("link")).unwrap();
        assert_eq!((read("key"), read("link")), (Ok("12345678".into()), Ok("12345678".into())));
        fs::write(at("long"), "123456789").unwrap();
        File::create(at("huge")).unwrap().set_len(40 << 30).unwrap();
        let too_long = "it has more than 8 B, which is the most that is read of it";
        assert_eq!((read("long"), read("huge")), (Err(too_long.into()), Err(too_long.into())));
        fs::write(at("noise"), [0xff]).unwrap();
        assert_eq!(read("noise"), Err("it is no text in UTF-8".into()));
        let _socket = UnixListener::bind(at("socket")).unwrap();
        symlink("/dev/zero", at("device")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        for (name, kind) in [("socket", "a socket"), ("device", "a device"), ("folder", "a folder")] {
            assert_eq!(read(name), Err(format!("it is {kind}, not a regular file")));
            assert!(refuse_special(&at(name)).is_err(), "{name}");
        }
        assert_eq!(read_small(&at("none"), Bytes(8)).unwrap_err().kind(), ErrorKind::NotFound);
        assert!(refuse_special(&at("none")).is_ok() && refuse_special(&at("link")).is_ok());
    }
}
