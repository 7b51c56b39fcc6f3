//! The driver of llama.cpp's own HTTP server: one that runs elsewhere, or one that Lar starts as a child.
//!
//! Its places are numbered and Lar chooses them, so that after a stop it can ask `/slots` whether *that*
//! place is idle: closing the socket is only a request, and servers have leaked places before. Wire format
//! as documented in llama.cpp's `tools/server/README.md`.

mod managed;
mod stream;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use lar_base::Secret;
use lar_egress::{Egress, Method, Request, Trust};
use serde_json::{Value, json};

use crate::Error;
use crate::driver::{Ability, Driver, Embeddings, Engine, Generation, Job, Prepared, Prompt};
use managed::Child;

/// How long a short question to the server may take.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a remote server is asked whether it is well.
const HEALTH_EVERY: Duration = Duration::from_secs(2);
/// So many silent times in a row mean dead.
const HEALTH_MISSES_MAX: u32 = 3;
/// An answer to a question is not longer than this.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Where the server is.
#[derive(Debug, Clone)]
pub enum LlamaServerOptions {
    /// It runs already.
    Remote {
        /// Such as `http://127.0.0.1:8080`.
        url: String,
        /// What it wants as a bearer token.
        key: Option<Secret>,
    },
    /// Lar starts it.
    Managed {
        /// The `llama-server` program.
        program: PathBuf,
        /// The GGUF file.
        model: PathBuf,
        /// Jobs at once.
        concurrency: u32,
        /// Context of each job, in tokens.
        context_tokens: u32,
        /// Threads that compute.
        threads: u32,
    },
}

/// A `llama-server` with one model.
#[derive(Debug)]
pub struct LlamaServer {
    options: LlamaServerOptions,
    egress: Egress,
    /// Known after the first connection to a remote server.
    properties: OnceLock<Properties>,
    child: Mutex<Option<Arc<Child>>>,
    places: Arc<Mutex<Vec<u32>>>,
    loading: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone, Copy)]
struct Properties {
    concurrency: u32,
    context_tokens: u32,
}

impl LlamaServer {
    /// A driver that has started and asked nothing yet.
    #[must_use]
    pub fn new(options: LlamaServerOptions, egress: Egress) -> Self {
        Self {
            options,
            egress,
            properties: OnceLock::new(),
            child: Mutex::new(None),
            places: Arc::default(),
            loading: tokio::sync::Mutex::new(()),
        }
    }

    /// Asks a remote server what it is, so that [`Driver::engine`] tells the truth from the start.
    ///
    /// # Errors
    /// When it does not answer, or not as a llama-server does.
    pub async fn probe(&self) -> Result<(), Error> {
        self.discover().await.map(|_| ())
    }

    fn properties(&self) -> Properties {
        match (&self.options, self.properties.get()) {
            (_, Some(properties)) => *properties,
            (LlamaServerOptions::Managed { concurrency, context_tokens, .. }, None) => {
                Properties { concurrency: *concurrency, context_tokens: *context_tokens }
            }
            (LlamaServerOptions::Remote { .. }, None) => Properties { concurrency: 1, context_tokens: 4096 },
        }
    }

    async fn discover(&self) -> Result<Properties, Error> {
        let answer = self.ask(Method::Get, "/props", None).await?;
        let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
        let concurrency = number(&answer["total_slots"]);
        let context_tokens = number(&answer["default_generation_settings"]["n_ctx"]);
        match (concurrency, context_tokens) {
            (Some(concurrency), Some(context_tokens)) => {
                let properties = Properties { concurrency, context_tokens };
                Ok(*self.properties.get_or_init(|| properties))
            }
            _ => {
                Err(Error::Failed("its /props does not tell slots and context: is it a llama-server?".into()))
            }
        }
    }

    fn child(&self) -> Option<Arc<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn base(&self) -> Result<String, Error> {
        match &self.options {
            LlamaServerOptions::Remote { url, .. } => Ok(url.trim_end_matches('/').to_owned()),
            LlamaServerOptions::Managed { .. } => self
                .child()
                .map(|child| child.url.clone())
                .ok_or_else(|| Error::Failed("llama-server is not running".into())),
        }
    }

    fn request(&self, method: Method, path: &str, body: Option<Value>) -> Result<Request, Error> {
        let mut request = Request::new(method, self.base()? + path, Trust::Operator);
        if let LlamaServerOptions::Remote { key: Some(key), .. } = &self.options {
            request = request.header("authorization", format!("Bearer {}", key.expose()));
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        Ok(request)
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, Error> {
        let request = self.request(method, path, body)?.timeout(QUESTION_TIMEOUT);
        let failed = |reason: String| Error::Failed(format!("llama-server {path}: {reason}"));
        let response = self.egress.send(request).await.map_err(|error| failed(error.to_string()))?;
        let status = response.status();
        let bytes = response.bytes(ANSWER_BYTES_MAX).await.map_err(|error| failed(error.to_string()))?;
        let answer: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        if status != 200 {
            let message = answer["error"]["message"].as_str().unwrap_or("no reason given");
            return Err(failed(format!("status {status}: {message}")));
        }
        Ok(answer)
    }

    async fn healthy(&self) -> bool {
        let Ok(request) = self.request(Method::Get, "/health", None) else { return false };
        let response = self.egress.send(request.timeout(Duration::from_secs(5))).await;
        response.is_ok_and(|response| response.status() == 200)
    }

    /// A managed server serves counts too, so counting starts it; that is what the embedded engine's
    /// vocabulary worker avoids.
    async fn started(&self) -> Result<(), Error> {
        match &self.options {
            LlamaServerOptions::Managed { .. } if self.child().is_none() => self.load().await,
            _ => Ok(()),
        }
    }
}

impl Driver for LlamaServer {
    fn engine(&self) -> Engine {
        let properties = self.properties();
        Engine {
            name: match self.options {
                LlamaServerOptions::Remote { .. } => "llama-server (remote)".into(),
                LlamaServerOptions::Managed { .. } => "llama-server (managed)".into(),
            },
            ability: Ability::Generate,
            concurrency: properties.concurrency,
            context_tokens: properties.context_tokens,
        }
    }

    fn load(&self) -> BoxFuture<'_, Result<(), Error>> {
        async {
            let _one = self.loading.lock().await;
            if let LlamaServerOptions::Managed { program, model, concurrency, context_tokens, threads } =
                &self.options
            {
                if self.child().is_some_and(|child| child.death().is_none()) {
                    return Ok(());
                }
                let child = Child::start(program, model, *concurrency, *context_tokens, *threads).await?;
                *self.child.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(child));
                let child = self.child();
                while !self.healthy().await {
                    if let Some(reason) = child.as_ref().and_then(|child| child.death()) {
                        return Err(Error::Load(reason));
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            } else if !self.healthy().await {
                return Err(Error::Load(format!("no llama-server answers at {}", self.base()?)));
            }
            let properties = self.discover().await?;
            *self.places.lock().unwrap_or_else(PoisonError::into_inner) =
                (0..properties.concurrency).rev().collect();
            Ok(())
        }
        .boxed()
    }

    fn died(&self) -> BoxFuture<'_, String> {
        async {
            if let Some(child) = self.child() {
                return child.died().await;
            }
            let mut misses = 0;
            loop {
                tokio::time::sleep(HEALTH_EVERY).await;
                misses = if self.healthy().await { 0 } else { misses + 1 };
                if misses >= HEALTH_MISSES_MAX {
                    return "it does not answer any more".into();
                }
            }
        }
        .boxed()
    }

    fn unload(&self) -> BoxFuture<'_, ()> {
        async {
            let child = self.child.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(child) = child {
                child.stop().await;
            }
        }
        .boxed()
    }

    fn prepare<'a>(&'a self, prompt: &'a Prompt) -> BoxFuture<'a, Result<Prepared, Error>> {
        async move {
            self.started().await?;
            let text = match prompt {
                Prompt::Tokens(tokens) => return Ok(Prepared { tokens: tokens.clone() }),
                Prompt::Text(text) => text.clone(),
                Prompt::Chat(messages) => {
                    let body = json!({ "messages": messages });
                    let answer = self
                        .ask(Method::Post, "/apply-template", Some(body))
                        .await
                        .map_err(|error| Error::Template(error.to_string()))?;
                    answer["prompt"].as_str().unwrap_or_default().to_owned()
                }
            };
            let body = json!({ "content": text, "add_special": true, "parse_special": true });
            let answer = self.ask(Method::Post, "/tokenize", Some(body)).await?;
            let tokens: Vec<u32> = serde_json::from_value(answer["tokens"].clone())
                .map_err(|_| Error::Failed("its /tokenize gave no tokens".into()))?;
            Ok(Prepared { tokens })
        }
        .boxed()
    }

    fn generate(&self, job: Job) -> Result<Generation, Error> {
        let place = self.places.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let place = place.ok_or_else(|| Error::Failed("every place is taken".into()))?;
        let request = self.request(Method::Post, "/completion", Some(stream::body(&job, place)))?;
        let slots = self.request(Method::Get, "/slots", None)?.timeout(QUESTION_TIMEOUT);
        Ok(stream::start(self.egress.clone(), request, slots, place, self.places.clone()))
    }

    fn embed(&self, _: Vec<String>) -> BoxFuture<'_, Result<Embeddings, Error>> {
        let unable = Error::Unable { engine: self.engine().name, wanted: "embed" };
        std::future::ready(Err(unable)).boxed()
    }
}
