//! `lar serve`: puts the floors on top of each other and keeps them up until a signal.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use lar_agents::{ChatMemory, Turns};
use lar_base::files::{KEY_BYTES_MAX, read_small_text};
use lar_base::{Bytes, Instant, Secret, TaskGroup, Timestamp};
use lar_catalog::{Catalog, ModelFolderSettings, ModelFolders};
use lar_cli::Output;
use lar_egress::Egress;
use lar_engines::driver::Prompt;
use lar_engines::protocol::Compute;
use lar_engines::scheduler::{FullPolicy, Limits};
use lar_engines::{Engines, device};
use lar_gateway::{EngineOptions, Gateway, Metrics, Remote};
use lar_memory::{Memories, SecretPolicy};
use lar_server::{AllowedOrigins, Authenticator, Listener, Parts, RESPONSES_RETENTION, Server, TlsFiles};
use lar_store::{KeyRecord, Store};
use prometheus_client::registry::Registry;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::{self, ChatMemoryMode, Config, Environment, ListenerConfig, QueueFull, SecretsPolicy};
use crate::data_dir::{Announcement, DataDir, DataLossPolicy};
use crate::{doctor, invocation, open_files};

/// Deleted conversations can be brought back for this long.
const KEEP_DELETED: Duration = Duration::from_secs(30 * 24 * 3600);
/// A temporary conversation goes when nothing was said in it for this long.
const KEEP_TEMPORARY: Duration = Duration::from_secs(24 * 3600);
/// How often what is past its time is looked for.
const PURGE_EVERY: Duration = Duration::from_secs(3600);
/// How often it is looked whether something was erased that is to be cleared out of pages.
const CLEAR_EVERY: Duration = Duration::from_secs(30);
/// When clearing is tried again where it failed, such as on a full disk.
const CLEAR_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// What to do about an owner's key that was revoked, which a Lar of an earlier release allowed.
const OWNER_REVOKED: &str = "The owner's key was revoked: the command line is refused. Stop Lar, remove `owner.key` from the data \
                             directory (and change LAR_OWNER_KEY, where it is set), and start Lar: it makes another";
/// How long engines may take to end after the last answer.
const ENGINES_GRACE: Duration = Duration::from_secs(10);

/// A Lar that listens.
pub(crate) struct LarInstance {
    /// None until clients are told where the server is. Fields are dropped in order: this one while the directory is locked.
    announcement: Option<Announcement>,
    data_dir: DataDir,
    store: Store,
    server: Server,
    gateway: Gateway,
    tasks: TaskGroup,
    owner: KeyRecord,
    pub(crate) owner_key: Secret,
    grace: Duration,
}

impl LarInstance {
    /// Opens everything and listens on `address`, without serving yet.
    ///
    /// # Errors
    /// What is in the way, and how to mend it where that is known.
    pub(crate) async fn open(
        config: &Config,
        environment: &Environment,
        address: SocketAddr,
        further: &[ListenerConfig],
        loss: DataLossPolicy,
    ) -> anyhow::Result<Self> {
        lar_sandbox::return_large_allocations();
        let connections = open_files::connections_within(open_files::raise()?, config.limits.connections);
        let data_dir = DataDir::lock(&config.data_dir)?;
        let store = data_dir.open_store(loss)?;
        let pepper = data_dir.pepper(store.key_count().await?, loss)?;
        data_dir.remove_unfinished_restores();
        let abandoned = store.tasks_end_abandoned().await?;
        if abandoned > 0 {
            tracing::warn!(abandoned, "tasks were under way when Lar stopped; they ended as ENGINE_FAILED");
        }
        let authenticator = Authenticator::new(store.clone(), pepper);
        let owner_key = data_dir.owner_key(environment.secret("LAR_OWNER_KEY"))?;
        let owner = authenticator.ensure_owner_key(&owner_key).await?;
        let egress = Egress::new()?;
        let included = config.included_models_dir.clone();
        let catalog =
            Catalog::open(config.models_dir(), included, &config.hub, store.clone(), egress.clone()).await?;
        let tasks = TaskGroup::new();
        let limits = Limits {
            queue_len_max: config.limits.queue_len_max,
            full_policy: match config.limits.queue_full {
                QueueFull::Reject => FullPolicy::Reject,
                QueueFull::DropOldest => FullPolicy::DropOldest,
            },
            batch_wait_max: Duration::from_secs(config.limits.batch_wait_max_s),
            memory: config.engines.memory.or_else(memory_for_models).unwrap_or(Bytes(u64::MAX)),
            keep_alive: Some(Duration::from_secs(config.engines.keep_alive_s)),
            slot_hold_max: Some(config.limits.slot_hold_max_s)
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
            ..Limits::default()
        };
        let engines = Engines::run(limits, &tasks);
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let memory_metrics = lar_memory::Metrics::register(&mut registry);
        let gateway = Gateway::start(
            store.clone(),
            catalog.clone(),
            engines,
            egress.clone(),
            engine_options(config)?,
            metrics,
            &tasks,
        );
        let options = lar_memory::Options {
            secrets: match config.memory.secrets {
                SecretsPolicy::Refuse => SecretPolicy::Refuse,
                SecretsPolicy::Redact => SecretPolicy::Redact,
                SecretsPolicy::Quarantine => SecretPolicy::Quarantine,
            },
        };
        let memories = Memories::start(store.clone(), gateway.clone(), options, memory_metrics, &tasks);
        tasks.spawn(purge_expired(store.clone(), memories.clone(), tasks.stopping()));
        let in_chat = match config.memory.chat {
            ChatMemoryMode::Off => None,
            ChatMemoryMode::Recall => Some(ChatMemory { memories: memories.clone(), remember: false }),
            ChatMemoryMode::Remember => Some(ChatMemory { memories: memories.clone(), remember: true }),
        };
        let hidden_folders = hidden_folders(config, environment, store.path());
        let parts = Parts {
            memories,
            turns: Turns::new(store.clone(), gateway.clone(), in_chat, &tasks),
            gateway: gateway.clone(),
            ledger: egress.ledger().clone(),
            places: model_folders(environment),
            allowed_hosts: allowed_hosts(config),
            allowed_origins: AllowedOrigins::parse(&config.allowed_origins).map_err(anyhow::Error::msg)?,
            limits: lar_server::Limits {
                body: config.limits.body,
                bodies: config.limits.bodies.max(config.limits.body),
                connections,
                connections_per_address: config.limits.connections_per_address,
                requests_per_minute: config.limits.requests_per_minute,
                ..lar_server::Limits::default()
            },
            store,
            catalog,
            authenticator: authenticator.clone(),
            registry,
            data_dir: config.data_dir.clone(),
            hidden_folders,
            tasks: tasks.clone(),
            background_model: config.engines.background_model.clone(),
        };
        let kept = parts.store.clone();
        let listeners = listeners(further, &authenticator).await?;
        let server = match Server::bind(address, listeners, parts).await {
            Ok(server) => server,
            Err((address, error)) => {
                return Err(error).with_context(|| explain_bind_failure(address));
            }
        };
        kept.keep_reserve();
        let grace = Duration::from_secs(config.limits.shutdown_grace_s);
        let announcement = None;
        Ok(Self { announcement, data_dir, store: kept, server, gateway, tasks, owner, owner_key, grace })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Tells clients where the server is, until it ends. It listens already: requests that come before [`LarInstance::serve`] wait in
    /// the listener's backlog.
    fn announce(&mut self) -> anyhow::Result<()> {
        if self.announcement.is_none() {
            self.announcement = Some(self.data_dir.announce(&self.url())?);
        }
        Ok(())
    }

    /// Loads the default model and its vocabulary before anyone asks for them, if there is one.
    pub(crate) async fn preload(&self) {
        let Ok(route) = self.gateway.route("default").await else { return };
        self.gateway.engines().load(&route.pool);
        let gateway = self.gateway.clone();
        self.tasks.spawn(async move {
            if let Err(error) = gateway.count_tokens(&route.pool, &Prompt::Text(String::new())).await {
                tracing::warn!(%error, "the default model's vocabulary could not be loaded");
            }
        });
    }

    /// Checks the whole database meanwhile.
    fn check_database(&self) {
        let (store, stopping) = (self.store.clone(), self.tasks.stopping());
        self.tasks.spawn(async move {
            tokio::select! {
                () = store.check_in_background() => {}
                () = stopping.cancelled() => return,
            }
            // Not before: in a damaged database nothing is cleared.
            clear_erased(store, stopping).await;
        });
    }

    /// Serves until `stop`, then ends everything in order. Clients are told where it is, if they were not yet.
    pub(crate) async fn serve(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        self.announce()?;
        let announcement = self.announcement.take();
        let mut serving = std::pin::pin!(self.server.serve(stop.clone(), self.grace));
        tokio::select! {
            () = &mut serving => drop(announcement),
            // No client should look for it while answers and engines end: it listens no more.
            () = stop.cancelled() => {
                drop(announcement);
                serving.await;
            }
        }
        if !self.tasks.stop(ENGINES_GRACE).await {
            tracing::warn!("engines did not end in time; they end with this process");
        }
        Ok(())
    }
}

/// How the server is started.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct ServeArgs {
    /// Print the link that signs a browser in, also where standard output is no terminal
    #[arg(long)]
    print_link: bool,
    /// Start although the database or secret.key is lost: what is left of them is put aside
    #[arg(long)]
    accept_data_loss: bool,
}

/// Runs the server until a signal.
///
/// # Errors
/// When it cannot start.
pub(crate) async fn run(
    args: ServeArgs,
    config: Config,
    environment: &Environment,
    output: Output,
) -> anyhow::Result<()> {
    for warning in config::unknown_variables(environment) {
        tracing::warn!("{warning}");
    }
    let loss = if args.accept_data_loss { DataLossPolicy::Accept } else { DataLossPolicy::Refuse };
    let mut instance =
        LarInstance::open(&config, environment, config.listen, &config.listeners, loss).await?;
    instance.check_database();
    // Others read what goes to a journal, to a file, or to a container's log.
    let sign_in = match (instance.owner.revoked_at, args.print_link || std::io::stdout().is_terminal()) {
        (Some(_), _) => OWNER_REVOKED.to_owned(),
        (None, true) => {
            format!("Sign in once, within ten minutes: {}", instance.server.sign_in_link(instance.owner.id).0)
        }
        (None, false) => format!("Sign in: {} open", invocation::with_data_dir(&config, environment)),
    };
    if instance.owner.revoked_at.is_some() {
        tracing::error!(key = %instance.owner.id, "{OWNER_REVOKED}");
    }
    // Before anybody is told that it runs: who stops it right then is obeyed, too.
    let stop = CancellationToken::new();
    let signal_stop = stop.clone();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    // A terminal that closes is a wish to stop; the settings are read at start only, so that nothing is to be read again.
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
        tracing::info!("stopping; answers may finish, a second signal cuts them");
        signal_stop.cancel();
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        std::process::exit(1);
    });
    // Before it is printed, too: whoever reads that line finds the server, and a second one is told of it.
    instance.announce()?;
    output.line(&format!("Lar is at {}\n{sign_in}", instance.url()))?;
    for url in instance.server.other_urls() {
        output.line(&format!("It listens at {url}, too"))?;
    }
    if config.engines.preload {
        // Requests wait meanwhile: this starts the load and does not wait for it.
        tokio::select! {
            () = instance.preload() => {}
            () = stop.cancelled() => {}
        }
    }
    instance.serve(stop).await
}

/// `lar migrate`: opening the database does it.
///
/// # Errors
/// When a server has the data directory, or the database cannot be brought up.
pub(crate) fn migrate(config: &Config, output: &Output) -> anyhow::Result<()> {
    let data_dir = DataDir::lock(&config.data_dir)?;
    let store = data_dir.open_store(DataLossPolicy::Refuse)?;
    output.line(&format!("{} has this program's schema.", store.path().display()))
}

fn engine_options(config: &Config) -> anyhow::Result<EngineOptions> {
    let remotes = config.remotes.iter().map(|remote| {
        let key = match &remote.key_file {
            None => None,
            Some(path) => {
                let text = read_small_text(path, KEY_BYTES_MAX)
                    .with_context(|| format!("{} cannot be read", path.display()))?;
                Some(Secret::new(text.trim()))
            }
        };
        Ok(Remote { name: remote.name.clone(), url: remote.url.clone(), key })
    });
    Ok(EngineOptions {
        program: std::env::current_exe().context("the program's own path is unknown")?,
        llama_server: config.engines.llama_server.clone(),
        concurrency: config.engines.concurrency,
        context_tokens_max: config.engines.context_tokens_max,
        compute: Compute {
            flash_attention: config.engines.flash_attention,
            cache_type: config.engines.cache_type,
            gpu_layers: config.engines.gpu_layers,
            speculate: config.engines.speculative,
            ..Compute::with_threads(config.engines.threads.unwrap_or_else(device::cores))
        },
        draft_model: config.engines.draft_model.clone(),
        gbnf: config.engines.gbnf,
        tune: config.engines.threads.is_none(),
        prompt_cache: config.engines.prompt_cache,
        share_prompt_cache: config.engines.share_prompt_cache,
        confinement: config.engines.confinement,
        remotes: remotes.collect::<anyhow::Result<_>>()?,
    })
}

/// The further places to listen, with the keys that are in their files.
async fn listeners(
    further: &[ListenerConfig],
    authenticator: &Authenticator,
) -> anyhow::Result<Vec<Listener>> {
    let mut listeners = Vec::with_capacity(further.len());
    for config in further {
        let key = match &config.key_file {
            None => None,
            Some(path) => {
                let text = read_small_text(path, KEY_BYTES_MAX)
                    .with_context(|| format!("{} cannot be read", path.display()))?;
                let key = Secret::new(text.trim());
                let checked = authenticator.check_listeners_key(&key).await;
                checked.with_context(|| {
                    format!("{} is not for the listener on {}", path.display(), config.addr)
                })?;
                Some(key)
            }
        };
        let files = config.cert_file.clone().zip(config.private_key_file.clone());
        let tls = files.map(|(certificate, private_key)| TlsFiles { certificate, private_key });
        listeners.push(Listener { address: config.addr, key, tls });
    }
    Ok(listeners)
}

/// What models may take of the machine's memory: the rest is the system's, the page cache's and everyone's.
fn memory_for_models() -> Option<Bytes> {
    device::memory().map(|memory| Bytes(memory.total.get() / 5 * 4))
}

/// What may stand in a request's Host; an address that was chosen to listen on may.
fn allowed_hosts(config: &Config) -> Vec<String> {
    let mut hosts = config.allowed_hosts.clone();
    let chosen = config.listeners.iter().map(|listener| listener.addr).chain([config.listen]);
    for ip in chosen.map(|at| at.ip()).filter(|ip| !ip.is_unspecified()) {
        hosts.push(if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() });
    }
    hosts
}

/// Erases, at start and every hour, what was to be kept for a time only.
async fn purge_expired(store: Store, memories: Memories, stopping: CancellationToken) {
    let mut clock = tokio::time::interval(PURGE_EVERY);
    loop {
        tokio::select! {
            _ = clock.tick() => {}
            () = stopping.cancelled() => return,
        }
        let (deleted, temporary) =
            (Timestamp::now().before(KEEP_DELETED), Timestamp::now().before(KEEP_TEMPORARY));
        // Each on its own: where one fails the others are erased all the same.
        let conversations =
            count_erased("conversations", store.conversations_purge(deleted, temporary).await);
        let requests = count_erased("requests", store.idempotency_purge().await);
        let responses = store.responses_purge(Timestamp::now().before(RESPONSES_RETENTION)).await;
        let responses = count_erased("responses", responses);
        let memories = count_erased("memories", memories.purge().await);
        if (conversations, memories, requests, responses) != (0, 0, 0, 0) {
            tracing::info!(
                conversations,
                memories,
                requests,
                responses,
                "what was kept for its time is erased"
            );
        }
        if let Err(error) = store.log_empty_retry().await {
            tracing::warn!(%error, "what was erased may be in the write-ahead log or a copy of it still");
        }
    }
}

/// Clears what was erased out of the search index and the unallocated regions of the database's pages: now, where an earlier run
/// did not, then soon after each erasure, for a twentieth of the time at most.
async fn clear_erased(store: Store, stopping: CancellationToken) {
    let mut wait = Duration::ZERO;
    while stopping.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
        let started_at = Instant::now();
        let Some(cleared) = stopping.run_until_cancelled(store.clear_erased()).await else { return };
        wait = CLEAR_EVERY.max(started_at.elapsed() * 20);
        match cleared {
            Ok(Some(pages)) => tracing::debug!(pages, "what was erased is cleared out of pages"),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, "what was erased may be in unused parts of the database's file; another try comes");
                wait = wait.max(CLEAR_AGAIN_AFTER);
            }
        }
    }
}

/// How many were erased. Where that failed it is logged, and the next hour tries again.
fn count_erased<E: std::fmt::Display>(what: &str, erased: Result<usize, E>) -> usize {
    erased.unwrap_or_else(|error| {
        tracing::warn!(%error, what, "what is past its time could not be erased");
        0
    })
}

/// Says who has the address that the server could not listen on, and how to choose another.
fn explain_bind_failure(address: SocketAddr) -> String {
    let other = SocketAddr::new(address.ip(), address.port().checked_add(1).unwrap_or(5270));
    let lar = invocation::program();
    match doctor::port_owner(address.port()) {
        Some(owner) => format!(
            "{address} is taken by {owner}. Stop that program, or choose another port: `{lar} serve --listen {other}`"
        ),
        None => format!("cannot listen on {address}. Choose another port: `{lar} serve --listen {other}`"),
    }
}

/// Folders beside the data directory that errors name to administrators only. The database lies elsewhere where a link leads to
/// it.
fn hidden_folders(config: &Config, environment: &Environment, database: &Path) -> Vec<PathBuf> {
    let mut folders = vec![config.models_dir(), std::env::temp_dir()];
    folders.extend(database.parent().map(Path::to_owned));
    folders.extend(config.included_models_dir.clone());
    folders.extend(environment.home());
    folders
}

/// Where other programs keep models, by the variables that they read.
fn model_folders(environment: &Environment) -> ModelFolders {
    let path = |name: &str| environment.get(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    ModelFolders::of(&ModelFolderSettings {
        home: path("HOME"),
        ollama_models: path("OLLAMA_MODELS"),
        hf_hub_cache: path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE")),
        hf_home: path("HF_HOME"),
        xdg_cache_home: path("XDG_CACHE_HOME"),
    })
}
