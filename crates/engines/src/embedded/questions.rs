//! What a worker is asked that is no stream: who waits for the answer, and how texts are sent.

use tokio::sync::oneshot;

use crate::driver::{Checked, TextAnswer};
use crate::protocol;

/// Where the answer to a question goes.
#[derive(Debug)]
pub(super) enum Question {
    Tokenize(oneshot::Sender<Result<Tokenized, String>>),
    Text(oneshot::Sender<Result<TextAnswer, String>>),
    Check(oneshot::Sender<Result<Checked, String>>),
    Embed(Embedding),
}

/// What became of a prompt.
#[derive(Debug)]
pub(super) enum Tokenized {
    /// Its tokens, and how the text ends that was made of a chat.
    Tokens(Vec<u32>, String),
    /// How many it has.
    Count(u64),
    /// It has more than were allowed: at least so many.
    TooLong(u64),
}

/// An `Embed` that is under way.
#[derive(Debug)]
pub(super) struct Embedding {
    pub(super) values: Vec<Vec<f32>>,
    pub(super) answer: oneshot::Sender<Result<Embedded, String>>,
}

/// The vectors or scores of texts.
#[derive(Debug)]
pub(crate) struct Embedded {
    pub(crate) values: Vec<Vec<f32>>,
    pub(crate) tokens: u64,
    pub(crate) truncated: Vec<usize>,
}

/// Bytes of texts in one frame; frames are larger only where one text is.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// Texts as they are sent, and whether more follow.
pub(super) fn texts_in_frames(texts: Vec<String>) -> Vec<(Vec<String>, bool)> {
    let mut frames: Vec<(Vec<String>, bool)> = Vec::new();
    let mut bytes = usize::MAX;
    for mut text in texts {
        // No model reads so much; what is cut here is cut there again.
        text.truncate(text.floor_char_boundary(protocol::FRAME_BYTES_MAX / 2));
        match frames.last_mut() {
            Some((frame, _)) if bytes.saturating_add(text.len()) <= TEXT_BYTES_MAX => {
                bytes += text.len();
                frame.push(text);
            }
            last => {
                if let Some((_, more)) = last {
                    *more = true;
                }
                bytes = text.len();
                frames.push((vec![text], false));
            }
        }
    }
    frames
}
