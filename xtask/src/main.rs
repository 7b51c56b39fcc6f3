//! Chores of the repository: `cargo xtask openapi` writes the API's description anew,
//! `cargo xtask openai-reference` the tables of OpenAI's fields.
//!
//! The checks of the house are this crate's tests.

use anyhow::{Context as _, bail};

fn main() -> anyhow::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("openapi") => {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../openapi/v1.json");
            std::fs::create_dir_all(path.parent().context("the path has a folder")?)?;
            std::fs::write(path, lar_server::openapi_document() + "\n")?;
            Ok(())
        }
        Some("openai-reference") => {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/openai.md");
            let mut text = include_str!("openai_reference.md").to_owned();
            for (title, table) in ["chat/completions", "completions", "embeddings", "rerank"]
                .iter()
                .zip(lar_server::field_tables())
            {
                text.push_str(&format!("\n## `POST /v1/{title}`\n\n{table}"));
            }
            std::fs::write(path, text)?;
            Ok(())
        }
        _ => bail!("chores: openapi, openai-reference"),
    }
}
