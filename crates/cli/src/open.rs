//! `lar open`: opens the page in a browser, signed in.
//!
//! The sign-in link is a secret for ten minutes, and every user of the machine can see the arguments of
//! programs. So the browser gets a file that only its owner can read, and that redirects to the link.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use lar_api::keys::SignInLink;
use lar_sandbox::Inherit;
use serde_json::Value;

use crate::{Client, Output};

/// The file in the data directory that redirects to the link.
const REDIRECT: &str = "sign-in.html";

pub(crate) async fn run(
    client: &Client,
    output: &Output,
    data_dir: &Path,
    print: bool,
) -> anyhow::Result<()> {
    let link: SignInLink = client.post("sign-in/links", &Value::Null).await?;
    let is_opened = !print && output.terminal && !output.json && open_browser(data_dir, &link.url).is_ok();
    if !print && !is_opened {
        output.note("No browser was opened. Open this link in one within 10 minutes; it works once:");
    }
    output.show(&link, || link.url.clone())?;
    if is_opened {
        output.remark("Opening a browser. If it does not show Lar, open the link above in it.");
    }
    Ok(())
}

/// Starts the browser with a file that redirects to the link. The browser may fail later, or be unable to read
/// the file.
fn open_browser(data_dir: &Path, url: &str) -> std::io::Result<()> {
    let browser = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let file = redirect(data_dir, url)?;
    let mut command = lar_sandbox::command(browser, Inherit::Session);
    command.arg(file).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map(drop)
}

/// Writes the file that redirects to the link. The next call replaces it. Its link works only once.
fn redirect(data_dir: &Path, url: &str) -> std::io::Result<PathBuf> {
    let path = data_dir.join(REDIRECT);
    // An existing file would keep its mode.
    let _ = std::fs::remove_file(&path);
    let mut file = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path)?;
    writeln!(
        file,
        "<!doctype html><meta charset=utf-8><title>Lar</title><meta name=referrer content=no-referrer>\
         <meta http-equiv=refresh content=\"0;url={url}\"><a href=\"{url}\">Lar</a>"
    )?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_the_owner_can_read_the_file_with_the_link() {
        let directory = tempfile::tempdir().unwrap();
        let url = "http://127.0.0.1:5270/#sign-in=00ff";
        std::fs::write(directory.path().join(REDIRECT), "old").unwrap();
        let file = redirect(directory.path(), url).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(&format!("content=\"0;url={url}\"")), "{text}");
    }
}
