//! Embeddings of texts, by the model behind the alias `default-embedding`.
//!
//! Without an embedder, or if it fails, the caller gets the reason. There is no fallback embedding.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt as _;
use lar_base::{Caller, Code, Problem, TaskId, secret};
use lar_gateway::{Gateway, OnDisconnect, Route, Task, Work};
use lar_inference::{Priority, TaskEvent};
use lar_store::Embedder;
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

use crate::index::EmbedderId;
use crate::readable;
use crate::similarity::{self, EmbedderScale, ScaleTexts, SimilarityMap};
use crate::vectors::Quantized;

/// The alias of the embedder for memories.
const MODEL: &str = "default-embedding";
/// The most texts in one task.
const TEXTS_MAX: usize = 128;
/// The most tasks of one call in progress.
const TASKS_MAX: usize = 2;
/// The bytes of the prompts' digest in an embedder's digest.
const PROMPTS_DIGEST_BYTES: usize = 8;

/// The vectors of texts, and their embedder.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TextVectors {
    pub(crate) embedder: Embedder,
    pub(crate) vectors: Vec<Quantized>,
}

/// Embeds texts. Clones share the measurements of embedders.
#[derive(Debug, Clone)]
pub(crate) struct Embeddings {
    gateway: Gateway,
    /// The measured scale of each embedder by digest; `None` if it separates no texts.
    scales: Arc<Mutex<HashMap<String, MeasuredScale>>>,
}

/// The scale of an embedder once it is measured.
type MeasuredScale = Arc<OnceCell<Option<EmbedderScale>>>;

/// The role of texts in a search. An asymmetric embedder has a prompt for each role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextRole {
    Query,
    /// A text that queries find: a chunk of a memory.
    Passage,
}

impl TextRole {
    /// Adds the embedder's prompt for this role to texts.
    fn with_prompt(self, route: &Route, texts: Vec<String>) -> Vec<String> {
        let prompt = route.prompts.as_ref().map_or("", |prompts| match self {
            Self::Query => &prompts.query,
            Self::Passage => &prompts.passage,
        });
        if prompt.is_empty() { texts } else { texts.iter().map(|text| format!("{prompt}{text}")).collect() }
    }
}

/// A query that can be compared with the vectors of one embedder.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EmbeddedQuery {
    pub(crate) embedder_id: EmbedderId,
    pub(crate) vector: Quantized,
    pub(crate) map: SimilarityMap,
}

/// The embedding of a query.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum QueryVector {
    Usable(EmbeddedQuery),
    /// A vector of this query would be meaningless, for this reason.
    Unusable(String),
}

impl Embeddings {
    pub(crate) fn new(gateway: Gateway) -> Self {
        Self { gateway, scales: Arc::default() }
    }

    /// Returns the digest of the current embedder.
    ///
    /// # Errors
    /// [`Code::ComponentUnavailable`] if none is installed.
    pub(crate) async fn digest(&self) -> Result<String, Problem> {
        let route = self.gateway.route(MODEL).await.map_err(map_missing_embedder)?;
        Ok(digest(&route))
    }

    /// Embeds a query if the embedder can read it (see [`readable`]).
    ///
    /// # Errors
    /// As [`Embeddings::embed`].
    pub(crate) async fn embed_query(&self, caller: &Caller, query: &str) -> Result<QueryVector, Problem> {
        let scrambled = readable::scrambled_form(query);
        let texts = std::iter::once(query.to_owned()).chain(scrambled).collect();
        let embedded = self.embed(caller, texts, TextRole::Query, Priority::Interactive).await?;
        let TextVectors { embedder, vectors } = embedded;
        let mut vectors = vectors.into_iter();
        let (Some(vector), scrambled) = (vectors.next(), vectors.next()) else {
            return Err(Problem::new(Code::EngineFailed, "the embedder returned no vector for the query"));
        };
        let Some(scale) = self.scale(caller, &embedder).await? else {
            let reason = format!("{} does not distinguish related texts from unrelated ones", embedder.name);
            return Ok(QueryVector::Unusable(reason));
        };
        if scrambled.is_some_and(|scrambled| similarity::cosine(&vector, &scrambled) > scale.readable_max) {
            return Ok(QueryVector::Unusable(format!("{} cannot read the query", embedder.name)));
        }
        let embedder_id = EmbedderId { digest: embedder.digest, dimension: embedder.dimension as usize };
        Ok(QueryVector::Usable(EmbeddedQuery { embedder_id, vector, map: scale.search }))
    }

    /// Returns the scale of an embedder, measured on first use, or `None` if it separates no texts.
    ///
    /// # Errors
    /// As [`Embeddings::embed`]; [`Code::EngineFailed`] if the embedder was replaced meanwhile.
    pub(crate) async fn scale(
        &self,
        caller: &Caller,
        embedder: &Embedder,
    ) -> Result<Option<EmbedderScale>, Problem> {
        if let Some(known) = EmbedderScale::known(&embedder.digest) {
            return Ok(Some(known));
        }
        let measured = {
            let mut scales = self.scales.lock().unwrap_or_else(PoisonError::into_inner);
            scales.entry(embedder.digest.clone()).or_default().clone()
        };
        // Only one of several simultaneous requests measures.
        measured.get_or_try_init(|| self.measure(caller, embedder)).await.copied()
    }

    /// Returns the scale of an embedder if it is known or measured, without measuring it.
    pub(crate) fn measured_scale(&self, embedder: &Embedder) -> Option<EmbedderScale> {
        let measured = || {
            let scales = self.scales.lock().unwrap_or_else(PoisonError::into_inner);
            scales.get(&embedder.digest).and_then(|scale| scale.get().copied()).flatten()
        };
        EmbedderScale::known(&embedder.digest).or_else(measured)
    }

    async fn measure(&self, caller: &Caller, embedder: &Embedder) -> Result<Option<EmbedderScale>, Problem> {
        let texts = ScaleTexts::load();
        let queries = self.embed(caller, texts.queries(), TextRole::Query, Priority::Interactive).await?;
        let passages = self.embed(caller, texts.passages(), TextRole::Passage, Priority::Interactive).await?;
        if [&queries, &passages].iter().any(|embedded| embedded.embedder.digest != embedder.digest) {
            return Err(Problem::new(Code::EngineFailed, "the embedder was replaced; try again"));
        }
        let measured = texts.measure(&queries.vectors, &passages.vectors);
        match &measured {
            Some((scale, languages)) => {
                tracing::info!(embedder = embedder.name, ?languages, ?scale, "measured the embedder");
            }
            None => tracing::warn!(
                embedder = embedder.name,
                "the embedder does not distinguish related texts from unrelated ones, so memory is searched by \
                 keywords only"
            ),
        }
        Ok(measured.map(|(scale, _)| scale))
    }

    /// Embeds texts in a role and returns one vector for each, in order.
    ///
    /// Embedding is Lar's own work for the caller, so the key needs no scope for it.
    ///
    /// # Errors
    /// [`Code::ComponentUnavailable`] if no embedder is installed; the error of the embedding task.
    pub(crate) async fn embed(
        &self,
        caller: &Caller,
        texts: Vec<String>,
        role: TextRole,
        priority: Priority,
    ) -> Result<TextVectors, Problem> {
        let route = self.gateway.route(MODEL).await.map_err(map_missing_embedder)?;
        let mut texts = role.with_prompt(&route, texts).into_iter();
        let parts = std::iter::from_fn(|| {
            let part: Vec<String> = texts.by_ref().take(TEXTS_MAX).collect();
            (!part.is_empty()).then_some(part)
        });
        // The next task waits in the worker when the last texts of one are computed.
        let mut embedded = futures_util::stream::iter(parts)
            .map(|part| embed_part(self.gateway.clone(), caller.clone(), part, priority))
            .buffered(TASKS_MAX);
        let (mut vectors, mut dimension) = (Vec::new(), 0);
        while let Some(part) = embedded.next().await {
            for vector in part? {
                dimension = vector.bytes.len();
                vectors.push(vector);
            }
        }
        let dimension = u32::try_from(dimension).unwrap_or(0);
        let embedder = Embedder { digest: digest(&route), name: route.pool, dimension };
        Ok(TextVectors { embedder, vectors })
    }
}

/// Embeds texts with one task.
async fn embed_part(
    gateway: Gateway,
    caller: Caller,
    texts: Vec<String>,
    priority: Priority,
) -> Result<Vec<Quantized>, Problem> {
    let count = texts.len();
    let task = Task {
        id: TaskId::new(),
        caller: Caller::internal(caller.user(), caller.key()).with_request_id(caller.request_id().cloned()),
        api: "memory",
        model: MODEL.into(),
        priority,
        deadline: None,
        conversation: None,
        memory: None,
        on_disconnect: OnDisconnect::Cancel,
        work: Work::Embed { texts },
    };
    let admitted = gateway.admit(task).await.map_err(map_missing_embedder)?;
    let (answer, _) = gateway.dispatch(admitted).collect().await?;
    let TaskEvent::Vectors(found) = answer else {
        return Err(Problem::new(Code::EngineFailed, "the embedder returned no vectors"));
    };
    if found.vectors.len() != count {
        return Err(Problem::new(Code::EngineFailed, "the embedder left out the vector of a text"));
    }
    Ok(found.vectors.iter().map(|vector| Quantized::of(vector)).collect())
}

/// Returns the digest that identifies an embedder: that of its weights, and that of its prompts if it has any. A remote
/// engine without a digest is identified by its name.
fn digest(route: &Route) -> String {
    let weights = if route.digest.is_empty() { format!("name:{}", route.pool) } else { route.digest.clone() };
    let Some(prompts) = &route.prompts else { return weights };
    let both = Sha256::digest(format!("{}\0{}", prompts.query, prompts.passage));
    format!("{weights}+{}", secret::hex(&both[..PROMPTS_DIGEST_BYTES]))
}

fn map_missing_embedder(problem: Problem) -> Problem {
    match problem.code {
        Code::NotFound => Problem::new(
            Code::ComponentUnavailable,
            format!(
                "no embedder is installed: `lar models pull all-minilm-l6-v2`, or `lar alias set {MODEL} NAME`"
            ),
        ),
        _ => problem,
    }
}
