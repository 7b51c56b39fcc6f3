//! `lar top`: shows engines, memory and recent tasks, updated every second until `q`, Esc or Ctrl+C.

use std::time::Duration;

use lar_api::Page;
use lar_api::models::{Devices, Pool};
use lar_api::tasks::Task;

use crate::output::{Output, plain_lines, size, table};
use crate::terminal::{HiddenKeys, key};
use crate::{Client, ps};

/// The time between two updates.
const EVERY: Duration = Duration::from_secs(1);
/// The number of tasks on the screen.
const TASKS: usize = 12;

/// The keys that quit: `q` and Esc.
const LEAVE_KEYS: &[u8] = b"qQ\x1b";
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K\n";
const CLEAR_BELOW: &str = "\x1b[J";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

pub(crate) async fn run(client: &Client, output: &Output, lar: &str) -> anyhow::Result<()> {
    if output.json || !output.terminal {
        anyhow::bail!("`lar top` needs a terminal; programs can use `lar ps --json`");
    }
    let hidden = HiddenKeys::new();
    output.text(ENTER)?;
    let ended = tokio::select! {
        ended = draw(client, output, lar) => ended,
        () = key(LEAVE_KEYS) => Ok(()),
        stopped = tokio::signal::ctrl_c() => stopped.map_err(Into::into),
    };
    output.text(LEAVE)?;
    drop(hidden);
    ended
}

async fn draw(client: &Client, output: &Output, lar: &str) -> anyhow::Result<()> {
    loop {
        let pools: Page<Pool> = client.get("pools").await?;
        let devices: Devices = client.get("devices").await?;
        let tasks: Page<Task> = client.get(&format!("tasks?limit={TASKS}")).await?;
        output.text(&frame(&screen(&pools.data, &devices, &tasks.data, lar)))?;
        tokio::time::sleep(EVERY).await;
    }
}

/// Returns the text that draws a screen over the previous one. Only the escape sequences added here control
/// the terminal.
fn frame(screen: &str) -> String {
    format!("{HOME}{}{CLEAR_LINE}{CLEAR_BELOW}", plain_lines(screen).replace('\n', CLEAR_LINE))
}

fn screen(pools: &[Pool], devices: &Devices, tasks: &[Task], lar: &str) -> String {
    let used = devices.memory_bytes.saturating_sub(devices.memory_available_bytes);
    let share = used * 100 / devices.memory_bytes.max(1);
    let memory = format!("{} of {} ({share}%)", size(used), size(devices.memory_bytes));
    let head = format!("threads {}   memory {memory}   q quits", devices.threads);
    let tasks = if tasks.is_empty() {
        "No tasks yet.".to_owned()
    } else {
        table(
            &["started", "model", "api", "state", "in>", "out>", "ttft>", "tokens/s>"],
            tasks.iter().map(row),
        )
    };
    format!("{head}\n\n{}\n\n{tasks}", ps::list(pools, lar))
}

fn row(task: &Task) -> Vec<String> {
    let number = |value: Option<u64>| value.map_or_else(String::new, |value| value.to_string());
    let state = match &task.error {
        Some(error) => error.code.clone(),
        None => task.finish_reason.clone().unwrap_or_else(|| task.state.to_string()),
    };
    // `decode_ms` does not include the time to the first token.
    let speed = match (task.tokens_out, task.decode_ms) {
        (Some(tokens @ 2..), Some(millis @ 1..)) => {
            format!("{:.1}", (tokens - 1) as f64 * 1000.0 / millis as f64)
        }
        _ => String::new(),
    };
    vec![
        task.created_at.get(11..19).unwrap_or_default().to_owned(),
        task.model.clone(),
        task.api.clone(),
        state,
        number(task.tokens_in),
        number(task.tokens_out),
        task.ttft_ms.map_or_else(String::new, |millis| format!("{millis} ms")),
        speed,
    ]
}

#[cfg(test)]
mod tests {
    use lar_api::tasks::TaskState;

    use super::*;

    #[test]
    fn screens() {
        let devices = Devices {
            threads: 8,
            memory_bytes: 32 << 30,
            memory_available_bytes: 24 << 30,
            graphics: Vec::new(),
        };
        let task = Task {
            id: "task_01".into(),
            state: TaskState::End,
            model: "qwen3-4b".into(),
            workload: "completion".into(),
            priority: "interactive".into(),
            memory: None,
            api: "openai.chat".into(),
            conversation_id: None,
            created_at: "2026-11-21T10:00:00.000Z".into(),
            ended_at: Some("2026-11-21T10:00:05.000Z".into()),
            finish_reason: Some("stop".into()),
            error: None,
            tokens_in: Some(31),
            tokens_out: Some(101),
            queue_ms: Some(0),
            ttft_ms: Some(210),
            decode_ms: Some(4000),
        };
        let running = Task {
            state: TaskState::Running,
            finish_reason: None,
            tokens_in: None,
            tokens_out: None,
            ttft_ms: None,
            decode_ms: None,
            ..task.clone()
        };
        insta::assert_snapshot!("top", screen(&[ps::tests::pool()], &devices, &[running, task], "lar"));
        insta::assert_snapshot!("top_none", screen(&[], &devices, &[], "lar"));
    }

    #[test]
    fn names_on_the_screen_do_not_control_the_terminal() {
        let pool = Pool {
            id: "owl\u{1b}[31m\nrow".into(),
            last_error: Some("no\u{9b}2J file".into()),
            ..ps::tests::pool()
        };
        let devices =
            Devices { threads: 8, memory_bytes: 0, memory_available_bytes: 0, graphics: Vec::new() };
        let screen = screen(&[pool], &devices, &[], "lar");
        assert!(
            screen.ends_with("\n\nowl\u{fffd}[31m\u{fffd}row: no\u{fffd}2J file\n\nNo tasks yet."),
            "{screen:?}"
        );
        let ours = screen.replace('\n', CLEAR_LINE);
        assert_eq!(frame(&screen), format!("{HOME}{ours}{CLEAR_LINE}{CLEAR_BELOW}"));
        assert_eq!(
            frame("a\u{1b}[31m\nb"),
            format!("{HOME}a\u{fffd}[31m{CLEAR_LINE}b{CLEAR_LINE}{CLEAR_BELOW}")
        );
    }
}
