// One memory: its text, its source, its history, and the actions on it.

import { useEffect, useState, type FormEvent } from "react";
import { formatDate, formatDateTime, KINDS, type Memory, type MemoryApi, type MemoryChange, type SearchResult, type Kind } from "./api";

interface Props {
  memory: Memory;
  /** The search result, if the memory was found by a search. */
  result?: SearchResult;
  /** Whether a newer memory may replace this one, and nobody has decided yet. */
  isPossiblyOutdated: boolean;
  memories: MemoryApi;
  isReadOnly: boolean;
  isSelected: boolean;
  onToggleSelected: () => void;
  onChanged: () => void;
  onFailed: (cause: unknown) => void;
  onOpenConversation: (id: string) => void;
}

export function MemoryCard({
  memory,
  result,
  isPossiblyOutdated,
  memories,
  isReadOnly,
  isSelected,
  onToggleSelected,
  onChanged,
  onFailed,
  onOpenConversation,
}: Props) {
  const [isHistoryOpen, setIsHistoryOpen] = useState(false);
  const [isEditing, setIsEditing] = useState(false);
  const handle = (action: Promise<unknown>) => action.then(onChanged, onFailed);
  const label = memory.content.slice(0, 60);
  return (
    <li className={memory.superseded_by || memory.deleted_at ? "card past" : "card"}>
      <div className="card-top">
        {!isReadOnly && <input type="checkbox" aria-label={`Select: ${label}`} checked={isSelected} onChange={onToggleSelected} />}
        <div className="grow">
          {isEditing ? (
            <EditForm memory={memory} memories={memories} onClose={() => setIsEditing(false)} onChanged={onChanged} onFailed={onFailed} />
          ) : (
            <p className="content">{memory.content}</p>
          )}
          {result?.supersedes && (
            <p className="before">
              Until {formatDate(result.supersedes.until)}: “{result.supersedes.content}”
            </p>
          )}
          <p className="about">
            <span className="chip">{memory.kind}</span>
            {memory.pinned && <span className="chip ready">Pinned</span>}
            {memory.superseded_by && <span className="chip">Superseded</span>}
            {isPossiblyOutdated && (
              <span className="chip" title="A newer memory may replace this one. Decide in the inbox.">
                Possibly outdated
              </span>
            )}
            {memory.tags.map((tag) => (
              <span key={tag} className="chip">
                #{tag}
              </span>
            ))}
            <span>{formatDate(memory.occurred_at ?? memory.created_at)}</span>
            {memory.project && <span>project {memory.project}</span>}
            {memory.source && <span>from {memory.source}</span>}
            {result && (
              <span title="The search score and its parts">
                score {result.score.toFixed(2)}: keywords {result.parts.keyword.toFixed(2)}
                {result.parts.similarity != null && `, embedding ${result.parts.similarity.toFixed(2)}`}
              </span>
            )}
          </p>
        </div>
        <Strength memory={memory} />
      </div>
      <div className="actions">
        {!isReadOnly &&
          (memory.deleted_at ? (
            <button className="quiet-button" aria-label={`Restore: ${label}`} onClick={() => handle(memories.update(memory.id, { deleted: false }))}>
              Restore
            </button>
          ) : (
            <>
              <button className="quiet-button" aria-label={`Edit: ${label}`} onClick={() => setIsEditing(!isEditing)}>
                Edit
              </button>
              <button className="quiet-button" aria-label={`Promote: ${label}`} onClick={() => handle(memories.promote(memory.id))}>
                Promote
              </button>
              <button className="quiet-button" aria-label={`Demote: ${label}`} onClick={() => handle(memories.demote(memory.id))}>
                Demote
              </button>
              <button
                className="quiet-button"
                aria-label={`${memory.pinned ? "Unpin" : "Pin"}: ${label}`}
                onClick={() => handle(memories.update(memory.id, { pinned: !memory.pinned }))}
              >
                {memory.pinned ? "Unpin" : "Pin"}
              </button>
              <button className="quiet-button" aria-label={`Forget: ${label}`} onClick={() => handle(memories.forget(memory.id))}>
                Forget
              </button>
            </>
          ))}
        <button className="quiet-button" aria-expanded={isHistoryOpen} aria-label={`History: ${label}`} onClick={() => setIsHistoryOpen(!isHistoryOpen)}>
          History
        </button>
      </div>
      {isHistoryOpen && (
        <History
          memory={memory}
          memories={memories}
          isReadOnly={isReadOnly}
          onChanged={onChanged}
          onFailed={onFailed}
          onOpenConversation={onOpenConversation}
        />
      )}
    </li>
  );
}

/** The strength of a memory (its retrievability), as a bar. */
function Strength({ memory }: { memory: Memory }) {
  const isPermanent = memory.pinned || memory.kind === "decision";
  const strength = isPermanent ? 1 : memory.retrievability;
  const text = isPermanent ? "Does not decay" : `Strength: ${Math.round(strength * 100)}%`;
  return (
    <span className="strength" role="img" aria-label={text} title={text}>
      <span style={{ width: `${Math.max(4, strength * 100)}%` }} />
    </span>
  );
}

interface EditFormProps {
  memory: Memory;
  memories: MemoryApi;
  onClose: () => void;
  onChanged: () => void;
  onFailed: (cause: unknown) => void;
}

function EditForm({ memory, memories, onClose, onChanged, onFailed }: EditFormProps) {
  const save = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const tags = String(form.get("tags"))
      .split(",")
      .map((tag) => tag.trim())
      .filter(Boolean);
    memories.update(memory.id, { content: String(form.get("content")), kind: form.get("kind") as Kind, tags }).then(() => {
      onClose();
      onChanged();
    }, onFailed);
  };
  return (
    <form className="edit" onSubmit={save}>
      <textarea name="content" aria-label="Memory text" defaultValue={memory.content} autoFocus />
      <div className="filters">
        <select name="kind" aria-label="Kind" defaultValue={memory.kind}>
          {KINDS.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
        <input name="tags" aria-label="Tags, separated by commas" placeholder="Tags, separated by commas" defaultValue={memory.tags.join(", ")} />
        <button type="button" onClick={onClose}>
          Cancel
        </button>
        <button className="primary">Save</button>
      </div>
    </form>
  );
}

interface HistoryProps {
  memory: Memory;
  memories: MemoryApi;
  isReadOnly: boolean;
  onChanged: () => void;
  onFailed: (cause: unknown) => void;
  onOpenConversation: (id: string) => void;
}

function History({ memory, memories, isReadOnly, onChanged, onFailed, onOpenConversation }: HistoryProps) {
  const [changes, setChanges] = useState<MemoryChange[]>();
  useEffect(() => {
    memories.listHistory(memory.id).then(({ data }) => setChanges(data), onFailed);
    // Load the history again only when the memory changes, not when `onFailed` does.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [memories, memory.id, memory.version]);
  const erase = () => {
    if (confirm("Erase this memory and its history? This cannot be undone.")) memories.erase(memory.id).then(onChanged, onFailed);
  };
  return (
    <div className="history">
      <ol>
        {changes?.map((change) => (
          <li key={change.id} className={change.undone_by ? "quiet" : ""}>
            <span>{formatDateTime(change.at)}</span> <strong>{change.action}</strong>
            {change.undone_by && " (undone)"}
            {change.reason && <span className="quiet"> {change.reason}</span>}
            {change.before.content && <span className="old">{change.before.content[0]}</span>}
          </li>
        ))}
      </ol>
      <div className="actions">
        {!isReadOnly && (
          <button className="quiet-button" onClick={() => memories.undo(memory.id).then(onChanged, onFailed)}>
            Undo last change
          </button>
        )}
        {/^conv_[0-9a-f]+$/.test(memory.conversation ?? "") && (
          <button className="quiet-button" onClick={() => onOpenConversation(memory.conversation!)}>
            Open conversation
          </button>
        )}
        {!isReadOnly && (
          <button className="quiet-button" onClick={erase}>
            Erase permanently
          </button>
        )}
        <code className="numbers">{memory.id}</code>
      </div>
    </div>
  );
}
