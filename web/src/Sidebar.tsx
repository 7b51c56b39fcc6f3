// The sidebar: lists, searches, renames, deletes and restores conversations.

import { Icon } from "./Icon";
import { useCallback, useEffect, useState, type ReactNode, type RefObject } from "react";
import { api, type Conversation } from "./api";
import { useReachable } from "./connection";

interface Props {
  /** Opens a conversation; without an id, a new one. */
  openConversation: (id?: string) => void;
  openMemory: () => void;
  isMemoryOpen: boolean;
  currentId?: string;
  /** A number that changes when the list of conversations may have changed. */
  listVersion: number;
  searchInput: RefObject<HTMLInputElement | null>;
  onHelp: () => void;
  onClose: () => void;
  onSignOut: () => void;
}

const UNDO_MS = 8000;
const SEARCH_DELAY_MS = 150;

export function Sidebar({
  openConversation,
  openMemory,
  isMemoryOpen,
  currentId,
  listVersion,
  searchInput,
  onHelp,
  onClose,
  onSignOut,
}: Props) {
  const [conversations, setConversations] = useState<Conversation[]>([]);
  const [nextCursor, setNextCursor] = useState<string>();
  const [query, setQuery] = useState("");
  const [results, setResults] = useState<Conversation[]>();
  const [renamingId, setRenamingId] = useState<string>();
  const [deleted, setDeleted] = useState<Conversation>();

  const load = useCallback(async (after?: string) => {
    const page = await api.conversations(after).catch(() => undefined);
    if (!page) return;
    setConversations((rows) => (after ? [...rows, ...page.data] : page.data));
    setNextCursor(page.next ?? undefined);
  }, []);
  const isReachable = useReachable();
  useEffect(() => {
    if (isReachable) void load();
  }, [load, listVersion, currentId, isReachable]);

  useEffect(() => {
    if (!query.trim()) {
      setResults(undefined);
      return;
    }
    const timer = setTimeout(() => api.search(query).then(({ data }) => setResults(data), () => {}), SEARCH_DELAY_MS);
    return () => clearTimeout(timer);
  }, [query, listVersion]);

  useEffect(() => {
    if (!deleted) return;
    const timer = setTimeout(() => setDeleted(undefined), UNDO_MS);
    return () => clearTimeout(timer);
  }, [deleted]);

  const remove = async (conversation: Conversation) => {
    await api.deleteConversation(conversation.id);
    setDeleted(conversation);
    if (conversation.id === currentId) openConversation();
    void load();
  };
  const restore = async () => {
    if (deleted) await api.updateConversation(deleted.id, { deleted: false });
    setDeleted(undefined);
    void load();
  };
  const rename = async (conversation: Conversation, title: string) => {
    setRenamingId(undefined);
    if (title.trim() && title !== conversation.title) await api.updateConversation(conversation.id, { title: title.trim() }).catch(() => {});
    void load();
  };

  const shown = results ?? conversations;
  return (
    <nav className="sidebar" aria-label="Conversations">
      <div className="sidebar-top">
        <span className="brand">
          <img src="/icon.svg" alt="" width="24" height="24" /> Lar
        </span>
        <button className="icon only-narrow" aria-label="Close sidebar" onClick={onClose}>
          <Icon name="close" />
        </button>
      </div>
      <button className="new" onClick={() => openConversation()}>
        <Icon name="plus" /> New conversation
      </button>
      <a
        className="go-memory"
        href="/memory"
        aria-current={isMemoryOpen ? "page" : undefined}
        onClick={(event) => {
          if (event.ctrlKey || event.metaKey || event.shiftKey) return;
          event.preventDefault();
          openMemory();
        }}
      >
        <Icon name="memory" /> Memory
      </a>
      <label className="hidden" htmlFor="search">
        Search conversations
      </label>
      <input
        id="search"
        ref={searchInput}
        type="search"
        placeholder="Search conversations…"
        autoComplete="off"
        value={query}
        onChange={(event) => setQuery(event.target.value)}
      />
      <ul>
        {shown.map((conversation) => (
          <li key={conversation.id} className={conversation.id === currentId ? "current" : ""}>
            {renamingId === conversation.id ? (
              <input
                className="rename"
                aria-label="New title"
                defaultValue={conversation.title}
                autoFocus
                maxLength={200}
                onBlur={(event) => rename(conversation, event.target.value)}
                onKeyDown={(event) => {
                  if (event.key === "Enter") event.currentTarget.blur();
                  if (event.key === "Escape") {
                    event.stopPropagation();
                    setRenamingId(undefined);
                  }
                }}
              />
            ) : (
              <>
                <a
                  href={`/c/${conversation.id}`}
                  aria-current={conversation.id === currentId ? "page" : undefined}
                  onClick={(event) => {
                    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
                    event.preventDefault();
                    openConversation(conversation.id);
                  }}
                >
                  <span className="title">{conversation.title || "Untitled"}</span>
                  {conversation.snippet && <span className="snippet">{highlightMatches(conversation.snippet)}</span>}
                </a>
                <span className="row-actions">
                  <button className="icon" aria-label={`Rename ${conversation.title}`} onClick={() => setRenamingId(conversation.id)}>
                    <Icon name="edit" />
                  </button>
                  <button className="icon" aria-label={`Delete ${conversation.title}`} onClick={() => remove(conversation)}>
                    <Icon name="delete" />
                  </button>
                </span>
              </>
            )}
          </li>
        ))}
      </ul>
      {results?.length === 0 && <p className="quiet pad">No conversations found.</p>}
      {!results && conversations.length === 0 && <p className="quiet pad">Your conversations will appear here.</p>}
      {!results && nextCursor && (
        <button className="more" onClick={() => load(nextCursor)}>
          Load more
        </button>
      )}
      <div className="sidebar-bottom">
        {deleted && (
          <p role="status" className="undo">
            Conversation deleted. <button onClick={restore}>Undo</button>
          </p>
        )}
        <button className="quiet-button" onClick={onHelp}>
          Keyboard shortcuts
        </button>
        <button className="quiet-button" onClick={onSignOut}>
          Sign out
        </button>
      </div>
    </nav>
  );
}

/** Highlights the matches in a snippet. The server puts U+0002 before and U+0003 after each match. */
function highlightMatches(snippet: string): ReactNode[] {
  return snippet.split("\u0002").flatMap((part, index) => {
    if (index === 0) return [part];
    const [match, rest] = part.split("\u0003");
    return [<mark key={index}>{match}</mark>, rest];
  });
}
