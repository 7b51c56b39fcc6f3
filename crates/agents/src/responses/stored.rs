//! Reads stored responses: their bodies, and the items of their inputs and outputs.

use lar_base::json::to_json;
use lar_base::{Code, Problem};
use lar_compat::openai::responses::wire::{InputItem, Response, Status};
use lar_compat::openai::responses::{failure, input_item_id};
use lar_store::{Response as Stored, ResponseState};
use serde_json::Value;

/// Returns a stored response as clients see it. If Lar stopped while its task was running, it has failed.
pub(super) fn response_of(stored: &Stored) -> Result<Response, Problem> {
    let response = body_of(stored)?;
    Ok(match stored.state {
        ResponseState::Running | ResponseState::Over => response,
        ResponseState::Abandoned => {
            let detail = "Lar stopped while the task was running; send the request again";
            let error = Some(failure(&Problem::new(Code::EngineFailed, detail)));
            Response { status: Status::Failed, error, ..response }
        }
    })
}

/// Returns the body of a stored response as it was stored.
pub(super) fn body_of(stored: &Stored) -> Result<Response, Problem> {
    parsed(serde_json::from_str(&stored.body))
}

/// Returns the input items of a stored response, each with an id.
pub(super) fn input_with_ids(stored: &Stored) -> Result<Vec<Value>, Problem> {
    let mut items: Vec<Value> = parsed(serde_json::from_str(&stored.input))?;
    for (index, item) in items.iter_mut().enumerate() {
        if let Value::Object(fields) = item {
            let id = input_item_id(stored.task, index);
            fields.entry("id").or_insert(Value::String(id));
            fields.entry("type").or_insert_with(|| "message".into());
        }
    }
    Ok(items)
}

/// Returns the output items of a stored response as JSON.
pub(super) fn output_of(stored: &Stored) -> Result<Vec<Value>, Problem> {
    parsed(serde_json::from_str(&to_json(&body_of(stored)?.output)))
}

/// Returns the input and output items of a stored response for the decoder of a request that continues it.
pub(super) fn items_of(stored: &Stored) -> Result<Vec<InputItem>, Problem> {
    let mut items: Vec<InputItem> = parsed(serde_json::from_str(&stored.input))?;
    let output: Vec<InputItem> = parsed(serde_json::from_str(&to_json(&body_of(stored)?.output)))?;
    items.extend(output);
    Ok(items)
}

fn parsed<T>(result: serde_json::Result<T>) -> Result<T, Problem> {
    result
        .map_err(|error| Problem::new(Code::Internal, format!("could not parse a stored response: {error}")))
}
