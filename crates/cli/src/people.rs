//! `lar users` and `lar spaces`: the users of this Lar, and the memory spaces that they share.

use clap::Subcommand;
use lar_api::Page;
use lar_api::spaces::{Grant, NewGrant, NewSpace, Space};
use lar_api::users::{NewUser, User};
use serde_json::Value;

use crate::Client;
use crate::output::{Output, table};
use crate::url_path::encode_segment;

/// The subcommands of `lar users`.
#[derive(Debug, Clone, Subcommand)]
pub enum UserCommand {
    /// List users
    List,
    /// Invite a user: prints an API key and a sign-in link for them
    Invite {
        /// A name that no other user has
        name: String,
    },
    /// Revoke a user's keys and grants; their data stays
    Remove {
        /// The name or id of the user
        name: String,
    },
}

/// The subcommands of `lar spaces`.
#[derive(Debug, Clone, Subcommand)]
pub enum SpaceCommand {
    /// List the spaces that you can use
    List,
    /// Create a team space
    Create {
        /// A name that no other team space has
        name: String,
    },
    /// List the users who can use a team space
    Grants {
        /// The name of the space
        space: String,
    },
    /// Allow a user to read a team space
    Grant {
        /// The name of the space
        space: String,
        /// The name of the user
        user: String,
        /// Also allow the user to save and edit memories there
        #[arg(long)]
        write: bool,
    },
    /// Revoke a user's access to a team space
    Revoke {
        /// The name of the space
        space: String,
        /// The name of the user
        user: String,
    },
}

pub(crate) async fn users(client: &Client, output: &Output, command: UserCommand) -> anyhow::Result<()> {
    match command {
        UserCommand::List => {
            let users: Page<User> = client.get("users").await?;
            output.show(&users.data, || {
                table(
                    &["id", "name", "since"],
                    users
                        .data
                        .iter()
                        .map(|user| vec![user.id.clone(), user.name.clone(), day(&user.created_at)]),
                )
            })
        }
        UserCommand::Invite { name } => {
            let user: User = client.post("users", &NewUser { name }).await?;
            output.show(&user, || render_invitation(&user))
        }
        UserCommand::Remove { name } => {
            let _: Value = client.delete(&format!("users/{}", encode_segment(&name))).await?;
            output.show(&Value::Null, || format!("Revoked all keys and grants of {name}. Their data stays."))
        }
    }
}

pub(crate) async fn spaces(
    client: &Client,
    output: &Output,
    command: SpaceCommand,
    lar: &str,
) -> anyhow::Result<()> {
    match command {
        SpaceCommand::List => {
            let spaces: Page<Space> = client.get("spaces").await?;
            output.show(&spaces.data, || list(&spaces.data))
        }
        SpaceCommand::Create { name } => {
            let space: Space = client.post("spaces", &NewSpace { name: name.clone() }).await?;
            output.show(&space, || {
                format!("Created {name}. To share it: {lar} spaces grant {name} USER --write")
            })
        }
        SpaceCommand::Grants { space } => {
            let grants: Page<Grant> =
                client.get(&format!("spaces/{}/grants", encode_segment(&space))).await?;
            output.show(&grants.data, || render_grants(&grants.data))
        }
        SpaceCommand::Grant { space, user, write } => {
            let grant = NewGrant { user, access: if write { "write" } else { "read" }.into() };
            let grants: Page<Grant> =
                client.post(&format!("spaces/{}/grants", encode_segment(&space)), &grant).await?;
            output.show(&grants.data, || render_grants(&grants.data))
        }
        SpaceCommand::Revoke { space, user } => {
            let _: Value = client
                .delete(&format!("spaces/{}/grants/{}", encode_segment(&space), encode_segment(&user)))
                .await?;
            output.show(&Value::Null, || format!("Revoked: {user} can no longer use {space}."))
        }
    }
}

fn render_invitation(user: &User) -> String {
    let (secret, url) =
        (user.secret.as_deref().unwrap_or_default(), user.sign_in_url.as_deref().unwrap_or_default());
    format!(
        "API key of {}, shown only once:\n{secret}\n\nSign-in link, works once within 10 minutes:\n{url}",
        user.name
    )
}

fn list(spaces: &[Space]) -> String {
    table(
        &["id", "kind", "name", "access", "created"],
        spaces.iter().map(|space| {
            let name = space.name.clone().or_else(|| space.agent.clone()).unwrap_or_default();
            vec![
                space.id.clone(),
                space.kind.to_string(),
                name,
                space.access.to_string(),
                day(&space.created_at),
            ]
        }),
    )
}

fn render_grants(grants: &[Grant]) -> String {
    if grants.is_empty() {
        return "Not shared with anyone.".into();
    }
    table(
        &["user", "access", "since"],
        grants.iter().map(|grant| vec![grant.user.clone(), grant.access.to_string(), day(&grant.granted_at)]),
    )
}

fn day(time: &str) -> String {
    time.get(..10).unwrap_or(time).to_owned()
}
