//! Constraints on an answer: JSON, a schema, a grammar, or grammars for the tool calls in it.

use serde::{Deserialize, Serialize};

/// A constraint on an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Constraint {
    /// A JSON object with any fields.
    JsonObject,
    /// JSON that a schema accepts: the schema, as JSON text.
    JsonSchema(String),
    /// A grammar in llguidance's variant of Lark.
    Lark(String),
    /// A grammar in GBNF, llama.cpp's notation; its start rule is `root`.
    Gbnf(String),
    /// Any text, but its tool calls name existing tools and their arguments fit the tools' schemas.
    ToolCalls(Box<ToolCallGrammar>),
}

/// Grammars for tool calls in otherwise free text, for models that have a tool call format of their own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCallGrammar {
    /// The marks that open and close reasoning. Marks of calls mean nothing inside it.
    pub reasoning: Option<(String, String)>,
    /// Whether the answer starts inside reasoning.
    pub starts_in_reasoning: bool,
    /// Grammars from the start of a call to the end of the tool's name.
    pub names: Vec<TriggeredGrammar>,
    /// Grammars of the arguments, each triggered by the end of a tool's name.
    pub arguments: Vec<TriggeredGrammar>,
    /// The format of an answer that is not a tool call.
    pub text: Option<TextFormat>,
}

/// The format of an answer's text when the answer may be a tool call instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextFormat {
    /// The constraint on the text, from its first character.
    pub constraint: Constraint,
    /// Marks after which the text starts; if empty, it starts with the answer.
    pub triggers: Vec<String>,
    /// Marks of tool calls and reasoning, with which the answer may start instead.
    pub other_starts: Vec<String>,
}

/// A grammar that applies after a trigger.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriggeredGrammar {
    /// Texts that trigger it, marks of control tokens included.
    pub triggers: Vec<String>,
    /// Whether only a trigger at the start of the answer counts.
    pub only_at_start: bool,
    /// A grammar in llguidance's variant of Lark. When it is complete, the constraint ends.
    pub lark: String,
    /// Texts that may follow the complete grammar; if empty, any text may.
    pub allowed_next: Vec<String>,
}

/// A constraint as an engine applies it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedConstraint {
    /// The constraint that the engine applies, without the dropped keywords.
    pub constraint: Constraint,
    /// Paths of the schema keywords that the grammar cannot express and ignores.
    pub dropped: Vec<String>,
}
