//! The server for the conformance suite of the Model Context Protocol, on Lar's own transport.
//!
//! It has the tools, prompts and resources that the suite's scenarios name (`conformance/mcp/fixture.json`).
//! It prints its address and serves until standard input ends.

#![expect(deprecated, reason = "the suite for 2025-11-25 uses features that later revisions deprecate")]

use std::collections::HashSet;
use std::error::Error;
use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lar_base::{Bytes, TaskId};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ClientResult, CompleteRequestParams, CompleteResult, ErrorCode,
    ErrorData, GetPromptRequestParams, GetPromptResponse, Implementation, InputRequests, InputRequiredResult,
    InputResponses, ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult, ListToolsResult,
    LoggingLevel, LoggingMessageNotificationParam, PaginatedRequestParams, ProgressNotificationParam,
    ReadResourceRequestParams, ReadResourceResponse, ServerCapabilities, ServerConfig, ServerRequest,
    SetLevelRequestParams, SubscribeRequestParams, SubscriptionFilter, Tool, UnsubscribeRequestParams,
};
use rmcp::service::{RequestContext, SubscriptionContext};
use rmcp::{RoleServer, ServerHandler};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::broadcast;

/// The time between two notifications of one call.
const STEP: Duration = Duration::from_millis(50);

type Context = RequestContext<RoleServer>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut data = include_str!("../../conformance/mcp/fixture.json").to_owned();
    let named: Value = serde_json::from_str(&data)?;
    for name in ["PNG", "WAV"] {
        let content = named[name].as_str().ok_or("the fixture has no such content")?;
        data = data.replace(&format!("\"data\": \"{name}\""), &format!("\"data\": \"{content}\""));
    }
    let (changes, _) = broadcast::channel(16);
    let fixture = Fixture { data: Arc::new(serde_json::from_str(&data)?), states: Arc::default(), changes };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let mut out = std::io::stdout();
    writeln!(out, "http://{}", listener.local_addr()?)?;
    out.flush()?;
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = ended.send(());
    });
    tokio::select! {
        served = lar_server::mcp_fixture(listener, fixture, Bytes::mib(1)) => served?,
        _ = end => {}
    }
    Ok(())
}

/// A list of the server that changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Tools,
    Prompts,
}

#[derive(Clone)]
struct Fixture {
    data: Arc<Value>,
    /// States that were sent to clients and have not come back.
    states: Arc<Mutex<HashSet<String>>>,
    changes: broadcast::Sender<Change>,
}

impl Fixture {
    fn listed<T: DeserializeOwned>(&self, name: &str) -> Result<T, ErrorData> {
        read(self.data[name].clone())
    }

    /// Returns the input requests with these names.
    fn inputs(&self, names: &[&str]) -> Result<InputRequests, ErrorData> {
        names.iter().map(|name| Ok(((*name).to_owned(), read(self.data["inputs"][name].clone())?))).collect()
    }

    /// Creates a state that only this server can create.
    fn new_state(&self) -> String {
        let state = TaskId::new().to_string();
        self.states.lock().unwrap_or_else(PoisonError::into_inner).insert(state.clone());
        state
    }

    /// Consumes a state.
    ///
    /// # Errors
    /// If this server did not create the state, or it was consumed before.
    fn redeem(&self, state: Option<&str>) -> Result<(), ErrorData> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        match state.is_some_and(|state| states.remove(state)) {
            true => Ok(()),
            false => Err(ErrorData::invalid_params("`requestState` was not created by this server", None)),
        }
    }

    /// Runs the tools that need inputs from the client. Without them, the result requests the inputs.
    fn with_inputs(
        &self,
        call: &CallToolRequestParams,
        context: &Context,
    ) -> Result<CallToolResponse, ErrorData> {
        let given = call.input_responses.as_ref();
        let state = call.request_state.as_deref();
        let (names, stateful): (&[&str], bool) = match call.name.as_ref() {
            "test_input_required_result_sampling" => (&["capital_question"], false),
            "test_input_required_result_list_roots" => (&["client_roots"], false),
            "test_input_required_result_multiple_inputs" => {
                (&["user_name", "greeting", "client_roots"], true)
            }
            "test_input_required_result_request_state" | "test_input_required_result_tampered_state" => {
                (&["confirm"], true)
            }
            "test_input_required_result_multi_round"
                if given.is_some_and(|given| given.contains_key("step2")) =>
            {
                (&["step2"], true)
            }
            "test_input_required_result_multi_round"
                if given.is_some_and(|given| given.contains_key("step1")) =>
            {
                self.redeem(state)?;
                let inputs = self.inputs(&["step2"])?;
                return Ok(InputRequiredResult::new(Some(inputs), Some(self.new_state())).into());
            }
            "test_input_required_result_multi_round" => (&["step1"], true),
            "test_input_required_result_capabilities" => return self.request_supported_inputs(context),
            _ => (&["user_name"], false),
        };
        if state.is_some() && stateful {
            self.redeem(state)?;
        }
        let whole =
            |given: &&InputResponses| names.iter().all(|name| given.get(*name).is_some_and(Value::is_object));
        let Some(given) = given.filter(whole) else {
            let state = stateful.then(|| self.new_state());
            return Ok(InputRequiredResult::new(Some(self.inputs(names)?), state).into());
        };
        let pairs: Vec<String> = names.iter().map(|name| format!("{name}: {}", given[*name])).collect();
        let ok = if stateful { "state-ok " } else { "" };
        text(&format!("{ok}{}", pairs.join(", ")))
    }

    /// Requests exactly the inputs that the client declares in its capabilities.
    fn request_supported_inputs(&self, context: &Context) -> Result<CallToolResponse, ErrorData> {
        let can = context.client_capabilities().unwrap_or_default();
        let names: Vec<&str> = [
            (can.elicitation.is_some(), "user_name"),
            (can.sampling.is_some(), "greeting"),
            (can.roots.is_some(), "client_roots"),
        ]
        .into_iter()
        .filter_map(|(can, name)| can.then_some(name))
        .collect();
        Ok(InputRequiredResult::from_input_requests(self.inputs(&names)?).into())
    }

    /// Elicits input from the user of the client, as in revisions with sessions.
    async fn elicit(
        &self,
        call: &CallToolRequestParams,
        context: &Context,
    ) -> Result<CallToolResponse, ErrorData> {
        let mut params = self.data["asks"][call.name.as_ref()].clone();
        if let Some(message) = call.arguments.as_ref().and_then(|arguments| arguments.get("message")) {
            params["message"] = message.clone();
        }
        params["mode"] = json!("form");
        let request = ServerRequest::ElicitRequest(read(json!({
            "method": "elicitation/create", "params": params,
        }))?);
        match context.peer.send_request(request).await {
            Ok(ClientResult::ElicitResult(result)) => {
                let content = result.content.unwrap_or_default();
                text(&format!("Elicitation completed: action={:?}, content={content}", result.action))
            }
            other => {
                Err(ErrorData::internal_error(format!("unexpected answer of the client: {other:?}"), None))
            }
        }
    }

    /// Samples from the model of the client, as in revisions with sessions.
    async fn sample(
        &self,
        call: &CallToolRequestParams,
        context: &Context,
    ) -> Result<CallToolResponse, ErrorData> {
        let prompt = call.arguments.as_ref().and_then(|arguments| arguments.get("prompt"));
        let request = ServerRequest::CreateMessageRequest(read(json!({
            "method": "sampling/createMessage",
            "params": {
                "messages": [{"role": "user", "content": {"type": "text", "text": prompt}}],
                "maxTokens": 100,
            },
        }))?);
        match context.peer.send_request(request).await {
            Ok(ClientResult::CreateMessageResult(result)) => text(&format!("LLM response: {result:?}")),
            other => {
                Err(ErrorData::internal_error(format!("unexpected answer of the client: {other:?}"), None))
            }
        }
    }

    /// Notifies subscribers of a change.
    fn notify(&self, change: Change) -> Result<CallToolResponse, ErrorData> {
        let _ = self.changes.send(change);
        text("Notified.")
    }
}

impl ServerHandler for Fixture {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_completions()
            .enable_logging()
            .enable_prompts()
            .enable_prompts_list_changed()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_tools()
            .enable_tool_list_changed()
            .build();
        ServerConfig::new(capabilities).with_server_info(Implementation::new("lar-fixture", "1.0.0"))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult { tools: self.listed("tools")?, ..ListToolsResult::default() })
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.listed::<Vec<Tool>>("tools").ok()?.into_iter().find(|tool| tool.name == name)
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        context: Context,
    ) -> Result<CallToolResponse, ErrorData> {
        let name = call.name.as_ref();
        if let Some(answer) = self.data["answers"].get(name) {
            return Ok(CallToolResponse::Complete(complete(answer.clone())?));
        }
        match name {
            "test_tool_with_logging" | "test_logging_tool" => {
                let stateless = name == "test_logging_tool";
                for step in ["Tool execution started", "Tool processing data", "Tool execution completed"] {
                    if !stateless || context.meta.log_level().is_some() {
                        let notice = LoggingMessageNotificationParam::new(LoggingLevel::Info, json!(step));
                        context.peer.notify_logging_message(notice).await.map_err(unsent)?;
                    }
                    tokio::time::sleep(STEP).await;
                }
                text("Logged.")
            }
            "test_tool_with_progress" => {
                for done in [0.0, 50.0, 100.0] {
                    if let Some(token) = context.meta.get_progress_token() {
                        let notice = ProgressNotificationParam::new(token, done).with_total(100.0);
                        context.peer.notify_progress(notice).await.map_err(unsent)?;
                    }
                    tokio::time::sleep(STEP).await;
                }
                text("Done.")
            }
            "test_missing_capability" => match context.client_capabilities().and_then(|can| can.sampling) {
                Some(_) => text("The client samples."),
                None => Err(ErrorData::new(
                    ErrorCode::MISSING_REQUIRED_CLIENT_CAPABILITY,
                    "this tool needs a client that supports sampling",
                    Some(json!({"requiredCapabilities": {"sampling": {}}})),
                )),
            },
            "test_sampling" => self.sample(&call, &context).await,
            "test_elicitation" | "test_elicitation_sep1034_defaults" | "test_elicitation_sep1330_enums" => {
                self.elicit(&call, &context).await
            }
            "test_trigger_tool_change" => self.notify(Change::Tools),
            "test_trigger_prompt_change" => self.notify(Change::Prompts),
            "test_streaming_elicitation" => self.with_inputs(&call, &context),
            name if name.starts_with("test_input_required_result_") => self.with_inputs(&call, &context),
            other => Err(ErrorData::invalid_params(format!("there is no tool `{other}`"), None)),
        }
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListPromptsResult, ErrorData> {
        Ok(ListPromptsResult { prompts: self.listed("prompts")?, ..ListPromptsResult::default() })
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _: Context,
    ) -> Result<GetPromptResponse, ErrorData> {
        let argument = |name: &str| {
            let given = request.arguments.as_ref().and_then(|given| given.get(name)).and_then(Value::as_str);
            given
                .map(ToOwned::to_owned)
                .ok_or_else(|| ErrorData::invalid_params(format!("`{name}` is missing"), None))
        };
        let says = |text: String| json!({"type": "text", "text": text});
        let messages = match request.name.as_str() {
            "test_simple_prompt" => vec![says("This is a simple prompt for testing.".to_owned())],
            "test_prompt_with_arguments" => {
                let (first, second) = (argument("arg1")?, argument("arg2")?);
                vec![says(format!("Prompt with arguments: arg1='{first}', arg2='{second}'"))]
            }
            "test_prompt_with_embedded_resource" => vec![
                json!({"type": "resource", "resource": {
                    "uri": argument("resourceUri")?, "mimeType": "text/plain",
                    "text": "Embedded resource content for testing.",
                }}),
                says("Please process the embedded resource above.".to_owned()),
            ],
            "test_prompt_with_image" => vec![
                json!({"type": "image", "data": self.data["PNG"], "mimeType": "image/png"}),
                says("Please analyze the image above.".to_owned()),
            ],
            "test_input_required_result_prompt" => {
                let given = request.input_responses.as_ref().and_then(|given| given.get("user_context"));
                let Some(given) = given else {
                    let inputs = self.inputs(&["user_context"])?;
                    return Ok(InputRequiredResult::from_input_requests(inputs).into());
                };
                vec![says(format!("The context is {given}"))]
            }
            other => return Err(ErrorData::invalid_params(format!("there is no prompt `{other}`"), None)),
        };
        let messages: Vec<Value> =
            messages.into_iter().map(|content| json!({"role": "user", "content": content})).collect();
        Ok(GetPromptResponse::Complete(complete(json!({"messages": messages}))?))
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(ListResourcesResult { resources: self.listed("resources")?, ..ListResourcesResult::default() })
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let resource_templates = self.listed("templates")?;
        Ok(ListResourceTemplatesResult { resource_templates, ..ListResourceTemplatesResult::default() })
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: Context,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let uri = request.uri.as_str();
        let of_template = uri.strip_prefix("test://template/").and_then(|rest| rest.strip_suffix("/data"));
        let content = match (uri, of_template) {
            ("test://static-text", _) => {
                json!({"mimeType": "text/plain", "text": "This is the content of the static text resource."})
            }
            ("test://static-binary", _) => json!({"mimeType": "image/png", "blob": self.data["PNG"]}),
            ("test://watched-resource", _) => json!({"mimeType": "text/plain", "text": "Nothing new."}),
            (_, Some(id)) => {
                let text = json!({"id": id, "templateTest": true, "data": format!("Data for ID: {id}")});
                json!({"mimeType": "application/json", "text": text.to_string()})
            }
            _ => {
                return Err(ErrorData::invalid_params(
                    "there is no such resource",
                    Some(json!({"uri": uri})),
                ));
            }
        };
        let mut content = content;
        content["uri"] = json!(uri);
        Ok(ReadResourceResponse::Complete(complete(json!({"contents": [content]}))?))
    }

    async fn complete(&self, _: CompleteRequestParams, _: Context) -> Result<CompleteResult, ErrorData> {
        complete(json!({"completion": {"values": ["paris", "park", "party"], "total": 3, "hasMore": false}}))
    }

    async fn set_level(&self, _: SetLevelRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn subscribe(&self, _: SubscribeRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn unsubscribe(&self, _: UnsubscribeRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.supported_by(&self.get_info().capabilities))
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let mut changes = self.changes.subscribe();
        loop {
            let change = tokio::select! {
                () = context.cancelled() => return Ok(()),
                change = changes.recv() => change,
            };
            let sent = match change {
                Ok(Change::Tools) if context.accepted().tools_list_changed == Some(true) => {
                    context.sink().notify_tool_list_changed().await
                }
                Ok(Change::Prompts) if context.accepted().prompts_list_changed == Some(true) => {
                    context.sink().notify_prompt_list_changed().await
                }
                Ok(_) => Ok(()),
                Err(_) => return Ok(()),
            };
            sent.map_err(unsent)?;
        }
    }
}

fn text(text: &str) -> Result<CallToolResponse, ErrorData> {
    Ok(CallToolResponse::Complete(complete(json!({"content": [{"type": "text", "text": text}]}))?))
}

/// Marks a result as complete and parses it. The JSON alone does not have this mark.
fn complete<T: DeserializeOwned>(mut result: Value) -> Result<T, ErrorData> {
    result["resultType"] = json!("complete");
    read(result)
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T, ErrorData> {
    serde_json::from_value(value).map_err(|error| ErrorData::internal_error(error.to_string(), None))
}

fn unsent(error: impl std::fmt::Display) -> ErrorData {
    ErrorData::internal_error(error.to_string(), None)
}
