//! `/lar/v1/backups`: backups of the data directory, made while Lar serves.
//!
//! The API never returns the content of a backup, which has every memory and the digest of every key.

use std::path::Path;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use lar_api::Page;
use lar_api::backups::Backup;
use lar_base::Timestamp;
use lar_store::{Store, backup};

use crate::auth::Admin;
use crate::errors::Failure;
use crate::state::DataDir;

/// Create a backup
///
/// Writes the backup to a file on the server's machine and returns its path.
#[utoipa::path(post, path = "/lar/v1/backups", tag = "backups", responses((status = 201, body = Backup)))]
pub(crate) async fn create(
    State(store): State<Store>,
    State(DataDir(data_dir)): State<DataDir>,
    _: Admin,
) -> Result<(StatusCode, Json<Backup>), Failure> {
    let path = backup::next_path(&data_dir)?;
    let manifest = store.backup(data_dir, path.clone()).await?;
    tracing::info!(file = %path.display(), "created a backup");
    Ok((StatusCode::CREATED, Json(to_wire(&path, manifest.created_at))))
}

/// List backups
///
/// Returns the backups in the data directory, oldest first.
#[utoipa::path(get, path = "/lar/v1/backups", tag = "backups", responses((status = 200, body = Page<Backup>)))]
pub(crate) async fn list(
    State(DataDir(data_dir)): State<DataDir>,
    _: Admin,
) -> Result<Json<Page<Backup>>, Failure> {
    let mut data = Vec::new();
    for entry in std::fs::read_dir(data_dir.join(backup::FOLDER)).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_ours = name.to_str().is_some_and(backup::is_backup);
        let made = entry.metadata().and_then(|about| about.modified()).ok();
        if let (true, Some(made)) = (is_ours, made) {
            data.push(to_wire(&entry.path(), Timestamp::from(made).to_string()));
        }
    }
    data.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    Ok(Json(Page { data, next: None }))
}

fn to_wire(path: &Path, created_at: String) -> Backup {
    let bytes = path.metadata().map_or(0, |about| about.len());
    Backup { path: path.display().to_string(), bytes, created_at }
}
