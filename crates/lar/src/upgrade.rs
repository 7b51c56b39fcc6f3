//! `lar upgrade`: puts another release in the place of this one, and takes that back.
//!
//! Before anything is changed, the new release does with a copy of everything what it will do with the original: it restores
//! a backup, changes its schema, starts and becomes ready. Then Lar is stopped, backed up, exchanged and started; where it does
//! not become ready, the former release and the backup are back at once. Nothing is fetched: the archive is a file.
//!
//! Each step is a command of the release that it concerns, so that no release has to know another's data.

mod release;
mod trial;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use lar_api::backups::Backup;
use lar_base::files::{TEXT_BYTES_MAX, read_small, read_small_text};
use lar_cli::Output;
use lar_sandbox::Inherit;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::data_dir::{self, DataDir};
use crate::service::Unit;
use release::ReleaseFolders;
use trial::Trial;

/// What the last upgrade did, in the data directory.
const RECORD: &str = "upgrade.json";
/// Where it is rehearsed, there.
const DRY_RUN_FOLDER: &str = "rehearsal";

/// What is upgraded to.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Upgrade {
    /// The release: lar-VERSION-ARCH-linux.tar.gz
    #[arg(required_unless_present = "undo", conflicts_with = "undo")]
    archive: Option<PathBuf>,
    /// Its SHA-256; in the file beside it, ARCHIVE.sha256, where absent
    #[arg(long, requires = "archive")]
    sha256: Option<String>,
    /// Take the last upgrade back
    #[arg(long)]
    undo: bool,
}

/// An upgrade that can be taken back.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    from: String,
    to: String,
    /// The release's folder.
    folder: PathBuf,
    /// Made right before.
    backup: PathBuf,
}

/// One data directory and one release that serves it.
struct Site<'a> {
    config: &'a Config,
    output: &'a Output,
    folders: ReleaseFolders,
    service: Option<Unit>,
}

/// Runs the command.
///
/// # Errors
/// What is in the way. Then everything is as it was, or the message says what is not.
pub(crate) async fn run(command: Upgrade, config: &Config, output: &Output) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("the program's own path is unknown")?;
    let site = Site {
        config,
        output,
        folders: ReleaseFolders::of(&program)?,
        service: Unit::serving(&config.data_dir),
    };
    if site.service.is_none() {
        // Whoever started it by hand is asked to stop it: it could not be started again for them.
        drop(DataDir::lock(&config.data_dir).context("stop it first, then start it again afterwards")?);
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
        self.output.remark("It is what was promised. It is unpacked…");
        let unpacked = release::unpack(archive, &folders.next).and_then(|()| folders.check());
        let prepared = async {
            unpacked.with_context(|| format!("{} cannot be used", archive.display()))?;
            let from = release::version(&folders.program())?;
            let to = release::version(&folders.next_program())?;
            self.output.remark(&format!("The upgrade from {from} to {to} is rehearsed on a copy…"));
            self.dry_run().await.context("the rehearsal failed, so nothing was changed")?;
            Ok::<_, anyhow::Error>((from, to))
        };
        let (from, to) = match prepared.await {
            Ok(versions) => versions,
            Err(error) => {
                let _ = release::remove(&folders.next);
                return Err(error);
            }
        };
        self.output.remark("It went well. Now the original…");
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
            self.output.remark("It does not become ready; the former release is put back…");
            let Record { from, to, .. } = &record;
            self.roll_back(&record).await.with_context(|| {
                format!("{to} did not become ready ({error:#}), and {from} could not be put back; its backup is {}", record.backup.display())
            })?;
            return Err(error)
                .with_context(|| format!("{to} did not become ready; {from} and its data are back"));
        }
        self.output.show(&record, || {
            let Record { from, to, backup, .. } = &record;
            let start = if self.service.is_some() { "It runs." } else { "Start it: lar serve." };
            format!(
                "{from} became {to}. {start} What was before is in {}, a backup in {}.\nTake it back: lar upgrade --undo",
                folders.previous.display(),
                backup.display()
            )
        })
    }

    async fn undo(&self) -> anyhow::Result<()> {
        let path = self.config.data_dir.join(RECORD);
        let text = read_small(&path, TEXT_BYTES_MAX)
            .map_err(|_| anyhow::anyhow!("no upgrade is there to be taken back"))?;
        let record: Record = serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
        ensure!(
            record.folder == self.folders.folder,
            "the last upgrade was one of {}: run its program",
            record.folder.display()
        );
        self.stop()?;
        let aside = self.roll_back(&record).await?;
        self.output.show(&record, || {
            let Record { from, to, backup, .. } = &record;
            let data = if aside {
                format!(
                    " {from} does not know {to}'s data, so that what was there before is back, from {}; what came since is in `before-restore-…` in {}.",
                    backup.display(),
                    self.config.data_dir.display()
                )
            } else {
                " It goes on with what is there.".into()
            };
            let start = if self.service.is_some() { " It runs." } else { " Start it: lar serve." };
            format!("{to} became {from} again.{data}{start}")
        })
    }

    /// Lets the new release do with a copy what it will do with the original.
    async fn dry_run(&self) -> anyhow::Result<()> {
        let (data_dir, new) = (&self.config.data_dir, self.folders.next_program());
        let copy = DryRunFolder(data_dir.join(DRY_RUN_FOLDER));
        release::remove(&copy.0)?;
        let backup = self.back_up(&self.folders.program())?;
        let restored = self.command(&new, &copy.0, &["backup", "restore", &backup.display().to_string()]);
        std::fs::remove_file(&backup)?;
        restored?;
        copy_settings(data_dir, &copy.0)?;
        self.command(&new, &copy.0, &["config", "show"])?;
        without_listeners(&copy.0.join("lar.toml"))?;
        let models_dir = &self.config.models_dir();
        trial::run(Trial { program: &new, data_dir: &copy.0, models_dir, loads: false }).await
    }

    /// Brings the former release back, and the data of then where it does not know what is there now. Says whether it did.
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

    /// Starts the service again, and waits until it is ready; without one, the program is only tried.
    async fn start(&self) -> anyhow::Result<()> {
        let data_dir = &self.config.data_dir;
        let Some(unit) = self.service else {
            // What root starts for another cannot read the other's models: its workers give up root's rights.
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

    /// A new backup in the data directory, made by `program`.
    fn back_up(&self, program: &Path) -> anyhow::Result<PathBuf> {
        let made = self.command(program, &self.config.data_dir, &["--json", "backup", "create"])?;
        let made: Backup = serde_json::from_slice(&made).context("what `lar backup create` said")?;
        Ok(made.path.into())
    }

    fn write(&self, record: &Record) -> anyhow::Result<()> {
        let path = self.config.data_dir.join(RECORD);
        let text = serde_json::to_vec_pretty(record)?;
        std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
        data_dir::chown_to_owner(&self.config.data_dir);
        Ok(())
    }

    /// Runs a command of a release on a data directory of this machine; returns what it wrote.
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

/// The copy of a rehearsal, which is nobody's any more afterwards.
struct DryRunFolder(PathBuf);

impl Drop for DryRunFolder {
    fn drop(&mut self) {
        let _ = release::remove(&self.0);
    }
}

/// Copies the settings, which a restored backup leaves out.
fn copy_settings(from: &Path, to: &Path) -> anyhow::Result<()> {
    let (from, to) = (from.join("lar.toml"), to.join("lar.toml"));
    if from.is_file() && !to.exists() {
        std::fs::copy(&from, &to).with_context(|| format!("{} cannot be copied", from.display()))?;
    }
    Ok(())
}

/// Takes the further listeners out of a copy's settings: the original has them.
fn without_listeners(settings: &Path) -> anyhow::Result<()> {
    let Ok(text) = read_small_text(settings, TEXT_BYTES_MAX) else { return Ok(()) };
    let mut table: toml::Table = text.parse()?;
    table.remove("listener");
    std::fs::write(settings, toml::to_string(&table)?).with_context(|| settings.display().to_string())
}
