//! The running Lar of the data directory, and requests to it.

use std::path::Path;
use std::time::Duration;

use lar_api::Page;
use lar_egress::{Egress, Method, Request, Trust};
use serde::de::DeserializeOwned;

use crate::config::Config;
use crate::data_dir::{self, ServerFile};

/// The timeout of a request. A server on the same machine answers right away.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The maximum size of a response. Lists of models and pools are short.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Returns the announced server of the data directory if its process exists.
pub(super) fn server(config: &Config) -> Option<ServerFile> {
    let exists = |pid: u32| Path::new("/proc").join(pid.to_string()).exists();
    data_dir::running(&config.data_dir).filter(|server| exists(server.pid))
}

/// Requests a list from `/lar/v1/{path}`. Returns `None` if no Lar is running, or it does not answer.
pub(super) async fn list<T: DeserializeOwned>(config: &Config, path: &str) -> Option<Vec<T>> {
    let server = server(config)?;
    let key = data_dir::owner_key(&config.data_dir).ok()??;
    let request = Request::new(Method::Get, format!("{}/lar/v1/{path}", server.url), Trust::Operator);
    let request = request.header("authorization", format!("Bearer {}", key.expose())).timeout(TIMEOUT);
    let answer = Egress::new().ok()?.send(request).await.ok()?;
    let bytes = answer.bytes(ANSWER_BYTES_MAX).await.ok()?;
    let page: Page<T> = serde_json::from_slice(&bytes).ok()?;
    Some(page.data)
}
