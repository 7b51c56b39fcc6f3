// One memory: what it says, where it is from, what was done to it, and what can be.

import { useEffect, useState, type FormEvent } from "react";
import { day, KINDS, moment, type Change, type Found, type Memory } from "./api";
import type { Calls } from "./MemoryList";

interface Props {
  memory: Memory;
  found?: Found;
  calls: Calls;
  readOnly: boolean;
  chosen: boolean;
  onChosen: () => void;
  onChanged: () => void;
  onFailed: (cause: unknown) => void;
  onConversation: (id: string) => void;
}

export function MemoryCard({ memory, found, calls, readOnly, chosen, onChosen, onChanged, onFailed, onConversation }: Props) {
  const [open, setOpen] = useState(false);
  const [editing, setEditing] = useState(false);
  const act = (work: Promise<unknown>) => work.then(onChanged, onFailed);
  const label = memory.content.slice(0, 60);
  return (
    <li className={memory.superseded_by || memory.deleted_at ? "card past" : "card"}>
      <div className="card-top">
        {!readOnly && <input type="checkbox" aria-label={`Choose: ${label}`} checked={chosen} onChange={onChosen} />}
        <div className="grow">
          {editing ? (
            <Edit memory={memory} calls={calls} onDone={() => setEditing(false)} onChanged={onChanged} onFailed={onFailed} />
          ) : (
            <p className="content">{memory.content}</p>
          )}
          {found?.instead_of && (
            <p className="before">
              Until {day(found.instead_of.until)}: “{found.instead_of.content}”
            </p>
          )}
          <p className="about">
            <span className="chip">{memory.kind}</span>
            {memory.pinned && <span className="chip ready">pinned</span>}
            {memory.superseded_by && <span className="chip">corrected since</span>}
            {memory.tags.map((tag) => (
              <span key={tag} className="chip">
                #{tag}
              </span>
            ))}
            <span>{day(memory.occurred_at ?? memory.created_at)}</span>
            {memory.project && <span>project {memory.project}</span>}
            {memory.source && <span>from {memory.source}</span>}
            {found && (
              <span title="What the score is made of">
                score {found.score.toFixed(2)}: words {found.parts.words.toFixed(2)}
                {found.parts.meaning !== undefined && `, meaning ${found.parts.meaning.toFixed(2)}`}
              </span>
            )}
          </p>
        </div>
        <Strength memory={memory} />
      </div>
      <div className="actions">
        {!readOnly &&
          (memory.deleted_at ? (
            <button className="quiet-button" aria-label={`Bring back: ${label}`} onClick={() => act(calls.patch(memory.id, { deleted: false }))}>
              Bring back
            </button>
          ) : (
            <>
              <button className="quiet-button" aria-label={`Edit: ${label}`} onClick={() => setEditing(!editing)}>
                Edit
              </button>
              <button className="quiet-button" aria-label={`Promote: ${label}`} onClick={() => act(calls.promote(memory.id))}>
                Promote
              </button>
              <button className="quiet-button" aria-label={`Demote: ${label}`} onClick={() => act(calls.demote(memory.id))}>
                Demote
              </button>
              <button
                className="quiet-button"
                aria-label={`${memory.pinned ? "Unpin" : "Pin"}: ${label}`}
                onClick={() => act(calls.patch(memory.id, { pinned: !memory.pinned }))}
              >
                {memory.pinned ? "Unpin" : "Pin"}
              </button>
              <button className="quiet-button" aria-label={`Forget: ${label}`} onClick={() => act(calls.forget(memory.id))}>
                Forget
              </button>
            </>
          ))}
        <button className="quiet-button" aria-expanded={open} aria-label={`History: ${label}`} onClick={() => setOpen(!open)}>
          History
        </button>
      </div>
      {open && <History memory={memory} calls={calls} readOnly={readOnly} onChanged={onChanged} onFailed={onFailed} onConversation={onConversation} />}
    </li>
  );
}

/** How well it holds, as a bar. */
function Strength({ memory }: { memory: Memory }) {
  const share = memory.pinned || memory.kind === "decision" ? 1 : memory.retrievability;
  const text = share === 1 && (memory.pinned || memory.kind === "decision") ? "It does not fade" : `Held with ${Math.round(share * 100)} %`;
  return (
    <span className="strength" role="img" aria-label={text} title={text}>
      <span style={{ width: `${Math.max(4, share * 100)}%` }} />
    </span>
  );
}

interface EditProps {
  memory: Memory;
  calls: Calls;
  onDone: () => void;
  onChanged: () => void;
  onFailed: (cause: unknown) => void;
}

function Edit({ memory, calls, onDone, onChanged, onFailed }: EditProps) {
  const save = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const tags = String(form.get("tags"))
      .split(",")
      .map((tag) => tag.trim())
      .filter(Boolean);
    calls.patch(memory.id, { content: String(form.get("content")), kind: String(form.get("kind")), tags }).then(() => {
      onDone();
      onChanged();
    }, onFailed);
  };
  return (
    <form className="edit" onSubmit={save}>
      <textarea name="content" aria-label="What it says" defaultValue={memory.content} autoFocus />
      <div className="filters">
        <select name="kind" aria-label="Kind" defaultValue={memory.kind}>
          {KINDS.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
        <input name="tags" aria-label="Tags, parted by commas" placeholder="Tags, parted by commas" defaultValue={memory.tags.join(", ")} />
        <button type="button" onClick={onDone}>
          Cancel
        </button>
        <button className="primary">Save</button>
      </div>
    </form>
  );
}

interface HistoryProps {
  memory: Memory;
  calls: Calls;
  readOnly: boolean;
  onChanged: () => void;
  onFailed: (cause: unknown) => void;
  onConversation: (id: string) => void;
}

function History({ memory, calls, readOnly, onChanged, onFailed, onConversation }: HistoryProps) {
  const [changes, setChanges] = useState<Change[]>();
  useEffect(() => {
    calls.history(memory.id).then(({ data }) => setChanges(data), onFailed);
    // The card is made anew when its memory changes.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [calls, memory.id, memory.version]);
  const erase = () => {
    if (confirm("Erase this memory with its history? This cannot be undone.")) calls.erase(memory.id).then(onChanged, onFailed);
  };
  return (
    <div className="history">
      <ol>
        {changes?.map((change) => (
          <li key={change.id} className={change.undone_by ? "quiet" : ""}>
            <span>{moment(change.at)}</span> <strong>{change.action}</strong>
            {change.undone_by && " (undone)"}
            {change.reason && <span className="quiet"> {change.reason}</span>}
            {change.before.content && <span className="old">{change.before.content[0]}</span>}
          </li>
        ))}
      </ol>
      <div className="actions">
        {!readOnly && (
          <button className="quiet-button" onClick={() => calls.undo(memory.id).then(onChanged, onFailed)}>
            Undo the last
          </button>
        )}
        {/^conv_[0-9a-f]+$/.test(memory.conversation ?? "") && (
          <button className="quiet-button" onClick={() => onConversation(memory.conversation!)}>
            Where it was said
          </button>
        )}
        {!readOnly && (
          <button className="quiet-button" onClick={erase}>
            Erase for good
          </button>
        )}
        <code className="numbers">{memory.id}</code>
      </div>
    </div>
  );
}
