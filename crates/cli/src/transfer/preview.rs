//! The dry run of an import of memories and intentions: it asks the server about the lines, and stores nothing.
//!
//! The server decides about each request by itself. The lines of earlier requests are remembered here, because the
//! import would have stored them.

use std::collections::HashSet;

use anyhow::{anyhow, ensure};
use lar_api::memories::{DryRunOutcome, ImportDryRun, ImportLineResult};

use super::{NumberedLine, body_of, line_reason, not_saved};
use crate::importers::report::{ImportReport, Location, Notice};
use crate::{ApiError, Client};

/// The lines that the import would have stored so far.
#[derive(Debug, Default)]
pub(super) struct Preview {
    ids: HashSet<String>,
    digests: HashSet<String>,
    active_intentions: u32,
}

/// The decision about a line.
#[derive(Debug, PartialEq)]
enum Decision {
    Create,
    Unchanged,
    Refuse(String),
}

impl Preview {
    /// Counts in `report` what an import of these lines would do. Sends them in one request; if the server refuses
    /// the request as a whole, in halves.
    ///
    /// # Errors
    /// If the server cannot be reached, or has no dry run.
    pub(super) async fn lines(
        &mut self,
        client: &Client,
        location: &Location,
        lines: &[NumberedLine],
        report: &mut ImportReport,
    ) -> anyhow::Result<()> {
        let mut waiting = vec![lines];
        while let Some(part) = waiting.pop() {
            if part.is_empty() {
                continue;
            }
            match client.post_lines::<ImportDryRun>("memories/import/dry-run", body_of(part)).await {
                Ok(decided) => self.count(part, decided, location, report)?,
                Err(error) if is_unknown_path(&error) => {
                    return Err(anyhow!("this Lar is too old for a dry run"));
                }
                Err(error) => not_saved(error, part, location, &mut waiting, report)?,
            }
        }
        Ok(())
    }

    fn count(
        &mut self,
        part: &[NumberedLine],
        decided: ImportDryRun,
        location: &Location,
        report: &mut ImportReport,
    ) -> anyhow::Result<()> {
        let ImportDryRun { items, active_intentions_left } = decided;
        ensure!(
            items.len() == part.len(),
            "the server decided about {} of {} lines",
            items.len(),
            part.len()
        );
        for ((number, _), item) in part.iter().zip(items) {
            match self.decide(item, active_intentions_left) {
                Decision::Create => report.created += 1,
                Decision::Unchanged => report.unchanged += 1,
                Decision::Refuse(reason) => {
                    report.failed.push(Notice { location: location.line(*number), reason });
                }
            }
        }
        Ok(())
    }

    /// Decides about a line after those of earlier requests. The space can have `active_left` more active
    /// intentions than it has.
    fn decide(&mut self, item: ImportLineResult, active_left: u32) -> Decision {
        match item.outcome {
            DryRunOutcome::Duplicate => return Decision::Unchanged,
            DryRunOutcome::Refuse => return Decision::Refuse(line_reason(&item.reason.unwrap_or_default())),
            DryRunOutcome::Create | DryRunOutcome::Unknown => {}
        }
        let is_in =
            |seen: &HashSet<String>, one: &Option<String>| one.as_ref().is_some_and(|one| seen.contains(one));
        if is_in(&self.ids, &item.id) || is_in(&self.digests, &item.digest) {
            return Decision::Unchanged;
        }
        if item.active_intention {
            if self.active_intentions >= active_left {
                let full = "the space has as many active intentions as it can have; complete or delete some";
                return Decision::Refuse(full.into());
            }
            self.active_intentions += 1;
        }
        self.ids.extend(item.id);
        self.digests.extend(item.digest);
        Decision::Create
    }
}

fn is_unknown_path(error: &anyhow::Error) -> bool {
    error.downcast_ref::<ApiError>().is_some_and(|ApiError(problem)| [404, 405].contains(&problem.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(id: &str, digest: Option<&str>, active_intention: bool) -> ImportLineResult {
        ImportLineResult {
            line: 1,
            outcome: DryRunOutcome::Create,
            id: Some(id.into()),
            digest: digest.map(ToOwned::to_owned),
            active_intention,
            reason: None,
        }
    }

    #[test]
    fn lines_of_earlier_requests_count_as_stored() {
        let mut preview = Preview::default();
        assert_eq!(preview.decide(item("mem_1", Some("a"), false), 1), Decision::Create);
        assert_eq!(preview.decide(item("mem_1", Some("b"), false), 1), Decision::Unchanged);
        assert_eq!(preview.decide(item("mem_2", Some("a"), false), 1), Decision::Unchanged);
        assert_eq!(preview.decide(item("mem_2", Some("b"), false), 1), Decision::Create, "it was not stored");
        assert_eq!(preview.decide(item("mem_3", None, false), 1), Decision::Create, "a deleted memory");
        assert_eq!(preview.decide(item("int_1", None, true), 1), Decision::Create);
        assert!(
            matches!(preview.decide(item("int_2", None, true), 1), Decision::Refuse(_)),
            "the space is full"
        );
        assert_eq!(preview.decide(item("int_3", None, false), 1), Decision::Create, "it is done");
    }
}
