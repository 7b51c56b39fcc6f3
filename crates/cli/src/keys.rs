//! `lar keys`.

use clap::Subcommand;
use lar_api::Page;
use lar_api::keys::{Key, NewKey};
use serde_json::Value;

use crate::Client;
use crate::models::path;
use crate::output::{Output, table};

/// What can be done with keys.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// List them
    List,
    /// Make one; its secret is shown once
    Create {
        /// What to call it
        name: String,
        /// What it may do: inference, conversations, memory:read, memory:write, admin; inference and memory where absent
        #[arg(long, value_delimiter = ',')]
        scopes: Option<Vec<String>>,
        /// Keeps the memories of whoever uses it apart from yours, in a space of its own
        #[arg(long)]
        isolated: bool,
        /// What memory does for its requests that do not say it: off, recall or remember
        #[arg(long)]
        memory: Option<String>,
        /// Requests it may make per minute
        #[arg(long)]
        requests_per_minute: Option<u32>,
        /// Days until it stops working
        #[arg(long)]
        expires_in_days: Option<u64>,
    },
    /// Revoke one
    Revoke {
        /// Its id
        id: String,
    },
}

/// Explains keys that an upgrade took a scope away from.
const REMOVED: &str = "Keys of apps do not reach your conversations any more. One that needs to is made with \
                       `lar keys create NAME --scopes inference,conversations`.";

pub(crate) async fn run(client: &Client, output: &Output, command: Command) -> anyhow::Result<()> {
    match command {
        Command::List => {
            let keys: Page<Key> = client.get("keys").await?;
            output.show(&keys.data, || list(&keys.data))?;
            if keys.data.iter().any(|key| key.revoked_at.is_none() && !key.removed_scopes.is_empty()) {
                output.remark(REMOVED);
            }
            Ok(())
        }
        Command::Create { name, scopes, isolated, memory, requests_per_minute, expires_in_days } => {
            let expires_in_s = expires_in_days.map(|days| days.saturating_mul(86_400));
            let agent = isolated.then(|| name.clone());
            let new = NewKey { name, scopes, agent, memory, requests_per_minute, client: None, expires_in_s };
            let made: Key = client.post("keys", &new).await?;
            let secret = made.secret.clone().unwrap_or_default();
            // Standard output is the secret alone, so that it can be written to the file that an app reads.
            output.show(&made, || secret)?;
            output.note(&format!("This key is shown once. Keep it where {} reads it.", made.name));
            Ok(())
        }
        Command::Revoke { id } => {
            let _: Value = client.delete(&format!("keys/{}", path(&id))).await?;
            output.show(&Value::Null, || format!("Revoked {id}. Apps that use it are refused from now on."))
        }
    }
}

fn list(keys: &[Key]) -> String {
    table(
        &["id", "name", "fingerprint", "scopes", "made", "state"],
        keys.iter().map(|key| {
            let day = |time: &String| time.get(..10).unwrap_or(time).to_owned();
            let state = match (&key.revoked_at, &key.expires_at) {
                (Some(at), _) => format!("revoked {}", day(at)),
                (None, Some(at)) => format!("until {}", day(at)),
                (None, None) => "good".into(),
            };
            let mut scopes = key.scopes.join(",");
            for removed in &key.removed_scopes {
                scopes.push_str(&format!(" (no {removed} any more)"));
            }
            vec![
                key.id.clone(),
                key.name.clone(),
                key.fingerprint.clone(),
                scopes,
                day(&key.created_at),
                state,
            ]
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn screens() {
        let key = Key {
            id: "key_01".into(),
            name: "owner".into(),
            fingerprint: "0a1b2c3d".into(),
            scopes: vec!["inference".into(), "admin".into()],
            removed_scopes: vec!["conversations".into()],
            agent: None,
            requests_per_minute: None,
            memory: "off".into(),
            client: None,
            last_seen_at: None,
            created_at: "2026-11-21T10:00:00.000Z".into(),
            expires_at: None,
            revoked_at: None,
            secret: Some("lar_secret".into()),
        };
        insta::assert_snapshot!("key_list", list(std::slice::from_ref(&key)));
    }
}
