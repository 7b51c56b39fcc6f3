//! The proposals of runs: listing and rejecting them. Accepting one is a decision about memories.

use lar_base::{ProposalId, RunId, SpaceId};
use rusqlite::params_from_iter;
use rusqlite::types::Value;

use super::record::Proposal;
use super::rows::{
    add_members_in_txn, decide_proposal_in_txn, open_condition, proposal_in_txn, read_proposal,
};
use crate::memories::rows::{placeholders, text};
use crate::{Error, Store};

impl Store {
    /// Returns at most `limit` open proposals in these spaces, newest first; with `after`, only those before it, and
    /// with `run`, only those of this run.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn proposals_open(
        &self,
        spaces: Vec<SpaceId>,
        run: Option<RunId>,
        after: Option<ProposalId>,
        limit: u32,
    ) -> Result<Vec<Proposal>, Error> {
        self.read(move |connection| {
            let sql = format!(
                "SELECT * FROM consolidation_proposals
                 WHERE space_id IN ({}) AND (? IS NULL OR run_id = ?) AND (? IS NULL OR id < ?) AND {}
                 ORDER BY id DESC LIMIT ?",
                placeholders(spaces.len()),
                open_condition()
            );
            let [run, after] =
                [run.map(|id| id.to_string()), after.map(|id| id.to_string())].map(Value::from);
            let rest = [run.clone(), run, after.clone(), after, Value::from(limit)];
            let mut query = connection.prepare_cached(&sql)?;
            let rows =
                query.query_map(params_from_iter(spaces.iter().map(text).chain(rest)), read_proposal)?;
            let mut proposals: Vec<Proposal> = rows.collect::<Result<_, _>>()?;
            for proposal in &mut proposals {
                add_members_in_txn(connection, proposal)?;
            }
            Ok(proposals)
        })
        .await
    }

    /// Returns a proposal in one of these spaces, open or not.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn proposal_get(&self, spaces: Vec<SpaceId>, id: ProposalId) -> Result<Proposal, Error> {
        self.read(move |connection| proposal_in_txn(connection, &spaces, id)).await
    }

    /// Rejects a proposal, which is never made again.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] when the proposal is not open.
    pub async fn proposal_reject(&self, spaces: Vec<SpaceId>, id: ProposalId) -> Result<(), Error> {
        self.write(move |connection| decide_proposal_in_txn(connection, &spaces, id, None)).await
    }
}
