//! `POST /v1/embeddings`.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lar_api::openai::{EMBEDDING_FIELDS, Embedding, EmbeddingList, EmbeddingRequest, EmbeddingValue, Usage};
use lar_base::{Caller, Code, Problem, TaskId};
use lar_catalog::DEFAULT_EMBEDDING;
use lar_engines::driver::Embeddings;
use lar_engines::scheduler::Priority;
use lar_gateway::{OnDisconnect, Task, TaskEvent, Work};
use serde_json::{Map, Value};

use super::with_truncated;
use crate::auth::Inference;
use crate::errors::Failure;
use crate::fields::{read, with_ignored};
use crate::generate::about_model;
use crate::lenient::model_or;
use crate::{App, State, extract};

/// Texts of one request at most, as at OpenAI.
const INPUTS_MAX: usize = 2048;
/// Why token ids are refused: OpenAI's clients count them by OpenAI's vocabularies.
const NO_TOKENS: &str = "has token ids, which are another model's: send texts; in LangChain set `check_embedding_ctx_length=False`";

/// A request for vectors, read and checked.
#[derive(Debug)]
pub(crate) struct EmbeddingsInput {
    model: String,
    texts: Texts,
    base64: bool,
    dimensions: Option<u32>,
    /// Whether a text that is too long is cut.
    truncate: bool,
    /// The fields that have no effect.
    ignored: Vec<String>,
}

/// The texts of a request, and the field that holds them.
#[derive(Debug)]
pub(crate) struct Texts {
    pub(crate) all: Vec<String>,
    pub(crate) field: TextField,
}

/// The field of a request that holds its texts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TextField {
    pub(crate) name: &'static str,
    /// Whether it holds a list, rather than one text.
    pub(crate) is_list: bool,
}

impl TextField {
    /// Names one of the texts as the client wrote it.
    pub(crate) fn name_of(self, index: usize) -> String {
        if self.is_list { format!("{}[{index}]", self.name) } else { self.name.to_owned() }
    }
}

/// Reads a request's body.
pub(crate) fn decode(body: &[u8]) -> Result<EmbeddingsInput, Problem> {
    let (body, ignored) = read(body, EMBEDDING_FIELDS)?;
    let request: EmbeddingRequest = extract::from_value(&body)?;
    let texts = texts("input", request.input, NO_TOKENS)?;
    let base64 = match request.encoding_format.as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => return Err(Problem::invalid("encoding_format", "must be `float` or `base64`")),
    };
    let model = model_or(request.model, DEFAULT_EMBEDDING);
    let truncate = request.truncate == Some(true);
    Ok(EmbeddingsInput { model, texts, base64, dimensions: request.dimensions, truncate, ignored })
}

/// Reads the texts of the field `name`; `no_tokens` says why there must be no token ids.
///
/// # Errors
/// When there are none or too many, or one is empty or no text.
pub(crate) fn texts(name: &'static str, input: Value, no_tokens: &str) -> Result<Texts, Problem> {
    let field = TextField { name, is_list: input.is_array() };
    let text = |(index, item): (usize, Value)| match item {
        Value::String(text) => Ok(text),
        Value::Number(_) | Value::Array(_) => Err(Problem::invalid(name, no_tokens)),
        Value::Object(members) => object_text(&members)
            .ok_or_else(|| Problem::invalid(field.name_of(index), "must be a text or hold text parts")),
        _ => Err(Problem::invalid(field.name_of(index), "must be a string")),
    };
    let items = match input {
        Value::Array(items) => items,
        Value::String(_) | Value::Object(_) => vec![input],
        Value::Null => return Err(Problem::invalid(name, "is missing")),
        _ => return Err(Problem::invalid(name, "must be a text or a list of texts")),
    };
    let all = items.into_iter().enumerate().map(text).collect::<Result<Vec<String>, Problem>>()?;
    if all.is_empty() || all.len() > INPUTS_MAX {
        return Err(Problem::invalid(name, format!("must hold 1 to {INPUTS_MAX} texts")));
    }
    match all.iter().position(String::is_empty) {
        Some(index) => Err(Problem::invalid(field.name_of(index), "must not be empty")),
        None => Ok(Texts { all, field }),
    }
}

/// The text of an object, as llama.cpp takes one: a `prompt_string`, or text parts as `content`.
fn object_text(members: &Map<String, Value>) -> Option<String> {
    if let Some(text) = members.get("prompt_string") {
        return text.as_str().map(ToOwned::to_owned);
    }
    let parts = members.get("content")?.as_array()?;
    parts.iter().map(|part| part.get("text").filter(|_| part["type"] == "text")?.as_str()).collect()
}

/// Vectors, and what they took.
pub(crate) struct EmbeddingResult {
    pub(crate) vectors: Arc<Embeddings>,
    /// Of all texts.
    pub(crate) tokens: u64,
    model: String,
}

/// Computes the vectors of texts. One that is longer than the model reads is an error unless it may be cut.
pub(crate) async fn compute_embeddings(
    app: &App,
    caller: Caller,
    api: &'static str,
    model: &str,
    texts: Texts,
    truncate: bool,
) -> Result<EmbeddingResult, Problem> {
    let Texts { all: texts, field } = texts;
    let task = Task {
        id: TaskId::new(),
        caller,
        api,
        model: model.to_owned(),
        priority: Priority::Interactive,
        deadline: None,
        conversation: None,
        memory: None,
        on_disconnect: OnDisconnect::Cancel,
        work: Work::Embed { texts },
    };
    let admitted = app.gateway.admit(task).await.map_err(about_model)?;
    let handle = app.gateway.dispatch(admitted);
    let (answer, tokens) = handle.collect().await?;
    let TaskEvent::Vectors(vectors) = answer else {
        return Err(Problem::new(Code::Internal, "the engine ended without vectors"));
    };
    if let Some(first) = vectors.truncated.first().filter(|_| !truncate) {
        let context = app.gateway.context_tokens(model).await.ok().flatten();
        let reads = context.map_or_else(String::new, |tokens| format!(", which reads {tokens} tokens"));
        let reason = format!(
            "is longer than the maximum context length of `{}`{reads}; split it, or send `\"truncate\": true`",
            handle.model()
        );
        return Err(Problem::about(Code::ContextTooLong, field.name_of(*first), reason));
    }
    Ok(EmbeddingResult { vectors, tokens, model: handle.model().to_owned() })
}

/// Checks that vectors are as wide as they are to be, where that is said.
///
/// # Errors
/// When the model's are not.
pub(crate) fn check_dimensions(found: &Embeddings, dimensions: Option<usize>) -> Result<(), Problem> {
    let width = found.vectors.first().map_or(0, Vec::len);
    if dimensions.is_some_and(|dimensions| dimensions != width) {
        let reason = format!("must be {width}: this model's vectors cannot be cut");
        return Err(Problem::about(Code::UnsupportedParam, "dimensions", reason));
    }
    Ok(())
}

pub(crate) async fn create(
    app: State,
    Inference(caller): Inference,
    request: Request,
) -> Result<Response, Failure> {
    let input = decode(&extract::body(request, &app).await?)?;
    respond(&app, caller, input).await
}

/// Answers a request.
pub(crate) async fn respond(app: &App, caller: Caller, input: EmbeddingsInput) -> Result<Response, Failure> {
    let EmbeddingsInput { model, texts, base64, dimensions, truncate, ignored } = input;
    let EmbeddingResult { vectors: found, tokens, model } =
        compute_embeddings(app, caller, "openai.embedding", &model, texts, truncate).await?;
    check_dimensions(&found, dimensions.map(|dimensions| dimensions as usize))?;
    let value = |vector: &Vec<f32>| {
        if base64 {
            let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
            EmbeddingValue::Base64(STANDARD.encode(bytes))
        } else {
            EmbeddingValue::Float(vector.clone())
        }
    };
    let data = found
        .vectors
        .iter()
        .enumerate()
        .map(|(index, vector)| Embedding { object: "embedding", index, embedding: value(vector) })
        .collect();
    let usage = Usage {
        prompt_tokens: tokens,
        completion_tokens: None,
        total_tokens: tokens,
        prompt_tokens_details: None,
    };
    let list = EmbeddingList { object: "list", data, model, usage };
    let response = with_truncated(axum::Json(list).into_response(), &found.truncated);
    Ok(with_ignored(response, &ignored))
}
