//! `lar upgrade`: replaces this release with another one, and undoes that.
//!
//! 1. Dry run on a copy of the data: the new release restores a backup, migrates the schema, starts and
//!    becomes ready.
//! 2. Lar is stopped and backed up, the releases are exchanged, and the new one is started.
//! 3. If it does not become ready, the previous release and the backup are restored right away.
//!
//! The archive is a local file; this module downloads nothing. Each step is a command of the release that it
//! concerns, so that no release needs to know the data of another.

mod release;
mod trial;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use lar_api::backups::Backup;
use lar_base::files::{TEXT_BYTES_MAX, read_small, read_small_text};
use lar_cli::Output;
use lar_sandbox::Inherit;
use serde::{Deserialize, Serialize};

use crate::config::{Config, Environment};
use crate::data_dir::{self, DataDir};
use crate::invocation;
use crate::service::Unit;
use release::ReleaseFolders;
use trial::Trial;

/// The file in the data directory with the record of the last upgrade.
const RECORD: &str = "upgrade.json";
/// The folder in the data directory for the dry run.
const DRY_RUN_FOLDER: &str = "dry-run";
/// The name of that folder in earlier releases. A killed upgrade may have left one.
const OLD_DRY_RUN_FOLDER: &str = "rehearsal";

/// The arguments of `lar upgrade`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Upgrade {
    /// The archive of the release: lar-VERSION-ARCH-linux.tar.gz
    #[arg(required_unless_present = "undo", conflicts_with = "undo")]
    archive: Option<PathBuf>,
    /// SHA-256 of the archive [default: the one in ARCHIVE.sha256]
    #[arg(long, requires = "archive")]
    sha256: Option<String>,
    /// Undo the last upgrade
    #[arg(long)]
    undo: bool,
}

/// The record of an upgrade that can be undone.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    from: String,
    to: String,
    /// The folder of the release.
    folder: PathBuf,
    /// The backup from before the upgrade.
    backup: PathBuf,
}

/// One data directory and the release that serves it.
struct Site<'a> {
    config: &'a Config,
    output: &'a Output,
    folders: ReleaseFolders,
    service: Option<Unit>,
    /// How to call the release's program in a shell.
    lar: String,
}

/// Runs the command.
///
/// # Errors
/// If the upgrade or its undo fails. Then nothing has changed, or the message says what has.
pub(crate) async fn run(
    command: Upgrade,
    config: &Config,
    environment: &Environment,
    output: &Output,
) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("the program's own path is unknown")?;
    let folders = ReleaseFolders::of(&program)?;
    let lar = invocation::of_program(&folders.program(), config, environment);
    let site = Site { config, output, folders, service: Unit::serving(&config.data_dir), lar };
    if site.service.is_none() {
        // A Lar that was started by hand must be stopped by hand, since this command could not start it
        // again.
        drop(
            DataDir::lock(&config.data_dir)
                .context("stop Lar first, and start it again after the upgrade")?,
        );
    }
    match command.archive {
        Some(archive) => site.upgrade(&archive, command.sha256.as_deref()).await,
        None => site.undo().await,
    }
}

impl Site<'_> {
    async fn upgrade(&self, archive: &Path, sha256: Option<&str>) -> anyhow::Result<()> {
        let (folders, data_dir) = (&self.folders, &self.config.data_dir);
        release::check_digest(archive, sha256)?;
        self.output.remark("The checksum matches. Unpacking…");
        let unpacked = release::unpack(archive, &folders.next).and_then(|()| folders.check());
        let prepared = async {
            unpacked.with_context(|| format!("{} cannot be used", archive.display()))?;
            let from = release::version(&folders.program())?;
            let to = release::version(&folders.next_program())?;
            self.output.remark(&format!("Dry run of the upgrade from {from} to {to} on a copy…"));
            self.dry_run().await.context("the dry run failed, so nothing was changed")?;
            Ok::<_, anyhow::Error>((from, to))
        };
        let (from, to) = match prepared.await {
            Ok(versions) => versions,
            Err(error) => {
                let _ = release::remove(&folders.next);
                return Err(error);
            }
        };
        self.output.remark("The dry run succeeded. Upgrading…");
        self.stop()?;
        let changed = self.back_up(&folders.program()).and_then(|backup| {
            let record = Record { from, to, folder: folders.folder.clone(), backup };
            self.write(&record)?;
            folders.install_next()?;
            Ok(record)
        });
        let record = match changed {
            Ok(record) => record,
            Err(error) => {
                let _ = std::fs::remove_file(data_dir.join(RECORD));
                self.start().await?;
                return Err(error).context("nothing was changed");
            }
        };
        if let Err(error) = self.start().await {
            self.output.remark("The new release does not become ready. Restoring the previous one…");
            let Record { from, to, .. } = &record;
            self.roll_back(&record).await.with_context(|| {
                format!(
                    "{to} did not become ready ({error:#}), and {from} could not be restored; its backup is \
                     {}",
                    record.backup.display()
                )
            })?;
            return Err(error)
                .with_context(|| format!("{to} did not become ready; restored {from} and its data"));
        }
        self.output.show(&record, || {
            let Record { from, to, backup, .. } = &record;
            let lar = &self.lar;
            format!(
                "Upgraded {from} to {to}. {} The previous release is in {}, and a backup is in {}.\n\
                 To undo: {lar} upgrade --undo",
                self.next_step(),
                folders.previous.display(),
                backup.display()
            )
        })
    }

    async fn undo(&self) -> anyhow::Result<()> {
        let path = self.config.data_dir.join(RECORD);
        let text = read_small(&path, TEXT_BYTES_MAX).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => anyhow::anyhow!("there is no upgrade to undo"),
            _ => anyhow::Error::new(error).context(format!("{} cannot be read", path.display())),
        })?;
        let record: Record = serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
        ensure!(
            record.folder == self.folders.folder,
            "the last upgrade was in {}: run the program there",
            record.folder.display()
        );
        self.stop()?;
        let aside = self.roll_back(&record).await?;
        self.output.show(&record, || {
            let Record { from, to, backup, .. } = &record;
            let data = if aside {
                format!(
                    "{from} cannot read the data of {to}, so the backup {} was restored; newer data is in \
                     `before-restore-…` in {}.",
                    backup.display(),
                    self.config.data_dir.display()
                )
            } else {
                "All data was kept.".into()
            };
            format!("Went back from {to} to {from}. {data} {}", self.next_step())
        })
    }

    /// Renders whether Lar is running, or the command that starts it.
    fn next_step(&self) -> String {
        match self.service {
            Some(_) => "Lar is running.".into(),
            None => format!("Start Lar: {} serve", self.lar),
        }
    }

    /// Runs the upgrade on a copy of the data.
    async fn dry_run(&self) -> anyhow::Result<()> {
        let (data_dir, new) = (&self.config.data_dir, self.folders.next_program());
        let copy = DryRunFolder(data_dir.join(DRY_RUN_FOLDER));
        release::remove(&copy.0)?;
        release::remove(&data_dir.join(OLD_DRY_RUN_FOLDER))?;
        let backup = self.back_up(&self.folders.program())?;
        let restored = self.command(&new, &copy.0, &["backup", "restore", &backup.display().to_string()]);
        std::fs::remove_file(&backup)?;
        restored?;
        copy_settings(data_dir, &copy.0)?;
        self.command(&new, &copy.0, &["config", "show"])?;
        remove_listeners(&copy.0.join("lar.toml"))?;
        let models_dir = &self.config.models_dir();
        trial::run(Trial { program: &new, data_dir: &copy.0, models_dir, loads: false }).await
    }

    /// Restores the previous release. If it cannot read the current data, restores the backup, too. Returns
    /// whether it did.
    async fn roll_back(&self, record: &Record) -> anyhow::Result<bool> {
        let data_dir = &self.config.data_dir;
        self.folders.restore_previous()?;
        let program = self.folders.program();
        let known = self.command(&program, data_dir, &["migrate"]);
        if known.is_err() {
            let backup = record.backup.display().to_string();
            self.command(&program, data_dir, &["backup", "restore", &backup])?;
        }
        let _ = std::fs::remove_file(data_dir.join(RECORD));
        self.start().await?;
        Ok(known.is_err())
    }

    fn stop(&self) -> anyhow::Result<()> {
        self.service.map_or(Ok(()), Unit::stop)
    }

    /// Starts the service and waits until it is ready. Without a service, starts the program, waits and stops
    /// it.
    async fn start(&self) -> anyhow::Result<()> {
        let data_dir = &self.config.data_dir;
        let Some(unit) = self.service else {
            // As root in another user's data directory, the workers drop root's rights and cannot read the
            // user's models.
            let loads = self.config.engines.preload && !data_dir::is_other_users(data_dir);
            let (program, models_dir) = (&self.folders.program(), &self.config.models_dir());
            return trial::run(Trial { program, data_dir, models_dir, loads }).await;
        };
        let before = data_dir::running(data_dir).map(|server| server.pid);
        unit.start()?;
        let ready = trial::ready(data_dir, |pid| Some(pid) != before, || unit.is_active()).await;
        if ready.is_err() {
            let _ = unit.stop();
        }
        ready
    }

    /// Creates a backup in the data directory with `program`.
    fn back_up(&self, program: &Path) -> anyhow::Result<PathBuf> {
        let made = self.command(program, &self.config.data_dir, &["--json", "backup", "create"])?;
        let made: Backup =
            serde_json::from_slice(&made).context("the output of `lar backup create` is not valid")?;
        Ok(made.path.into())
    }

    fn write(&self, record: &Record) -> anyhow::Result<()> {
        let path = self.config.data_dir.join(RECORD);
        let text = serde_json::to_vec_pretty(record)?;
        std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
        data_dir::chown_to_owner(&self.config.data_dir);
        Ok(())
    }

    /// Runs a command of a release on a data directory. Returns its standard output.
    fn command(&self, program: &Path, data_dir: &Path, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
        let mut command = lar_sandbox::command(std::path::absolute(program)?, Inherit::Lar);
        command.env("LAR_MODELS_DIR", self.config.models_dir()).env_remove("LAR_URL").env_remove("LAR_KEY");
        let done = command.arg("--data-dir").arg(data_dir).args(arguments).output();
        let done = done.with_context(|| format!("{} cannot be run", program.display()))?;
        if !done.status.success() {
            let error_text = String::from_utf8_lossy(&done.stderr);
            bail!("`lar {}` failed: {}", arguments.join(" "), error_text.trim().trim_start_matches("lar: "));
        }
        Ok(done.stdout)
    }
}

/// The folder of a dry run. Dropping the value removes it.
struct DryRunFolder(PathBuf);

impl Drop for DryRunFolder {
    fn drop(&mut self) {
        let _ = release::remove(&self.0);
    }
}

/// Copies the settings, since `restore` does not restore them.
fn copy_settings(from: &Path, to: &Path) -> anyhow::Result<()> {
    let (from, to) = (from.join("lar.toml"), to.join("lar.toml"));
    if from.is_file() && !to.exists() {
        std::fs::copy(&from, &to).with_context(|| format!("{} cannot be copied", from.display()))?;
    }
    Ok(())
}

/// Removes the additional listeners from the settings of a copy. The running Lar uses their addresses.
fn remove_listeners(settings: &Path) -> anyhow::Result<()> {
    let Ok(text) = read_small_text(settings, TEXT_BYTES_MAX) else { return Ok(()) };
    let mut table: toml::Table = text.parse()?;
    table.remove("listener");
    std::fs::write(settings, toml::to_string(&table)?).with_context(|| settings.display().to_string())
}
