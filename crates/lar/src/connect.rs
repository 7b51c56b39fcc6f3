//! Finds the Lar that a client command talks to: the one that `LAR_URL` names, the one that serves the data
//! directory, or one that is started for the length of the command.

use std::net::SocketAddr;

use anyhow::Context as _;
use lar_cli::{Client, Output};
use lar_egress::{Egress, Method, Request, Trust};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Environment};
use crate::data_dir;
use crate::serve::House;

/// A connection, and the server behind it if it was started for it.
pub(crate) struct Connection {
    pub(crate) client: Client,
    started: Option<(CancellationToken, tokio::task::JoinHandle<anyhow::Result<()>>)>,
}

impl Connection {
    /// Ends the server that was started for the command.
    pub(crate) async fn close(self) {
        if let Some((stop, served)) = self.started {
            stop.cancel();
            let _ = served.await;
        }
    }
}

/// Connects.
///
/// # Errors
/// When there is no server and none can be started.
pub(crate) async fn connect(
    config: Config,
    environment: &Environment,
    output: &Output,
) -> anyhow::Result<Connection> {
    let egress = Egress::new()?;
    let key = match environment.secret("LAR_KEY") {
        Some(key) => Some(key),
        None => data_dir::owner_key(&config.data_dir)?,
    };
    if let Some(url) = environment.get("LAR_URL") {
        let key = key.context("LAR_KEY is needed beside LAR_URL")?;
        return Ok(Connection { client: Client::new(egress, url, key), started: None });
    }
    if let (Some(server), Some(key)) = (data_dir::running(&config.data_dir), &key)
        && answers(&egress, &server.url).await
    {
        return Ok(Connection { client: Client::new(egress, &server.url, key.clone()), started: None });
    }
    // The configured port, so that apps reach it meanwhile; another one where that is taken.
    let anywhere = SocketAddr::new(config.listen.ip(), 0);
    let house = match House::open(&config, environment, config.listen).await {
        Ok(house) => house,
        Err(error) if error.downcast_ref::<std::io::Error>().is_some() => {
            House::open(&config, environment, anywhere).await?
        }
        Err(error) => return Err(error),
    };
    output.remark("No Lar is running; one is started for this command.");
    let client = Client::new(egress, &house.url(), house.owner_key.clone());
    let stop = CancellationToken::new();
    let served = tokio::spawn(house.serve(stop.clone()));
    Ok(Connection { client, started: Some((stop, served)) })
}

async fn answers(egress: &Egress, url: &str) -> bool {
    let request = Request::new(Method::Get, format!("{url}/healthz"), Trust::Operator);
    let answer = egress.send(request.timeout(std::time::Duration::from_secs(3))).await;
    answer.is_ok_and(|answer| answer.status() == 200)
}
