// The list of memories: save, search, browse, and change one or many together.

import { useCallback, useEffect, useState, type FormEvent } from "react";
import { ApiError } from "../api";
import { KINDS, type IngestResult, type Kind, type Memory, type MemoryApi, type MemoryStats, type SearchResult } from "./api";
import { MemoryCard } from "./MemoryCard";
import { SaveResult } from "./SaveResult";

interface Props {
  memories: MemoryApi;
  stats?: MemoryStats;
  /** The ids of the memories that may be outdated, as far as the page has loaded them. */
  outdated: ReadonlySet<string>;
  isReadOnly: boolean;
  onChanged: () => void;
  onOpenConversation: (id: string) => void;
}

const SEARCH_DELAY_MS = 200;

export function MemoryList({ memories, stats, outdated, isReadOnly, onChanged, onOpenConversation }: Props) {
  const [query, setQuery] = useState("");
  const [kind, setKind] = useState<Kind | "">("");
  const [onlyForgotten, setOnlyForgotten] = useState(false);
  const [rows, setRows] = useState<Memory[]>();
  const [results, setResults] = useState<Map<string, SearchResult>>();
  const [nextCursor, setNextCursor] = useState<string>();
  const [searchNote, setSearchNote] = useState<string>();
  const [selected, setSelected] = useState<Set<string>>(new Set());
  const [saveResult, setSaveResult] = useState<IngestResult>();
  const [error, setError] = useState<string>();

  const fail = (cause: unknown) => setError(cause instanceof ApiError ? cause.message : String(cause));

  const load = useCallback(
    async (after?: string) => {
      const parameters = new URLSearchParams({ limit: "30" });
      if (kind) parameters.set("kind", kind);
      if (onlyForgotten) parameters.set("deleted", "true");
      if (after) parameters.set("after", after);
      const page = await memories.list(parameters);
      setRows((current) => (after ? [...(current ?? []), ...page.data] : page.data));
      setNextCursor(page.next ?? undefined);
      setResults(undefined);
      setSearchNote(undefined);
    },
    [memories, kind, onlyForgotten],
  );

  const search = useCallback(async () => {
    const response = await memories.search(query, kind || undefined, false);
    setRows(await Promise.all(response.results.map(({ id }) => memories.get(id))));
    setResults(new Map(response.results.map((result) => [result.id, result])));
    setNextCursor(undefined);
    setSearchNote(response.reason ? `Searched by keywords only: ${response.reason}` : undefined);
  }, [memories, query, kind]);

  const reload = useCallback(() => {
    setSelected(new Set());
    (query.trim() && !onlyForgotten ? search() : load()).catch(fail);
  }, [query, onlyForgotten, search, load]);

  useEffect(() => {
    const timer = setTimeout(reload, query ? SEARCH_DELAY_MS : 0);
    return () => clearTimeout(timer);
  }, [reload, query]);

  const handleChanged = useCallback(() => {
    reload();
    onChanged();
  }, [reload, onChanged]);

  const save = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = event.currentTarget;
    const content = String(new FormData(form).get("content") ?? "").trim();
    if (!content) return;
    setError(undefined);
    try {
      setSaveResult(await memories.save(content));
      form.reset();
      handleChanged();
    } catch (cause) {
      fail(cause);
    }
  };

  const forEachSelected = async (action: (id: string) => Promise<unknown>) => {
    for (const id of selected) await action(id).catch(fail);
    handleChanged();
  };

  const toggleSelected = (id: string) =>
    setSelected((current) => {
      const selected = new Set(current);
      if (!selected.delete(id)) selected.add(id);
      return selected;
    });

  return (
    <>
      {!isReadOnly && (
        <form className="inline-form" onSubmit={save}>
          <label className="hidden" htmlFor="new-memory">
            New memory
          </label>
          <input id="new-memory" name="content" placeholder="Something to remember…" autoComplete="off" />
          <button className="primary">Save</button>
        </form>
      )}
      {saveResult && (
        <SaveResult result={saveResult} memories={memories} onChanged={handleChanged} onClose={() => setSaveResult(undefined)} />
      )}
      {error && (
        <p role="alert" className="alert">
          {error} <button onClick={() => setError(undefined)}>Dismiss</button>
        </p>
      )}
      <div className="filters">
        <label className="hidden" htmlFor="memory-search">
          Search memories
        </label>
        <input
          id="memory-search"
          type="search"
          placeholder="Search memories…"
          autoComplete="off"
          value={query}
          onChange={(event) => setQuery(event.target.value)}
        />
        <label className="hidden" htmlFor="memory-kind">
          Kind
        </label>
        <select id="memory-kind" value={kind} onChange={(event) => setKind(event.target.value as Kind | "")}>
          <option value="">All kinds</option>
          {KINDS.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
        <label className="check">
          <input type="checkbox" checked={onlyForgotten} onChange={(event) => setOnlyForgotten(event.target.checked)} /> Forgotten only
        </label>
      </div>
      {stats && !query && (
        <p className="quiet small">
          {stats.memories} {stats.memories === 1 ? "memory" : "memories"}
          {stats.superseded > 0 && `, ${stats.superseded} superseded`}
          {stats.pinned > 0 && `, ${stats.pinned} pinned`}
          {stats.deleted > 0 && `; ${stats.deleted} forgotten, can be restored`}
          {stats.chunks_without_embeddings > 0 &&
            `; ${stats.chunks_without_embeddings} ${stats.chunks_without_embeddings === 1 ? "passage" : "passages"} found by keywords only until embedded`}
          .
        </p>
      )}
      {searchNote && <p className="quiet small">{searchNote}</p>}
      {selected.size > 0 && (
        <div className="bulk" role="toolbar" aria-label="Selected memories">
          <span>{selected.size} selected</span>
          {onlyForgotten ? (
            <button onClick={() => forEachSelected((id) => memories.update(id, { deleted: false }))}>Restore</button>
          ) : (
            <>
              <button onClick={() => forEachSelected((id) => memories.update(id, { pinned: true }))}>Pin</button>
              <button onClick={() => forEachSelected(memories.promote)}>Promote</button>
              <button onClick={() => forEachSelected(memories.demote)}>Demote</button>
              <button onClick={() => forEachSelected(memories.forget)}>Forget</button>
            </>
          )}
          <button className="quiet-button" onClick={() => setSelected(new Set())}>
            Clear selection
          </button>
        </div>
      )}
      {rows?.length === 0 && (
        <p className="quiet empty">
          {query
            ? "No memories found."
            : onlyForgotten
              ? "No memories were forgotten in the last 30 days."
              : "No memories yet. Save one above, write “Remember that …” in a conversation, or connect an editor over MCP."}
        </p>
      )}
      <ul className="cards" aria-label="Memories">
        {rows?.map((memory) => (
          <MemoryCard
            key={memory.id}
            memory={memory}
            result={results?.get(memory.id)}
            isPossiblyOutdated={results?.get(memory.id)?.possibly_outdated || outdated.has(memory.id)}
            memories={memories}
            isReadOnly={isReadOnly}
            isSelected={selected.has(memory.id)}
            onToggleSelected={() => toggleSelected(memory.id)}
            onChanged={handleChanged}
            onFailed={fail}
            onOpenConversation={onOpenConversation}
          />
        ))}
      </ul>
      {nextCursor && (
        <button className="more" onClick={() => load(nextCursor).catch(fail)}>
          Load more
        </button>
      )}
    </>
  );
}
