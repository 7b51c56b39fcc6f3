// The conversations: listed, searched, renamed, deleted and brought back.

import { Icon } from "./Icon";
import { useCallback, useEffect, useState, type ReactNode, type RefObject } from "react";
import { api, type Conversation } from "./api";
import { useReachable } from "./connection";

interface Props {
  open: (id?: string) => void;
  openMemory: () => void;
  /** Whether the memory page is open. */
  memory: boolean;
  current?: string;
  /** Changes when the list may have. */
  listed: number;
  search: RefObject<HTMLInputElement | null>;
  onHelp: () => void;
  onClose: () => void;
  onSignOut: () => void;
}

const UNDO_MS = 8000;

export function Sidebar({ open, openMemory, memory, current, listed, search, onHelp, onClose, onSignOut }: Props) {
  const [all, setAll] = useState<Conversation[]>([]);
  const [next, setNext] = useState<string>();
  const [words, setWords] = useState("");
  const [found, setFound] = useState<Conversation[]>();
  const [renaming, setRenaming] = useState<string>();
  const [deleted, setDeleted] = useState<Conversation>();

  const load = useCallback(async (after?: string) => {
    const page = await api.conversations(after).catch(() => undefined);
    if (!page) return;
    setAll((rows) => (after ? [...rows, ...page.data] : page.data));
    setNext(page.next);
  }, []);
  const reachable = useReachable();
  useEffect(() => {
    if (reachable) void load();
  }, [load, listed, current, reachable]);

  useEffect(() => {
    if (!words.trim()) {
      setFound(undefined);
      return;
    }
    const timer = setTimeout(() => api.search(words).then(({ data }) => setFound(data), () => {}), 150);
    return () => clearTimeout(timer);
  }, [words, listed]);

  useEffect(() => {
    if (!deleted) return;
    const timer = setTimeout(() => setDeleted(undefined), UNDO_MS);
    return () => clearTimeout(timer);
  }, [deleted]);

  const remove = async (conversation: Conversation) => {
    await api.remove(conversation.id);
    setDeleted(conversation);
    if (conversation.id === current) open();
    void load();
  };
  const restore = async () => {
    if (deleted) await api.patch(deleted.id, { deleted: false });
    setDeleted(undefined);
    void load();
  };
  const rename = async (conversation: Conversation, title: string) => {
    setRenaming(undefined);
    if (title.trim() && title !== conversation.title) await api.patch(conversation.id, { title: title.trim() }).catch(() => {});
    void load();
  };

  const shown = found ?? all;
  return (
    <nav className="sidebar" aria-label="Conversations">
      <div className="sidebar-top">
        <span className="brand">
          <img src="/icon.svg" alt="" width="24" height="24" /> Lar
        </span>
        <button className="icon only-narrow" aria-label="Close the list" onClick={onClose}>
          <Icon name="close" />
        </button>
      </div>
      <button className="new" onClick={() => open()}>
        <Icon name="plus" /> New conversation
      </button>
      <a
        className="go-memory"
        href="/memory"
        aria-current={memory ? "page" : undefined}
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
        ref={search}
        type="search"
        placeholder="Search…"
        autoComplete="off"
        value={words}
        onChange={(event) => setWords(event.target.value)}
      />
      <ul>
        {shown.map((conversation) => (
          <li key={conversation.id} className={conversation.id === current ? "current" : ""}>
            {renaming === conversation.id ? (
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
                    setRenaming(undefined);
                  }
                }}
              />
            ) : (
              <>
                <a
                  href={`/c/${conversation.id}`}
                  aria-current={conversation.id === current ? "page" : undefined}
                  onClick={(event) => {
                    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
                    event.preventDefault();
                    open(conversation.id);
                  }}
                >
                  <span className="title">{conversation.title || "Untitled"}</span>
                  {conversation.snippet && <span className="snippet">{marked(conversation.snippet)}</span>}
                </a>
                <span className="row-actions">
                  <button className="icon" aria-label={`Rename ${conversation.title}`} onClick={() => setRenaming(conversation.id)}>
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
      {found?.length === 0 && <p className="quiet pad">Nothing was found.</p>}
      {!found && all.length === 0 && <p className="quiet pad">Your conversations will be listed here.</p>}
      {!found && next && (
        <button className="more" onClick={() => load(next)}>
          Show older ones
        </button>
      )}
      <div className="sidebar-bottom">
        {deleted && (
          <p role="status" className="undo">
            Deleted. <button onClick={restore}>Undo</button>
          </p>
        )}
        <button className="quiet-button" onClick={onHelp}>
          Keyboard
        </button>
        <button className="quiet-button" onClick={onSignOut}>
          Sign out
        </button>
      </div>
    </nav>
  );
}

/** A snippet with its matches, which come between U+0002 and U+0003, marked. */
function marked(snippet: string): ReactNode[] {
  return snippet.split("\u0002").flatMap((part, index) => {
    if (index === 0) return [part];
    const [match, rest] = part.split("\u0003");
    return [<mark key={index}>{match}</mark>, rest];
  });
}
