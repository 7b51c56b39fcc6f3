//! Intentions: texts of which a person wants to be reminded, and when. `memory` decides when one is due.
//!
//! Like memories, intentions belong to a space. A space has at most a thousand active ones, and keeps the last
//! thousand that are done or cancelled. The store also records when an intention was shown to a viewer, which
//! is a conversation or a key, so that it is not repeated in every answer.

pub(crate) mod record;
pub(crate) mod rows;
#[cfg(test)]
mod tests;

use std::time::Duration;

use lar_base::{IntentionId, SpaceId, Timestamp};
use rusqlite::types::Value;
use rusqlite::{OptionalExtension as _, params_from_iter};

pub use self::record::{
    ExportedIntentions, Intention, IntentionList, IntentionPatch, IntentionPriority, IntentionStatus,
    IntentionTrigger,
};

use self::rows::{ACTIVE_MAX, check_room_in_txn, get_in_txn, prune_ended_in_txn, put_in_txn, read_intention};
use crate::answer_memories::note_erased_in_txn;
use crate::json_columns::TRIGGER;
use crate::memories::rows::{placeholders, text};
use crate::{Error, Store};

impl Store {
    /// Stores an intention. If an active one in its space has the same text and trigger, returns that one and
    /// `false`.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the space has a thousand active intentions.
    pub async fn intention_create(&self, intention: Intention) -> Result<(Intention, bool), Error> {
        self.write(move |connection| {
            let sql = "SELECT * FROM memory_intentions
                       WHERE space_id = ?1 AND status = 'active' AND content = ?2 AND due_when = ?3";
            let trigger = TRIGGER.encode(&intention.trigger)?;
            let key = (intention.space.to_string(), &intention.content, trigger);
            if let Some(same) = connection.prepare_cached(sql)?.query_row(key, read_intention).optional()? {
                return Ok((same, false));
            }
            check_room_in_txn(connection, intention.space, 1)?;
            put_in_txn(connection, &intention)?;
            Ok((intention.clone(), true))
        })
        .await
    }

    /// Returns an intention in one of these spaces.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn intention_get(&self, spaces: Vec<SpaceId>, id: IntentionId) -> Result<Intention, Error> {
        self.read(move |connection| get_in_txn(connection, &spaces, id)).await
    }

    /// Returns a page of intentions, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn intention_list(&self, list: IntentionList) -> Result<Vec<Intention>, Error> {
        self.read(move |connection| {
            let sql = format!(
                "SELECT * FROM memory_intentions
                 WHERE space_id IN ({}) AND (? IS NULL OR status = ?) AND (? IS NULL OR id < ?)
                 ORDER BY id DESC LIMIT ?",
                placeholders(list.spaces.len())
            );
            let status = Value::from(list.status.map(|status| status.as_str().to_owned()));
            let after = Value::from(list.after.map(|id| id.to_string()));
            let conditions = [status.clone(), status, after.clone(), after, Value::from(list.limit)];
            let values = list.spaces.iter().map(text).chain(conditions);
            let mut query = connection.prepare_cached(&sql)?;
            let rows = query.query_map(params_from_iter(values), read_intention)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Returns the active intentions of these spaces that are not snoozed now, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn intentions_awake(
        &self,
        spaces: Vec<SpaceId>,
        now: Timestamp,
    ) -> Result<Vec<Intention>, Error> {
        self.read(move |connection| {
            let limit = u64::from(ACTIVE_MAX).saturating_mul(spaces.len() as u64);
            let sql = format!(
                "SELECT * FROM memory_intentions
                 WHERE space_id IN ({}) AND status = 'active' AND coalesce(snoozed_until, 0) <= {}
                 ORDER BY id LIMIT {limit}",
                placeholders(spaces.len()),
                now.as_millis()
            );
            let mut query = connection.prepare(&sql)?;
            let rows = query.query_map(params_from_iter(spaces.iter().map(text)), read_intention)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Changes an intention in one of these spaces, and returns it.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] if it is snoozed but not active, or becomes active in a space
    /// that has a thousand active intentions.
    pub async fn intention_update(
        &self,
        spaces: Vec<SpaceId>,
        id: IntentionId,
        patch: IntentionPatch,
    ) -> Result<Intention, Error> {
        self.write(move |connection| {
            let before = get_in_txn(connection, &spaces, id)?;
            let patch = patch.clone();
            let status = patch.status.unwrap_or(before.status);
            let is_active = status == IntentionStatus::Active;
            if is_active && before.status != IntentionStatus::Active {
                check_room_in_txn(connection, before.space, 1)?;
            }
            if !is_active && patch.snoozed_until.flatten().is_some() {
                let reason = format!("intention {id} is {}, so it cannot be snoozed", status.as_str());
                return Err(Error::Conflict(reason));
            }
            let snoozed_until = patch.snoozed_until.unwrap_or(before.snoozed_until).filter(|_| is_active);
            let after = Intention {
                content: patch.content.unwrap_or(before.content),
                trigger: patch.trigger.unwrap_or(before.trigger),
                priority: patch.priority.unwrap_or(before.priority),
                deadline: patch.deadline.unwrap_or(before.deadline),
                status,
                snoozed_until,
                updated_at: Timestamp::now(),
                ..before
            };
            put_in_txn(connection, &after)?;
            // Whoever changed it wants to be reminded by the new values.
            connection
                .prepare_cached("DELETE FROM intention_displays WHERE intention_id = ?1")?
                .execute([id.to_string()])?;
            prune_ended_in_txn(connection, after.space)?;
            Ok(after)
        })
        .await
    }

    /// Erases an intention in one of these spaces. Call [`Store::remove_from_answers`] afterwards.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn intention_erase(&self, spaces: Vec<SpaceId>, id: IntentionId) -> Result<(), Error> {
        let erase = move |connection: &rusqlite::Connection| {
            let found = get_in_txn(connection, &spaces, id)?;
            let sql = "DELETE FROM memory_intentions WHERE id = ?1";
            connection.prepare_cached(sql)?.execute([found.id.to_string()])?;
            note_erased_in_txn(connection, &found.id.to_string())
        };
        self.erase(erase, |()| true).await
    }

    /// Records that the first `limit` of these intentions that were not shown to a viewer within `pause` are
    /// shown to it now. Returns them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn intentions_show(
        &self,
        intentions: Vec<IntentionId>,
        viewer: String,
        now: Timestamp,
        pause: Duration,
        limit: usize,
    ) -> Result<Vec<IntentionId>, Error> {
        self.write(move |connection| {
            let past = now.before(pause).as_millis();
            connection
                .prepare_cached("DELETE FROM intention_displays WHERE shown_at <= ?1")?
                .execute([past])?;
            let mut insert = connection.prepare_cached(
                "INSERT INTO intention_displays (intention_id, viewer, shown_at)
                 SELECT id, ?2, ?3 FROM memory_intentions WHERE id = ?1
                 ON CONFLICT DO NOTHING",
            )?;
            let mut record =
                connection.prepare_cached("UPDATE memory_intentions SET last_shown_at = ?2 WHERE id = ?1")?;
            let mut shown = Vec::new();
            for id in &intentions {
                if shown.len() == limit {
                    break;
                }
                let text = id.to_string();
                if insert.execute((&text, &viewer, now.as_millis()))? > 0 {
                    record.execute((&text, now.as_millis()))?;
                    shown.push(*id);
                }
            }
            Ok(shown)
        })
        .await
    }

    /// Returns at most `limit` intentions of a space after `after`, oldest first. An unreadable intention is
    /// counted and skipped.
    ///
    /// # Errors
    /// When the database fails for another reason, or so badly that the intentions cannot be listed.
    pub async fn intentions_export(
        &self,
        space: SpaceId,
        after: Option<String>,
        limit: u32,
    ) -> Result<ExportedIntentions, Error> {
        self.read(move |connection| {
            let mut page = ExportedIntentions::default();
            let mut query = connection.prepare_cached(
                "SELECT id FROM memory_intentions WHERE space_id = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
            )?;
            let key = (space.to_string(), after.as_deref().unwrap_or_default(), limit);
            let ids: Vec<String> =
                query.query_map(key, |row| row.get(0))?.collect::<Result<_, rusqlite::Error>>()?;
            for id in &ids {
                let mut query = connection.prepare_cached("SELECT * FROM memory_intentions WHERE id = ?1")?;
                match query.query_row([id], read_intention).map_err(Error::from) {
                    Ok(intention) => page.intentions.push(intention),
                    Err(error) if error.is_damage() => page.unreadable += 1,
                    Err(error) => return Err(error),
                }
            }
            page.last = ids.last().cloned();
            Ok(page)
        })
        .await
    }
}
