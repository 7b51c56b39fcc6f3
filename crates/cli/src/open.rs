//! `lar open`: the page, signed in.

use std::process::{Command, Stdio};

use lar_api::keys::SignInLink;
use serde_json::Value;

use crate::{Client, Output};

pub(crate) async fn run(client: &Client, output: &Output, print: bool) -> anyhow::Result<()> {
    let link: SignInLink = client.post("sign-in/links", &Value::Null).await?;
    output.show(&link, || link.url.clone())?;
    if !print && output.terminal && !output.json {
        let browser = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
        let opened = Command::new(browser).arg(&link.url).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        if opened.is_err() {
            output.remark("Open the link in a browser; it is good once, for ten minutes.");
        }
    }
    Ok(())
}
