//! `lar keys`: lists, creates and revokes API keys.

use clap::Subcommand;
use lar_api::Page;
use lar_api::keys::{Key, NewKey};
use serde_json::Value;

use crate::Client;
use crate::output::{Output, table};
use crate::url_path::encode_segment;

/// The subcommands of `lar keys`.
#[derive(Debug, Clone, Subcommand)]
pub enum KeyCommand {
    /// List API keys
    List,
    /// Create an API key; its secret is shown only once
    Create {
        /// A name for the key, shown in lists
        name: String,
        /// Scopes: inference, conversations, memory:read, memory:write, admin [default: inference and both
        /// memory scopes]
        #[arg(long, value_delimiter = ',')]
        scopes: Option<Vec<String>>,
        /// Keep the memories of this key in a separate space
        #[arg(long)]
        isolated: bool,
        /// Use of memory for requests that do not choose one: off, recall or remember
        #[arg(long)]
        memory: Option<String>,
        /// Maximum number of requests per minute
        #[arg(long)]
        requests_per_minute: Option<u32>,
        /// Days until the key expires [default: never]
        #[arg(long)]
        expires_in_days: Option<u64>,
    },
    /// Revoke an API key
    Revoke {
        /// The id of the key
        id: String,
    },
}

pub(crate) async fn run(
    client: &Client,
    output: &Output,
    command: KeyCommand,
    lar: &str,
) -> anyhow::Result<()> {
    match command {
        KeyCommand::List => {
            let keys: Page<Key> = client.get("keys").await?;
            output.show(&keys.data, || list(&keys.data))?;
            if keys.data.iter().any(|key| key.revoked_at.is_none() && !key.removed_scopes.is_empty()) {
                output.remark(&explain_removed_scopes(lar));
            }
            Ok(())
        }
        KeyCommand::Create { name, scopes, isolated, memory, requests_per_minute, expires_in_days } => {
            let expires_in_s = expires_in_days.map(|days| days.saturating_mul(86_400));
            let agent = isolated.then(|| name.clone());
            let new = NewKey { name, scopes, agent, memory, requests_per_minute, client: None, expires_in_s };
            let made: Key = client.post("keys", &new).await?;
            let secret = made.secret.clone().unwrap_or_default();
            // Standard output has only the secret, so that it can be redirected to a file that an app reads.
            output.show(&made, || secret)?;
            output.note(&format!("This key is shown only once. Store it where `{}` can read it.", made.name));
            Ok(())
        }
        KeyCommand::Revoke { id } => {
            let _: Value = client.delete(&format!("keys/{}", encode_segment(&id))).await?;
            output.show(&Value::Null, || format!("Revoked {id}. Lar now rejects requests with this key."))
        }
    }
}

/// Explains keys that lost a scope in an upgrade.
fn explain_removed_scopes(lar: &str) -> String {
    format!(
        "API keys of apps can no longer access your conversations. To create a key that can: \
         `{lar} keys create NAME --scopes inference,conversations`"
    )
}

fn list(keys: &[Key]) -> String {
    table(
        &["id", "name", "fingerprint", "scopes", "created", "state"],
        keys.iter().map(|key| {
            let day = |time: &String| time.get(..10).unwrap_or(time).to_owned();
            let state = match (&key.revoked_at, &key.expires_at) {
                (Some(at), _) => format!("revoked {}", day(at)),
                (None, Some(at)) => format!("expires {}", day(at)),
                (None, None) => "active".into(),
            };
            let scopes: Vec<String> = key.scopes.iter().map(ToString::to_string).collect();
            let mut scopes = scopes.join(",");
            for removed in &key.removed_scopes {
                scopes.push_str(&format!(" ({removed} removed)"));
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
    use lar_api::keys::{KeyScope, MemoryMode};

    use super::*;

    #[test]
    fn screens() {
        let key = Key {
            id: "key_01".into(),
            name: "owner".into(),
            fingerprint: "0a1b2c3d".into(),
            scopes: vec![KeyScope::Inference, KeyScope::Admin],
            removed_scopes: vec![KeyScope::Conversations],
            agent: None,
            requests_per_minute: None,
            memory: MemoryMode::Off,
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
