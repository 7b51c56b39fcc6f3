//! Tests of the decoding of `/completion` and `/infill`, and of the selection of response fields.

use super::*;

#[test]
fn only_requested_response_fields_are_returned() {
    let whole = json!({ "content": "a", "timings": { "prompt_n": 1 }, "stop": true });
    let fields = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(select_fields(&[], whole.clone()), whole);
    let requested = fields(&["content", "timings/prompt_n", "unknown", "timings/unknown"]);
    assert_eq!(select_fields(&requested, whole), json!({ "content": "a", "timings/prompt_n": 1 }));
}

#[test]
fn line_limits_may_be_numbers_of_any_size() {
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
fn a_negative_token_limit_is_no_limit() {
    let tokens_max = |number: &str| {
        let body = format!(r#"{{"prompt": "a", {number}}}"#);
        check(body.as_bytes()).unwrap().2.tokens_max
    };
    for field in ["n_predict", "max_tokens"] {
        for number in ["-1", "-2", "-5", "-1e30"] {
            assert_eq!(tokens_max(&format!(r#""{field}": {number}"#)), 0, "{field}: {number}");
        }
        assert_eq!(tokens_max(&format!(r#""{field}": 5"#)), 5);
    }
}

#[test]
fn an_error_about_the_number_of_answers_names_the_field_that_was_sent() {
    for (sent, field) in
        [(r#""n_cmpl": 17"#, "n_cmpl"), (r#""n": 17"#, "n"), (r#""n_cmpl": 17, "n": 2"#, "n_cmpl")]
    {
        let refused = check(format!(r#"{{"prompt": "a", {sent}}}"#).as_bytes()).unwrap_err();
        assert_eq!(refused.detail, format!("`{field}` must be between 1 and 16, got 17"));
    }
}

#[test]
fn an_error_about_the_number_of_answers_names_the_number_that_was_sent() {
    for field in ["n_cmpl", "n"] {
        for number in ["0", "-1", "0.5", "4294967296", "9223372036854775807", "18446744073709551615", "99.5"]
        {
            let refused = check(format!(r#"{{"prompt": "a", "{field}": {number}}}"#).as_bytes()).unwrap_err();
            assert_eq!(refused.detail, format!("`{field}` must be between 1 and 16, got {number}"));
        }
        assert!(check(format!(r#"{{"prompt": "a", "{field}": 16}}"#).as_bytes()).is_ok());
    }
}

#[test]
fn the_infill_prefix_is_built_in_order() {
    let request: LlamaCppCompletionRequest = extract::from_value(&json!({
        "input_prefix": "int main() {\n", "prompt": "  re", "input_suffix": "}\n",
        "input_extra": [{ "filename": "a.h", "text": "int a;" }, { "text": "int b;\n" }],
    }))
    .unwrap();
    let (prompt, _) = read_infill(&request).unwrap();
    let prefix = "a.h\nint a;\nint b;\nint main() {\n  re".into();
    assert_eq!(prompt, Prompt::Infill { prefix, suffix: "}\n".into() });
}
