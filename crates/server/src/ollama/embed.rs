//! `POST /api/embed`, and the older `POST /api/embeddings`.

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use lar_api::fields::Field;
use lar_api::ollama::{EMBED_FIELDS, EMBEDDINGS_FIELDS, EmbedRequest, Embedded, Embedding};
use lar_api::openai::OneOrMany;
use lar_base::{Caller, Code, Instant, Problem, TaskId};
use lar_engines::scheduler::Priority;
use lar_gateway::{HangUp, Task, TaskEvent, Work};

use super::untagged;
use crate::auth::Inference;
use crate::errors::Failure;
use crate::fields::{read, with_ignored};
use crate::generate::about_model;
use crate::{App, State, extract};

/// Texts of a request at most.
const INPUTS_MAX: usize = 2048;

pub(crate) async fn embed(
    app: State,
    Inference(caller): Inference,
    request: Request,
) -> Result<Response, Failure> {
    let body = extract::body(request, &app).await?;
    let (embedded, ignored) = made(&app, caller, &body, EMBED_FIELDS, "input").await?;
    Ok(with_ignored(axum::Json(embedded).into_response(), &ignored))
}

pub(crate) async fn embeddings(
    app: State,
    Inference(caller): Inference,
    request: Request,
) -> Result<Response, Failure> {
    let body = extract::body(request, &app).await?;
    let (embedded, ignored) = made(&app, caller, &body, EMBEDDINGS_FIELDS, "prompt").await?;
    let embedding = embedded.embeddings.into_iter().next().unwrap_or_default();
    Ok(with_ignored(axum::Json(Embedding { embedding }).into_response(), &ignored))
}

async fn made(
    app: &App,
    caller: Caller,
    body: &[u8],
    table: &[Field],
    field: &str,
) -> Result<(Embedded, Vec<String>), Problem> {
    let asked = Instant::now();
    let (body, ignored) = read(body, table)?;
    let request: EmbedRequest = extract::from_value(&body)?;
    let model = untagged(request.model);
    // Each path has its own name for it; the other's has no effect there.
    let is_single = !matches!(request.input, Some(OneOrMany::Many(_)));
    let texts: Vec<String> = match field {
        "input" => request.input.map(OneOrMany::into_vec).unwrap_or_default(),
        _ => request.prompt.into_iter().collect(),
    };
    // One empty text is none, as at Ollama, which knows the model all the same.
    if texts.is_empty() || (is_single && texts[0].is_empty()) {
        app.catalog.resolve(&model).map_err(|error| about_model(error.into()))?;
        let nothing = Embedded {
            model,
            embeddings: Vec::new(),
            total_duration: 0,
            load_duration: 0,
            prompt_eval_count: 0,
        };
        return Ok((nothing, ignored));
    }
    if texts.len() > INPUTS_MAX {
        return Err(Problem::invalid(field, format!("must hold {INPUTS_MAX} texts at most")));
    }
    let task = Task {
        id: TaskId::new(),
        caller,
        api: "ollama.embed",
        model: model.clone(),
        priority: Priority::Interactive,
        deadline: None,
        conversation: None,
        memory: None,
        hang_up: HangUp::Cancel,
        work: Work::Embed { texts },
    };
    let admitted = app.gateway.admit(task).await.map_err(about_model)?;
    let (answer, tokens) = app.gateway.dispatch(admitted).at_once().await?;
    let TaskEvent::Vectors(found) = answer else {
        return Err(Problem::new(Code::Internal, "the engine ended without vectors"));
    };
    if request.truncate == Some(false) && !found.truncated.is_empty() {
        return Err(Problem::new(Code::ContextTooLong, "the input is longer than the model reads"));
    }
    let width = found.vectors.first().map_or(0, Vec::len);
    if request.dimensions.is_some_and(|dimensions| dimensions != 0 && dimensions != width) {
        let reason = format!("must be {width}: this model's vectors cannot be cut");
        return Err(Problem::about(Code::UnsupportedParam, "dimensions", reason));
    }
    let took = u64::try_from(asked.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let embeddings = found.vectors.clone();
    let embedded =
        Embedded { model, embeddings, total_duration: took, load_duration: 0, prompt_eval_count: tokens };
    Ok((embedded, ignored))
}
