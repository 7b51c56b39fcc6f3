//! Embeddings in llama.cpp's format.

use lar_tests::Lar;
use serde_json::{Value, json};

#[test]
fn embeddings_are_normalized_as_requested_and_have_two_formats_without_v1() {
    let lar = Lar::start();
    let vector = |more: Value| -> Vec<f64> {
        let mut body = json!({ "content": "The cat sits." });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = lar.post("/embedding", &body);
        assert_eq!(answer.status, 200, "{}", answer.body);
        serde_json::from_value(answer.json()[0]["embedding"][0].clone()).unwrap()
    };
    let largest = |vector: &[f64]| vector.iter().fold(0.0_f64, |largest, number| largest.max(number.abs()));
    let unit = vector(json!({}));
    assert_eq!(vector(json!({ "embd_normalize": 2 })), unit);
    let taxicab: f64 = vector(json!({ "embd_normalize": 1 })).iter().map(|number| number.abs()).sum();
    assert!((taxicab - 1.0).abs() < 1e-4, "{taxicab}");
    assert!((largest(&vector(json!({ "embd_normalize": 0 }))) - 32760.0).abs() < 0.01);
    let cubes: f64 = vector(json!({ "embd_normalize": 3 })).iter().map(|number| number.abs().powi(3)).sum();
    assert!((cubes - 1.0).abs() < 1e-4, "{cubes}");
    let own = vector(json!({ "embd_normalize": -1 }));
    let length = own.iter().map(|number| number * number).sum::<f64>().sqrt();
    assert!((length - 1.0).abs() > 0.01, "the vector is not normalized: {length}");
    for (own, unit) in own.iter().zip(&unit) {
        assert!((own - unit * length).abs() < 1e-5 * length, "{own}, {unit}, {length}");
    }
    for (wrong, param) in [
        (json!({ "content": "a", "embd_normalize": -2 }), "embd_normalize"),
        (json!({ "content": [1, 2] }), "content"),
        (json!({ "content": [[1, "a"]] }), "content"),
        (json!({}), "content"),
    ] {
        let refused = lar.post("/embedding", &wrong);
        assert_eq!((refused.status, &refused.json()["error"]["param"]), (400, &json!(param)), "{wrong}");
    }
    let own = lar.post("/embeddings", &json!({ "content": ["The cat sits."] })).json();
    assert_eq!(own[0]["index"], 0, "{own}");
    let openais = lar.post("/embeddings", &json!({ "input": ["The cat sits."] })).json();
    assert_eq!((&openais["object"], &openais["data"][0]["index"]), (&json!("list"), &json!(0)));
}

#[test]
fn errors_about_texts_name_the_field_that_was_sent() {
    let lar = Lar::start();
    let long = "word ".repeat(1000);
    for (path, body, param) in [
        ("/embedding", json!({ "content": long }), "content"),
        ("/embedding", json!({ "content": ["short", long] }), "content[1]"),
        ("/embedding", json!({ "content": { "prompt_string": long } }), "content"),
        ("/embedding", json!({ "input": ["short", long] }), "input[1]"),
        ("/embeddings", json!({ "content": ["short", long] }), "content[1]"),
        ("/v1/embeddings", json!({ "input": long }), "input"),
        ("/embedding", json!({ "content": "" }), "content"),
        ("/embedding", json!({ "content": ["short", ""] }), "content[1]"),
        ("/embedding", json!({ "content": ["short", true] }), "content[1]"),
    ] {
        let refused = lar.post(path, &body);
        let reported = refused.json()["error"]["param"].clone();
        assert_eq!((refused.status, reported), (400, json!(param)), "{path}: {}", refused.body);
    }
    let cut = lar.post("/embedding", &json!({ "content": ["short", long], "truncate": true }));
    assert_eq!((cut.status, cut.json()[1]["index"].clone()), (200, json!(1)), "{}", cut.body);
    assert!(cut.head.contains("x-lar-truncated: 1"), "{}", cut.head);
}
