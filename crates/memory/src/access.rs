//! Whose memories a call may see and change. A [`ReadAccess`] or [`WriteAccess`] is the proof that this was decided.

use lar_base::{Caller, Code, MemoryId, Problem, Scope, SpaceId};
use lar_store::{Access, Memory, Space, SpaceKind};

use crate::Memories;

/// Characters of an agent's or a space's name at most.
pub const NAME_CHARS_MAX: usize = 64;

/// Which memories are meant: those of an agent, those of a team, or a person's own where neither is named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryScope<'a> {
    /// The agent's name.
    pub agent: Option<&'a str>,
    /// The team's space, by its name or id.
    pub space: Option<&'a str>,
}

/// Proof that a caller may read the memories of these spaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadAccess {
    pub(crate) caller: Caller,
    pub(crate) spaces: Vec<SpaceId>,
}

/// Proof that a caller may change the memories of these spaces, and make new ones in one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteAccess {
    pub(crate) caller: Caller,
    /// Where new ones lie.
    pub(crate) space: SpaceId,
    /// Where they may be changed, `space` among them.
    pub(crate) spaces: Vec<SpaceId>,
    /// Where they may be read and no more.
    pub(crate) read_only: Vec<SpaceId>,
    /// Whether others use `space` as well.
    pub(crate) is_shared: bool,
}

impl ReadAccess {
    /// The spaces; none before anything was written.
    #[must_use]
    pub fn spaces(&self) -> &[SpaceId] {
        &self.spaces
    }
}

impl WriteAccess {
    /// Who it is.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Where new memories lie.
    #[must_use]
    pub fn space(&self) -> SpaceId {
        self.space
    }
}

impl Memories {
    /// The memories that a caller may read: those of the place named; else the person's own and those of the teams that
    /// they have a grant of.
    ///
    /// # Errors
    /// [`Code::ForbiddenScope`]; [`Code::ForbiddenSpace`] when the key belongs to another agent, or the person has no
    /// grant; [`Code::InvalidParams`] for a name that can be none.
    pub async fn authorize_read(
        &self,
        caller: Caller,
        memory_scope: MemoryScope<'_>,
    ) -> Result<ReadAccess, Problem> {
        caller.require(Scope::MemoryRead)?;
        let spaces =
            self.visible_spaces(&caller, memory_scope).await?.into_iter().map(|space| space.id).collect();
        let reader = ReadAccess { caller, spaces };
        self.clients.record_read(&reader);
        Ok(reader)
    }

    /// As [`Memories::reader`], to change them; a person's or agent's space is made where it is not there yet. New
    /// memories lie in the place named, the person's own where none is.
    ///
    /// # Errors
    /// As there; [`Code::ForbiddenSpace`] also where the grant is to read. Nothing is written to another space instead.
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
                let reason = format!("the space `{named}` is shared with you to read");
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
        self.clients.record_write(&writer);
        Ok(writer)
    }

    /// A memory that a writer may change.
    ///
    /// # Errors
    /// [`Code::NotFound`]; [`Code::ForbiddenSpace`] for one that they may only read.
    pub(crate) async fn get_writable(&self, writer: &WriteAccess, id: MemoryId) -> Result<Memory, Problem> {
        let found = self.store.memory_get(writer.spaces.clone(), id).await;
        if matches!(found, Err(lar_store::Error::NotFound(_)))
            && self.store.memory_get(writer.read_only.clone(), id).await.is_ok()
        {
            let reason = format!("memory {id} lies in a space that is shared with you to read");
            return Err(Problem::new(Code::ForbiddenSpace, reason));
        }
        Ok(found?)
    }

    /// The spaces that are meant, as far as this caller sees them.
    pub(crate) async fn visible_spaces(
        &self,
        caller: &Caller,
        memory_scope: MemoryScope<'_>,
    ) -> Result<Vec<Space>, Problem> {
        let agent = agent_of(caller, memory_scope.agent)?;
        match (memory_scope.space, agent) {
            (Some(_), Some(agent)) => Err(Problem::new(
                Code::ForbiddenSpace,
                format!("the agent `{agent}` has a space of its own and sees no other"),
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

/// The agent whose space is meant: the key's own, else the one named.
fn agent_of(caller: &Caller, named: Option<&str>) -> Result<Option<String>, Problem> {
    let named =
        named.map(check_agent_name).transpose().map_err(|reason| Problem::invalid("X-Agent-Id", reason))?;
    match (caller.agent(), named) {
        (None, named) => Ok(named.map(str::to_owned)),
        (Some(own), None) => Ok(Some(own.to_owned())),
        (Some(own), Some(named)) if own == named => Ok(Some(own.to_owned())),
        (Some(own), Some(named)) => Err(Problem::new(
            Code::ForbiddenSpace,
            format!("this key belongs to the agent `{own}` and does not see the memories of `{named}`"),
        )),
    }
}

/// Checks that this can be a space's name; the same as an agent's.
fn check_space_name(name: &str) -> Result<&str, Problem> {
    check_agent_name(name).map_err(|reason| Problem::invalid("X-Space", reason))
}

/// Checks that this can be an agent's name, or a person's or a space's.
///
/// # Errors
/// What a name must be.
pub fn check_agent_name(name: &str) -> Result<&str, String> {
    let fits = (1..=NAME_CHARS_MAX).contains(&name.chars().count())
        && name.chars().all(|c| c.is_alphanumeric() || "-_.:@".contains(c))
        && !name.starts_with('.');
    if fits {
        return Ok(name);
    }
    Err(format!("must be 1 to {NAME_CHARS_MAX} letters, digits and -_.:@, and not begin with a dot"))
}
