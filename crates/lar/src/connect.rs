//! Finds the Lar that a client command talks to: the one that `LAR_URL` names, the one that serves the data
//! directory, or one that is started for the length of the command.

use std::net::SocketAddr;

use anyhow::Context as _;
use lar_cli::{Client, Output};
use lar_egress::{Egress, Method, Request, Trust};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Environment};
use crate::data_dir::{self, Loss};
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

/// Connects in the name of a client that was connected before, with its key.
///
/// # Errors
/// As [`connect`]; when there is no such client.
pub(crate) async fn connect_as(
    client: &str,
    config: Config,
    environment: &Environment,
    output: &Output,
) -> anyhow::Result<Connection> {
    let known = lar_cli::connected(&config.data_dir, client)?;
    let egress = Egress::new()?;
    if let Some(url) = url_of(&known, &config, &egress).await {
        return Ok(Connection { client: Client::new(egress, &url, known.key), started: None });
    }
    anyhow::ensure!(known.local, "the Lar at {} does not answer", known.url);
    let mut connection = start(config, environment, output, egress).await?;
    connection.client = connection.client.with_key(known.key);
    Ok(connection)
}

/// As [`connect_as`], to a Lar that answers already; none where it does not.
pub(crate) async fn connect_if_there(client: &str, config: &Config) -> Option<Client> {
    let known = lar_cli::connected(&config.data_dir, client).ok()?;
    let egress = Egress::new().ok()?;
    let url = match known.local {
        true => data_dir::running(&config.data_dir)?.url,
        false => known.url,
    };
    Some(Client::new(egress, &url, known.key))
}

/// Where the Lar of a client that was connected is now, if it answers. The data directory's own tells where it is; whoever
/// listens where it once was is not told the key.
async fn url_of(known: &lar_cli::Connected, config: &Config, egress: &Egress) -> Option<String> {
    let url = match known.local {
        true => data_dir::running(&config.data_dir)?.url,
        false => known.url.clone(),
    };
    answers(egress, &url).await.then_some(url)
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
    start(config, environment, output, egress).await
}

/// Starts a server for the length of a command.
async fn start(
    config: Config,
    environment: &Environment,
    output: &Output,
    egress: Egress,
) -> anyhow::Result<Connection> {
    // The configured port, so that apps reach it meanwhile; another one where that is taken.
    let anywhere = SocketAddr::new(config.listen.ip(), 0);
    let house = match House::open(&config, environment, config.listen, &[], Loss::Refuse).await {
        Ok(house) => house,
        Err(error) if error.downcast_ref::<std::io::Error>().is_some() => {
            House::open(&config, environment, anywhere, &[], Loss::Refuse).await?
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
