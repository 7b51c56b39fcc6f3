//! `POST /v1/embeddings`.

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lar_api::openai::{EMBEDDING_FIELDS, Embedding, EmbeddingList, EmbeddingRequest, EmbeddingValue, Usage};
use lar_base::{Code, Problem, TaskId};
use lar_engines::scheduler::Priority;
use lar_gateway::{HangUp, Task, TaskEvent, Work};

use super::with_truncated;
use crate::auth::Inference;
use crate::errors::Failure;
use crate::fields::{read, with_ignored};
use crate::generate::about_model;
use crate::{State, extract};

/// Texts of one request at most, as at OpenAI.
const INPUTS_MAX: usize = 2048;

/// A request for vectors, read and checked.
#[derive(Debug)]
pub(crate) struct Wanted {
    model: String,
    texts: Vec<String>,
    base64: bool,
    dimensions: Option<u32>,
    /// The fields that have no effect.
    ignored: Vec<String>,
}

/// Reads a request's body.
pub(crate) fn decode(body: &[u8]) -> Result<Wanted, Problem> {
    let (body, ignored) = read(body, EMBEDDING_FIELDS)?;
    let request: EmbeddingRequest = extract::from_value(&body)?;
    let texts = request.input.into_vec();
    if texts.is_empty() || texts.len() > INPUTS_MAX {
        return Err(Problem::invalid("input", format!("must hold 1 to {INPUTS_MAX} texts")));
    }
    if let Some(at) = texts.iter().position(String::is_empty) {
        return Err(Problem::invalid(format!("input[{at}]"), "must not be empty"));
    }
    let base64 = match request.encoding_format.as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => return Err(Problem::invalid("encoding_format", "must be `float` or `base64`")),
    };
    Ok(Wanted { model: request.model, texts, base64, dimensions: request.dimensions, ignored })
}

pub(crate) async fn create(
    app: State,
    Inference(caller): Inference,
    request: Request,
) -> Result<Response, Failure> {
    let Wanted { model, texts, base64, dimensions, ignored } = decode(&extract::body(request, &app).await?)?;
    let task = Task {
        id: TaskId::new(),
        caller,
        api: "openai.embedding",
        model,
        priority: Priority::Interactive,
        deadline: None,
        conversation: None,
        memory: None,
        hang_up: HangUp::Cancel,
        work: Work::Embed { texts },
    };
    let admitted = app.gateway.admit(task).await.map_err(about_model)?;
    let handle = app.gateway.dispatch(admitted);
    let (answer, tokens) = handle.at_once().await?;
    let TaskEvent::Vectors(found) = answer else {
        return Err(Problem::new(Code::Internal, "the engine ended without vectors").into());
    };
    let width = found.vectors.first().map_or(0, Vec::len);
    if dimensions.is_some_and(|dimensions| dimensions as usize != width) {
        let reason = format!("must be {width}: this model's vectors cannot be cut");
        return Err(Problem::about(Code::UnsupportedParam, "dimensions", reason).into());
    }
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
    let list = EmbeddingList { object: "list", data, model: handle.model().to_owned(), usage };
    let response = with_truncated(axum::Json(list).into_response(), &found.truncated);
    Ok(with_ignored(response, &ignored))
}
