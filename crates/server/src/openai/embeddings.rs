//! `POST /v1/embeddings`, and the code that the embedding paths of all APIs share.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lar_api::openai::{
    CompletionUsage, EMBEDDING_FIELDS, Embedding, EmbeddingList, EmbeddingRequest, EmbeddingValue,
};
use lar_base::{Caller, Code, Problem, TaskId};
use lar_catalog::DEFAULT_EMBEDDING;
use lar_gateway::{OnDisconnect, Task, Work};
use lar_inference::{Embeddings, Priority, TaskEvent};
use serde_json::{Map, Value};

use super::with_truncated;
use crate::auth::Inference;
use crate::errors::Failure;
use crate::fields::{read, with_ignored};
use crate::generate::about_model;
use crate::lenient::model_or;
use crate::{App, State, extract};

/// The maximum number of texts in a request, as at OpenAI.
const INPUTS_MAX: usize = 2048;
/// The reason for rejecting token ids: OpenAI's clients use OpenAI's vocabularies.
const NO_TOKENS: &str = "has token ids of another model's vocabulary; send strings instead; in LangChain, \
                         set `check_embedding_ctx_length=False`";

/// A decoded and validated request for embeddings.
#[derive(Debug)]
pub(crate) struct EmbeddingsInput {
    model: String,
    texts: Texts,
    base64: bool,
    dimensions: Option<u32>,
    /// Whether a text that is too long is truncated.
    truncate: bool,
    /// The fields that have no effect.
    ignored: Vec<String>,
}

/// The texts of a request and their field.
#[derive(Debug)]
pub(crate) struct Texts {
    pub(crate) all: Vec<String>,
    pub(crate) field: TextField,
}

/// The field with the texts of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TextField {
    pub(crate) name: &'static str,
    /// Whether the field is an array, not a single text.
    pub(crate) is_list: bool,
}

impl TextField {
    /// Returns the path of a text in the request.
    pub(crate) fn name_of(self, index: usize) -> String {
        if self.is_list { format!("{}[{index}]", self.name) } else { self.name.to_owned() }
    }
}

/// Decodes a request body.
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

/// Reads the texts of the field `name`. `no_tokens` is the reason for rejecting token ids.
///
/// # Errors
/// If there are no texts or too many, or one of them is empty or not a text.
pub(crate) fn texts(name: &'static str, input: Value, no_tokens: &str) -> Result<Texts, Problem> {
    let field = TextField { name, is_list: input.is_array() };
    let text = |(index, item): (usize, Value)| match item {
        Value::String(text) => Ok(text),
        Value::Number(_) | Value::Array(_) => Err(Problem::invalid(name, no_tokens)),
        Value::Object(members) => object_text(&members).ok_or_else(|| {
            let reason =
                "must be a string, or an object with a `prompt_string` or with text parts as `content`";
            Problem::invalid(field.name_of(index), reason)
        }),
        _ => Err(Problem::invalid(field.name_of(index), "must be a string")),
    };
    let items = match input {
        Value::Array(items) => items,
        Value::String(_) | Value::Object(_) => vec![input],
        Value::Null => return Err(Problem::invalid(name, "is missing")),
        _ => return Err(Problem::invalid(name, "must be a string or an array of strings")),
    };
    let all = items.into_iter().enumerate().map(text).collect::<Result<Vec<String>, Problem>>()?;
    if all.is_empty() || all.len() > INPUTS_MAX {
        let reason = format!("must have 1 to {INPUTS_MAX} strings, got {}", all.len());
        return Err(Problem::invalid(name, reason));
    }
    match all.iter().position(String::is_empty) {
        Some(index) => Err(Problem::invalid(field.name_of(index), "must not be empty")),
        None => Ok(Texts { all, field }),
    }
}

/// Returns the text of an object in llama.cpp's form: a `prompt_string`, or text parts as `content`.
fn object_text(members: &Map<String, Value>) -> Option<String> {
    if let Some(text) = members.get("prompt_string") {
        return text.as_str().map(ToOwned::to_owned);
    }
    let parts = members.get("content")?.as_array()?;
    parts.iter().map(|part| part.get("text").filter(|_| part["type"] == "text")?.as_str()).collect()
}

/// The embeddings of a request's texts.
pub(crate) struct EmbeddingResult {
    pub(crate) vectors: Arc<Embeddings>,
    /// The number of tokens in all texts.
    pub(crate) tokens: u64,
    model: String,
}

/// Computes the embeddings of texts.
///
/// # Errors
/// [`Code::ContextTooLong`] if a text is longer than the model's context, unless `truncate` is set.
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
        let tokens = context.map_or_else(String::new, |tokens| format!(" ({tokens} tokens)"));
        let reason = format!(
            "is longer than the maximum context length of `{}`{tokens}; split it, or set `truncate` to true",
            handle.model()
        );
        return Err(Problem::about(Code::ContextTooLong, field.name_of(*first), reason));
    }
    Ok(EmbeddingResult { vectors, tokens, model: handle.model().to_owned() })
}

/// Checks that vectors have the requested number of dimensions, if one is requested.
///
/// # Errors
/// If the model's vectors have another number.
pub(crate) fn check_dimensions(found: &Embeddings, dimensions: Option<usize>) -> Result<(), Problem> {
    let width = found.vectors.first().map_or(0, Vec::len);
    if dimensions.is_some_and(|dimensions| dimensions != width) {
        let reason = format!("must be {width}: this model's vectors cannot be shortened");
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

/// Responds to a decoded request.
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
    let usage = CompletionUsage {
        prompt_tokens: tokens,
        completion_tokens: None,
        total_tokens: tokens,
        prompt_tokens_details: None,
    };
    let list = EmbeddingList { object: "list", data, model, usage };
    let response = with_truncated(axum::Json(list).into_response(), &found.truncated);
    Ok(with_ignored(response, &ignored))
}
