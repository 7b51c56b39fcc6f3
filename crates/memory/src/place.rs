//! Whose memories a call may see and change. A [`Reader`] or [`Writer`] is the proof that this was decided.

use lar_base::{Caller, Code, Problem, Scope, SpaceId};

use crate::Memories;

/// Characters of an agent's name at most.
const AGENT_CHARS_MAX: usize = 64;

/// Proof that a caller may read the memories of these spaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    pub(crate) caller: Caller,
    pub(crate) spaces: Vec<SpaceId>,
}

/// Proof that a caller may change the memories of this space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writer {
    pub(crate) caller: Caller,
    pub(crate) space: SpaceId,
}

impl Reader {
    /// The spaces; none before anything was written.
    #[must_use]
    pub fn spaces(&self) -> &[SpaceId] {
        &self.spaces
    }
}

impl Writer {
    /// Who it is.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The space.
    #[must_use]
    pub fn space(&self) -> SpaceId {
        self.space
    }
}

impl Memories {
    /// The memories that a caller may read: those of the agent named, the person's own where none is.
    ///
    /// # Errors
    /// [`Code::ForbiddenScope`]; [`Code::ForbiddenSpace`] when the key belongs to another agent;
    /// [`Code::InvalidParams`] for a name that can be none.
    pub async fn reader(&self, caller: Caller, agent: Option<&str>) -> Result<Reader, Problem> {
        caller.require(Scope::MemoryRead)?;
        let agent = agent_of(&caller, agent)?;
        let found = self.store.space_find(caller.user, agent).await?;
        Ok(Reader { caller, spaces: found.into_iter().map(|space| space.id).collect() })
    }

    /// As [`Memories::reader`], to change them; the space is made where it is not there yet.
    ///
    /// # Errors
    /// As there. Nothing is written to another space instead.
    pub async fn writer(&self, caller: Caller, agent: Option<&str>) -> Result<Writer, Problem> {
        caller.require(Scope::MemoryWrite)?;
        let agent = agent_of(&caller, agent)?;
        let space = self.store.space_ensure(caller.user, agent).await?.id;
        Ok(Writer { caller, space })
    }
}

/// The agent whose space is meant: the key's own, else the one named.
fn agent_of(caller: &Caller, named: Option<&str>) -> Result<Option<String>, Problem> {
    let named =
        named.map(checked_agent).transpose().map_err(|reason| Problem::invalid("X-Agent-Id", reason))?;
    match (&caller.agent, named) {
        (None, named) => Ok(named.map(str::to_owned)),
        (Some(own), None) => Ok(Some(own.clone())),
        (Some(own), Some(named)) if own == named => Ok(Some(own.clone())),
        (Some(own), Some(named)) => Err(Problem::new(
            Code::ForbiddenSpace,
            format!("this key belongs to the agent `{own}` and does not see the memories of `{named}`"),
        )),
    }
}

/// Checks that this can be an agent's name.
///
/// # Errors
/// What a name must be.
pub fn checked_agent(name: &str) -> Result<&str, String> {
    let fits = (1..=AGENT_CHARS_MAX).contains(&name.chars().count())
        && name.chars().all(|c| c.is_alphanumeric() || "-_.:@".contains(c))
        && !name.starts_with('.');
    if fits {
        return Ok(name);
    }
    Err(format!("must be 1 to {AGENT_CHARS_MAX} letters, digits and -_.:@, and not begin with a dot"))
}
