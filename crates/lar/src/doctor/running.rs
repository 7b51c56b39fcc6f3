//! Asks the Lar that runs with the data directory.

use std::time::Duration;

use lar_api::Page;
use lar_egress::{Egress, Method, Request, Trust};
use serde::de::DeserializeOwned;

use crate::config::Config;
use crate::data_dir;

/// Answers on the same machine come at once.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Lists of models and pools are short.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Gets a list of its API, by the path below `/lar/v1/`; `None` where no Lar runs, or where it does not answer.
pub(super) async fn list<T: DeserializeOwned>(config: &Config, path: &str) -> Option<Vec<T>> {
    let server = data_dir::running(&config.data_dir).filter(|server| super::alive(server.pid))?;
    let key = data_dir::owner_key(&config.data_dir).ok()??;
    let request = Request::new(Method::Get, format!("{}/lar/v1/{path}", server.url), Trust::Operator);
    let request = request.header("authorization", format!("Bearer {}", key.expose())).timeout(TIMEOUT);
    let answer = Egress::new().ok()?.send(request).await.ok()?;
    let bytes = answer.bytes(ANSWER_BYTES_MAX).await.ok()?;
    let page: Page<T> = serde_json::from_slice(&bytes).ok()?;
    Some(page.data)
}
