//! `lar serve`: builds the server from the other crates, and runs it until a signal stops it.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use lar_agents::{ChatMemory, Turns};
use lar_base::files::{KEY_BYTES_MAX, read_small_text};
use lar_base::{Bytes, Instant, Secret, TaskGroup, Timestamp, error_chain};
use lar_catalog::{Catalog, ModelFolderSettings, ModelFolders};
use lar_cli::Output;
use lar_egress::Egress;
use lar_engines::scheduler::{FullPolicy, Limits};
use lar_engines::{Engines, device};
use lar_gateway::{EngineOptions, Gateway, Metrics, Remote};
use lar_inference::Prompt;
use lar_inference::protocol::Compute;
use lar_memory::{Memories, SecretPolicy};
use lar_server::{AllowedOrigins, Authenticator, Listener, Parts, RESPONSES_RETENTION, Server, TlsFiles};
use lar_store::{KeyRecord, Store};
use prometheus_client::registry::Registry;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::{self, ChatMemoryMode, Config, Environment, ListenerConfig, QueueFull, SecretsPolicy};
use crate::data_dir::{Announcement, DataDir, DataLossPolicy};
use crate::{doctor, invocation, open_files};

/// How long a deleted conversation can be restored.
const KEEP_DELETED: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long a temporary conversation is kept after its last message.
const KEEP_TEMPORARY: Duration = Duration::from_secs(24 * 3600);
/// How often Lar looks for expired data.
const PURGE_EVERY: Duration = Duration::from_secs(3600);
/// The least time between two runs that clear erased data out of database pages.
const CLEAR_EVERY: Duration = Duration::from_secs(30);
/// The least time until the next run after one that failed, for example on a full disk.
const CLEAR_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// The message about a revoked owner's key. An earlier release of Lar allowed to revoke it.
const OWNER_REVOKED: &str = "The owner's key was revoked, so client commands do not work. Stop Lar, remove \
                             `owner.key` from the data directory (and change LAR_OWNER_KEY if it is set), and \
                             start Lar: it creates a new key";
/// How long engines may take to stop after the last answer.
const ENGINES_GRACE: Duration = Duration::from_secs(10);

/// A running Lar: a server that listens, and everything below it.
pub(crate) struct LarInstance {
    /// `None` until the server is announced to clients. Fields drop in order: this one before the lock of
    /// `data_dir`.
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
    /// Opens the data directory, the models and the listeners. Does not answer requests yet.
    ///
    /// # Errors
    /// If Lar cannot start. The error names the cause and, if it is known, the remedy.
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
        let lar = invocation::with_data_dir(config, environment);
        let store = data_dir.open_store(loss, &lar)?;
        let pepper = data_dir.pepper(store.key_count().await?, loss, &lar)?;
        data_dir.remove_unfinished_restores();
        let abandoned = store.tasks_end_abandoned().await?;
        if abandoned > 0 {
            tracing::warn!(
                abandoned,
                "tasks were running when Lar last stopped; marked them as ENGINE_FAILED"
            );
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
            judge: config.memory.judge_model(),
            consolidation: config.memory.consolidation_mode(),
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
            model_folders: model_folders(environment),
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
                return Err(error).with_context(|| explain_bind_failure(address, &lar));
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

    /// Announces the server's URL to clients until the server ends. Requests that arrive before
    /// [`LarInstance::serve`] wait in the listener's backlog.
    fn announce(&mut self) -> anyhow::Result<()> {
        if self.announcement.is_none() {
            self.announcement = Some(self.data_dir.announce(&self.url())?);
        }
        Ok(())
    }

    /// Starts to load the default model and its vocabulary, if there is one.
    pub(crate) async fn preload(&self) {
        let Ok(route) = self.gateway.route("default").await else { return };
        self.gateway.engines().load(&route.pool);
        let gateway = self.gateway.clone();
        self.tasks.spawn(async move {
            if let Err(error) = gateway.count_tokens(&route.pool, &Prompt::Text(String::new())).await {
                tracing::warn!(%error, "could not load the vocabulary of the default model");
            }
        });
    }

    /// Starts a check of the whole database in the background.
    fn check_database(&self) {
        let (store, stopping) = (self.store.clone(), self.tasks.stopping());
        self.tasks.spawn(async move {
            tokio::select! {
                () = store.check_in_background() => {}
                () = stopping.cancelled() => return,
            }
            // Only after the check: Lar clears nothing in a damaged database.
            clear_erased(store, stopping).await;
        });
    }

    /// Announces the server, answers requests until `stop`, then stops everything in order.
    pub(crate) async fn serve(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        self.announce()?;
        let announcement = self.announcement.take();
        let mut serving = std::pin::pin!(self.server.serve(stop.clone(), self.grace));
        tokio::select! {
            () = &mut serving => drop(announcement),
            // The listeners are closed while answers and engines end, so clients must not find the server any
            // more.
            () = stop.cancelled() => {
                drop(announcement);
                serving.await;
            }
        }
        if !self.tasks.stop(ENGINES_GRACE).await {
            tracing::warn!("engines did not stop in time; they end with this process");
        }
        Ok(())
    }
}

/// The arguments of `lar serve`.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct ServeArgs {
    /// Print the sign-in link even if standard output is not a terminal
    #[arg(long)]
    print_link: bool,
    /// Start even if the database or secret.key is missing; Lar moves what is left of the old database aside
    #[arg(long)]
    accept_data_loss: bool,
}

/// Runs the server until a signal stops it.
///
/// # Errors
/// If it cannot start.
pub(crate) async fn run(
    args: ServeArgs,
    config: Config,
    environment: &Environment,
    output: Output,
) -> anyhow::Result<()> {
    for warning in config::unknown_variables(environment) {
        tracing::warn!("{warning}");
    }
    config.warn_deprecated();
    let loss = if args.accept_data_loss { DataLossPolicy::Accept } else { DataLossPolicy::Refuse };
    let mut instance =
        LarInstance::open(&config, environment, config.listen, &config.listeners, loss).await?;
    instance.check_database();
    // Other people may read a journal, a file or a container's log, so the link goes to a terminal only.
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
    // Installed before the server is announced, so that a signal right after the announcement works.
    let stop = CancellationToken::new();
    let signal_stop = stop.clone();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    // SIGHUP stops the server: a closed terminal sends it. It reloads nothing, as Lar reads its settings at
    // start only.
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
        tracing::info!("stopping; running answers can finish, a second signal cuts them off");
        signal_stop.cancel();
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        std::process::exit(1);
    });
    // Announced before the URL is printed, so that whoever reads that line finds the server.
    instance.announce()?;
    output.line(&format!("Lar is at {}\n{sign_in}", instance.url()))?;
    for url in instance.server.other_urls() {
        output.line(&format!("Lar is also at {url}"))?;
    }
    if config.engines.preload {
        // This starts to load the model and does not wait for it. Requests wait in the queue.
        tokio::select! {
            () = instance.preload() => {}
            () = stop.cancelled() => {}
        }
    }
    instance.serve(stop).await
}

/// Runs `lar migrate`. Opening the database migrates it.
///
/// # Errors
/// If a server uses the data directory, or the database cannot be migrated.
pub(crate) fn migrate(config: &Config, environment: &Environment, output: &Output) -> anyhow::Result<()> {
    let data_dir = DataDir::lock(&config.data_dir)?;
    let lar = invocation::with_data_dir(config, environment);
    let store = data_dir.open_store(DataLossPolicy::Refuse, &lar)?;
    output.line(&format!("{} has the schema of this version.", store.path().display()))
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

/// Returns the additional listeners, with the keys from their key files.
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
                    format!("{} cannot be the key of the listener on {}", path.display(), config.addr)
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

/// Returns the default memory for models: four fifths of the machine's memory. The rest is for the system,
/// the page cache and other programs.
fn memory_for_models() -> Option<Bytes> {
    device::memory().map(|memory| Bytes(memory.total.get() / 5 * 4))
}

/// Returns the hosts that a request may name: those of the setting, and the addresses that Lar listens on.
fn allowed_hosts(config: &Config) -> Vec<String> {
    let mut hosts = config.allowed_hosts.clone();
    let chosen = config.listeners.iter().map(|listener| listener.addr).chain([config.listen]);
    for ip in chosen.map(|at| at.ip()).filter(|ip| !ip.is_unspecified()) {
        hosts.push(if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() });
    }
    hosts
}

/// Erases expired conversations, memories, requests and responses, at start and every hour.
async fn purge_expired(store: Store, memories: Memories, stopping: CancellationToken) {
    let mut clock = tokio::time::interval(PURGE_EVERY);
    loop {
        tokio::select! {
            _ = clock.tick() => {}
            () = stopping.cancelled() => return,
        }
        let (deleted, temporary) =
            (Timestamp::now().before(KEEP_DELETED), Timestamp::now().before(KEEP_TEMPORARY));
        // Separate calls, so that a failure of one does not keep the others from being erased.
        let conversations =
            count_erased("conversations", store.conversations_purge(deleted, temporary).await);
        let requests = count_erased("requests", store.idempotency_purge().await);
        let responses = store.responses_purge(Timestamp::now().before(RESPONSES_RETENTION)).await;
        let responses = count_erased("responses", responses);
        let memories = count_erased("memories", memories.purge().await);
        if (conversations, memories, requests, responses) != (0, 0, 0, 0) {
            tracing::info!(conversations, memories, requests, responses, "erased expired data");
        }
        if let Err(error) = store.log_empty_retry().await {
            tracing::warn!(
                error = %error_chain(&error),
                "erased data may still be in the write-ahead log or a copy of it"
            );
        }
    }
}

/// Clears erased data out of the search index and the unallocated regions of database pages. Runs once at
/// start, for data that an earlier process left, and then soon after each erasure. Takes at most a twentieth
/// of the time.
async fn clear_erased(store: Store, stopping: CancellationToken) {
    let mut wait = Duration::ZERO;
    while stopping.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
        let started_at = Instant::now();
        let Some(cleared) = stopping.run_until_cancelled(store.clear_erased()).await else { return };
        wait = CLEAR_EVERY.max(started_at.elapsed() * 20);
        match cleared {
            Ok(Some(pages)) => tracing::debug!(pages, "cleared erased data out of database pages"),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(
                    error = %error_chain(&error),
                    "could not clear erased data out of the database; will try again"
                );
                wait = wait.max(CLEAR_AGAIN_AFTER);
            }
        }
    }
}

/// Returns the number of erased items. Logs an error and returns 0; the next hourly run tries again.
fn count_erased<E: std::error::Error + 'static>(what: &str, erased: Result<usize, E>) -> usize {
    erased.unwrap_or_else(|error| {
        tracing::warn!(error = %error_chain(&error), what, "could not erase expired data");
        0
    })
}

/// Returns an error message: which process uses the address that Lar could not listen on, and how to choose
/// another.
fn explain_bind_failure(address: SocketAddr, lar: &str) -> String {
    let other = SocketAddr::new(address.ip(), address.port().checked_add(1).unwrap_or(5270));
    match doctor::port_owner(address.port()) {
        Some(owner) => format!(
            "{address} is in use by {owner}. Stop that program, or choose another port: `{lar} serve \
             --listen {other}`"
        ),
        None => format!("cannot listen on {address}. Choose another port: `{lar} serve --listen {other}`"),
    }
}

/// Returns the folders, in addition to the data directory, whose paths Lar shows only to keys with the scope
/// `admin`. The folder of the database is one, since `lar.db` may be a link.
fn hidden_folders(config: &Config, environment: &Environment, database: &Path) -> Vec<PathBuf> {
    let mut folders = vec![config.models_dir(), std::env::temp_dir()];
    folders.extend(database.parent().map(Path::to_owned));
    folders.extend(config.included_models_dir.clone());
    folders.extend(environment.home());
    folders
}

/// Returns the folders where other programs keep models, according to the environment variables of those
/// programs.
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
