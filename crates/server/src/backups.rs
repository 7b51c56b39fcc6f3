//! `/lar/v1/backups`: copies of the data directory, made while it serves. They stay on the server's machine: each holds every
//! memory and every key's digest.

use std::path::Path;

use axum::Json;
use axum::http::StatusCode;
use lar_api::Page;
use lar_api::backups::Backup;
use lar_base::Timestamp;
use lar_store::backup;

use crate::State;
use crate::auth::Admin;
use crate::errors::Failure;

/// Makes one.
#[utoipa::path(post, path = "/lar/v1/backups", tag = "backups", responses((status = 201, body = Backup)))]
pub(crate) async fn create(app: State, _: Admin) -> Result<(StatusCode, Json<Backup>), Failure> {
    let path = backup::next_path(&app.data_dir)?;
    let manifest = app.store.backup(app.data_dir.clone(), path.clone()).await?;
    tracing::info!(file = %path.display(), "a backup was made");
    Ok((StatusCode::CREATED, Json(to_wire(&path, manifest.created_at))))
}

/// Those that are there, oldest first.
#[utoipa::path(get, path = "/lar/v1/backups", tag = "backups", responses((status = 200, body = Page<Backup>)))]
pub(crate) async fn list(app: State, _: Admin) -> Result<Json<Page<Backup>>, Failure> {
    let mut data = Vec::new();
    for entry in std::fs::read_dir(app.data_dir.join(backup::FOLDER)).into_iter().flatten().flatten() {
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
