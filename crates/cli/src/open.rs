//! `lar open`: the page, signed in.
//!
//! The link is a secret for ten minutes, and every user of the machine sees the arguments of programs. So the browser is
//! given a file that only its owner reads, which leads to the link.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use lar_api::keys::SignInLink;
use lar_sandbox::Inherit;
use serde_json::Value;

use crate::{Client, Output};

/// The file that leads to the link, in the data directory.
const REDIRECT: &str = "sign-in.html";

pub(crate) async fn run(
    client: &Client,
    output: &Output,
    data_dir: &Path,
    print: bool,
) -> anyhow::Result<()> {
    let link: SignInLink = client.post("sign-in/links", &Value::Null).await?;
    output.show(&link, || link.url.clone())?;
    if !print && output.terminal && !output.json {
        let browser = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
        let opened = redirect(data_dir, &link.url).and_then(|file| {
            let mut command = lar_sandbox::command(browser, Inherit::Session);
            command.arg(file).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
        });
        let remark = match opened {
            Ok(_) => "A browser opens. Where it cannot read the file that leads here, open the link in it.",
            Err(_) => "Open the link in a browser; it is good once, for ten minutes.",
        };
        output.remark(remark);
    }
    Ok(())
}

/// Writes the file that leads to the link. It lies there until the next one; its link is good once.
fn redirect(data_dir: &Path, url: &str) -> std::io::Result<PathBuf> {
    let path = data_dir.join(REDIRECT);
    // A file of this name from elsewhere would keep its mode.
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
    fn the_link_is_in_a_file_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let url = "http://127.0.0.1:5270/#sign-in=00ff";
        std::fs::write(directory.path().join(REDIRECT), "old").unwrap();
        let file = redirect(directory.path(), url).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(&format!("content=\"0;url={url}\"")), "{text}");
    }
}
