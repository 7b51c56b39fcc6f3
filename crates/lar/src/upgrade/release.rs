//! A release: the folder that `make dist` packs, with the program and its `lib`. The file system exchanges
//! two releases in one step, so that there is a complete program at every moment.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use flate2::read::GzDecoder;
use lar_base::files::{KEY_BYTES_MAX, read_small_text};
use lar_sandbox::Inherit;
use rustix::fs::{CWD, RenameFlags};
use sha2::{Digest as _, Sha256};

/// The program in a release.
const PROGRAM: &str = "lar";
/// The folder of the libraries that its engine loads.
const LIBRARIES: &str = "lib";
/// The entries of a release. A newer release can have more.
const PARTS: [&str; 3] = [PROGRAM, LIBRARIES, "LICENSE"];
/// The maximum size of an unpacked release.
const BYTES_MAX: u64 = 4 << 30;
/// The maximum number of files of a release.
const FILES_MAX: usize = 10_000;
/// A file that exists if the Debian package is installed.
const DEBIAN_PACKAGE: &str = "/var/lib/dpkg/info/lar.list";

/// The folder of a release, and the folders beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReleaseFolders {
    pub(super) folder: PathBuf,
    /// The folder into which another release is unpacked.
    pub(super) next: PathBuf,
    /// The folder of the previous release.
    pub(super) previous: PathBuf,
}

impl ReleaseFolders {
    /// Returns the folders of the release that contains `program`, or whose previous release contains it.
    ///
    /// # Errors
    /// If `program` is not in a release; the message says how to upgrade it instead.
    pub(super) fn of(program: &Path) -> anyhow::Result<Self> {
        let folder = program.parent().context("the program's own path is unknown")?;
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !folder.join(LIBRARIES).is_dir() {
            bail!(
                "{} was built from source: get the newer source and run `make build` (Lar copies its \
                 database before it migrates it)",
                program.display()
            );
        }
        if folder.starts_with("/usr/lib") && Path::new(DEBIAN_PACKAGE).exists() {
            bail!(
                "{} belongs to a Debian package: run apt-get install ./lar_VERSION_ARCH.deb (it creates a \
                 backup first)",
                program.display()
            );
        }
        let folder = folder.with_file_name(name.strip_suffix(".previous").unwrap_or(name));
        let beside = |what: &str| {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            folder.with_file_name(format!("{name}.{what}"))
        };
        Ok(Self { next: beside("next"), previous: beside("previous"), folder })
    }

    /// Checks that the folder contains only a release, since the whole folder will be replaced.
    ///
    /// # Errors
    /// If the folder contains anything else; the message names it.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        for entry in fs::read_dir(&self.folder).with_context(|| self.folder.display().to_string())? {
            let name = entry?.file_name();
            let known = PARTS.iter().any(|part| name == *part) || self.next.join(&name).exists();
            ensure!(
                known,
                "{} also contains {}, which is not a part of Lar; move the release into a separate folder \
                 first",
                self.folder.display(),
                name.display()
            );
        }
        Ok(())
    }

    /// Replaces the release with the one in `next`, and keeps the replaced one in `previous`.
    ///
    /// # Errors
    /// If the file system cannot exchange the folders. Then nothing has changed.
    pub(super) fn install_next(&self) -> anyhow::Result<()> {
        remove(&self.previous)?;
        exchange(&self.folder, &self.next)?;
        // `restore_previous` also finds it under the name `next`.
        let _ = fs::rename(&self.next, &self.previous);
        Ok(())
    }

    /// Restores the previous release.
    ///
    /// # Errors
    /// If there is none, or the file system cannot exchange the folders.
    pub(super) fn restore_previous(&self) -> anyhow::Result<()> {
        // After a crash between the two steps of `install_next`, it still has the name `next`.
        let kept = [&self.previous, &self.next].into_iter().find(|folder| folder.join(PROGRAM).is_file());
        let kept = kept.with_context(|| format!("{} does not exist any more", self.previous.display()))?;
        exchange(&self.folder, kept)?;
        remove(kept)
    }

    pub(super) fn program(&self) -> PathBuf {
        self.folder.join(PROGRAM)
    }

    pub(super) fn next_program(&self) -> PathBuf {
        self.next.join(PROGRAM)
    }
}

fn exchange(one: &Path, other: &Path) -> anyhow::Result<()> {
    rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)
        .with_context(|| format!("{} and {} cannot be exchanged", one.display(), other.display()))?;
    let parent = one.parent().unwrap_or(one);
    File::open(parent).and_then(|folder| folder.sync_all()).with_context(|| parent.display().to_string())
}

/// Removes a folder, if it exists.
///
/// # Errors
/// If it exists and cannot be removed.
pub(super) fn remove(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Compares the SHA-256 of the archive with `given`, or with the digest in the file beside the archive.
///
/// # Errors
/// If there is no digest, or it differs.
pub(super) fn check_digest(archive: &Path, given: Option<&str>) -> anyhow::Result<()> {
    let beside = PathBuf::from(format!("{}.sha256", archive.display()));
    let promised = match given {
        Some(digest) => digest.to_owned(),
        None => read_small_text(&beside, KEY_BYTES_MAX).with_context(|| {
            format!("{} cannot be read; pass the digest of the archive with --sha256", beside.display())
        })?,
    };
    let promised = promised.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    ensure!(
        promised.len() == 64 && promised.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{promised:.80?} is not a SHA-256 digest in hexadecimal"
    );
    let mut file = File::open(archive).with_context(|| archive.display().to_string())?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer).with_context(|| archive.display().to_string())? {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    let found = lar_base::secret::hex(&hash.finalize());
    ensure!(
        found == promised,
        "{} does not match its checksum: its SHA-256 is {found}, not {promised}",
        archive.display()
    );
    Ok(())
}

/// Unpacks the only folder of an archive into the new folder `to`.
///
/// # Errors
/// If the archive is broken or too large, or contains anything except files and folders below one folder.
pub(super) fn unpack(archive: &Path, to: &Path) -> anyhow::Result<()> {
    remove(to)?;
    let file = File::open(archive).with_context(|| archive.display().to_string())?;
    let mut entries = tar::Archive::new(GzDecoder::new(file).take(BYTES_MAX));
    fs::create_dir(to).with_context(|| format!("{} cannot be created", to.display()))?;
    for (count, entry) in entries.entries()?.enumerate() {
        ensure!(count < FILES_MAX, "the archive has more than {FILES_MAX} files");
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        ensure!(plain, "the path {:.100?} in the archive leads out of its folder", path);
        let inner: PathBuf = path.components().skip(1).collect();
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            fs::create_dir_all(to.join(inner))?;
        } else if kind.is_file() && !inner.as_os_str().is_empty() {
            let target = to.join(inner);
            fs::create_dir_all(target.parent().unwrap_or(to))?;
            let runs = entry.header().mode()? & 0o100 != 0;
            let mut out = File::create_new(&target).with_context(|| target.display().to_string())?;
            std::io::copy(&mut entry, &mut out)?;
            out.set_permissions(fs::Permissions::from_mode(if runs { 0o755 } else { 0o644 }))?;
            out.sync_all()?;
        } else {
            bail!("the entry {:.100?} of the archive is neither a file nor a folder", path);
        }
    }
    ensure!(
        to.join(PROGRAM).is_file() && to.join(LIBRARIES).is_dir(),
        "the archive is not a release of Lar: it does not contain {PROGRAM} and {LIBRARIES}"
    );
    Ok(())
}

/// Returns the version of a release, from its program.
///
/// # Errors
/// If the program does not run on this machine.
pub(super) fn version(program: &Path) -> anyhow::Result<String> {
    let done = lar_sandbox::command(std::path::absolute(program)?, Inherit::Lar).arg("--version").output();
    let done = done.with_context(|| format!("{} does not run on this machine", program.display()))?;
    let output = String::from_utf8_lossy(&done.stdout);
    let error_text = String::from_utf8_lossy(&done.stderr);
    let version = output.trim().strip_prefix("lar ").filter(|_| done.status.success());
    let version = version.with_context(|| {
        format!("{} does not run on this machine: {}", program.display(), error_text.trim())
    })?;
    Ok(version.to_owned())
}
