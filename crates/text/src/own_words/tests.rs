//! Tests of which parts of a message are the user's own words.

use super::*;

fn texts(message: &str) -> Vec<&str> {
    own_words(message).into_iter().map(|at| &message[at]).collect()
}

#[test]
fn a_plain_message_is_the_users_own() {
    assert_eq!(texts("I moved. Can you help?\nThanks!"), ["I moved.", "Can you help?", "Thanks!"]);
}

#[test]
fn a_task_is_own_and_its_text_is_not() {
    assert_eq!(texts("Translate to German: I moved to Oslo."), ["Translate to German"]);
    assert_eq!(
        texts("I'm late. Summarise this:\n\nWe moved to Oslo.\n\nWe like it."),
        ["I'm late.", "Summarise this"]
    );
    assert_eq!(
        texts("We moved to Oslo. We like it here.\n\nSummarise this please."),
        ["Summarise this please."]
    );
}

#[test]
fn a_letter_is_not_own_and_what_follows_its_signature_is() {
    let message = "Hi all,\n\nwe moved to Oslo.\n\nKind regards,\nTom Berg\n\nPlease answer it.";
    assert_eq!(texts(message), ["Please answer it."]);
}

#[test]
fn a_quotation_in_a_sentence_is_left_out() {
    assert_eq!(texts("He wrote \"we moved to Oslo today\" and left"), ["He wrote \"", "\" and left"]);
}

#[test]
fn role_play_and_fiction_last_to_the_end() {
    assert_eq!(texts("Thanks. You are a pirate. I live at sea."), ["Thanks."]);
    assert_eq!(texts("You are a genius! I moved."), ["You are a genius!", "I moved."]);
}

#[test]
fn a_text_in_another_language_is_not_own() {
    let message = "Was soll ich damit machen und wie ist das gemeint\n\nWe have moved to a new office and it is in Oslo";
    assert_eq!(texts(message), ["Was soll ich damit machen und wie ist das gemeint"]);
}

#[test]
fn facts_after_a_request_to_remember_are_own() {
    assert_eq!(
        texts("Remember the following:\n- I'm vegan\n- Ana: sister"),
        ["Remember the following:", "- I'm vegan", "- Ana: sister"]
    );
}
