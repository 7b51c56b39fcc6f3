//! Finds the Lar that a client command uses: the one at `LAR_URL`, the one that serves the data directory, or
//! one that this module starts and stops with the command.
//!
//! Some commands need a server that keeps running, for example to print a sign-in link.
//! [`connect_to_running`] starts no server for them.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, bail};
use lar_cli::{Client, Output};
use lar_egress::{Egress, Method, Request, Trust};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Environment};
use crate::data_dir::{self, DataDir, DataLossPolicy};
use crate::serve::LarInstance;

/// A folder that exists if systemd runs the machine (sd_booted(3)).
const SYSTEMD: &str = "/run/systemd/system";

/// A connection, and its server if the command started one.
pub(crate) struct Connection {
    pub(crate) client: Client,
    started: Option<(CancellationToken, tokio::task::JoinHandle<anyhow::Result<()>>)>,
}

impl Connection {
    /// Stops the server that the command started, if any.
    pub(crate) async fn close(self) {
        if let Some((stop, served)) = self.started {
            stop.cancel();
            let _ = served.await;
        }
    }
}

/// Connects with the key of a client that `lar connect` connected.
///
/// # Errors
/// As [`connect`], and if there is no such client.
pub(crate) async fn connect_as(
    client: &str,
    config: Config,
    environment: &Environment,
    output: &Output,
) -> anyhow::Result<Connection> {
    let known = lar_cli::find_client(&config.data_dir, client)?;
    let egress = Egress::new()?;
    if let Some(url) = url_of(&known, &config, &egress).await {
        return Ok(Connection { client: Client::new(egress, &url, known.key), started: None });
    }
    anyhow::ensure!(known.local, "could not reach Lar at {}", known.url);
    let mut connection = start(config, environment, output, egress).await?;
    connection.client = connection.client.with_key(known.key);
    Ok(connection)
}

/// As [`connect_as`], but starts no server: returns `None` if no Lar is running.
pub(crate) async fn connect_if_running(client: &str, config: &Config) -> Option<Client> {
    let known = lar_cli::find_client(&config.data_dir, client).ok()?;
    let egress = Egress::new().ok()?;
    let url = match known.local {
        true => data_dir::running(&config.data_dir)?.url,
        false => known.url,
    };
    Some(Client::new(egress, &url, known.key))
}

/// Returns the current URL of a connected client's Lar, if it answers. A Lar of this data directory announces
/// its URL. Lar's earlier URL is not used: another program may listen there, and would receive the key.
async fn url_of(known: &lar_cli::ConnectedClient, config: &Config, egress: &Egress) -> Option<String> {
    let url = match known.local {
        true => data_dir::running(&config.data_dir)?.url,
        false => known.url.clone(),
    };
    answers(egress, &url).await.then_some(url)
}

/// Connects to the running Lar, or starts one.
///
/// # Errors
/// If no server is running and none can be started.
pub(crate) async fn connect(
    config: Config,
    environment: &Environment,
    output: &Output,
) -> anyhow::Result<Connection> {
    let egress = Egress::new()?;
    match find(&config, environment, &egress).await? {
        Some(client) => Ok(Connection { client, started: None }),
        None => start(config, environment, output, egress).await,
    }
}

/// Connects to a Lar that keeps running after the command. `invocation` is how to call this program in a
/// shell.
///
/// # Errors
/// If no Lar is running; the message names the command that starts one.
pub(crate) async fn connect_to_running(
    config: &Config,
    environment: &Environment,
    invocation: &str,
) -> anyhow::Result<Connection> {
    let egress = Egress::new()?;
    if let Some(client) = find(config, environment, &egress).await? {
        return Ok(Connection { client, started: None });
    }
    // A Lar that is starting, or that does not answer, has the lock. The error of `lock` says so.
    if config.data_dir.is_dir() {
        drop(DataDir::lock(&config.data_dir)?);
    }
    bail!("{}", not_running_message(invocation, Path::new(SYSTEMD).is_dir()))
}

fn not_running_message(invocation: &str, has_systemd: bool) -> String {
    let service = match has_systemd {
        true => format!(". Or start it with your session: `{invocation} service install`"),
        false => String::new(),
    };
    format!(
        "no Lar is running, and this command needs a running one. Start it in another terminal: \
         `{invocation} serve`{service}"
    )
}

/// Finds the Lar at `LAR_URL`, or the one that serves the data directory if it answers.
async fn find(config: &Config, environment: &Environment, egress: &Egress) -> anyhow::Result<Option<Client>> {
    let key = match environment.secret("LAR_KEY") {
        Some(key) => Some(key),
        None => data_dir::owner_key(&config.data_dir)?,
    };
    if let Some(url) = environment.get("LAR_URL") {
        let key = key.context("LAR_URL is set, but LAR_KEY is not: set LAR_KEY to a key of that Lar")?;
        return Ok(Some(Client::new(egress.clone(), url, key)));
    }
    if let (Some(server), Some(key)) = (data_dir::running(&config.data_dir), &key)
        && answers(egress, &server.url).await
    {
        return Ok(Some(Client::new(egress.clone(), &server.url, key.clone())));
    }
    Ok(None)
}

/// Starts a server that runs until the command ends.
async fn start(
    config: Config,
    environment: &Environment,
    output: &Output,
    egress: Egress,
) -> anyhow::Result<Connection> {
    // Use the configured port, so that apps can reach this server. If the port is taken, use any other.
    let anywhere = SocketAddr::new(config.listen.ip(), 0);
    let instance =
        match LarInstance::open(&config, environment, config.listen, &[], DataLossPolicy::Refuse).await {
            Ok(instance) => instance,
            Err(error) if error.downcast_ref::<std::io::Error>().is_some() => {
                LarInstance::open(&config, environment, anywhere, &[], DataLossPolicy::Refuse).await?
            }
            Err(error) => return Err(error),
        };
    output.remark("No Lar is running. This command starts one and stops it at the end.");
    let client = Client::new(egress, &instance.url(), instance.owner_key.clone());
    let stop = CancellationToken::new();
    let served = tokio::spawn(instance.serve(stop.clone()));
    Ok(Connection { client, started: Some((stop, served)) })
}

async fn answers(egress: &Egress, url: &str) -> bool {
    let request = Request::new(Method::Get, format!("{url}/healthz"), Trust::Operator);
    let answer = egress.send(request.timeout(std::time::Duration::from_secs(3))).await;
    answer.is_ok_and(|answer| answer.status() == 200)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_names_the_command_that_starts_lar() {
        let text = not_running_message("/opt/lar", true);
        assert!(text.contains("`/opt/lar serve`") && text.ends_with("`/opt/lar service install`"), "{text}");
        let text = not_running_message("lar", false);
        assert!(text.ends_with("`lar serve`") && !text.contains("service"), "{text}");
    }
}
