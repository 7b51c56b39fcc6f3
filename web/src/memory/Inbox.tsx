// What may be worth remembering and waits for a word.

import { useCallback, useEffect, useState } from "react";
import { ApiError } from "../api";
import { day, type Candidate } from "./api";
import type { Calls } from "./MemoryList";

interface Props {
  calls: Calls;
  onChanged: () => void;
  onConversation: (id: string) => void;
}

export function Inbox({ calls, onChanged, onConversation }: Props) {
  const [waiting, setWaiting] = useState<Candidate[]>();
  const [error, setError] = useState<string>();
  const fail = (cause: unknown) => setError(cause instanceof ApiError ? cause.message : String(cause));
  const load = useCallback(() => calls.inbox().then(({ data }) => setWaiting(data), fail), [calls]);
  useEffect(() => void load(), [load]);

  const each = async (ids: string[], work: (id: string) => Promise<unknown>) => {
    for (const id of ids) await work(id).catch(fail);
    await load();
    onChanged();
  };
  const all = waiting?.map(({ id }) => id) ?? [];

  return (
    <>
      <p className="quiet small">
        What you said in a conversation and did not ask to remember. Each waits for 14 days, then it goes by itself.
      </p>
      {error && (
        <p role="alert" className="alert">
          {error}
        </p>
      )}
      {waiting?.length === 0 && <p className="quiet empty">Nothing waits.</p>}
      {all.length > 1 && (
        <div className="bulk" role="toolbar" aria-label="All that waits">
          <button onClick={() => each(all, (id) => calls.accept(id))}>Remember all</button>
          <button onClick={() => each(all, calls.reject)}>Dismiss all</button>
        </div>
      )}
      <ul className="cards" aria-label="Waiting">
        {waiting?.map((one) => (
          <Waiting key={one.id} one={one} onAccept={(content) => each([one.id], (id) => calls.accept(id, content))} onReject={() => each([one.id], calls.reject)} onConversation={onConversation} />
        ))}
      </ul>
    </>
  );
}

interface WaitingProps {
  one: Candidate;
  onAccept: (content?: string) => void;
  onReject: () => void;
  onConversation: (id: string) => void;
}

function Waiting({ one, onAccept, onReject, onConversation }: WaitingProps) {
  const [content, setContent] = useState(one.content);
  return (
    <li className="card">
      <textarea aria-label="What would be remembered" rows={2} value={content} onChange={(event) => setContent(event.target.value)} />
      <div className="actions">
        <button className="primary" onClick={() => onAccept(content === one.content ? undefined : content)}>
          Remember
        </button>
        <button onClick={onReject}>Dismiss</button>
        {/^conv_[0-9a-f]+$/.test(one.conversation ?? "") && (
          <button className="quiet-button" onClick={() => onConversation(one.conversation!)}>
            Where it was said
          </button>
        )}
        <span className="numbers">{day(one.created_at)}</span>
      </div>
    </li>
  );
}
