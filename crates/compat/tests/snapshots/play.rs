//! Plays scripts with the codec of an API, and checks what holds for every script.

use std::time::Duration;

use lar_base::{Problem, TaskId, Timestamp};
use lar_compat::{Answer, AnswerEvent, Codec, Encoder, Frame, Head};
use lar_inference::{FinishReason, TaskEvent};
use serde::Serialize;
use serde_json::{Value, json};

use crate::output::{Output, text_of};
use crate::scripts::{self, PROMPT_TOKENS, Step, TOKENS_IN};

/// The time at which every request arrives.
pub(crate) const RECEIVED_AT: Timestamp = Timestamp::from_millis(1_700_000_000_000);
/// The time from one event to the next.
const BETWEEN_EVENTS: Duration = Duration::from_millis(100);

/// A decoded request, whose response can be played.
pub(crate) trait Respond: Sized {
    /// The encoder of the stream.
    type Encoder: Encoder;

    /// Creates the encoder of the request's stream.
    fn encoder(self) -> Self::Encoder;

    /// Returns the body of the response without a stream.
    ///
    /// # Errors
    /// The error that is sent instead of a response.
    fn whole(self, script: &[Step]) -> Result<String, Problem>;
}

/// A decoded request of an endpoint with a codec.
pub(crate) struct CodecRequest<C: Codec> {
    pub(crate) style: C::Style,
    /// The number of answers.
    pub(crate) answers: usize,
}

impl<C: Codec> Respond for CodecRequest<C> {
    type Encoder = C::Encoder;

    fn encoder(self) -> C::Encoder {
        C::encoder(head(self.answers), self.style)
    }

    fn whole(self, script: &[Step]) -> Result<String, Problem> {
        let answers = answers(self.answers, script)?;
        Ok(pretty(&C::whole(&head(self.answers), answers, &self.style)))
    }
}

/// The API of a request.
pub(crate) trait Api: Respond {
    /// Decodes a request, which must be valid.
    fn decode(body: &Value) -> Self;

    /// Adds to a script the contents that engines report for every request of this API.
    fn complete(_script: &mut [Step]) {}

    /// Returns the body of an error.
    fn error(problem: &Problem) -> String;

    /// Checks the form of a complete stream.
    fn check_frames(frames: &[Frame]);

    /// Checks that a stream ends with the error; `data` are the values of its frames.
    fn check_failure(data: &[Value], problem: &Problem) {
        assert_eq!(data.last(), Some(&parse(&Self::error(problem))));
    }

    /// Returns the output of each answer in the values of a stream.
    fn streamed(data: &[Value]) -> Vec<Output>;

    /// Returns the output of each answer in a whole body.
    fn collected(body: &Value) -> Vec<Output>;

    /// Returns whether the stream of a request reports the usage.
    fn streams_usage(_body: &Value) -> bool {
        true
    }

    /// Returns the output in the whole body, from the output in the stream of the same answers.
    fn whole_of(streamed: Vec<Output>) -> Vec<Output> {
        streamed
    }
}

/// The forms of a response that a row of a table has a snapshot of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forms {
    /// The stream, `API_stream_NAME`.
    Stream,
    /// The whole body or the error, `API_whole_NAME`.
    Whole,
    /// Both.
    Both,
}

/// A row of an API's table: the name of its snapshots, the name of its script, its forms and its request.
pub(crate) type Row = (&'static str, &'static str, Forms, Value);

/// Returns the names and the texts of the snapshots of an API's table.
pub(crate) fn snapshots<A: Api>(api: &str, rows: impl IntoIterator<Item = Row>) -> Vec<(String, String)> {
    let mut snapshots = Vec::new();
    for (name, script, forms, body) in rows {
        let (stream, whole) = play::<A>(&body, &scripts::named(script));
        if forms != Forms::Whole {
            snapshots.push((format!("{api}_stream_{name}"), stream));
        }
        if forms != Forms::Stream {
            snapshots.push((format!("{api}_whole_{name}"), whole));
        }
    }
    snapshots
}

/// Returns the stream, and the whole body or the error that replaces it, of a scripted request.
///
/// Checks that they have the same contents, finish reasons and usage.
pub(crate) fn play<A: Api>(body: &Value, script: &[Step]) -> (String, String) {
    let mut script = script.to_vec();
    A::complete(&mut script);
    let request = |is_streamed: bool| A::decode(&with(body.clone(), json!({ "stream": is_streamed })));
    let frames = stream(&mut request(true).encoder(), &script);
    A::check_frames(&frames);
    let data = data(&frames);
    let whole = match request(false).whole(&script) {
        Ok(whole) => {
            let mut expected = A::collected(&parse(&whole));
            if !A::streams_usage(body) {
                expected.iter_mut().for_each(|output| output.usage = Value::Null);
            }
            assert_eq!(A::whole_of(A::streamed(&data)), expected);
            whole
        }
        Err(problem) => {
            A::check_failure(&data, &problem);
            A::error(&problem)
        }
    };
    (text(&frames), whole)
}

/// Returns the frames of a script's events that come after the end of a stream.
pub(crate) fn frames_after_end<A: Api>(body: &Value, script: &[Step]) -> Vec<Frame> {
    let mut encoder = A::decode(&with(body.clone(), json!({ "stream": true }))).encoder();
    stream(&mut encoder, script);
    let mut frames = Vec::new();
    for_each_event(script, |event| frames.extend(encoder.push(event)));
    assert!(encoder.is_over(), "the stream is not over any more");
    frames
}

/// Returns the frames of a script's events if they belong to an answer that the request does not have.
pub(crate) fn frames_of_unknown_answer<A: Api>(body: &Value, script: &[Step]) -> Vec<Frame> {
    let mut encoder = A::decode(&with(body.clone(), json!({ "stream": true }))).encoder();
    let mut frames = Vec::new();
    encoder.start();
    for_each_event(script, |event| {
        frames.extend(encoder.push(&AnswerEvent { answer: event.answer + 1, ..event.clone() }));
    });
    assert!(!encoder.is_over(), "the answer is not over");
    frames
}

/// Returns the frames of a stream, which must end with the last event of the script.
pub(crate) fn stream(encoder: &mut impl Encoder, script: &[Step]) -> Vec<Frame> {
    let mut frames = encoder.start();
    for_each_event(script, |event| {
        assert!(!encoder.is_over(), "the stream was over before {:?}", event.event);
        let so_far = event.so_far.clone().filter(|_| encoder.needs_timings());
        frames.extend(encoder.push(&AnswerEvent { so_far, ..event.clone() }));
    });
    assert!(encoder.is_over(), "the stream has no end");
    frames
}

/// Returns the complete answers of a script.
///
/// # Errors
/// The error of the first answer that failed or was cancelled.
pub(crate) fn answers(count: usize, script: &[Step]) -> Result<Vec<Answer>, Problem> {
    let (mut answers, mut result) = (vec![Answer::default(); count], Ok(()));
    for_each_event(script, |event| {
        if result.is_ok() {
            result = Answer::add(&mut answers, task(), event);
        }
    });
    result?;
    Answer::check_ended(&answers)?;
    Ok(answers)
}

/// Calls a function with each event of a script.
pub(crate) fn for_each_event(script: &[Step], mut receive: impl FnMut(&AnswerEvent<'_>)) {
    let mut tokens_out = 0;
    for (step, number) in script.iter().zip(1_u32..) {
        match &step.event {
            TaskEvent::Token { index, .. } | TaskEvent::Reasoning { index, .. } => tokens_out = *index,
            TaskEvent::Call(_) => tokens_out += 1,
            _ => {}
        }
        let so_far = (tokens_out > 0).then(|| scripts::summary(FinishReason::Stop, tokens_out));
        receive(&AnswerEvent {
            answer: step.answer,
            event: &step.event,
            elapsed: BETWEEN_EVENTS * number,
            so_far,
            is_cut: step.is_cut,
        });
    }
}

/// Returns the id of every request's first task.
pub(crate) fn task() -> TaskId {
    "task_0193e4b6a1d27c3f8a5b9d0e1f2a3b4c".parse().unwrap()
}

/// Returns the facts about a request for this number of answers.
pub(crate) fn head(answers: usize) -> Head {
    Head {
        task: task(),
        model: "qwen3-4b".into(),
        received_at: RECEIVED_AT,
        tokens_in: vec![TOKENS_IN; answers],
        fingerprint: "lar-0.1.0-0a1b2c3d".into(),
    }
}

/// Returns the prompt of every request.
pub(crate) fn prompt() -> String {
    PROMPT_TOKENS.concat()
}

/// Returns a body with more fields.
pub(crate) fn with(mut body: Value, more: Value) -> Value {
    let Value::Object(more) = more else { panic!("the fields are no object") };
    body.as_object_mut().unwrap().extend(more);
    body
}

/// Parses a body or the data of a frame.
pub(crate) fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Formats a body over several lines.
pub(crate) fn pretty(body: &impl Serialize) -> String {
    serde_json::to_string_pretty(body).unwrap()
}

/// Returns a stream as it goes over the network.
pub(crate) fn text(frames: &[Frame]) -> String {
    let mut text = String::new();
    for frame in frames {
        frame.write_to(&mut text);
    }
    text
}

/// Returns the JSON of each frame that has any.
pub(crate) fn data(frames: &[Frame]) -> Vec<Value> {
    let data = frames.iter().filter_map(|frame| match frame {
        Frame::Event { data, .. } | Frame::Line(data) => Some(parse(data)),
        Frame::Comment(_) | Frame::Done => None,
    });
    data.collect()
}

/// Checks that the last frame is `[DONE]`, and no other.
pub(crate) fn check_done(frames: &[Frame]) {
    assert_eq!(frames.iter().position(|frame| *frame == Frame::Done), Some(frames.len() - 1));
}

/// Checks that the name of each event is its type.
pub(crate) fn check_names(frames: &[Frame]) {
    for frame in frames {
        if let Frame::Event { name, data } = frame {
            assert_eq!(*name, Some(text_of(&parse(data)["type"])));
        }
    }
}
