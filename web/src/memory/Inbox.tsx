// The inbox: questions about memories that may be outdated, changes that Lar proposes, and texts that may be worth saving.

import { useCallback, useEffect, useState } from "react";
import { ApiError } from "../api";
import {
  formatDate,
  toSentence,
  type ConsolidationRun,
  type InboxEntry,
  type MemoryApi,
  type MemoryLink,
  type MemoryStats,
  type Resolution,
} from "./api";
import { Proposals } from "./Proposals";
import { usePages, type Pages } from "./usePages";
import { useUndo } from "./useUndo";

/** The most characters of a text in the notice about a decision. */
const TOAST_CHARS = 60;

interface Props {
  memories: MemoryApi;
  stats?: MemoryStats;
  /** Loads what the page shows of the inbox elsewhere. */
  onChanged: () => Promise<unknown>;
  /** Receives the number of decisions that can still be undone and are not carried out yet. */
  onPendingChanged: (count: number) => void;
  onOpenConversation: (id: string) => void;
}

export function Inbox({ memories, stats, onChanged, onPendingChanged, onOpenConversation }: Props) {
  const entryPages = usePages(memories.listInbox);
  const linkPages = usePages(memories.listLinks);
  const proposalPages = usePages(memories.listProposals);
  const [runs, setRuns] = useState<ConsolidationRun[]>([]);
  /** The ids of what the person decided about, while the decision is not carried out. */
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  const [error, setError] = useState<string>();
  const fail = useCallback((cause: unknown) => setError(cause instanceof ApiError ? cause.message : String(cause)), []);
  const { offer, notice } = useUndo(fail);
  const lists = [entryPages.reload, linkPages.reload, proposalPages.reload];
  const load = useCallback(
    () => Promise.all([...lists.map((reload) => reload().catch(fail)), memories.listRuns().then(({ data }) => setRuns(data), fail)]),
    // The functions of each list change only with the space.
    // eslint-disable-next-line react-hooks/exhaustive-deps
    [memories, fail, ...lists],
  );
  useEffect(() => void load(), [load]);
  useEffect(() => {
    onPendingChanged(hidden.size);
    return () => onPendingChanged(0);
  }, [hidden, onPendingChanged]);

  const refresh = async () => {
    await Promise.all([load(), onChanged()]);
  };
  /**
   * Carries out a decision about each id, and offers to undo it. `action` returns the memories that changed, of which the
   * undo of one reverts the decision. `afterUndo` says what an undo does not bring back.
   */
  const decide = async (
    ids: string[],
    text: string,
    action: (id: string) => Promise<{ id: string } | null | undefined>,
    afterUndo?: string,
  ) => {
    setError(undefined);
    const decisions: { memory: string; decision?: string }[] = [];
    for (const id of ids) {
      try {
        const memory = await action(id);
        if (memory) decisions.unshift({ memory: memory.id, decision: await memories.getLastDecision(memory.id) });
      } catch (cause) {
        fail(cause);
      }
    }
    await refresh();
    if (decisions.length === 0) return;
    await offer({
      text,
      undo: async () => {
        for (const { memory, decision } of decisions) await memories.undo(memory, decision).catch(fail);
        await refresh();
        if (afterUndo) await offer({ text: afterUndo });
      },
    });
  };
  /** Hides each id, and carries out the decision about it when it can no longer be undone. */
  const decideLater = (ids: string[], text: string, action: (id: string) => Promise<unknown>) => {
    const show = () => setHidden((current) => new Set([...current].filter((id) => !ids.includes(id))));
    setError(undefined);
    setHidden((current) => new Set([...current, ...ids]));
    return offer({
      text,
      undo: async () => show(),
      commit: async () => {
        for (const id of ids) await action(id).catch(fail);
        await refresh();
        show();
      },
    });
  };
  const visible = <Row extends { id: string }>(rows: Row[] | undefined) => rows?.filter(({ id }) => !hidden.has(id));
  const [entries, links, proposals] = [visible(entryPages.rows), visible(linkPages.rows), visible(proposalPages.rows)];
  // A text that would replace a memory is decided one by one.
  const ids = entries?.filter(({ may_replace }) => !may_replace).map(({ id }) => id) ?? [];
  const remainingLinks = (stats?.open_links ?? 0) - (linkPages.rows?.length ?? 0);
  /** Names what was decided about: a text, or the number of texts. */
  const nameOf = (ids: string[]) => {
    const [entry] = entryPages.rows?.filter(({ id }) => id === ids[0]) ?? [];
    return ids.length === 1 && entry ? entry.content.slice(0, TOAST_CHARS) : `${ids.length} entries`;
  };
  const accept = (ids: string[], content?: string, keepBoth?: boolean) =>
    decide(
      ids,
      `Accepted: ${nameOf(ids)}`,
      async (id) => (await memories.acceptEntry(id, content, keepBoth)).memory,
      "Undone. What you accepted is no longer saved, and does not return to the inbox.",
    );
  const dismiss = (ids: string[]) => decideLater(ids, `Dismissed: ${nameOf(ids)}`, memories.rejectEntry);

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
                onResolve={(resolution) =>
                  resolution === "keep_both"
                    ? decideLater([link.id], "Both memories stay.", (id) => memories.resolveLink(id, resolution))
                    : decide([link.id], resolution === "merge" ? "Merged." : "Replaced.", async (id) =>
                        (await memories.resolveLink(id, resolution)).memory,
                      )
                }
              />
            ))}
          </ul>
          <LoadMore pages={linkPages} onFailed={fail} name="possibly outdated memories" remaining={remainingLinks} />
        </>
      )}
      <Proposals
        proposals={proposals ?? []}
        runs={runs}
        more={<LoadMore pages={proposalPages} onFailed={fail} name="suggested changes" />}
        onAccept={(ids) =>
          decide(ids, ids.length === 1 ? "Accepted." : `Accepted ${ids.length} changes.`, async (id) =>
            (await memories.acceptProposal(id)).memories[0],
          )
        }
        onReject={(id) => decideLater([id], "Rejected.", memories.rejectProposal)}
        onUndo={async (id) => {
          setError(undefined);
          try {
            const { conflicts } = await memories.undoRun(id);
            if (conflicts.length > 0) setError(conflicts.map(({ reason }) => toSentence(reason)).join(" "));
          } catch (cause) {
            fail(cause);
          }
          await refresh();
        }}
      />
      {entries && entries.length > 0 && (
        <>
          <h2 className="section">Not saved yet</h2>
          <p className="quiet small">Lar deletes each entry after 14 days.</p>
          {ids.length > 1 && (
            <div className="bulk" role="toolbar" aria-label="All entries">
              <button onClick={() => accept(ids)}>{entryPages.hasMore ? `Accept these ${ids.length}` : "Accept all"}</button>
              <button onClick={() => dismiss(ids)}>{entryPages.hasMore ? `Dismiss these ${ids.length}` : "Dismiss all"}</button>
            </div>
          )}
          <ul className="cards" aria-label="Inbox entries">
            {entries.map((entry) => (
              <EntryCard
                key={entry.id}
                entry={entry}
                onAccept={(content, keepBoth) => accept([entry.id], content, keepBoth)}
                onDismiss={() => dismiss([entry.id])}
                onOpenConversation={onOpenConversation}
              />
            ))}
          </ul>
          <LoadMore pages={entryPages} onFailed={fail} name="entries" />
        </>
      )}
      {notice}
    </>
  );
}

interface LoadMoreProps {
  pages: Pages<unknown>;
  onFailed: (cause: unknown) => void;
  /** The rows, in the plural. */
  name: string;
  /** How many rows are not loaded, if that is known. */
  remaining?: number;
}

/** Loads more rows of a list, if there are more. */
function LoadMore({ pages, onFailed, name, remaining = 0 }: LoadMoreProps) {
  if (!pages.hasMore) return null;
  return (
    <button className="more" onClick={() => pages.loadMore().catch(onFailed)}>
      Load more {name}
      {remaining > 0 && ` (${remaining} remaining)`}
    </button>
  );
}

interface LinkCardProps {
  link: MemoryLink;
  onResolve: (resolution: Resolution) => void;
}

/** Two memories that may not both be true, and what to do with them. */
function LinkCard({ link: { older, newer, relation, reason }, onResolve }: LinkCardProps) {
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
      {reason && <p className="quiet small why">{toSentence(reason)}</p>}
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
      {entry.reason && <p className="quiet small why">{toSentence(entry.reason)}</p>}
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
