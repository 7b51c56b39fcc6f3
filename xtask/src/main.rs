//! Tasks of the repository that generate files or measure it.
//!
//! `cargo xtask figures` prints figures of the code base. `cargo xtask openapi` writes `openapi/v1.json`.
//! `cargo xtask reference` writes the reference pages of the compatible APIs, with a table of the fields of
//! each endpoint. The tests of this crate check the structure of the repository.

use std::io::Write as _;

use anyhow::{Context as _, bail};

fn main() -> anyhow::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("figures") => Ok(std::io::stdout().write_all(xtask::figures::report()?.as_bytes())?),
        Some("cycles") => {
            let name = std::env::args().nth(2).context("usage: cargo xtask cycles CRATE")?;
            Ok(std::io::stdout().write_all(xtask::figures::cycles(&name)?.as_bytes())?)
        }
        Some("openapi") => {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../openapi/v1.json");
            std::fs::create_dir_all(path.parent().context("the path has no folder")?)?;
            std::fs::write(path, lar_server::openapi_document() + "\n")?;
            Ok(())
        }
        Some("reference") => {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference");
            for (api, tables) in lar_compat::field_tables() {
                let head = match api {
                    "openai" => include_str!("reference/openai.md"),
                    "ollama" => include_str!("reference/ollama.md"),
                    "llama-cpp" => include_str!("reference/llama-cpp.md"),
                    _ => include_str!("reference/anthropic.md"),
                };
                let mut text = head.to_owned();
                for (path, table) in tables {
                    text.push_str(&format!("\n## `POST {path}`\n\n{table}"));
                }
                std::fs::write(folder.join(format!("{api}.md")), text)?;
            }
            Ok(())
        }
        _ => bail!("usage: cargo xtask figures|cycles CRATE|openapi|reference"),
    }
}
