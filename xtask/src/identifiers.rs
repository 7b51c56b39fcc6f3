//! Lists the identifiers of a Rust file, and splits them into words.
//!
//! Every identifier token counts, also inside macros. Strings and comments contain no identifiers.

use proc_macro2::{TokenStream, TokenTree};

/// An identifier and its position.
#[derive(Debug, PartialEq, Eq)]
pub struct Identifier {
    /// The identifier, without `r#`.
    pub name: String,
    /// The line, starting at 1.
    pub line: usize,
}

/// Returns every identifier of a Rust file, keywords included.
///
/// # Errors
///
/// If the text is not made of Rust tokens.
pub fn identifiers(text: &str) -> anyhow::Result<Vec<Identifier>> {
    let tokens = text.parse::<TokenStream>().map_err(|error| anyhow::anyhow!("{error}"))?;
    let mut found = Vec::new();
    collect(tokens, &mut found);
    Ok(found)
}

fn collect(tokens: TokenStream, found: &mut Vec<Identifier>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => collect(group.stream(), found),
            TokenTree::Ident(ident) => {
                let name = ident.to_string().trim_start_matches("r#").to_owned();
                found.push(Identifier { name, line: ident.span().start().line });
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// Splits an identifier in snake, camel or upper case into its words, in lower case.
///
/// `HTTPServer` becomes `http` and `server`.
pub fn words(name: &str) -> Vec<String> {
    let mut words = Vec::new();
    for part in name.split('_') {
        let letters: Vec<char> = part.chars().collect();
        let mut word = String::new();
        for (index, letter) in letters.iter().enumerate() {
            let after_lower = index > 0 && !letters[index - 1].is_uppercase();
            let before_lower = letters.get(index + 1).is_some_and(|next| next.is_lowercase());
            if letter.is_uppercase() && !word.is_empty() && (after_lower || before_lower) {
                words.push(std::mem::take(&mut word));
            }
            word.extend(letter.to_lowercase());
        }
        if !word.is_empty() {
            words.push(word);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_split_into_words() {
        assert_eq!(words("is_held_now"), ["is", "held", "now"]);
        assert_eq!(words("HeldCalls"), ["held", "calls"]);
        assert_eq!(words("HTTPServer2"), ["http", "server2"]);
        assert_eq!(words("SEATS_MAX"), ["seats", "max"]);
        assert_eq!(words("_x"), ["x"]);
    }

    #[test]
    fn strings_and_comments_contain_no_identifiers() {
        let text = "/// told\nfn a() {\n    // heard\n    let r#b = m!(c \"held\");\n}\n";
        let found = identifiers(text).expect("it is Rust");
        let names: Vec<(&str, usize)> = found.iter().map(|found| (found.name.as_str(), found.line)).collect();
        let expected = [("doc", 1), ("fn", 2), ("a", 2), ("let", 4), ("b", 4), ("m", 4), ("c", 4)];
        assert_eq!(names, expected);
    }
}
