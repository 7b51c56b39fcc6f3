//! `lar memory consolidation`: what Lar finds when it compares memories in idle hours, and the decisions about that.

use std::time::Duration;

use clap::Subcommand;
use lar_api::Page;
use lar_api::memories::{
    AcceptedProposal, AcceptedRun, Consolidation, ConsolidationActivity, ConsolidationRun, Proposal,
    UndoneRun,
};
use serde_json::{Value, json};

use crate::client::Client;
use crate::output::{Output, plain};
use crate::url_path::encode_segment;

/// The interval between looks at the progress.
const EVERY: Duration = Duration::from_millis(500);
/// The number of runs that are shown.
const RUNS: u32 = 5;

/// The subcommands of `lar memory consolidation`.
#[derive(Debug, Clone, Subcommand)]
pub enum ConsolidationCommand {
    /// Show what Lar proposes, and the last runs
    Show,
    /// Compare new and changed memories now
    Run,
    /// Accept a proposal, or all proposals of a run
    Accept {
        /// The id of the proposal or of the run
        id: String,
    },
    /// Reject a proposal, so that it is not made again
    Reject {
        /// The id of the proposal
        id: String,
    },
    /// Undo a run: take back what you accepted from it, and withdraw the rest
    Undo {
        /// The id of the run
        id: String,
    },
}

pub(super) async fn consolidation(
    client: &Client,
    output: &Output,
    command: ConsolidationCommand,
    lar: &str,
) -> anyhow::Result<()> {
    match command {
        ConsolidationCommand::Show => {
            let state: Consolidation = client.get("memories/consolidation").await?;
            let proposals: Page<Proposal> = client.get("memories/consolidation/proposals?limit=200").await?;
            let runs: Page<ConsolidationRun> =
                client.get(&format!("memories/consolidation/runs?limit={RUNS}")).await?;
            let value = json!({ "state": state, "proposals": proposals.data, "runs": runs.data });
            output.show(&value, || render(state, &proposals.data, &runs.data, lar))
        }
        ConsolidationCommand::Run => {
            let started: ConsolidationRun = client.post("memories/consolidation/runs", &json!({})).await?;
            let run = wait(client, output, started).await?;
            let path = format!("memories/consolidation/proposals?limit=200&run={}", encode_segment(&run.id));
            let proposals: Page<Proposal> = client.get(&path).await?;
            let value = json!({ "run": run, "proposals": proposals.data });
            output.show(&value, || render_ended(&run, &proposals.data, lar))
        }
        ConsolidationCommand::Accept { id } if id.starts_with("run_") => {
            let path = format!("memories/consolidation/runs/{}/accept", encode_segment(&id));
            let done: AcceptedRun = client.post(&path, &json!({})).await?;
            output.show(&done, || {
                let mut lines = vec![format!(
                    "Accepted {}.",
                    counted(done.accepted.len() as u64, "proposal", "proposals")
                )];
                let conflicts = done.conflicts.iter();
                lines.extend(conflicts.map(|one| format!("{}: {}", one.proposal, plain(&one.reason))));
                lines.push(format!("To undo: {lar} memory consolidation undo {id}"));
                lines.join("\n")
            })
        }
        ConsolidationCommand::Accept { id } => {
            let path = format!("memories/consolidation/proposals/{}/accept", encode_segment(&id));
            let done: AcceptedProposal = client.post(&path, &json!({})).await?;
            output.show(&done, || match done.memories.first() {
                Some(first) => format!("Accepted. To undo: {lar} memory undo {}", first.id),
                None => "Accepted.".into(),
            })
        }
        ConsolidationCommand::Reject { id } => {
            let path = format!("memories/consolidation/proposals/{}/reject", encode_segment(&id));
            let _: Value = client.post(&path, &json!({})).await?;
            output.show(&Value::Null, || "Rejected.".into())
        }
        ConsolidationCommand::Undo { id } => {
            let path = format!("memories/consolidation/runs/{}/undo", encode_segment(&id));
            let done: UndoneRun = client.post(&path, &json!({})).await?;
            output.show(&done, || render_undone(&done))
        }
    }
}

/// Waits for the end of a run.
async fn wait(
    client: &Client,
    output: &Output,
    mut run: ConsolidationRun,
) -> anyhow::Result<ConsolidationRun> {
    let progress = output.waiting("Lar compares memories");
    let path = format!("memories/consolidation/runs/{}", encode_segment(&run.id));
    while run.ended_at.is_none() {
        tokio::time::sleep(EVERY).await;
        run = client.get(&path).await?;
        progress.set_message(format!("Lar compares memories: {}", run.memories));
    }
    progress.finish_and_clear();
    Ok(run)
}

fn render(state: Consolidation, proposals: &[Proposal], runs: &[ConsolidationRun], lar: &str) -> String {
    let now = match state.activity {
        ConsolidationActivity::Off => "Off: Lar compares no memories.",
        ConsolidationActivity::Comparing => "Lar compares memories.",
        ConsolidationActivity::Waiting => "Lar will compare memories when nothing else runs.",
        ConsolidationActivity::Idle | ConsolidationActivity::Unknown => "Idle.",
    };
    let mut lines = vec![now.to_owned()];
    if state.to_compare > 0 {
        lines.push(format!("To compare: {}.", counted(state.to_compare, "memory", "memories")));
    }
    lines.extend(render_proposals(proposals, lar));
    if state.open_links > 0 {
        lines.push(format!(
            "{} may be outdated: {lar} memory links list",
            counted(state.open_links, "memory", "memories")
        ));
    }
    lines.extend(runs.iter().map(render_run));
    lines.join("\n")
}

fn render_ended(run: &ConsolidationRun, proposals: &[Proposal], lar: &str) -> String {
    let mut lines = vec![format!(
        "Compared {} in {}: {}.",
        counted(run.memories, "memory", "memories"),
        counted(run.pairs, "pair", "pairs"),
        render_findings(run)
    )];
    lines.extend(render_proposals(proposals, lar));
    if run.links > 0 {
        lines.push(format!("To decide about possibly outdated memories: {lar} memory links list"));
    }
    if !proposals.is_empty() || run.links > 0 {
        lines.push(format!("To undo all: {lar} memory consolidation undo {}", run.id));
    }
    lines.join("\n")
}

fn render_proposals(proposals: &[Proposal], lar: &str) -> Vec<String> {
    let mut lines: Vec<String> = proposals.iter().map(render_proposal).collect();
    if !proposals.is_empty() {
        lines.push(format!("To decide: {lar} memory consolidation accept|reject ID"));
    }
    lines
}

fn render_proposal(proposal: &Proposal) -> String {
    let mut lines = vec![format!("{}  {}", proposal.id, plain(&proposal.reason))];
    if let (Some(keep), Some(supersede)) = (&proposal.keep, &proposal.supersede) {
        lines.push(format!("  keep       {}", plain(&keep.content)));
        lines.push(format!("  supersede  {}", plain(&supersede.content)));
    }
    if let Some(tag) = &proposal.tag {
        lines.push(format!("  add the tag {}:", plain(tag)));
        lines.extend(proposal.memories.iter().map(|memory| format!("  {}", plain(&memory.content))));
    }
    lines.join("\n")
}

fn render_run(run: &ConsolidationRun) -> String {
    let started_at = run.started_at[..run.started_at.len().min(16)].replace('T', " ");
    let state = match (&run.undone_at, &run.ended_at) {
        (Some(_), _) => ", undone",
        (None, None) => ", goes on",
        (None, Some(_)) => "",
    };
    format!("{}  {started_at}  {}; {} accepted{state}", run.id, render_findings(run), run.accepted)
}

fn render_findings(run: &ConsolidationRun) -> String {
    format!(
        "{}, {}, {}",
        counted(run.duplicates, "duplicate", "duplicates"),
        counted(run.links, "possibly outdated memory", "possibly outdated memories"),
        counted(run.themes, "theme", "themes")
    )
}

fn render_undone(done: &UndoneRun) -> String {
    let mut lines = vec![format!(
        "Undone: {} changed back, {} withdrawn.",
        counted(done.memories.len() as u64, "memory", "memories"),
        done.withdrawn
    )];
    lines.extend(done.conflicts.iter().map(|one| format!("{} stays: {}", one.memory, plain(&one.reason))));
    lines.join("\n")
}

fn counted(number: u64, one: &str, more: &str) -> String {
    crate::output::counted(usize::try_from(number).unwrap_or(usize::MAX), one, more)
}
