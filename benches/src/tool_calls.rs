//! The accuracy of tool calls: how often they are right, not only how often they parse.
//!
//! The questions are the simple Python calls of the Berkeley Function-Calling Leaderboard: one function is
//! offered and one call is expected. They go through the HTTP API. By the definition of its authors, a call
//! is right if it names the function, has every required argument and no unknown one, and every value is
//! among those that the data set allows. An empty string among the allowed values means that the argument is
//! optional.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use lar_inference::{Event, Tool};
use lar_tests::Lar;
use lar_tests::tool_caller::ToolCaller;
use serde_json::{Map, Value, json};

use crate::progress::progress;
use crate::statistics::quantile;

/// The number of questions; the data set has 400.
const QUESTIONS: usize = 100;

/// A template that describes tools as Qwen's does. Its two worked examples make the starter model call tools
/// at all.
const TEMPLATE: &str = r#"{%- macro say(role, text) %}<|im_start|>{{ role }}
{{ text }}<|im_end|>
{% endmacro -%}
{%- macro call(name, arguments) %}<tool_call>
{"name": "{{ name }}", "arguments": {{ arguments }}}
</tool_call>{% endmacro -%}
<|im_start|>system
You call functions. They are within <tools></tools>:
<tools>
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}
</tools>
For each call, return its name and arguments as JSON within <tool_call></tool_call>.<|im_end|>
{{ say('user', 'How many people live in Lima?') }}{{ say('assistant', call('get_population', '{"city": "Lima"}')) -}}
{{ say('user', 'Add 3 and 4.') }}{{ say('assistant', call('add_numbers', '{"first": 3, "second": 4}')) -}}
{%- for message in messages %}{{ say(message.role, message.content) }}{% endfor -%}
<|im_start|>assistant
"#;

/// Parses a question and the function that is offered for it.
fn parse_question(line: &Value) -> (String, Tool) {
    let messages = line["question"][0].as_array().into_iter().flatten();
    let question: Vec<&str> = messages.filter_map(|message| message["content"].as_str()).collect();
    let function = &line["function"][0];
    let [name, description] =
        ["name", "description"].map(|field| function[field].as_str().map(ToOwned::to_owned));
    let parameters = schema(function["parameters"].clone()).to_string();
    (question.join("\n"), Tool { name: name.unwrap_or_default(), description, parameters, strict: false })
}

/// Measures a model with a tool call format of its own, with unconstrained and with constrained calls.
async fn in_its_own_format(questions: &[Value], answers: &BTreeMap<String, Value>) -> anyhow::Result<String> {
    let model = ToolCaller::load(TEMPLATE).await?;
    let mut table = String::from(
        "| calls | called | right function | arguments valid for its schema | right arguments |\n|---|---|---|---|---|\n",
    );
    let (mut counts, mut slower) = ([[0u32; 4]; 2], Vec::new());
    for (number, line) in questions.iter().take(QUESTIONS).enumerate() {
        if number % 25 == 0 {
            progress(&format!("  in its own format: question {number} of {QUESTIONS}"));
        }
        let (question, tool) = parse_question(line);
        let validator = jsonschema::validator_for(&serde_json::from_str(&tool.parameters)?)?;
        let allowed =
            line["id"].as_str().and_then(|id| answers.get(id)).context("the question has no answer")?;
        let mut pace = [0.0; 2];
        for is_constrained in [false, true] {
            let called = model.ask(&question, vec![tool.clone()], 200, is_constrained).await?;
            anyhow::ensure!(!matches!(called.end, Event::Failed(_)), "{}: {:?}", line["id"], called.end);
            pace[usize::from(is_constrained)] = called.seconds / f64::from(called.tokens.max(2) - 1);
            let count = &mut counts[usize::from(is_constrained)];
            let Some((name, arguments)) = called.calls.first() else { continue };
            count[0] += 1;
            count[1] += u32::from(*name == tool.name);
            let parsed = serde_json::from_str::<Value>(arguments).ok();
            let valid = |found: &Value| *name == tool.name && validator.is_valid(found);
            let Some(arguments) = parsed.filter(valid) else {
                continue;
            };
            count[2] += 1;
            let right = allowed[name].as_object().zip(arguments.as_object());
            count[3] += u32::from(right.is_some_and(|(allowed, found)| fits(allowed, found)));
        }
        slower.push(pace[1] / pace[0]);
    }
    model.unload().await;
    for (calls, count) in ["unconstrained", "constrained"].iter().zip(counts) {
        table +=
            &format!("| {calls} | {} % | {} % | {} % | {} % |\n", count[0], count[1], count[2], count[3]);
    }
    slower.sort_by(f64::total_cmp);
    Ok(format!(
        "The same questions and weights, with a template that describes tools as Qwen's does and has two\n\
         worked examples of other functions. The model may call a function, and has a tool call format of\n\
         its own. A grammar constrains its calls, or does not. A token of a constrained answer takes {:.2}\n\
         times as long (median of the questions, one after another).\n\n\
         {table}",
        quantile(&slower, 0.5),
    ))
}

fn lines(name: &str) -> anyhow::Result<Vec<Value>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.build/bench").join(name);
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("{} does not exist: run scripts/bench-data.sh", path.display()))?;
    text.lines().map(|line| serde_json::from_str(line).context("a line is not JSON")).collect()
}

/// Replaces the type names of the data set by those of JSON Schema.
fn schema(mut value: Value) -> Value {
    if let Value::Object(fields) = &mut value {
        let kind = match fields.get("type").and_then(Value::as_str) {
            Some("dict") => Some("object"),
            Some("float") => Some("number"),
            Some("tuple" | "list") => Some("array"),
            Some("any") => None,
            Some(other) => Some(other),
            None => None,
        };
        match kind.map(ToOwned::to_owned) {
            Some(kind) => _ = fields.insert("type".into(), kind.into()),
            None => _ = fields.remove("type"),
        }
        if let Some(Value::Object(properties)) = fields.get_mut("properties") {
            for value in properties.values_mut() {
                *value = schema(value.take());
            }
        }
        if let Some(items) = fields.get_mut("items") {
            *items = schema(items.take());
        }
        fields.retain(|name, _| !matches!(name.as_str(), "default" | "optional" | "format"));
    }
    value
}

fn same(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        // The data set compares strings without regard to case and some punctuation.
        (Value::String(a), Value::String(b)) => {
            let plain = |text: &str| {
                text.chars()
                    .filter(|c| !" ,./-_*^".contains(*c))
                    .flat_map(char::to_lowercase)
                    .collect::<String>()
            };
            plain(a) == plain(b)
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(allowed), Value::Object(found)) => fits(allowed, found),
        (a, b) => a == b,
    }
}

/// Returns whether arguments are allowed. `allowed` lists the values of each argument.
fn fits(allowed: &Map<String, Value>, found: &Map<String, Value>) -> bool {
    let listed = |name: &String| allowed.get(name).and_then(Value::as_array);
    found
        .iter()
        .all(|(name, value)| listed(name).is_some_and(|values| values.iter().any(|one| same(one, value))))
        && allowed.iter().all(|(name, values)| {
            let optional = values.as_array().is_some_and(|values| values.iter().any(|value| value == ""));
            optional || found.contains_key(name)
        })
}

pub(crate) fn measure() -> anyhow::Result<String> {
    let questions = lines("questions/BFCL_v4_simple_python.json")?;
    let answers: BTreeMap<String, Value> = lines("answers/BFCL_v4_simple_python.json")?
        .into_iter()
        .filter_map(|line| Some((line["id"].as_str()?.to_owned(), line["ground_truth"][0].clone())))
        .collect();
    let lar = Lar::start();
    let mut table = String::from(
        "| `tool_choice` | called | parsed | right function | right arguments |\n|---|---|---|---|---|\n",
    );
    for choice in ["auto", "required"] {
        let (mut called, mut parsed, mut named, mut right) = (0, 0, 0, 0);
        for (number, line) in questions.iter().take(QUESTIONS).enumerate() {
            if number % 25 == 0 {
                progress(&format!("  {choice}: question {number} of {QUESTIONS}"));
            }
            let function = &line["function"][0];
            let body = json!({
                "model": "default", "messages": line["question"][0], "temperature": 0, "max_tokens": 200,
                "tool_choice": choice, "tools": [{ "type": "function", "function": {
                    "name": function["name"], "description": function["description"],
                    "parameters": schema(function["parameters"].clone()),
                } }],
            });
            let answer = lar.post("/v1/chat/completions", &body);
            anyhow::ensure!(answer.status == 200, "{}: {}", line["id"], answer.body);
            let answer = answer.json();
            let Some(call) = answer["choices"][0]["message"]["tool_calls"].get(0) else { continue };
            called += 1;
            let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
            let Ok(Value::Object(arguments)) = serde_json::from_str(arguments) else { continue };
            parsed += 1;
            let expected =
                line["id"].as_str().and_then(|id| answers.get(id)).context("the question has no answer")?;
            let Some(allowed) = call["function"]["name"].as_str().and_then(|name| expected[name].as_object())
            else {
                continue;
            };
            named += 1;
            right += u32::from(fits(allowed, &arguments));
        }
        let share = |count: u32| format!("{:.0} %", 100.0 * f64::from(count) / QUESTIONS as f64);
        table += &format!(
            "| {choice} | {} | {} | {} | {} |\n",
            share(called),
            share(parsed),
            share(named),
            share(right)
        );
    }
    drop(lar);
    let own = tokio::runtime::Runtime::new()?.block_on(in_its_own_format(&questions, &answers))?;
    Ok(format!(
        "The first {QUESTIONS} questions of `simple_python` of the Berkeley Function-Calling Leaderboard\n\
         (bfcl-eval 2026.3.23), greedy, at most 200 tokens. The starter model SmolLM2-135M was not trained\n\
         to call functions: its choice of values is what is wrong here. A call that was truncated at 200 tokens\n\
         does not parse. Each column counts the calls that also pass the columns before it.\n\n\
         {table}\n{own}"
    ))
}
