// The inbox: questions about memories that may be outdated, changes that Lar proposes, and texts that may be worth saving.

import { useCallback, useEffect, useState } from "react";
import { ApiError } from "../api";
import {
  formatDate,
  type ConsolidationRun,
  type InboxEntry,
  type MemoryApi,
  type MemoryLink,
  type Proposal,
  type Resolution,
} from "./api";
import { Proposals } from "./Proposals";

interface Props {
  memories: MemoryApi;
  onChanged: () => void;
  onOpenConversation: (id: string) => void;
}

export function Inbox({ memories, onChanged, onOpenConversation }: Props) {
  const [entries, setEntries] = useState<InboxEntry[]>();
  const [links, setLinks] = useState<MemoryLink[]>();
  const [proposals, setProposals] = useState<Proposal[]>();
  const [runs, setRuns] = useState<ConsolidationRun[]>([]);
  const [error, setError] = useState<string>();
  const fail = (cause: unknown) => setError(cause instanceof ApiError ? cause.message : String(cause));
  const load = useCallback(
    () =>
      Promise.all([
        memories.listInbox().then(({ data }) => setEntries(data), fail),
        memories.listLinks().then(({ data }) => setLinks(data), fail),
        memories.listProposals().then(({ data }) => setProposals(data), fail),
        memories.listRuns().then(({ data }) => setRuns(data), fail),
      ]),
    [memories],
  );
  useEffect(() => void load(), [load]);

  const forEach = async (ids: string[], action: (id: string) => Promise<unknown>) => {
    for (const id of ids) await action(id).catch(fail);
    await load();
    onChanged();
  };
  // A text that would replace a memory is decided one by one.
  const ids = entries?.filter(({ may_replace }) => !may_replace).map(({ id }) => id) ?? [];

  return (
    <>
      {error && (
        <p role="alert" className="alert">
          {error}
        </p>
      )}
      {links?.length === 0 && entries?.length === 0 && proposals?.length === 0 && (
        <p className="quiet empty">
          The inbox is empty. Lar asks here about memories that may be outdated or say the same, and about things that you
          said in a conversation without asking to save them.
        </p>
      )}
      {links && links.length > 0 && (
        <>
          <h2 className="section">Possibly outdated</h2>
          <ul className="cards" aria-label="Possibly outdated memories">
            {links.map((link) => (
              <LinkCard
                key={link.id}
                link={link}
                onResolve={(resolution) => forEach([link.id], (id) => memories.resolveLink(id, resolution))}
              />
            ))}
          </ul>
        </>
      )}
      <Proposals
        proposals={proposals ?? []}
        runs={runs}
        onAccept={(ids) => forEach(ids, memories.acceptProposal)}
        onReject={(id) => forEach([id], memories.rejectProposal)}
        onUndo={(id) =>
          forEach([id], (id) =>
            memories.undoRun(id).then(({ conflicts }) => {
              if (conflicts.length > 0) setError(conflicts.map(({ reason }) => reason).join("; "));
            }),
          )
        }
      />
      {entries && entries.length > 0 && (
        <>
          <h2 className="section">Not saved yet</h2>
          <p className="quiet small">Lar deletes each entry after 14 days.</p>
          {ids.length > 1 && (
            <div className="bulk" role="toolbar" aria-label="All entries">
              <button onClick={() => forEach(ids, (id) => memories.acceptEntry(id))}>Accept all</button>
              <button onClick={() => forEach(ids, memories.rejectEntry)}>Dismiss all</button>
            </div>
          )}
          <ul className="cards" aria-label="Inbox entries">
            {entries.map((entry) => (
              <EntryCard
                key={entry.id}
                entry={entry}
                onAccept={(content, keepBoth) => forEach([entry.id], (id) => memories.acceptEntry(id, content, keepBoth))}
                onDismiss={() => forEach([entry.id], memories.rejectEntry)}
                onOpenConversation={onOpenConversation}
              />
            ))}
          </ul>
        </>
      )}
    </>
  );
}

interface LinkCardProps {
  link: MemoryLink;
  onResolve: (resolution: Resolution) => void;
}

/** Two memories that may not both be true, and what to do with them. */
function LinkCard({ link: { older, newer, relation }, onResolve }: LinkCardProps) {
  return (
    <li className="card">
      <p className="content">{newer.content}</p>
      <p className="about">
        <span>{formatDate(newer.created_at)}</span>
        <span>{relation === "contradicts" ? "contradicts:" : "may replace:"}</span>
      </p>
      <p className="before">
        {formatDate(older.created_at)}: “{older.content}”
      </p>
      <div className="actions">
        <button className="primary" onClick={() => onResolve("replace")}>
          Replace
        </button>
        <button onClick={() => onResolve("keep_both")}>Keep both</button>
        <button onClick={() => onResolve("merge")}>Merge</button>
      </div>
    </li>
  );
}

interface EntryCardProps {
  entry: InboxEntry;
  /** Receives the text if the person changed it, and whether a memory that it would replace stays. */
  onAccept: (content?: string, keepBoth?: boolean) => void;
  onDismiss: () => void;
  onOpenConversation: (id: string) => void;
}

function EntryCard({ entry, onAccept, onDismiss, onOpenConversation }: EntryCardProps) {
  const [content, setContent] = useState(entry.content);
  const changed = content === entry.content ? undefined : content;
  return (
    <li className="card">
      {entry.may_replace && <p className="before">Your memory says: “{entry.may_replace.content}”. Update it?</p>}
      <textarea aria-label="Entry text" rows={2} value={content} onChange={(event) => setContent(event.target.value)} />
      <div className="actions">
        <button className="primary" onClick={() => onAccept(changed)}>
          {entry.may_replace ? "Update" : "Accept"}
        </button>
        {entry.may_replace && <button onClick={() => onAccept(changed, true)}>Keep both</button>}
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
