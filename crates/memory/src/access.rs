//! Access control for memories: the spaces that a caller may read and write.
//!
//! A [`ReadAccess`] or [`WriteAccess`] proves that the check was made. Operations on memories require one.

use lar_base::{Caller, Code, MemoryId, Problem, Scope, SpaceId};
use lar_store::{Access, Memory, Space, SpaceKind};

use crate::Memories;

/// The most characters in the name of an agent or a space.
pub const NAME_CHARS_MAX: usize = 64;

/// The memories that a request names: an agent's, a team space's, or the user's own if it names neither.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryScope<'a> {
    /// The name of an agent of the user; `None` for the user's own memories.
    pub agent: Option<&'a str>,
    /// The name or id of a team space; `None` for the spaces of the user or agent.
    pub space: Option<&'a str>,
}

/// Proof that a caller may read the memories of these spaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadAccess {
    pub(crate) caller: Caller,
    pub(crate) spaces: Vec<SpaceId>,
}

/// Proof that a caller may change the memories of these spaces and add memories to one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteAccess {
    pub(crate) caller: Caller,
    /// The space for new memories.
    pub(crate) space: SpaceId,
    /// The spaces whose memories may be changed, including `space`.
    pub(crate) spaces: Vec<SpaceId>,
    /// The spaces whose memories may only be read.
    pub(crate) read_only: Vec<SpaceId>,
    /// Whether `space` is a team space.
    pub(crate) is_shared: bool,
}

impl ReadAccess {
    /// Returns the readable spaces. Empty if nothing has been saved yet.
    #[must_use]
    pub fn spaces(&self) -> &[SpaceId] {
        &self.spaces
    }
}

impl WriteAccess {
    /// Returns the caller.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Returns the space for new memories.
    #[must_use]
    pub fn space(&self) -> SpaceId {
        self.space
    }
}

impl Memories {
    /// Authorizes a caller to read the memories in `memory_scope`.
    ///
    /// If the scope names nothing, these are the user's own memories and those of team spaces shared with the
    /// user.
    ///
    /// # Errors
    /// [`Code::ForbiddenScope`] without the scope `memory:read`; [`Code::ForbiddenSpace`] if the key belongs
    /// to another agent, or the space is not shared with the user; [`Code::InvalidParams`] for an invalid
    /// name.
    pub async fn authorize_read(
        &self,
        caller: Caller,
        memory_scope: MemoryScope<'_>,
    ) -> Result<ReadAccess, Problem> {
        caller.require(Scope::MemoryRead)?;
        let spaces =
            self.visible_spaces(&caller, memory_scope).await?.into_iter().map(|space| space.id).collect();
        let reader = ReadAccess { caller, spaces };
        self.client_uses.record_read(reader.caller.key(), &reader.spaces);
        Ok(reader)
    }

    /// Authorizes a caller to change the memories in `memory_scope`.
    ///
    /// New memories go to the named space, or to the user's or agent's own space, which is created if it is
    /// missing.
    ///
    /// # Errors
    /// As [`Memories::authorize_read`], with the scope `memory:write`; [`Code::ForbiddenSpace`] also if the
    /// user may only read the named space.
    pub async fn authorize_write(
        &self,
        caller: Caller,
        memory_scope: MemoryScope<'_>,
    ) -> Result<WriteAccess, Problem> {
        caller.require(Scope::MemoryWrite)?;
        let visible_spaces = self.visible_spaces(&caller, memory_scope).await?;
        let (write, read): (Vec<Space>, Vec<Space>) =
            visible_spaces.into_iter().partition(|space| space.access >= Access::Write);
        let space = match (memory_scope.space, write.first()) {
            (Some(_), Some(space)) => space.id,
            (Some(named), None) => {
                let reason = format!("you have only read access to the space `{named}`");
                return Err(Problem::new(Code::ForbiddenSpace, reason));
            }
            (None, _) => {
                self.store.space_ensure(caller.user(), agent_of(&caller, memory_scope.agent)?).await?.id
            }
        };
        let mut spaces: Vec<SpaceId> = write.into_iter().map(|space| space.id).collect();
        if !spaces.contains(&space) {
            spaces.push(space);
        }
        let writer = WriteAccess {
            caller,
            space,
            spaces,
            read_only: read.into_iter().map(|space| space.id).collect(),
            is_shared: memory_scope.space.is_some(),
        };
        self.client_uses.record_write(writer.caller.key(), writer.space);
        Ok(writer)
    }

    /// Loads a memory that the writer may change.
    ///
    /// # Errors
    /// [`Code::NotFound`]; [`Code::ForbiddenSpace`] if the writer may only read it.
    pub(crate) async fn get_writable(&self, writer: &WriteAccess, id: MemoryId) -> Result<Memory, Problem> {
        let found = self.store.memory_get(writer.spaces.clone(), id).await;
        if matches!(found, Err(lar_store::Error::NotFound(_)))
            && self.store.memory_get(writer.read_only.clone(), id).await.is_ok()
        {
            let reason = format!("you have only read access to the space of memory {id}");
            return Err(Problem::new(Code::ForbiddenSpace, reason));
        }
        Ok(found?)
    }

    /// Returns the spaces in `memory_scope` that the caller may at least read.
    pub(crate) async fn visible_spaces(
        &self,
        caller: &Caller,
        memory_scope: MemoryScope<'_>,
    ) -> Result<Vec<Space>, Problem> {
        let agent = agent_of(caller, memory_scope.agent)?;
        match (memory_scope.space, agent) {
            (Some(_), Some(agent)) => Err(Problem::new(
                Code::ForbiddenSpace,
                format!("the agent `{agent}` has its own space and no access to others"),
            )),
            (Some(named), None) => {
                let named = check_space_name(named)?;
                let found = self.store.space_shared(caller.user(), named.to_owned()).await;
                let found = found.map_err(|error| match error {
                    lar_store::Error::NotFound(_) => Problem::new(
                        Code::ForbiddenSpace,
                        format!("there is no space `{named}`, or it is not shared with you"),
                    ),
                    other => other.into(),
                })?;
                Ok(vec![found])
            }
            (None, Some(agent)) => {
                Ok(self.store.space_find(caller.user(), Some(agent)).await?.into_iter().collect())
            }
            (None, None) => {
                let mut spaces = self.store.space_list(caller.user()).await?;
                spaces.retain(|space| !matches!(space.kind, SpaceKind::Agent(_)));
                Ok(spaces)
            }
        }
    }
}

/// Returns the agent whose space is used: the key's own agent, or else the named one.
fn agent_of(caller: &Caller, named: Option<&str>) -> Result<Option<String>, Problem> {
    let named =
        named.map(check_agent_name).transpose().map_err(|reason| Problem::invalid("X-Agent-Id", reason))?;
    match (caller.agent(), named) {
        (None, named) => Ok(named.map(str::to_owned)),
        (Some(own), None) => Ok(Some(own.to_owned())),
        (Some(own), Some(named)) if own == named => Ok(Some(own.to_owned())),
        (Some(own), Some(named)) => Err(Problem::new(
            Code::ForbiddenSpace,
            format!("this key belongs to the agent `{own}` and has no access to the memories of `{named}`"),
        )),
    }
}

/// Checks that a text is a valid space name, by the same rule as for agents.
fn check_space_name(name: &str) -> Result<&str, Problem> {
    check_agent_name(name).map_err(|reason| Problem::invalid("X-Space", reason))
}

/// Checks that a text is a valid name of an agent, a user or a space.
///
/// # Errors
/// The rule for names.
pub fn check_agent_name(name: &str) -> Result<&str, String> {
    let fits = (1..=NAME_CHARS_MAX).contains(&name.chars().count())
        && name.chars().all(|c| c.is_alphanumeric() || "-_.:@".contains(c))
        && !name.starts_with('.');
    if fits {
        return Ok(name);
    }
    Err(format!("must be 1 to {NAME_CHARS_MAX} letters, digits or -_.:@, and must not start with a dot"))
}
