//! A release: the folder that `make dist` packs, with the program and its `lib`. One takes another's place in one step of the
//! file system, so that there is a whole program at every moment.

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
/// What its engine loads.
const LIBRARIES: &str = "lib";
/// What a release has, beside what newer ones may bring.
const PARTS: [&str; 3] = [PROGRAM, LIBRARIES, "LICENSE"];
/// A release unpacked is not larger.
const BYTES_MAX: u64 = 4 << 30;
/// A release has not more files.
const FILES_MAX: usize = 10_000;
/// What is there of packages.
const DEBIAN_PACKAGE: &str = "/var/lib/dpkg/info/lar.list";

/// Where a release is, and the folders beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReleaseFolders {
    pub(super) folder: PathBuf,
    /// Where another is unpacked.
    pub(super) next: PathBuf,
    /// Where what was there before is kept.
    pub(super) previous: PathBuf,
}

impl ReleaseFolders {
    /// The place of the release whose program, or the one before it, is `program`.
    ///
    /// # Errors
    /// When it is no release, and what to do instead.
    pub(super) fn of(program: &Path) -> anyhow::Result<Self> {
        let folder = program.parent().context("the program's own path is unknown")?;
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !folder.join(LIBRARIES).is_dir() {
            bail!(
                "{} was built here: get the newer source and `make build` (Lar copies its database before it changes it)",
                program.display()
            );
        }
        if folder.starts_with("/usr/lib") && Path::new(DEBIAN_PACKAGE).exists() {
            bail!(
                "{} is a package's: apt-get install ./lar_VERSION_ARCH.deb (a backup is made before)",
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

    /// Checks that the folder holds a release and nothing else, since all of it will be put aside.
    ///
    /// # Errors
    /// What else it holds.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        for entry in fs::read_dir(&self.folder).with_context(|| self.folder.display().to_string())? {
            let name = entry?.file_name();
            let known = PARTS.iter().any(|part| name == *part) || self.next.join(&name).exists();
            ensure!(
                known,
                "{} holds {}, too, which is no part of Lar; put the release into a folder of its own first",
                self.folder.display(),
                name.display()
            );
        }
        Ok(())
    }

    /// Lets what is in `next` take the folder's place, and keeps what was there.
    ///
    /// # Errors
    /// When the file system cannot; then nothing is changed.
    pub(super) fn install_next(&self) -> anyhow::Result<()> {
        remove(&self.previous)?;
        exchange(&self.folder, &self.next)?;
        // Under the other name it is found as well.
        let _ = fs::rename(&self.next, &self.previous);
        Ok(())
    }

    /// Brings back what was there before.
    ///
    /// # Errors
    /// When it is not there, or the file system cannot.
    pub(super) fn restore_previous(&self) -> anyhow::Result<()> {
        // A crash between the two steps of an upgrade leaves it under the other name.
        let kept = [&self.previous, &self.next].into_iter().find(|folder| folder.join(PROGRAM).is_file());
        let kept = kept.with_context(|| format!("{} is not there any more", self.previous.display()))?;
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
        .with_context(|| format!("{} and {} cannot change places", one.display(), other.display()))?;
    let parent = one.parent().unwrap_or(one);
    File::open(parent).and_then(|folder| folder.sync_all()).with_context(|| parent.display().to_string())
}

/// Removes a folder where there is one.
///
/// # Errors
/// When it is there and cannot be removed.
pub(super) fn remove(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Compares the archive with its digest: the one given, else the one in the file beside it.
///
/// # Errors
/// When there is none, or it is another.
pub(super) fn check_digest(archive: &Path, given: Option<&str>) -> anyhow::Result<()> {
    let beside = PathBuf::from(format!("{}.sha256", archive.display()));
    let promised = match given {
        Some(digest) => digest.to_owned(),
        None => read_small_text(&beside, KEY_BYTES_MAX).with_context(|| {
            format!("{} cannot be read; give the archive's digest with --sha256", beside.display())
        })?,
    };
    let promised = promised.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    ensure!(
        promised.len() == 64 && promised.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{promised:.80?} is no SHA-256 in hexadecimal"
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
        "{} is not what was promised: its SHA-256 is {found}, not {promised}",
        archive.display()
    );
    Ok(())
}

/// Unpacks an archive's one folder as the new folder `to`.
///
/// # Errors
/// When it is broken, too large, or holds anything but files and folders below one.
pub(super) fn unpack(archive: &Path, to: &Path) -> anyhow::Result<()> {
    remove(to)?;
    let file = File::open(archive).with_context(|| archive.display().to_string())?;
    let mut entries = tar::Archive::new(GzDecoder::new(file).take(BYTES_MAX));
    fs::create_dir(to).with_context(|| format!("{} cannot be made", to.display()))?;
    for (count, entry) in entries.entries()?.enumerate() {
        ensure!(count < FILES_MAX, "more than {FILES_MAX} files");
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        ensure!(plain, "{:.100?} leads out of the folder", path);
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
            bail!("{:.100?} is neither a file nor a folder", path);
        }
    }
    ensure!(
        to.join(PROGRAM).is_file() && to.join(LIBRARIES).is_dir(),
        "it is no release of Lar: it has no {PROGRAM} and {LIBRARIES}"
    );
    Ok(())
}

/// What a release's program says it is.
///
/// # Errors
/// When it does not run here.
pub(super) fn version(program: &Path) -> anyhow::Result<String> {
    let done = lar_sandbox::command(std::path::absolute(program)?, Inherit::Lar).arg("--version").output();
    let done = done.with_context(|| format!("{} does not run here", program.display()))?;
    let said = String::from_utf8_lossy(&done.stdout);
    let error_text = String::from_utf8_lossy(&done.stderr);
    let version = said.trim().strip_prefix("lar ").filter(|_| done.status.success());
    let version =
        version.with_context(|| format!("{} does not run here: {}", program.display(), error_text.trim()))?;
    Ok(version.to_owned())
}
