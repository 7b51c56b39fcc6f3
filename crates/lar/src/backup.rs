//! `lar backup`. The running Lar creates a backup, or this process if none is running. This process verifies,
//! restores and salvages, without a server.

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
use crate::{data_dir, find_server, invocation};

/// The subcommands of `lar backup`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum BackupCommand {
    /// Copy everything except the models into one file; Lar can keep running
    Create {
        /// The new file [default: a file in the folder `backups` of the data directory]
        file: Option<PathBuf>,
    },
    /// Replace the data with a backup, and keep the previous files; Lar must not be running
    Restore {
        /// The backup, a file from `lar backup create`
        file: PathBuf,
        /// Also restore its lar.toml; settings can name programs that Lar runs
        #[arg(long)]
        with_settings: bool,
    },
    /// Check that a backup is complete and intact
    Verify {
        /// The backup, a file from `lar backup create`
        file: PathBuf,
    },
    /// Save what can still be read from a damaged database; Lar must not be running
    Salvage {
        /// A new folder for the result
        folder: PathBuf,
        /// The damaged database [default: the one of the data directory]
        #[arg(long, value_name = "FILE")]
        database: Option<PathBuf>,
    },
}

/// The JSON output of `verify` and `restore`.
#[derive(Debug, Serialize)]
struct BackupReport {
    file: PathBuf,
    version: String,
    schema: u32,
    created_at: String,
    /// The path of the restored database; only for `restore`.
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<PathBuf>,
    /// The folder with the previous files; only for `restore`.
    #[serde(skip_serializing_if = "Option::is_none")]
    aside: Option<PathBuf>,
    /// The folder with the previous database, if `lar.db` is a link to another folder; only for `restore`.
    #[serde(skip_serializing_if = "Option::is_none")]
    database_aside: Option<PathBuf>,
    /// The settings in the backup; only for `restore`.
    #[serde(skip_serializing_if = "Option::is_none")]
    settings: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// If the backup is invalid, or the command cannot be done.
pub(crate) async fn run(
    command: BackupCommand,
    config: Config,
    environment: &Environment,
    output: &Output,
) -> anyhow::Result<()> {
    match command {
        BackupCommand::Create { file } => create(file, config, environment, output).await,
        BackupCommand::Verify { file } => {
            output.remark("Checking every file and the database…");
            let manifest = backup::verify(&file).with_context(|| unusable_message(&file))?;
            let report = BackupReport::of(file, manifest);
            output.show(&report, || {
                let BackupReport { version, schema, created_at, .. } = &report;
                format!("The backup is intact: created at {created_at} by lar {version}, schema {schema}.")
            })
        }
        BackupCommand::Salvage { folder, database } => salvage::run(&folder, database, &config, output).await,
        BackupCommand::Restore { file, with_settings } => {
            // A running Lar has the lock of the data directory.
            let data_dir = DataDir::lock(&config.data_dir)?;
            data_dir.refuse_other_users_database()?;
            output.remark("Checking every file and the database first…");
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
                let lar = invocation::with_data_dir(&config, environment);
                format!("{} Start Lar: {lar} serve{settings}", render_restored(&report))
            })
        }
    }
}

fn unusable_message(file: &Path) -> String {
    format!("{} cannot be used", file.display())
}

/// Returns the message of a failed restore. The backup itself may be intact.
fn not_restored(file: &Path) -> String {
    format!("{} was not restored", file.display())
}

/// Renders where the restored and the previous files are.
fn render_restored(report: &BackupReport) -> String {
    let sentence = |path: &Option<PathBuf>, what: &str| {
        path.as_ref().map(|path| format!(" {what} {}.", path.display())).unwrap_or_default()
    };
    format!(
        "Restored the data of {}.{}{}{}",
        report.created_at,
        sentence(&report.database, "The database is"),
        sentence(&report.aside, "The previous files are in"),
        sentence(&report.database_aside, "The previous database is in")
    )
}

/// Renders the settings in a backup, and whether they were restored. Anyone may have written them.
fn render_settings(text: &str, settings: SettingsPolicy) -> String {
    let head = match settings {
        SettingsPolicy::Restore => "The settings were restored, too. The new lar.toml:",
        SettingsPolicy::Leave => {
            "The settings were not restored; lar.toml is unchanged. To restore them, use --with-settings. \
             They are:"
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
        "a backup of a Lar on another machine stays on that machine, since it contains every key and memory: \
         omit the file name"
    );
    // Check this before the backup is created, since it could not be moved there.
    if let Some(file) = &file {
        lar_cli::refuse_existing(file)?;
    }
    let made = if elsewhere || data_dir::running(&config.data_dir).is_some() {
        let connection = find_server::connect(config, environment, output).await?;
        let made = lar_cli::backup(&connection.client).await;
        connection.close().await;
        made?
    } else {
        let data_dir = DataDir::lock(&config.data_dir)?;
        let lar = invocation::with_data_dir(&config, environment);
        let store = data_dir.open_store(DataLossPolicy::Refuse, &lar)?;
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
            "Created {} ({}). It contains every memory and key: keep it where only you can read it.",
            made.path,
            Bytes(made.bytes)
        )
    })
}

/// Moves a backup to the requested path, which may be on another disk. Until the copy is complete, it has
/// another name.
fn move_backup(made: Backup, to: &Path) -> anyhow::Result<Backup> {
    let to = std::path::absolute(to)?;
    backup::copy_to(Path::new(&made.path), &to)
        .with_context(|| format!("{} cannot be written; the backup is in {}", to.display(), made.path))?;
    std::fs::remove_file(&made.path)?;
    Ok(Backup { path: to.display().to_string(), ..made })
}
