//! Tests of the encoder of responses.

use std::sync::Arc;

use lar_inference::WaitReason;
use serde_json::Value;

use super::*;
use crate::openai::responses::UndecodedResponseRequest;

fn encoder() -> ResponsesEncoder {
    let task: TaskId = "task_0193e4b6a1d27c3f8a5b9d0e1f2a3b4c".parse().unwrap();
    let received_at = Timestamp::from_millis(1_700_000_000_900);
    let request = UndecodedResponseRequest::read(br#"{ "input": "Say hello." }"#).unwrap();
    let input = request.decode(Vec::new(), task, received_at).unwrap();
    ResponsesEncoder::new(task, input.response, input.tools, received_at)
}

/// Returns the events of an answer that waits in the queue, has one token and ends.
fn events() -> [TaskEvent; 5] {
    let wait_reason = WaitReason::Busy;
    let queued = |position| TaskEvent::Queued { position, predicted_start_ms: 30, wait_reason };
    let summary = TaskSummary {
        reason: FinishReason::Stop,
        tokens_in: 4,
        tokens_cached: 1,
        tokens_out: 1,
        queue_ms: 1,
        ttft_ms: 2,
        decode_ms: 3,
    };
    [
        queued(2),
        queued(1),
        TaskEvent::Started { pool: "m".into(), engine: "e".into(), model_digest: String::new() },
        TaskEvent::Token { text: "Hello.".into(), index: 1, logprobs: Arc::default() },
        TaskEvent::End(summary),
    ]
}

fn push(encoder: &mut ResponsesEncoder, event: &TaskEvent) -> Vec<Frame> {
    encoder.push(&AnswerEvent { elapsed: Duration::from_millis(1_200), ..AnswerEvent::of(event) })
}

/// Returns the names and the sequence numbers of events; a comment has no number.
fn shown(frames: &[Frame]) -> Vec<(&str, Option<u64>)> {
    let mut shown = Vec::new();
    for frame in frames {
        shown.push(match frame {
            Frame::Event { name, data } => {
                let data: Value = serde_json::from_str(data).unwrap();
                assert_eq!(*name, data["type"].as_str());
                (name.unwrap(), data["sequence_number"].as_u64())
            }
            Frame::Comment(text) => (text.as_str(), None),
            other => panic!("{other:?}"),
        });
    }
    shown
}

#[test]
fn a_stream_has_numbered_events_and_queue_positions_as_comments() {
    let mut encoder = encoder();
    let mut frames = encoder.start();
    for event in events() {
        frames.extend(push(&mut encoder, &event));
    }
    let expected = [
        ("response.created", Some(0)),
        ("response.queued", Some(1)),
        ("queued, position 1, starts in about 30 ms", None),
        ("response.in_progress", Some(2)),
        ("response.output_item.added", Some(3)),
        ("response.content_part.added", Some(4)),
        ("response.output_text.delta", Some(5)),
        ("response.output_text.done", Some(6)),
        ("response.content_part.done", Some(7)),
        ("response.output_item.done", Some(8)),
        ("response.completed", Some(9)),
    ];
    assert_eq!(shown(&frames), expected);
    assert!(encoder.is_over());
    let response = encoder.into_response();
    assert_eq!((response.created_at, response.completed_at), (1_700_000_000, Some(1_700_000_002)));
}

#[test]
fn a_client_that_returns_gets_the_events_after_the_last_one_that_it_saw() {
    let mut encoder = encoder().starting_after(Some(7));
    let mut frames = encoder.start();
    for event in events() {
        frames.extend(push(&mut encoder, &event));
    }
    let expected = [("response.output_item.done", Some(8)), ("response.completed", Some(9))];
    assert_eq!(shown(&frames), expected);
}

#[test]
fn a_response_that_cannot_be_stored_fails_under_the_number_of_its_last_event() {
    let mut encoder = encoder();
    encoder.start();
    let mut frames = Vec::new();
    for event in events() {
        frames = push(&mut encoder, &event);
    }
    encoder.fail_before_end(&mut frames, &Problem::new(Code::StorageFull, "the disk is full"));
    assert_eq!(shown(&frames).last(), Some(&("response.failed", Some(9))));
    assert_eq!(frames.len(), 4);
    let response = encoder.into_response();
    assert_eq!((response.status, response.output.len()), (Status::Failed, 1));
    assert_eq!(response.error.unwrap().message, "the disk is full");
}
