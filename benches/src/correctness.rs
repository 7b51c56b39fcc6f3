//! Guarantees of the embedded engine: JSON that is valid for its schema, reproducible seeds, and a slot that
//! is free once a cancellation is confirmed.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use lar_engines::driver::{Ability, Driver as _};
use lar_engines::embedded::{ConfinementPolicy, Embedded, EmbeddedOptions};
use lar_inference::protocol::Compute;
use lar_inference::{Constraint, Event, FinishReason, GenerationRequest, Prompt, Sampling};
use lar_tests::{chat_model, program};
use serde_json::{Value, json};

use crate::progress::progress;

const SCHEMAS: usize = 100;
const ANSWERS_PER_SCHEMA: usize = 20;
const SEEDS: u32 = 64;
const RACES: u64 = 10_000;
/// Answers that are generated at the same time.
const STREAMS: usize = 8;

async fn engine(concurrency: usize) -> anyhow::Result<Arc<Embedded>> {
    let engine = Embedded::new(EmbeddedOptions {
        program: program(),
        path: chat_model(),
        template: None,
        ability: Ability::Generate,
        concurrency: u32::try_from(concurrency)?,
        context_tokens: 1024,
        compute: Compute::with_threads(lar_engines::device::threads()),
        tuning: None,
        draft: None,
        cache: lar_base::Bytes::mib(64),
        memory_max: None,
        confinement: ConfinementPolicy::BestEffort,
    });
    engine.load().await?;
    Ok(Arc::new(engine))
}

/// Generates an answer; returns its text and its terminal event.
async fn answer(engine: &Embedded, job: GenerationRequest) -> anyhow::Result<(String, Event)> {
    let mut generation = engine.generate(job)?;
    let mut text = String::new();
    while let Some(event) = generation.events.next().await {
        match event {
            Event::Delta { text: more, .. } => text.push_str(&more),
            end if end.is_terminal() => return Ok((text, end)),
            _ => {}
        }
    }
    anyhow::bail!("an answer had no terminal event")
}

/// Returns a schema that differs for every number: an object of a few fields of the common kinds. The fields
/// are bounded, so that answers of a small model end.
fn schema(number: usize) -> Value {
    let field = |kind: usize| match kind % 10 {
        0 => json!({ "type": "string", "maxLength": 12 }),
        1 => json!({ "type": "integer", "minimum": -5, "maximum": 5000 }),
        2 => json!({ "type": "number", "minimum": 0, "maximum": 1 }),
        3 => json!({ "type": "boolean" }),
        4 => json!({ "enum": ["red", "green", "blue \"quoted\""] }),
        5 => {
            json!({ "type": "array", "items": { "type": "integer", "maximum": 99 }, "minItems": 1, "maxItems": 3 })
        }
        6 => json!({ "type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$" }),
        7 => json!({ "anyOf": [{ "type": "null" }, { "type": "string", "maxLength": 6 }] }),
        8 => json!({ "$ref": "#/$defs/point" }),
        _ => json!({ "type": "string", "format": "date" }),
    };
    let names = ["name", "count", "ratio", "done", "color", "list", "code", "note", "place", "day"];
    let fields: serde_json::Map<String, Value> = (0..2 + number % 4)
        .map(|at| {
            (format!("{}_{at}", names[(number + at * 3) % 10]), field(number / 4 + at * (1 + number % 7)))
        })
        .collect();
    let required: Vec<&String> = fields.keys().filter(|name| name.len() % 2 == number % 2).collect();
    json!({
        "type": "object", "properties": fields, "required": required, "additionalProperties": false,
        "$defs": { "point": {
            "type": "object", "required": ["x", "y"], "additionalProperties": false,
            "properties": { "x": { "type": "integer", "maximum": 9999 }, "y": { "type": "integer", "maximum": 9999 } },
        } },
    })
}

pub(crate) async fn structure() -> anyhow::Result<String> {
    let engine = engine(STREAMS).await?;
    let (mut whole, mut cut, mut broken) = (0, 0, Vec::new());
    for number in 0..SCHEMAS {
        if number % 10 == 0 {
            progress(&format!("schema {number} of {SCHEMAS}"));
        }
        let schema = schema(number);
        let validator = jsonschema::options().should_validate_formats(true).build(&schema)?;
        let prompt = Prompt::Text(format!("A JSON object that fits {schema}:\n"));
        let prompt = engine.prepare(prompt).await?.prompt;
        let answers = futures_util::stream::iter(0..ANSWERS_PER_SCHEMA).map(|seed| {
            let sampling = Sampling {
                temperature: Some(1.0),
                seed: u32::try_from(number * 1000 + seed).unwrap_or(0),
                tokens_max: 256,
                constraint: Some(Constraint::JsonSchema(schema.to_string())),
                ..Sampling::default()
            };
            answer(
                &engine,
                GenerationRequest { prompt: prompt.clone(), sampling, caller: None, cache_of: None },
            )
        });
        let answers: Vec<_> = answers.buffer_unordered(STREAMS).collect().await;
        for answered in answers {
            let (text, end) = answered?;
            let fits = serde_json::from_str(&text).is_ok_and(|value: Value| validator.is_valid(&value));
            match end {
                Event::Finished(FinishReason::Length) => cut += 1,
                Event::Finished(_) if fits => whole += 1,
                end => broken.push(format!("{schema}: {text} ({end:?})")),
            }
        }
    }
    let first = broken.first().map_or_else(String::new, |first| format!(" The first: `{first}`."));
    Ok(format!(
        "{} answers at temperature 1 for {SCHEMAS} JSON schemas, {STREAMS} at a time: {whole} complete answers\n\
         parse and are valid, {} are not, {cut} were cut at 256 tokens.{first}\n",
        SCHEMAS * ANSWERS_PER_SCHEMA,
        broken.len(),
    ))
}

pub(crate) async fn seeds() -> anyhow::Result<String> {
    let engine = engine(1).await?;
    let prompt = engine.prepare(Prompt::Text("Once upon a time there was".into())).await?.prompt;
    let (mut same, mut texts) = (0, std::collections::BTreeSet::new());
    for seed in 0..SEEDS {
        let job = || {
            let sampling = Sampling { temperature: Some(1.0), seed, tokens_max: 32, ..Sampling::default() };
            GenerationRequest { prompt: prompt.clone(), sampling, caller: None, cache_of: None }
        };
        let (one, two) = (answer(&engine, job()).await?.0, answer(&engine, job()).await?.0);
        same += u32::from(one == two);
        texts.insert(one);
    }
    Ok(format!(
        "{SEEDS} seeds at temperature 1, each used twice on an idle engine: {same} gave the same 32 tokens\n\
         again; {} different answers in total.\n",
        texts.len()
    ))
}

pub(crate) async fn races() -> anyhow::Result<String> {
    let engine = engine(STREAMS).await?;
    let prompt = engine.prepare(Prompt::Text("Count from one to a hundred: one, two,".into())).await?.prompt;
    let races = futures_util::stream::iter(0..RACES).map(|race| {
        let (engine, prompt) = (engine.clone(), prompt.clone());
        async move {
            if race % 1000 == 0 {
                progress(&format!("race {race} of {RACES}"));
            }
            let sampling = Sampling { tokens_max: 3, seed: race as u32, ..Sampling::default() };
            let mut generation =
                engine.generate(GenerationRequest { prompt, sampling, caller: None, cache_of: None })?;
            let stop = generation.stop.clone();
            // The delays reach from before the first step to after the last one.
            let delay = Duration::from_micros(race * 7919 % 200_000);
            let stopping = tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                stop.cancel();
            });
            let mut ends = [0u32; 3];
            let mut late = 0u32;
            while let Some(event) = generation.events.next().await {
                late += u32::from(ends.iter().sum::<u32>() > 0);
                match event {
                    Event::Cancelled => ends[0] += 1,
                    Event::Finished(_) => ends[1] += 1,
                    Event::Failed(_) => ends[2] += 1,
                    _ => {}
                }
            }
            stopping.await?;
            anyhow::Ok((ends, late))
        }
    });
    let (mut sums, mut late, mut not_one) = ([0u32; 3], 0, 0);
    let mut races = races.buffer_unordered(STREAMS);
    while let Some(race) = races.next().await {
        let (ends, after) = race?;
        for (sum, end) in sums.iter_mut().zip(ends) {
            *sum += end;
        }
        late += after;
        not_one += u32::from(ends.iter().sum::<u32>() != 1);
    }
    // If a slot had been lost, these answers could not all finish.
    let full = futures_util::stream::iter(0..STREAMS).map(|_| {
        let sampling = Sampling { tokens_max: 4, ..Sampling::default() };
        answer(&engine, GenerationRequest { prompt: prompt.clone(), sampling, caller: None, cache_of: None })
    });
    let full: Vec<_> = full.buffer_unordered(STREAMS).collect().await;
    let free = full.into_iter().filter(|answered| matches!(answered, Ok((_, Event::Finished(_))))).count();
    Ok(format!(
        "{RACES} answers, {STREAMS} at a time, each cancelled at another moment, from before its first step to\n\
         after its last: {} were cancelled, {} had finished before, {} failed. {not_one} had another number\n\
         of terminal events than one, and {late} events followed a terminal event. Afterwards {free} of\n\
         {STREAMS} slots were free, and the worker counted {} active sequences.\n",
        sums[0],
        sums[1],
        sums[2],
        engine.worker_active().unwrap_or(u32::MAX),
    ))
}
