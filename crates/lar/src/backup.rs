//! `lar backup`: made by the Lar that serves, or by this program where none does; checked and restored by this program alone.

mod salvage;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use lar_api::backups::Backup;
use lar_base::Bytes;
use lar_cli::Output;
use lar_store::backup::{self, SettingsPolicy};
use serde::Serialize;

use crate::config::{Config, Environment};
use crate::data_dir::{DataDir, DataLossPolicy};
use crate::{connect, data_dir};

/// What can be done with backups.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Command {
    /// Copy everything but the models into one file, while Lar serves
    Create {
        /// Where to put it; a new file in the data directory's `backups` where absent
        file: Option<PathBuf>,
    },
    /// Put a backup in the place of what is there, which is kept aside; no Lar may be running
    Restore {
        /// The backup
        file: PathBuf,
        /// Restore its lar.toml, too: settings can name programs that Lar runs
        #[arg(long)]
        with_settings: bool,
    },
    /// Check that a backup is whole
    Verify {
        /// The backup
        file: PathBuf,
    },
    /// Save what can still be read of a damaged database; no Lar may be running
    Salvage {
        /// A new folder for it
        folder: PathBuf,
        /// The damaged database; the data directory's where absent
        #[arg(long, value_name = "FILE")]
        database: Option<PathBuf>,
    },
}

/// What a backup holds, for programs.
#[derive(Debug, Serialize)]
struct BackupReport {
    file: PathBuf,
    version: String,
    schema: u32,
    created_at: String,
    /// Where the database is, where it was restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<PathBuf>,
    /// Where what was there before is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    aside: Option<PathBuf>,
    /// The same of a database that a link leads to elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    database_aside: Option<PathBuf>,
    /// The settings in it, where it was restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    settings: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// What is wrong with the backup, or in the way.
pub(crate) async fn run(
    command: Command,
    config: Config,
    environment: &Environment,
    output: &Output,
) -> anyhow::Result<()> {
    match command {
        Command::Create { file } => create(file, config, environment, output).await,
        Command::Verify { file } => {
            output.remark("Every file and the database are read…");
            let manifest = backup::verify(&file).with_context(|| unusable_message(&file))?;
            let report = BackupReport::of(file, manifest);
            output.show(&report, || {
                let BackupReport { version, schema, created_at, .. } = &report;
                format!("It is whole: made at {created_at} by lar {version}, schema {schema}.")
            })
        }
        Command::Salvage { folder, database } => salvage::run(&folder, database, &config, output).await,
        Command::Restore { file, with_settings } => {
            // Whoever serves the data directory has its lock.
            let data_dir = DataDir::lock(&config.data_dir)?;
            data_dir.refuse_other_users_database()?;
            output.remark("Every file and the database are read first…");
            let settings = if with_settings { SettingsPolicy::Restore } else { SettingsPolicy::Leave };
            let restored =
                backup::restore(&file, &config.data_dir, settings).with_context(|| not_restored(&file))?;
            let report = BackupReport {
                database: Some(restored.database),
                aside: restored.aside,
                database_aside: restored.database_aside,
                settings: restored.settings,
                ..BackupReport::of(file, restored.manifest)
            };
            output.show(&report, || {
                let settings =
                    report.settings.as_ref().map(|text| render_settings(text, settings)).unwrap_or_default();
                format!("{} Start it: lar serve{settings}", render_restored(&report))
            })
        }
    }
}

fn unusable_message(file: &Path) -> String {
    format!("{} cannot be used", file.display())
}

/// Where a restore fails, the backup may be whole.
fn not_restored(file: &Path) -> String {
    format!("{} was not restored", file.display())
}

/// Where everything is now.
fn render_restored(report: &BackupReport) -> String {
    let sentence = |path: &Option<PathBuf>, what: &str| {
        path.as_ref().map(|path| format!(" {what} {}.", path.display())).unwrap_or_default()
    };
    format!(
        "Restored as it was at {}.{}{}{}",
        report.created_at,
        sentence(&report.database, "The database is"),
        sentence(&report.aside, "What was there is in"),
        sentence(&report.database_aside, "The database that was there is in")
    )
}

/// The settings in a backup and what became of them; they may have been written by anybody.
fn render_settings(text: &str, settings: SettingsPolicy) -> String {
    let head = match settings {
        SettingsPolicy::Restore => "Its settings were restored, too. lar.toml says:",
        SettingsPolicy::Leave => {
            "Its settings were left out, and lar.toml is as it was. To restore them: --with-settings. They say:"
        }
    };
    let lines = text.lines().map(|line| format!("  {line}"));
    format!("\n{head}\n{}", lines.collect::<Vec<_>>().join("\n"))
}

impl BackupReport {
    fn of(file: PathBuf, manifest: backup::Manifest) -> Self {
        let backup::Manifest { version, schema, created_at, .. } = manifest;
        Self {
            file,
            version,
            schema,
            created_at,
            database: None,
            aside: None,
            database_aside: None,
            settings: None,
        }
    }
}

async fn create(
    file: Option<PathBuf>,
    config: Config,
    environment: &Environment,
    output: &Output,
) -> anyhow::Result<()> {
    let elsewhere = environment.get("LAR_URL").is_some();
    anyhow::ensure!(
        !elsewhere || file.is_none(),
        "a backup of a Lar elsewhere stays on its machine: it holds every key and memory. Leave the file's name out"
    );
    // Before a backup is made that could not be moved there.
    if let Some(file) = &file {
        lar_cli::refuse_existing(file)?;
    }
    let made = if elsewhere || data_dir::running(&config.data_dir).is_some() {
        let connection = connect::connect(config, environment, output).await?;
        let made = lar_cli::backup(&connection.client).await;
        connection.close().await;
        made?
    } else {
        let data_dir = DataDir::lock(&config.data_dir)?;
        let store = data_dir.open_store(DataLossPolicy::Refuse)?;
        let path = backup::next_path(&config.data_dir)?;
        let manifest = store.backup(config.data_dir.clone(), path.clone()).await?;
        let bytes = path.metadata()?.len();
        Backup { path: path.display().to_string(), bytes, created_at: manifest.created_at }
    };
    let made = match file {
        None => made,
        Some(file) => move_backup(made, &file)?,
    };
    output.show(&made, || {
        format!(
            "{} ({}). It holds every memory and key: keep it where only you can read it.",
            made.path,
            Bytes(made.bytes)
        )
    })
}

/// Moves a backup to where it was asked for, which may be another disk. Until the copy there is whole it has another name.
fn move_backup(made: Backup, to: &Path) -> anyhow::Result<Backup> {
    let to = std::path::absolute(to)?;
    backup::copy_to(Path::new(&made.path), &to)
        .with_context(|| format!("{} cannot be written; the backup is {}", to.display(), made.path))?;
    std::fs::remove_file(&made.path)?;
    Ok(Backup { path: to.display().to_string(), ..made })
}
