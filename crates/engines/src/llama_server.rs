//! The driver for llama.cpp's own HTTP server: a remote one, or one that Lar starts as a child process.
//!
//! Lar chooses the server's slot for each request. After a stop it can therefore ask `/slots` whether *that*
//! slot is idle. A closed socket is only a request to stop, and servers have leaked slots before. The wire
//! format is documented in llama.cpp's `tools/server/README.md`.

mod client;
mod launch;
mod managed;
mod options;
mod probabilities;
mod special_tokens;
mod stream;
mod tokenizer;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use lar_egress::Egress;
use serde_json::Value;

use crate::driver::{Ability, Driver, Engine, Generation, PreparedPrompt};
use client::Client;
use lar_chat_format::{ModelFormat, OutputFormat};
use lar_inference::Error;
use lar_inference::protocol::TAIL_BYTES;
use lar_inference::{
    ChatMessage, CheckedConstraint, Constraint, GenerationRequest, Prompt, TokenizerAnswer, TokenizerQuery,
};
pub use launch::{Launch, launch};
use managed::Child;
pub use options::LlamaServerOptions;
use stream::{Session, Slot};

/// The interval of health checks of a remote server.
const HEALTH_EVERY: Duration = Duration::from_secs(2);
/// A server that misses this many health checks in a row counts as dead.
const HEALTH_MISSES_MAX: u32 = 3;
/// The fraction of the context below which a prompt certainly fits: its bytes are less than the tokens of the
/// context divided by this. Tokenizers make at most one token per byte, and templates add less than the rest.
/// Then only the server counts the prompt, and refuses it in the unlikely case that it does not fit.
const SURE_TO_FIT: usize = 2;
/// The longest prompt, in bytes per token of context. Lar refuses longer ones without asking the server.
/// Ordinary text has 2 to 6 bytes per token, long runs of spaces about a hundred.
const BYTES_PER_TOKEN: usize = 256;

/// A `llama-server` with one model.
#[derive(Debug)]
pub struct LlamaServer {
    options: LlamaServerOptions,
    /// The files that a managed server may read.
    files: Vec<PathBuf>,
    egress: Egress,
    /// The properties that the server reported last; `None` until a managed server is ready.
    properties: Mutex<Option<Properties>>,
    child: Mutex<Option<Arc<Child>>>,
    /// The slots of the current load; replaced with every load.
    session: Mutex<Arc<Session>>,
    loading: tokio::sync::Mutex<()>,
    /// A cache of the special tokens that callers have written.
    special_tokens: special_tokens::SpecialTokens,
}

#[derive(Debug, Clone)]
struct Properties {
    concurrency: u32,
    context_tokens: u32,
    model_format: ModelFormat,
    /// The text of the chat template and of the start and end tokens.
    template_texts: Arc<str>,
}

impl LlamaServer {
    /// Makes a driver that has not started or asked anything yet.
    #[must_use]
    pub fn new(options: LlamaServerOptions, egress: Egress) -> Self {
        let files = match &options {
            LlamaServerOptions::Managed { model, .. } => vec![model.clone()],
            LlamaServerOptions::Remote { .. } => Vec::new(),
        };
        Self {
            options,
            files,
            egress,
            properties: Mutex::default(),
            child: Mutex::default(),
            session: Mutex::default(),
            loading: tokio::sync::Mutex::new(()),
            special_tokens: special_tokens::SpecialTokens::default(),
        }
    }

    /// Sets all files of a managed server's model, for models that are split into several. The server may
    /// read no others.
    #[must_use]
    pub fn with_files(self, files: Vec<PathBuf>) -> Self {
        Self { files, ..self }
    }

    fn properties(&self) -> Option<Properties> {
        lock(&self.properties).clone()
    }

    /// Asks the server for its properties.
    async fn discover(&self, client: &Client) -> Result<Properties, Error> {
        let answer = client.get("/props").await?;
        let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
        let concurrency = number(&answer["total_slots"]);
        let context_tokens = number(&answer["default_generation_settings"]["n_ctx"]);
        let (Some(concurrency), Some(context_tokens)) = (concurrency, context_tokens) else {
            let reason = "its /props has no slots or context; check that it is a llama-server";
            return Err(Error::Failed(reason.into()));
        };
        let template = answer["chat_template"].as_str().unwrap_or_default();
        let (model_format, template_texts) =
            (ModelFormat::from_template(template), special_tokens::template_texts(&answer).into());
        let properties = Properties { concurrency, context_tokens, model_format, template_texts };
        *lock(&self.properties) = Some(properties.clone());
        Ok(properties)
    }

    fn child(&self) -> Option<Arc<Child>> {
        lock(&self.child).clone()
    }

    fn client(&self) -> Result<Client, Error> {
        let (url, key) = match &self.options {
            LlamaServerOptions::Remote { url, key } => (url.trim_end_matches('/').to_owned(), key.clone()),
            LlamaServerOptions::Managed { .. } => {
                let child = self.child().filter(|child| child.death().is_none());
                let child = child.ok_or_else(|| Error::Failed("llama-server is not running".into()))?;
                (child.url.clone(), Some(child.key.clone()))
            }
        };
        Ok(Client { egress: self.egress.clone(), url, key })
    }

    /// Returns a server that answers, and starts a managed one if needed. The embedded engine avoids this
    /// start with its vocabulary worker.
    async fn ensure_started(&self) -> Result<(Client, Properties), Error> {
        let ready = self.client().is_ok() && self.properties().is_some();
        if matches!(self.options, LlamaServerOptions::Managed { .. }) && !ready {
            self.load().await?;
        }
        let client = self.client()?;
        let properties = match self.properties() {
            Some(properties) => properties,
            None => self.discover(&client).await?,
        };
        Ok((client, properties))
    }

    /// Escapes special tokens in the callers' texts of a chat.
    async fn guard_prompt(
        &self,
        client: &Client,
        properties: &Properties,
        prompt: Prompt,
    ) -> Result<Prompt, Error> {
        Ok(match prompt {
            Prompt::Chat(chat) => {
                Prompt::Chat(self.special_tokens.escape_in(client, &properties.template_texts, chat).await?)
            }
            other => other,
        })
    }

    /// Returns a prompt's tokens, and the end of the text that the server rendered for a chat. Stops at more
    /// than `tokens_max`.
    async fn tokens(
        client: &Client,
        prompt: &Prompt,
        model_format: ModelFormat,
        tokens_max: Option<u32>,
    ) -> Result<(Vec<u32>, String), Error> {
        let (text, tail) = match prompt {
            Prompt::Tokens(tokens) => return Ok((tokens.clone(), String::new())),
            Prompt::Text(text) => (text.clone(), String::new()),
            Prompt::Infill { prefix, suffix } => (format!("{prefix}{suffix}"), String::new()),
            Prompt::Chat(chat) => {
                let body = stream::chat_body(chat, model_format.supports_tools());
                let answer = client.post("/apply-template", &body).await;
                let answer = answer.map_err(|error| Error::Template(error.to_string()))?;
                let mut text = answer["prompt"].as_str().unwrap_or_default().to_owned();
                model_format.append_prefill(&mut text, chat);
                let tail = text.floor_char_boundary(text.len().saturating_sub(TAIL_BYTES));
                let tail = text[tail..].to_owned();
                (text, tail)
            }
        };
        let options = tokenizer::TokenizeOptions { add_special: true, parse_special: true, tokens_max };
        Ok((tokenizer::tokenize(client, &text, options).await?, tail))
    }
}

impl Driver for LlamaServer {
    fn engine(&self) -> Engine {
        let (name, concurrency, context_tokens) = match self.options {
            LlamaServerOptions::Remote { .. } => ("llama-server (remote)", 1, 0),
            LlamaServerOptions::Managed { concurrency, context_tokens, .. } => {
                ("llama-server (managed)", concurrency, context_tokens)
            }
        };
        let reported = self.properties().map(|reported| (reported.concurrency, reported.context_tokens));
        let (concurrency, context_tokens) = reported.unwrap_or((concurrency, context_tokens));
        let ability = Ability::Generate;
        Engine { name: name.into(), ability, concurrency, paused_max: 0, context_tokens }
    }

    fn load(&self) -> BoxFuture<'_, Result<(), Error>> {
        async {
            let _one = self.loading.lock().await;
            if matches!(self.options, LlamaServerOptions::Managed { .. }) {
                let alive = self.child().filter(|child| child.death().is_none());
                if alive.is_some() && self.properties().is_some() {
                    return Ok(());
                }
                *lock(&self.properties) = None;
                let child = match alive {
                    Some(child) => child,
                    None => Arc::new(Child::start(&self.options, &self.files).await?),
                };
                *lock(&self.child) = Some(child.clone());
                loop {
                    if let Some(reason) = child.death() {
                        return Err(Error::Load(reason));
                    }
                    if self.client()?.healthy().await {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            let client = self.client()?;
            if !client.healthy().await {
                return Err(Error::Load(format!("no llama-server answers at {}", client.url)));
            }
            let properties = self.discover(&client).await?;
            *lock(&self.session) = Arc::new(Session::new(properties.concurrency));
            Ok(())
        }
        .boxed()
    }

    fn wait_for_death(&self) -> BoxFuture<'_, String> {
        async {
            if let Some(child) = self.child() {
                return child.wait_for_death().await;
            }
            let mut misses = 0;
            loop {
                tokio::time::sleep(HEALTH_EVERY).await;
                let well = match self.client() {
                    Ok(client) => client.healthy().await,
                    Err(_) => false,
                };
                misses = if well { 0 } else { misses + 1 };
                if misses >= HEALTH_MISSES_MAX {
                    return "it stopped answering".into();
                }
            }
        }
        .boxed()
    }

    fn unload(&self) -> BoxFuture<'_, ()> {
        async {
            lock(&self.session).gone.cancel();
            let child = lock(&self.child).take();
            if let Some(child) = child {
                child.stop().await;
            }
        }
        .boxed()
    }

    fn count<'a>(&'a self, prompt: &'a Prompt) -> BoxFuture<'a, Result<usize, Error>> {
        async move {
            let (client, properties) = self.ensure_started().await?;
            check_bytes(prompt, properties.context_tokens)?;
            let prompt = self.guard_prompt(&client, &properties, prompt.clone()).await?;
            Ok(Self::tokens(&client, &prompt, properties.model_format, None).await?.0.len())
        }
        .boxed()
    }

    fn prepare(&self, prompt: Prompt) -> BoxFuture<'_, Result<PreparedPrompt, Error>> {
        async move {
            let (client, properties) = self.ensure_started().await?;
            check_bytes(&prompt, properties.context_tokens)?;
            let guarded = self.guard_prompt(&client, &properties, prompt.clone()).await?;
            // Tokenizers make at most one token per byte; the template's own text is within the margin.
            let fits = prompt.bytes() < properties.context_tokens as usize / SURE_TO_FIT;
            let server_renders = match &prompt {
                // Only the server knows the tokens that mark the gap.
                Prompt::Infill { .. } => true,
                // Lar needs the rendered text of a chat if it must parse the answer (tools, reasoning) or
                // continue it (assistant prefill). Earlier tool calls and results need it too: for a template
                // without tools Lar writes them as text, but the server would drop them.
                Prompt::Chat(chat) => {
                    let has_calls =
                        |message: &ChatMessage| !message.tool_calls.is_empty() || message.role == "tool";
                    let plain = chat.tools.is_empty()
                        && chat.assistant_prefill.is_empty()
                        && !chat.messages.iter().any(has_calls);
                    fits && plain && !properties.model_format.has_reasoning()
                }
                Prompt::Text(_) | Prompt::Tokens(_) => fits,
            };
            if server_renders {
                return Ok(PreparedPrompt {
                    prompt: guarded,
                    tokens: None,
                    output_format: OutputFormat::default(),
                    ignored: Vec::new(),
                });
            }
            let most = Some(properties.context_tokens);
            let (tokens, tail) = Self::tokens(&client, &guarded, properties.model_format, most).await?;
            let output_format = match &prompt {
                Prompt::Chat(chat) => {
                    properties.model_format.output_format(chat, &tail).with_json_schema(chat)
                }
                _ => OutputFormat::default(),
            };
            Ok(PreparedPrompt { output_format, ..PreparedPrompt::from_tokens(tokens) })
        }
        .boxed()
    }

    fn query_tokenizer(&self, query: TokenizerQuery) -> BoxFuture<'_, Result<TokenizerAnswer, Error>> {
        async move {
            let (client, properties) = self.ensure_started().await?;
            tokenizer::answer(&client, query, properties.model_format).await
        }
        .boxed()
    }

    /// Accepts every constraint that the server supports. The server itself refuses what it cannot express
    /// when it gets the request.
    fn check(
        &self,
        constraint: Constraint,
        _strict: bool,
    ) -> BoxFuture<'_, Result<CheckedConstraint, Error>> {
        std::future::ready(match constraint {
            Constraint::JsonObject
            | Constraint::JsonSchema(_)
            | Constraint::Gbnf(_)
            | Constraint::ToolCalls(_) => Ok(CheckedConstraint { constraint, dropped: Vec::new() }),
            Constraint::Lark(_) => Err(Error::Unable {
                engine: self.engine().name,
                operation: "constrain an answer with a Lark grammar",
            }),
        })
        .boxed()
    }

    fn generate(&self, generation: GenerationRequest) -> Result<Generation, Error> {
        let client = self.client()?;
        if generation.sampling.shift_keep.is_some() {
            let operation = "continue after its context is full";
            return Err(Error::Unable { engine: self.engine().name, operation });
        }
        if generation.sampling.prompt_logprobs {
            return Err(Error::Unable {
                engine: self.engine().name,
                operation: "report log probabilities of the prompt",
            });
        }
        let session = lock(&self.session).clone();
        let slot = Slot::take(&session).ok_or_else(|| Error::Failed("every slot is taken".into()))?;
        let request = stream::request(&client, &generation, slot.number);
        Ok(stream::start(client, request, generation.sampling.stop, slot))
    }
}

/// Refuses a prompt that is too long for the context in any tokenization. The server would tokenize all of it
/// first.
fn check_bytes(prompt: &Prompt, context_tokens: u32) -> Result<(), Error> {
    let (bytes, most) = (prompt.bytes(), (context_tokens as usize).saturating_mul(BYTES_PER_TOKEN));
    if bytes <= most {
        return Ok(());
    }
    Err(Error::ContextTooLong(format!(
        "prompt is too long: {bytes} bytes > {most} maximum ({BYTES_PER_TOKEN} bytes for each of \
         {context_tokens} tokens of context)"
    )))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
