//! Reads stored responses: their bodies, and the items of their inputs and outputs.

use std::fmt::Display;

use lar_base::json::to_value;
use lar_base::{Code, Problem};
use lar_compat::openai::responses::wire::{InputItem, Response, Status};
use lar_compat::openai::responses::{failure, input_item_id, read_stored_items};
use lar_store::Response as Stored;
use serde_json::Value;

use super::lookup::{FoundResponse, Progress};

/// Returns a stored response as clients see it. A response that lost its end has failed.
pub(super) fn response_of(found: &FoundResponse) -> Result<Response, Problem> {
    let response = body_of(&found.row)?;
    Ok(match &found.progress {
        Progress::Running(_) | Progress::Ended => response,
        Progress::Lost(problem) => {
            Response { status: Status::Failed, error: Some(failure(problem)), ..response }
        }
    })
}

/// Returns the body of a stored response as it was stored.
pub(super) fn body_of(stored: &Stored) -> Result<Response, Problem> {
    serde_json::from_str(&stored.body).map_err(unreadable)
}

/// Returns the input items of a stored response, each with an id and a type.
pub(super) fn input_with_ids(stored: &Stored) -> Result<Vec<Value>, Problem> {
    let mut items: Vec<Value> = serde_json::from_str(&stored.input).map_err(unreadable)?;
    for (index, item) in items.iter_mut().enumerate() {
        if let Value::Object(fields) = item {
            // SDKs send null for unset fields.
            for (name, default) in [("id", input_item_id(stored.task, index)), ("type", "message".into())] {
                if fields.get(name).is_none_or(Value::is_null) {
                    fields.insert(name.into(), Value::String(default));
                }
            }
        }
    }
    Ok(items)
}

/// Returns the output items of a stored response as JSON.
pub(super) fn output_of(stored: &Stored) -> Result<Vec<Value>, Problem> {
    let output = body_of(stored)?.output;
    Ok(output.into_iter().map(to_value).collect())
}

/// Returns the input and output items of a stored response for the decoder of a request that continues it.
pub(super) fn items_of(stored: &Stored) -> Result<Vec<InputItem>, Problem> {
    let mut items = input_with_ids(stored)?;
    items.extend(output_of(stored)?);
    read_stored_items(&items).map_err(|problem| unreadable(problem.detail))
}

fn unreadable(error: impl Display) -> Problem {
    Problem::new(Code::Internal, format!("could not parse a stored response: {error}"))
}

#[cfg(test)]
mod tests {
    use lar_base::json::to_json;
    use lar_base::{KeyId, TaskId, Timestamp};
    use lar_compat::openai::responses::UndecodedResponseRequest;
    use lar_store::ResponseState;
    use serde_json::json;

    use super::*;

    #[test]
    fn stored_items_with_nulls_are_read_as_they_were_in_their_request() {
        let (task, created_at) = (TaskId::new(), Timestamp::from_millis(0));
        let body = json!({ "input": [
            { "role": "user", "content": "Hello.", "id": null, "type": null },
            { "type": "reasoning", "summary": null, "content": [{ "type": "reasoning_text", "text": "Hm." }] },
            { "type": "function_call", "call_id": "c", "name": "f", "arguments": null, "status": null },
            { "type": "function_call_output", "call_id": "c", "output": "1" },
        ] });
        let request = UndecodedResponseRequest::read(body.to_string().as_bytes()).unwrap();
        let decoded = request.decode(Vec::new(), task, created_at).unwrap();
        let stored = Stored {
            task,
            key: KeyId::new(),
            previous: None,
            state: ResponseState::Over,
            input: decoded.input,
            body: to_json(&decoded.response),
            created_at,
        };
        let kinds: Vec<Option<String>> =
            items_of(&stored).unwrap().into_iter().map(|item| item.kind).collect();
        let expected = ["message", "reasoning", "function_call", "function_call_output"];
        assert_eq!(kinds, expected.map(|kind| Some(kind.to_owned())));
        let shown = input_with_ids(&stored).unwrap();
        assert!(shown.iter().all(|item| item["id"].is_string() && item["type"].is_string()), "{shown:?}");
    }
}
