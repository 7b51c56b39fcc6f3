//! Frames round-trip, and garbage is an error.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn frames_round_trip(stream: u64, tokens: Vec<u32>, text: String, stop: Vec<String>, seed: u32) {
        let sampling = Sampling { stop, seed, ..Sampling::default() };
        let generate = ToWorker::Generate { stream, caller: CallerNumbers { person: 7, key: 8 }, tokens, sampling, cache_of: Some(KeyId::new()) };
        let delta = FromWorker::Delta { stream, text: text.clone(), tokens: 1, logprobs: Vec::new() };
        let load = ToWorker::Load(Load::Model {
            path: "m.gguf".into(),
            files: vec!["m.gguf".into(), "small.gguf".into()],
            sequences: 1,
            context_tokens: seed,
            compute: Compute::with_threads(2),
            tuning: Some(ThreadTuning { counts: vec![2, 1], cores: 2, known: None }),
            draft: Some("small.gguf".into()),
            cache_bytes: stream,
            memory_bytes_max: Some(stream),
        });
        prop_assert_eq!(read::<ToWorker>(&mut encode(&load).unwrap().as_slice()).unwrap(), Some(load));
        let constraint = Constraint::JsonSchema(text);
        let constraints = vec![ConstraintCheck { constraint, strict: true }];
        let check = ToWorker::Check { id: stream, caller: stream, constraints };
        prop_assert_eq!(read::<ToWorker>(&mut encode(&check).unwrap().as_slice()).unwrap(), Some(check));
        let mut wire = encode(&generate).unwrap();
        wire.extend(encode(&delta).unwrap());
        let mut wire = wire.as_slice();
        prop_assert_eq!(read::<ToWorker>(&mut wire).unwrap(), Some(generate));
        prop_assert_eq!(read::<FromWorker>(&mut wire).unwrap(), Some(delta));
        prop_assert_eq!(read::<FromWorker>(&mut wire).unwrap(), None);
    }

    #[test]
    fn garbage_is_an_error_and_never_a_panic(bytes: Vec<u8>) {
        let _ = read::<ToWorker>(&mut bytes.as_slice());
        let _ = read::<FromWorker>(&mut bytes.as_slice());
        let _ = decode::<ToWorker>(&bytes);
    }
}

#[test]
fn a_frame_over_the_limit_allocates_nothing() {
    let error = read::<ToWorker>(&mut [0xff, 0xff, 0xff, 0x7f].as_slice()).unwrap_err();
    assert_eq!(error.to_string(), "a frame of 2147483647 bytes is over the limit");
}
