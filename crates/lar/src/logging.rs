//! The log: one line per event. JSON, or short lines if standard error is a terminal.

mod fields;
mod lines;

use std::fmt;
use std::io::IsTerminal as _;

use lar_base::Timestamp;
use lar_base::deprecation::LOG_TARGET;
use lar_base::terminal::plain_json;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

use fields::PlainFields;
use lines::{Guard, Lines};

/// Filters for libraries that log too much; they apply in addition to the setting. `secrets_scanner` logs
/// every start at `info`. `rmcp` logs several lines for each tool call, and at `debug` the arguments.
const QUIET: &[&str] = &["secrets_scanner=warn", "rmcp=error"];

/// Starts logging to standard error, with a filter that [`check_filter`] accepts. Dropping the guard writes
/// the remaining lines. Client commands ignore the filter: they log only errors and warnings about deprecated
/// names.
#[must_use]
pub(crate) fn start(filter: &str, serving: bool) -> Guard {
    let filter_text = match serving {
        true => filter.to_owned(),
        false => format!("error,{LOG_TARGET}=warn"),
    };
    // `Config::load` has already checked the filter.
    let filter = EnvFilter::try_new(filter_text).unwrap_or_else(|_| EnvFilter::new("info"));
    let filter = QUIET.iter().filter_map(|quiet| quiet.parse().ok()).fold(filter, EnvFilter::add_directive);
    let (lines, guard) = Lines::to(std::io::stderr());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(lines);
    if serving && !std::io::stderr().is_terminal() {
        builder.event_format(JsonLines).init();
    } else {
        let has_colors = std::io::stderr().is_terminal();
        builder.with_target(false).compact().with_ansi(has_colors).fmt_fields(PlainFields).init();
    }
    guard
}

/// Checks a log filter. [`EnvFilter`] takes a word that is not a level for a module name, and then logs
/// nothing else. So a word must be a level, or start with `lar`.
///
/// # Errors
/// If the filter is invalid; the message says what is allowed.
pub(crate) fn check_filter(filter: &str) -> Result<(), String> {
    let forms = "use a level (error, warn, info, debug), or a filter such as info,lar_engines=debug";
    EnvFilter::try_new(filter)
        .map_err(|error| format!("`{filter}` is not a valid filter ({error}); {forms}"))?;
    let is_word = |part: &&str| part.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | ':' | '-'));
    let is_known = |part: &&str| part.parse::<LevelFilter>().is_ok() || part.starts_with("lar");
    match filter.split(',').find(|part| is_word(part) && !is_known(part)) {
        Some(word) => Err(format!("`{word}` is not a level; {forms}")),
        None => Ok(()),
    }
}

/// Formats an event as a JSON object with `ts`, `level`, `service`, and the fields of the event.
struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields(Map::new());
        fields.0.insert("ts".into(), Timestamp::now().to_string().into());
        fields.0.insert("level".into(), event.metadata().level().as_str().to_ascii_lowercase().into());
        fields.0.insert("service".into(), event.metadata().target().split("::").next().into());
        event.record(&mut fields);
        writeln!(writer, "{}", plain_json(&Value::Object(fields.0).to_string()))
    }
}

struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().into(), format!("{value:?}").into());
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().into(), value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().into(), value.into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().into(), value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().into(), value.into());
    }
}
