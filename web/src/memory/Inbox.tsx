// The inbox: texts that may be worth saving and that a user has not accepted or dismissed yet.

import { useCallback, useEffect, useState } from "react";
import { ApiError } from "../api";
import { formatDate, type InboxEntry, type MemoryApi } from "./api";

interface Props {
  memories: MemoryApi;
  onChanged: () => void;
  onOpenConversation: (id: string) => void;
}

export function Inbox({ memories, onChanged, onOpenConversation }: Props) {
  const [entries, setEntries] = useState<InboxEntry[]>();
  const [error, setError] = useState<string>();
  const fail = (cause: unknown) => setError(cause instanceof ApiError ? cause.message : String(cause));
  const load = useCallback(() => memories.listInbox().then(({ data }) => setEntries(data), fail), [memories]);
  useEffect(() => void load(), [load]);

  const forEach = async (ids: string[], action: (id: string) => Promise<unknown>) => {
    for (const id of ids) await action(id).catch(fail);
    await load();
    onChanged();
  };
  const ids = entries?.map(({ id }) => id) ?? [];

  return (
    <>
      <p className="quiet small">
        Things that you said in a conversation without asking Lar to save them. Lar deletes each entry after 14 days.
      </p>
      {error && (
        <p role="alert" className="alert">
          {error}
        </p>
      )}
      {entries?.length === 0 && <p className="quiet empty">The inbox is empty.</p>}
      {ids.length > 1 && (
        <div className="bulk" role="toolbar" aria-label="All entries">
          <button onClick={() => forEach(ids, (id) => memories.acceptEntry(id))}>Accept all</button>
          <button onClick={() => forEach(ids, memories.rejectEntry)}>Dismiss all</button>
        </div>
      )}
      <ul className="cards" aria-label="Inbox entries">
        {entries?.map((entry) => (
          <EntryCard
            key={entry.id}
            entry={entry}
            onAccept={(content) => forEach([entry.id], (id) => memories.acceptEntry(id, content))}
            onDismiss={() => forEach([entry.id], memories.rejectEntry)}
            onOpenConversation={onOpenConversation}
          />
        ))}
      </ul>
    </>
  );
}

interface EntryCardProps {
  entry: InboxEntry;
  /** Receives the text if the person changed it. */
  onAccept: (content?: string) => void;
  onDismiss: () => void;
  onOpenConversation: (id: string) => void;
}

function EntryCard({ entry, onAccept, onDismiss, onOpenConversation }: EntryCardProps) {
  const [content, setContent] = useState(entry.content);
  return (
    <li className="card">
      <textarea aria-label="Entry text" rows={2} value={content} onChange={(event) => setContent(event.target.value)} />
      <div className="actions">
        <button className="primary" onClick={() => onAccept(content === entry.content ? undefined : content)}>
          Accept
        </button>
        <button onClick={onDismiss}>Dismiss</button>
        {/^conv_[0-9a-f]+$/.test(entry.conversation ?? "") && (
          <button className="quiet-button" onClick={() => onOpenConversation(entry.conversation!)}>
            Open conversation
          </button>
        )}
        <span className="numbers">{formatDate(entry.created_at)}</span>
      </div>
    </li>
  );
}
