//! Rebuilds the crate when the files that it embeds change: the web page and the pages of the error codes.

fn main() {
    println!("cargo:rerun-if-changed=../../web/dist");
    println!("cargo:rerun-if-changed=../../docs/errors");
}
