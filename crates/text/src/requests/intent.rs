//! The intents that a message can have.

/// The meaning of a sentence for the user's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemoryIntent {
    /// A request to remember this text.
    Remember(String),
    /// A correction: this text is right, and what the memory holds against it is wrong or outdated.
    ///
    /// The user says so themselves. The text may refer to what was said before: "it's on Friday".
    Correct {
        /// The text that is right.
        text: String,
        /// The words for what is wrong: the memory has all of these words. Empty for "it".
        object: String,
        /// Other words of the request, by which the memory is found.
        about: String,
        /// Whether the request is certainly about a memory, and not about an answer.
        is_certain: bool,
    },
    /// A request to forget one or more memories.
    Forget {
        /// The bare subject to forget, such as "my address". `None` means the memory saved last, or with `all`
        /// everything about the user.
        what: Option<String>,
        /// The parts of the subject if "and" separates several, such as "my address" and "my job".
        parts: Vec<String>,
        /// Whether to forget every memory about the subject, and not only the best match.
        all: bool,
        /// The exceptions, which stay.
        spared: Vec<Spared>,
    },
    /// A request in free words to forget memories. It counts if memories have all words of a subject.
    ForgetNamed {
        /// The bare subjects, such as "the blue kayak".
        subjects: Vec<String>,
        /// Whether to forget all memories about each subject. Otherwise, each subject names one memory.
        all: bool,
        /// The exceptions, which stay.
        spared: Vec<Spared>,
    },
    /// A question about what the memory holds.
    List {
        /// The subject. `None` means everything about the user.
        what: Option<String>,
    },
    /// A request to remind the user of a text.
    Remind {
        /// The text. Without a topic, it names a time: "tomorrow at 9 to call the bank".
        text: String,
        /// The topic whose mention makes the reminder due.
        topic: Option<String>,
    },
    /// Any other statement of the user. It may make a memory outdated, but the user asks for nothing.
    Statement {
        /// The statement, without a question after it.
        text: String,
        /// Whether it states something lasting about the user, their people or their things.
        lasting: bool,
        /// The change that it reports.
        change: Option<ReportedChange>,
    },
}

/// An exception of a request to forget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spared {
    /// The bare subject, such as "the hotel".
    pub subject: String,
    /// Whether the request excludes it: "everything but the hotel". If it fits no memory, it is not clear what may
    /// be forgotten.
    pub is_excluded: bool,
}

impl MemoryIntent {
    /// Returns a correction that may also be about an answer.
    pub(super) fn correct(text: String) -> Self {
        Self::Correct { text, object: String::new(), about: String::new(), is_certain: false }
    }
}

/// A change that a statement reports: "I sold the car", "Tom left us".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedChange {
    /// The person or thing that changed. A memory that the change makes outdated has all of these words. `None`
    /// for a change of the user's own.
    pub subject: Option<String>,
    /// The words of the change without its verb, first those of its clause, then those of the whole sentence. A
    /// memory that the change makes outdated has at least one of them.
    pub about: Vec<String>,
}
