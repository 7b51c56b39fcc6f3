//! `lar users` and `lar spaces`: who shares this Lar, and what they share.

use clap::Subcommand;
use lar_api::Page;
use lar_api::spaces::{Grant, NewGrant, NewSpace, Space};
use lar_api::users::{NewUser, User};
use serde_json::Value;

use crate::Client;
use crate::models::path;
use crate::output::{Output, table};

/// What can be done with people.
#[derive(Debug, Clone, Subcommand)]
pub enum UserCommand {
    /// List them
    List,
    /// Invite somebody: they get a key, and a link that signs their browser in
    Invite {
        /// What to call them
        name: String,
    },
    /// Take somebody's keys and grants away; what they kept stays
    Remove {
        /// Their name or id
        name: String,
    },
}

/// What can be done with spaces.
#[derive(Debug, Clone, Subcommand)]
pub enum SpaceCommand {
    /// List those that you may use
    List,
    /// Make one for a team
    Create {
        /// What to call it
        name: String,
    },
    /// Who may use a team's space
    Grants {
        /// The space's name
        space: String,
    },
    /// Let somebody read a team's space
    Grant {
        /// The space's name
        space: String,
        /// Their name
        user: String,
        /// Also let them remember and change there
        #[arg(long)]
        write: bool,
    },
    /// Take somebody's grant away
    Revoke {
        /// The space's name
        space: String,
        /// Their name
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
            let _: Value = client.delete(&format!("users/{}", path(&name))).await?;
            output.show(&Value::Null, || format!("{name} has no key any more. What they kept stays."))
        }
    }
}

pub(crate) async fn spaces(client: &Client, output: &Output, command: SpaceCommand) -> anyhow::Result<()> {
    match command {
        SpaceCommand::List => {
            let spaces: Page<Space> = client.get("spaces").await?;
            output.show(&spaces.data, || list(&spaces.data))
        }
        SpaceCommand::Create { name } => {
            let space: Space = client.post("spaces", &NewSpace { name: name.clone() }).await?;
            output.show(&space, || format!("Made. Share it: lar spaces grant {name} PERSON --write"))
        }
        SpaceCommand::Grants { space } => {
            let grants: Page<Grant> = client.get(&format!("spaces/{}/grants", path(&space))).await?;
            output.show(&grants.data, || render_grants(&grants.data))
        }
        SpaceCommand::Grant { space, user, write } => {
            let grant = NewGrant { user, access: if write { "write" } else { "read" }.into() };
            let grants: Page<Grant> = client.post(&format!("spaces/{}/grants", path(&space)), &grant).await?;
            output.show(&grants.data, || render_grants(&grants.data))
        }
        SpaceCommand::Revoke { space, user } => {
            let _: Value = client.delete(&format!("spaces/{}/grants/{}", path(&space), path(&user))).await?;
            output.show(&Value::Null, || format!("{user} may not use {space} any more."))
        }
    }
}

fn render_invitation(user: &User) -> String {
    let (secret, url) =
        (user.secret.as_deref().unwrap_or_default(), user.sign_in_url.as_deref().unwrap_or_default());
    format!(
        "{}'s key, shown once:\n{secret}\n\nTheir browser signs in once, within ten minutes:\n{url}",
        user.name
    )
}

fn list(spaces: &[Space]) -> String {
    table(
        &["id", "kind", "name", "you may", "made"],
        spaces.iter().map(|space| {
            let name = space.name.clone().or_else(|| space.agent.clone()).unwrap_or_default();
            vec![space.id.clone(), space.kind.clone(), name, space.access.clone(), day(&space.created_at)]
        }),
    )
}

fn render_grants(grants: &[Grant]) -> String {
    if grants.is_empty() {
        return "Nobody but whoever made it.".into();
    }
    table(
        &["person", "may", "since"],
        grants.iter().map(|grant| vec![grant.user.clone(), grant.access.clone(), day(&grant.granted_at)]),
    )
}

fn day(time: &str) -> String {
    time.get(..10).unwrap_or(time).to_owned()
}
