//! Bodies of `/completion` and `/infill` as they are read, and which fields an answer has.

use super::*;

#[test]
fn only_the_fields_that_were_asked_for_are_told() {
    let whole = json!({ "content": "a", "timings": { "prompt_n": 1 }, "stop": true });
    let fields = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(chosen(&[], whole.clone()), whole);
    let asked = fields(&["content", "timings/prompt_n", "unknown", "timings/unknown"]);
    assert_eq!(chosen(&asked, whole), json!({ "content": "a", "timings/prompt_n": 1 }));
}

#[test]
fn limits_of_lines_may_be_numbers_of_any_size() {
    let limits = |numbers: &str| {
        let body = format!(r#"{{"prompt": "a", {numbers}}}"#);
        check(body.as_bytes()).unwrap().3
    };
    let most = i64::MAX as u64;
    let largest = LineLimits { indent_min: most as usize, time_max: Some(Duration::from_millis(most)) };
    for numbers in [
        r#""n_indent": 9223372036854775808, "t_max_predict_ms": 9223372036854775808"#,
        r#""n_indent": 1e30, "t_max_predict_ms": 1e30"#,
    ] {
        assert_eq!(limits(numbers), largest);
    }
    assert_eq!(limits(r#""n_indent": -1e30, "t_max_predict_ms": -1e30"#), LineLimits::default());
    let few = LineLimits { indent_min: 2, time_max: Some(Duration::from_millis(7)) };
    assert_eq!(limits(r#""n_indent": 2.5, "t_max_predict_ms": 7.0"#), few);
}

#[test]
fn what_precedes_the_gap_is_told_in_order() {
    let request: CompletionRequest = extract::from_value(&json!({
        "input_prefix": "int main() {\n", "prompt": "  re", "input_suffix": "}\n",
        "input_extra": [{ "filename": "a.h", "text": "int a;" }, { "text": "int b;\n" }],
    }))
    .unwrap();
    let (prompt, _) = infilled(&request).unwrap();
    let prefix = "a.h\nint a;\nint b;\nint main() {\n  re".into();
    assert_eq!(prompt, Prompt::Infill { prefix, suffix: "}\n".into() });
}
