//! Adds the parts of the OpenAPI document that operations share: authentication, errors, and the limits of
//! headers and fields. The limits come from the constants that the checks use.

use lar_base::{Code, Scope};
use lar_memory::limits as memory;
use lar_store::LinkResolution;
use serde_json::{Map, Value, json};

use crate::auth::cookie_name;
use crate::conversations::messages::CONTENT_BYTES_MAX as MESSAGE_BYTES_MAX;
use crate::extract::PAGE_MAX;
use crate::idempotency::NAME_CHARS_MAX as IDEMPOTENCY_CHARS_MAX;
use crate::keys::NAME_CHARS_MAX as KEY_NAME_CHARS_MAX;
use crate::memories::links::RESOLUTIONS;
use crate::memories::review::REASON_CHARS_MAX;
use crate::memories::search::LIMIT_MAX;

/// The paths that need no key.
const OPEN: [&str; 3] = ["/healthz", "/readyz", "/lar/v1/sign-in"];
/// The old paths of renamed operations. They work for one more release.
const DEPRECATED: [&str; 1] = ["/lar/v1/memories/heard"];
/// The port in the name of the session cookie, in the document.
const USUAL_PORT: u16 = 5270;
const EVENT_STREAM: &str = "text/event-stream";
/// The response that describes the errors of Lar's own API.
const PROBLEM: &str = "#/components/responses/Problem";

/// Completes a document.
pub(super) fn complete(document: &mut Value) {
    let components = &mut document["components"];
    components["securitySchemes"] = json!({
        "bearer": { "type": "http", "scheme": "bearer", "description": "An API key, `lar_…`." },
        "api_key": { "type": "apiKey", "in": "header", "name": "x-api-key", "description": "The same API key, in another header." },
        "session": { "type": "apiKey", "in": "cookie", "name": cookie_name(USUAL_PORT), "description": "The session cookie of a signed-in browser; its name has the port of the server." },
    });
    components["responses"]["Problem"] = json!({
        "description": "An error in the format of RFC 9457; `code` identifies the error.",
        "content": { (lar_api::problem::CONTENT_TYPE): { "schema": { "$ref": "#/components/schemas/ProblemBody" } } },
    });
    remove_unknown_value(&mut components["schemas"]);
    constrain(&mut components["schemas"]);
    untag_events(&mut components["schemas"]);
    document["security"] = json!([{ "bearer": [] }, { "api_key": [] }, { "session": [] }]);
    let schemas = document["components"]["schemas"].clone();
    for (path, operations) in document["paths"].as_object_mut().into_iter().flatten() {
        for (method, operation) in operations.as_object_mut().into_iter().flatten() {
            complete_operation(path, method, operation);
            free_body(&schemas, operation);
        }
    }
}

/// Marks a JSON body without required fields as optional, because [`crate::extract::json`] reads an empty
/// body as an empty object.
fn free_body(schemas: &Value, operation: &mut Value) {
    let Some(body) = operation.get_mut("requestBody") else { return };
    let schema = body["content"]["application/json"]["schema"]["$ref"].as_str().unwrap_or_default();
    let schema = schemas.get(schema.rsplit('/').next().unwrap_or_default());
    if schema.is_some_and(|schema| schema.get("required").is_none()) {
        body["required"] = false.into();
    }
}

fn complete_operation(path: &str, method: &str, operation: &mut Value) {
    operation["operationId"] = operation_id(path, method).into();
    if OPEN.contains(&path) {
        operation["security"] = json!([]);
    }
    if DEPRECATED.contains(&path) {
        operation["deprecated"] = true.into();
    }
    let mut codes = vec![Code::InvalidParams, Code::Internal, Code::StoreUnavailable];
    if !OPEN.contains(&path) {
        codes.extend([Code::Unauthenticated, Code::ForbiddenScope, Code::RateLimited]);
    }
    if path.contains('{') {
        codes.push(Code::NotFound);
    }
    if operation.get("requestBody").is_some() {
        codes.extend([Code::BodyTooLarge, Code::UnsupportedMedia]);
    }
    for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap_or_default().to_owned();
        match (parameter["in"].as_str(), name.as_str()) {
            (Some("header"), "idempotency-key") => codes.extend([Code::IdempotencyMismatch, Code::Conflict]),
            (Some("header"), "if-match") => codes.push(Code::VersionMismatch),
            (Some("header"), "x-agent-id" | "x-space") => codes.push(Code::ForbiddenSpace),
            _ => {}
        }
        constrain_parameter(&name, &mut parameter["schema"]);
    }
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { return };
    for response in responses.values_mut() {
        describe_stream(response);
    }
    // The responses of the health checks and of the metrics are not problems.
    if !path.starts_with("/lar/") {
        return;
    }
    for (_, response) in responses.iter_mut().filter(|(status, _)| status.starts_with(['4', '5'])) {
        *response = json!({ "$ref": PROBLEM });
    }
    for code in codes {
        responses.entry(code.status().to_string()).or_insert_with(|| json!({ "$ref": PROBLEM }));
    }
    responses.entry("default").or_insert_with(|| json!({ "$ref": PROBLEM }));
}

/// Replaces the schema of an event stream, which is that of one event's data, by a description of the stream.
fn describe_stream(response: &mut Value) {
    let content = response.get_mut("content").and_then(|content| content.get_mut(EVENT_STREAM));
    let Some(content) = content else { return };
    let first = content["schema"]["$ref"]
        .as_str()
        .unwrap_or_default()
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .to_owned();
    let (before, after) = match first.as_str() {
        "TurnStarted" => ("`message`, with a `TurnStarted`, ", ", and `citations` before the last one"),
        _ => ("", ""),
    };
    let about = format!(
        "Server-sent events, each with a name and JSON data: {before}the events of a task, as in \
         `TaskEvent`{after}. The last event is `end`, `error` or `cancelled`. The events of a task have \
         increasing ids. Comments may appear between events."
    );
    content["schema"] = json!({ "type": "string", "description": about });
}

/// Removes the event's name from the schemas of a task's events, and makes it the title of each schema.
///
/// Serde's tag puts the name into the data, but Lar sends it as the name of the server-sent event.
fn untag_events(schemas: &mut Value) {
    for variant in schemas["TaskEvent"]["oneOf"].as_array_mut().into_iter().flatten() {
        // The data of some events has a separate schema, combined with the schema of the tag.
        let whole = variant.get("allOf").and_then(Value::as_array).cloned();
        if let Some([data, tag]) = whole.as_deref() {
            let name = tag["properties"]["event"]["enum"][0].clone();
            *variant = json!({ "title": name, "allOf": [data] });
            continue;
        }
        let Some(properties) = variant.get_mut("properties").and_then(Value::as_object_mut) else { continue };
        let name = properties.get("event").map(|event| event["enum"][0].clone()).unwrap_or_default();
        properties.retain(|field, _| field != "event");
        if let Some(required) = variant.get_mut("required").and_then(Value::as_array_mut) {
            required.retain(|field| field != "event");
        }
        variant["title"] = name;
    }
}

/// Returns an operation id that no other operation has, such as `post_memories_by_id_undo`.
fn operation_id(path: &str, method: &str) -> String {
    let mut words = vec![method.to_owned()];
    for part in path.trim_start_matches("/lar/v1").split('/').filter(|part| !part.is_empty()) {
        match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(name) => words.push(format!("by_{name}")),
            None => words.push(part.replace(['-', '.'], "_")),
        }
    }
    words.join("_")
}

fn constrain_parameter(name: &str, schema: &mut Value) {
    // A parameter may be missing, but is never null.
    if let Some(Value::Array(kinds)) = schema.get("type") {
        let kinds: Vec<&Value> = kinds.iter().filter(|kind| *kind != "null").collect();
        if let [kind] = kinds.as_slice() {
            schema["type"] = (*kind).clone();
        }
    }
    match name {
        "limit" => merge(schema, json!({ "minimum": 1, "maximum": PAGE_MAX })),
        "idempotency-key" => merge(schema, json!({ "minLength": 1, "maxLength": IDEMPOTENCY_CHARS_MAX })),
        "x-agent-id" | "x-space" => merge(schema, name_schema()),
        "if-match" => merge(schema, json!({ "pattern": r#"^(\*|"?[0-9]{1,18}"?)$"# })),
        _ => {}
    }
}

/// Returns the schema of the names of agents, spaces and users.
fn name_schema() -> Value {
    json!({ "minLength": 1, "maxLength": memory::NAME_CHARS_MAX, "pattern": r"^[\p{L}\p{N}_:@-][\p{L}\p{N}._:@-]*$" })
}

/// Removes `unknown` from the values of each enum. Only clients have it, for the values of a newer server.
fn remove_unknown_value(schemas: &mut Value) {
    for (_, schema) in schemas.as_object_mut().into_iter().flatten() {
        if let Some(values) = schema.get_mut("enum").and_then(Value::as_array_mut) {
            values.retain(|value| value != "unknown");
        }
    }
}

/// Adds the limits of request fields to the schemas.
fn constrain(schemas: &mut Value) {
    for (schema, field, limits) in field_limits() {
        let field = schemas.get_mut(schema).and_then(|schema| schema.get_mut("properties")?.get_mut(field));
        if let Some(field) = field {
            merge(field, limits);
        }
    }
}

/// Returns the limits that the checks apply to request fields: schema, field, and keywords of JSON Schema.
fn field_limits() -> Vec<(&'static str, &'static str, Value)> {
    let kinds = lar_store::MemoryKind::ALL.map(lar_store::MemoryKind::as_str);
    let text = |max: usize| json!({ "minLength": 1, "maxLength": max });
    let one_of = |words: &[&str]| json!({ "enum": words });
    let or_null = |words: &[&str]| {
        let words = words.iter().map(|word| json!(word)).chain([Value::Null]);
        json!({ "enum": words.collect::<Vec<_>>() })
    };
    let scopes: Vec<&str> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
    vec![
        ("NewMemory", "content", text(memory::CONTENT_BYTES_MAX)),
        ("NewMemory", "kind", or_null(&kinds)),
        (
            "NewMemory",
            "tags",
            json!({ "maxItems": memory::TAGS_MAX, "items": { "type": "string", "minLength": 1, "maxLength": memory::TAG_CHARS_MAX } }),
        ),
        ("MemoryPatch", "kind", or_null(&kinds)),
        ("NewMemories", "items", json!({ "minItems": 1, "maxItems": memory::BATCH_MAX })),
        ("SearchRequest", "query", text(memory::QUERY_BYTES_MAX)),
        ("SearchRequest", "limit", json!({ "minimum": 1, "maximum": LIMIT_MAX })),
        ("SearchRequest", "token_budget", json!({ "minimum": 1 })),
        ("SearchRequest", "detail", or_null(&["brief", "summary", "full"])),
        ("Filters", "kinds", json!({ "items": { "type": "string", "enum": kinds } })),
        ("NewKey", "name", text(KEY_NAME_CHARS_MAX)),
        ("NewKey", "scopes", json!({ "items": { "type": "string", "enum": scopes } })),
        ("NewKey", "memory", or_null(&["off", "recall", "remember"])),
        ("NewMessage", "content", text(MESSAGE_BYTES_MAX)),
        ("NewMessage", "temperature", json!({ "minimum": 0, "maximum": 2 })),
        ("Feedback", "rating", or_null(&["good", "bad"])),
        ("MemoryFeedback", "feedback", one_of(&["useful", "wrong", "outdated"])),
        ("MemoryFeedback", "reason", json!({ "maxLength": REASON_CHARS_MAX })),
        ("ResolveLink", "resolution", one_of(&RESOLUTIONS.map(LinkResolution::as_str))),
        ("Review", "reason", json!({ "maxLength": REASON_CHARS_MAX })),
        ("NewGrant", "access", one_of(&["read", "write"])),
        ("NewSpace", "name", name_schema()),
        ("NewUser", "name", name_schema()),
    ]
}

fn merge(schema: &mut Value, limits: Value) {
    let (Value::Object(schema), Value::Object(limits)) = (schema, limits) else { return };
    let limits: Map<String, Value> = limits;
    schema.extend(limits);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described() -> Value {
        serde_json::from_str(&super::super::document()).unwrap()
    }

    #[test]
    fn operations_have_unique_ids_security_and_errors() {
        let document = described();
        let mut names = Vec::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                names.push(operation["operationId"].as_str().unwrap().to_owned());
                let is_open = OPEN.contains(&path.as_str());
                assert_eq!(operation.get("security"), is_open.then(|| json!([])).as_ref(), "{method} {path}");
                for (status, response) in operation["responses"].as_object().unwrap() {
                    let is_error = status.starts_with(['4', '5', 'd']) && path.starts_with("/lar/");
                    assert_eq!(response["$ref"] == PROBLEM, is_error, "{method} {path} {status}");
                }
                if path.starts_with("/lar/") && !is_open {
                    assert!(operation["responses"].get("401").is_some(), "{method} {path}");
                }
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    assert!(parameter["schema"]["type"].is_string(), "{method} {path} {parameter}");
                }
            }
        }
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn bodies_without_a_required_field_may_be_left_out() {
        let document = described();
        let is_required = |path: &str, method: &str| {
            document["paths"][path][method]["requestBody"]["required"].as_bool().unwrap()
        };
        assert!(!is_required("/lar/v1/conversations", "post"));
        assert!(!is_required("/lar/v1/memories/{id}/promote", "post"));
        assert!(is_required("/lar/v1/memories", "post"));
        assert!(is_required("/lar/v1/memories/import", "post"));
    }

    #[test]
    fn no_schema_lists_the_value_for_unknown_values() {
        assert!(!super::super::document().contains(r#""unknown""#));
    }

    #[test]
    fn limits_are_those_of_the_checks() {
        let document = described();
        for (schema, field, limits) in field_limits() {
            let described = &document["components"]["schemas"][schema]["properties"][field];
            for (keyword, limit) in limits.as_object().unwrap() {
                assert_eq!(&described[keyword], limit, "{schema}.{field}");
            }
            let is_described =
                ["type", "oneOf", "allOf", "$ref", "items"].iter().any(|key| described.get(key).is_some());
            assert!(is_described, "{schema} has no field {field}: {described}");
        }
        let field = |schema: &str, field: &str| {
            document["components"]["schemas"][schema]["properties"][field].clone()
        };
        assert_eq!(field("NewMemories", "items")["maxItems"], memory::BATCH_MAX);
        assert_eq!(field("SearchRequest", "query")["maxLength"], memory::QUERY_BYTES_MAX);
        assert_eq!(
            field("NewMemory", "kind")["enum"].as_array().unwrap().len(),
            lar_store::MemoryKind::ALL.len() + 1
        );
        let limit = &document["paths"]["/lar/v1/memories"]["get"]["parameters"][0]["schema"];
        assert_eq!((&limit["minimum"], &limit["maximum"]), (&json!(1), &json!(PAGE_MAX)));
        let token = document["components"]["schemas"]["TaskEvent"]["oneOf"].as_array().unwrap();
        let token = token.iter().find(|event| event["title"] == "token").unwrap();
        assert_eq!(token["required"], json!(["t", "i"]));
    }
}
