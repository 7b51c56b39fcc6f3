//! Reads the repository's own sources, for `cargo xtask figures` and for the tests of its structure.
//!
//! Everything here is syntax: the files are parsed with `syn`, and no type is resolved. What needs types is
//! checked by rustc and clippy instead (`Cargo.toml`'s lints, `clippy.toml`).

pub mod docs;
pub mod figures;
pub mod identifiers;
pub mod imports;
pub mod modules;
pub mod prose;
pub mod sources;
