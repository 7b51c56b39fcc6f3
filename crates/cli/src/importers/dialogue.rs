//! The turns of a conversation as memories. Each names its speaker and follows the turn before it.

use lar_api::memories::NewMemory;

use super::parsed_export::ParsedExport;
use super::report::Location;

/// The reason for conversations whose turns are not imported.
const NOT_REQUESTED: &str = "conversations (import their turns with --conversations)";
/// The reason for the messages of a conversation that are no turns.
const NO_TURNS: &str = "conversations with messages that are no turns (tool calls, thoughts, other branches)";

/// A conversation of another program.
#[derive(Debug, Default)]
pub(super) struct Dialogue {
    /// The name of the program in the source.
    pub(super) program: &'static str,
    pub(super) id: Option<String>,
    pub(super) title: Option<String>,
    /// The time of the conversation.
    pub(super) time: Option<String>,
    /// The program's summary.
    pub(super) summary: Option<String>,
    pub(super) turns: Vec<Turn>,
    /// The number of messages that are no turns.
    pub(super) other_messages: usize,
}

/// A message of the user, or an answer.
#[derive(Debug)]
pub(super) struct Turn {
    /// The name of the speaker, as the text has it.
    pub(super) speaker: &'static str,
    /// The tag of the speaker's role.
    pub(super) role: &'static str,
    pub(super) text: String,
    pub(super) time: Option<String>,
    pub(super) id: Option<String>,
}

impl Dialogue {
    /// Adds the turns, or only names the conversation if they are not requested.
    pub(super) fn push(self, with_turns: bool, file: &Location, read: &mut ParsedExport) {
        let title = self.title.filter(|title| !title.trim().is_empty()).unwrap_or_else(|| "Untitled".into());
        let name = format!("conversation “{title}”");
        if !with_turns {
            if !self.turns.is_empty() || self.other_messages > 0 {
                let count = self.turns.len();
                read.skip(file.item(format!("{name} with {count} turns")), NOT_REQUESTED);
            }
            return;
        }
        if self.other_messages > 0 {
            read.skip(file.item(format!("{name} with {} of them", self.other_messages)), NO_TURNS);
        }
        if let Some(summary) = self.summary.filter(|summary| !summary.trim().is_empty()) {
            let memory = NewMemory {
                content: format!("Summary of the conversation “{title}”: {}", summary.trim()),
                kind: Some("note".into()),
                tags: vec!["summary".into()],
                source: Some(format!("{}: {title}", self.program)),
                occurred_at: self.time,
                conversation: self.id.clone(),
                ..NewMemory::default()
            };
            read.push(file.item(format!("{name}, summary")), memory);
        }
        let mut before = None;
        for (number, turn) in (1..).zip(self.turns) {
            if turn.text.trim().is_empty() {
                continue;
            }
            let memory = NewMemory {
                content: format!("{}: {}", turn.speaker, turn.text.trim()),
                kind: Some("note".into()),
                tags: vec!["dialogue".into(), turn.role.into()],
                source: Some(format!("{}: {title}", self.program)),
                occurred_at: turn.time,
                conversation: self.id.clone(),
                message: turn.id,
                ..NewMemory::default()
            };
            before = read.push_turn(file.item(format!("{name}, turn {number}")), memory, before).or(before);
        }
    }
}
