// The memories: told, searched, looked through, and reviewed many at once.

import { useCallback, useEffect, useState, type FormEvent } from "react";
import { ApiError } from "../api";
import { KINDS, type Decided, type Found, type memories, type Memory, type Stats } from "./api";
import { MemoryCard } from "./MemoryCard";
import { Outcome } from "./Outcome";

export type Calls = ReturnType<typeof memories>;

interface Props {
  calls: Calls;
  stats?: Stats;
  readOnly: boolean;
  onChanged: () => void;
  onConversation: (id: string) => void;
}

const SEARCH_AFTER_MS = 200;

export function MemoryList({ calls, stats, readOnly, onChanged, onConversation }: Props) {
  const [words, setWords] = useState("");
  const [kind, setKind] = useState("");
  const [forgotten, setForgotten] = useState(false);
  const [rows, setRows] = useState<Memory[]>();
  const [found, setFound] = useState<Map<string, Found>>();
  const [next, setNext] = useState<string>();
  const [remark, setRemark] = useState<string>();
  const [chosen, setChosen] = useState<Set<string>>(new Set());
  const [told, setTold] = useState<Decided>();
  const [error, setError] = useState<string>();

  const fail = (cause: unknown) => setError(cause instanceof ApiError ? cause.message : String(cause));

  const load = useCallback(
    async (after?: string) => {
      const query = new URLSearchParams({ limit: "30" });
      if (kind) query.set("kind", kind);
      if (forgotten) query.set("deleted", "true");
      if (after) query.set("after", after);
      const page = await calls.list(query);
      setRows((known) => (after ? [...(known ?? []), ...page.data] : page.data));
      setNext(page.next);
      setFound(undefined);
      setRemark(undefined);
    },
    [calls, kind, forgotten],
  );

  const search = useCallback(async () => {
    const answer = await calls.search(words, kind || undefined, false);
    setRows(await Promise.all(answer.results.map(({ id }) => calls.show(id))));
    setFound(new Map(answer.results.map((one) => [one.id, one])));
    setNext(undefined);
    setRemark(answer.reason && `Only words were compared: ${answer.reason}`);
  }, [calls, words, kind]);

  const again = useCallback(() => {
    setChosen(new Set());
    (words.trim() && !forgotten ? search() : load()).catch(fail);
  }, [words, forgotten, search, load]);

  useEffect(() => {
    const timer = setTimeout(again, words ? SEARCH_AFTER_MS : 0);
    return () => clearTimeout(timer);
  }, [again, words]);

  const changed = useCallback(() => {
    again();
    onChanged();
  }, [again, onChanged]);

  const tell = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = event.currentTarget;
    const content = String(new FormData(form).get("content") ?? "").trim();
    if (!content) return;
    setError(undefined);
    try {
      setTold(await calls.tell(content));
      form.reset();
      changed();
    } catch (cause) {
      fail(cause);
    }
  };

  const each = async (work: (id: string) => Promise<unknown>) => {
    for (const id of chosen) await work(id).catch(fail);
    changed();
  };

  const toggle = (id: string) =>
    setChosen((known) => {
      const chosen = new Set(known);
      if (!chosen.delete(id)) chosen.add(id);
      return chosen;
    });

  return (
    <>
      {!readOnly && (
        <form className="tell" onSubmit={tell}>
          <label className="hidden" htmlFor="tell">
            Something to remember
          </label>
          <input id="tell" name="content" placeholder="Tell Lar something to remember…" autoComplete="off" />
          <button className="primary">Remember</button>
        </form>
      )}
      {told && <Outcome decided={told} calls={calls} onChanged={changed} onClose={() => setTold(undefined)} />}
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
          placeholder="Search what is remembered…"
          autoComplete="off"
          value={words}
          onChange={(event) => setWords(event.target.value)}
        />
        <label className="hidden" htmlFor="memory-kind">
          Kind
        </label>
        <select id="memory-kind" value={kind} onChange={(event) => setKind(event.target.value)}>
          <option value="">Every kind</option>
          {KINDS.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
        <label className="check">
          <input type="checkbox" checked={forgotten} onChange={(event) => setForgotten(event.target.checked)} /> Forgotten ones
        </label>
      </div>
      {stats && !words && (
        <p className="quiet small">
          {stats.memories} {stats.memories === 1 ? "memory" : "memories"}
          {stats.superseded > 0 && `, ${stats.superseded} of them corrected since`}
          {stats.pinned > 0 && `, ${stats.pinned} pinned`}
          {stats.deleted > 0 && `; ${stats.deleted} forgotten, which can be brought back`}
          {stats.passages_without_vectors > 0 && `; ${stats.passages_without_vectors} are found by their words alone for now`}.
        </p>
      )}
      {remark && <p className="quiet small">{remark}</p>}
      {chosen.size > 0 && (
        <div className="bulk" role="toolbar" aria-label="Chosen memories">
          <span>{chosen.size} chosen</span>
          {forgotten ? (
            <button onClick={() => each((id) => calls.patch(id, { deleted: false }))}>Bring back</button>
          ) : (
            <>
              <button onClick={() => each((id) => calls.patch(id, { pinned: true }))}>Pin</button>
              <button onClick={() => each(calls.promote)}>Promote</button>
              <button onClick={() => each(calls.demote)}>Demote</button>
              <button onClick={() => each(calls.forget)}>Forget</button>
            </>
          )}
          <button className="quiet-button" onClick={() => setChosen(new Set())}>
            Choose none
          </button>
        </div>
      )}
      {rows?.length === 0 && (
        <p className="quiet empty">
          {words
            ? "Nothing was found."
            : forgotten
              ? "Nothing was forgotten in the last 30 days."
              : "Nothing is remembered yet. Tell it above, say “Remember that …” in a conversation, or connect an editor over MCP."}
        </p>
      )}
      <ul className="cards" aria-label="Memories">
        {rows?.map((memory) => (
          <MemoryCard
            key={memory.id}
            memory={memory}
            found={found?.get(memory.id)}
            calls={calls}
            readOnly={readOnly}
            chosen={chosen.has(memory.id)}
            onChosen={() => toggle(memory.id)}
            onChanged={changed}
            onFailed={fail}
            onConversation={onConversation}
          />
        ))}
      </ul>
      {next && (
        <button className="more" onClick={() => load(next).catch(fail)}>
          Show older ones
        </button>
      )}
    </>
  );
}
