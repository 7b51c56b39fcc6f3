//! Finds the Lar that a client command talks to: the one that `LAR_URL` names, the one that serves the data
//! directory, or one that is started for the length of the command. Some commands need a server that keeps running:
//! a link to the page is dead without it. For those none is started ([`connect_to_running`]).

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, bail};
use lar_cli::{Client, Output};
use lar_egress::{Egress, Method, Request, Trust};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Environment};
use crate::data_dir::{self, DataDir, DataLossPolicy};
use crate::serve::LarInstance;

/// A machine that systemd runs has this folder (sd_booted(3)).
const SYSTEMD: &str = "/run/systemd/system";

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
    let known = lar_cli::find_client(&config.data_dir, client)?;
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
pub(crate) async fn connect_if_running(client: &str, config: &Config) -> Option<Client> {
    let known = lar_cli::find_client(&config.data_dir, client).ok()?;
    let egress = Egress::new().ok()?;
    let url = match known.local {
        true => data_dir::running(&config.data_dir)?.url,
        false => known.url,
    };
    Some(Client::new(egress, &url, known.key))
}

/// Where the Lar of a client that was connected is now, if it answers. The data directory's own tells where it is; whoever
/// listens where it once was is not told the key.
async fn url_of(known: &lar_cli::ConnectedClient, config: &Config, egress: &Egress) -> Option<String> {
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
    match find(&config, environment, &egress).await? {
        Some(client) => Ok(Connection { client, started: None }),
        None => start(config, environment, output, egress).await,
    }
}

/// Connects to a Lar that keeps running after the command. `called` is how this program is called in a shell.
///
/// # Errors
/// When none is running, with what starts one.
pub(crate) async fn connect_to_running(
    config: &Config,
    environment: &Environment,
    invocation: &str,
) -> anyhow::Result<Connection> {
    let egress = Egress::new()?;
    if let Some(client) = find(config, environment, &egress).await? {
        return Ok(Connection { client, started: None });
    }
    // One that is still starting, or that does not answer, has the lock: that error says so.
    if config.data_dir.is_dir() {
        drop(DataDir::lock(&config.data_dir)?);
    }
    bail!("{}", not_running_message(invocation, Path::new(SYSTEMD).is_dir()))
}

fn not_running_message(invocation: &str, has_systemd: bool) -> String {
    let service = match has_systemd {
        true => format!(", or have it start with your session: `{invocation} service install`"),
        false => String::new(),
    };
    format!(
        "no Lar is running, and this command needs a server that keeps running. Start it in another terminal: \
         `{invocation} serve`{service}"
    )
}

/// The Lar that `LAR_URL` names, or the one that serves the data directory and answers.
async fn find(config: &Config, environment: &Environment, egress: &Egress) -> anyhow::Result<Option<Client>> {
    let key = match environment.secret("LAR_KEY") {
        Some(key) => Some(key),
        None => data_dir::owner_key(&config.data_dir)?,
    };
    if let Some(url) = environment.get("LAR_URL") {
        let key = key.context("LAR_KEY is needed beside LAR_URL")?;
        return Ok(Some(Client::new(egress.clone(), url, key)));
    }
    if let (Some(server), Some(key)) = (data_dir::running(&config.data_dir), &key)
        && answers(egress, &server.url).await
    {
        return Ok(Some(Client::new(egress.clone(), &server.url, key.clone())));
    }
    Ok(None)
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
    let instance =
        match LarInstance::open(&config, environment, config.listen, &[], DataLossPolicy::Refuse).await {
            Ok(instance) => instance,
            Err(error) if error.downcast_ref::<std::io::Error>().is_some() => {
                LarInstance::open(&config, environment, anywhere, &[], DataLossPolicy::Refuse).await?
            }
            Err(error) => return Err(error),
        };
    output.remark("No Lar is running; one is started for this command.");
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
    fn the_start_command_is_named_as_the_shell_finds_it() {
        let text = not_running_message("/opt/lar", true);
        assert!(text.contains("`/opt/lar serve`") && text.ends_with("`/opt/lar service install`"), "{text}");
        let text = not_running_message("lar", false);
        assert!(text.ends_with("`lar serve`") && !text.contains("service"), "{text}");
    }
}
