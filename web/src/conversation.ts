// One conversation as the page holds it: its tree of messages, the answer that is being written, and what
// can be done. The server is the truth; this follows it.

import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { api, ApiError, events, type Conversation, type Message, type StreamEvent } from "./api";

/** What the reader is told while an answer is on its way. */
export interface Progress {
  phase: "sending" | "loading" | "memory" | "waiting" | "reading" | "writing";
  position: number;
  startsInMs: number;
  ttftMs?: number;
  tokensPerS?: number;
}

/** Text is shown at most this often; the promise is within 100 ms of the engine. */
const SHOW_EVERY_MS = 50;

export interface ConversationState {
  conversation?: Conversation;
  messages: Message[];
  head: string | null;
  progress?: Progress;
  error?: string;
  dismiss(): void;
  say(content: string, parent: string | null): Promise<void>;
  edit(message: string, content: string): Promise<void>;
  regenerate(message: string): Promise<void>;
  stop(): Promise<void>;
  show(head: string): void;
  rate(message: string, rating: "good" | "bad" | null): Promise<void>;
}

export function useConversation(
  id: string | undefined,
  model: string | undefined,
  temporary: boolean,
  onCreated: (id: string) => void,
  onChanged: () => void,
): ConversationState {
  const [conversation, setConversation] = useState<Conversation>();
  const [messages, setMessages] = useState<Message[]>([]);
  const [head, setHead] = useState<string | null>(null);
  const [progress, setProgress] = useState<Progress>();
  const [error, setError] = useState<string>();
  const current = useRef<string | undefined>(undefined);
  /** Raised when another conversation is opened, so that an old stream writes no more. */
  const generation = useRef(0);

  const fail = useCallback((cause: unknown) => {
    setProgress(undefined);
    setError(cause instanceof ApiError ? cause.message : "The connection broke. What was written is kept; reload to see it.");
  }, []);

  const put = useCallback((changed: Message) => {
    setMessages((all) =>
      all.some((message) => message.id === changed.id)
        ? all.map((message) => (message.id === changed.id ? changed : message))
        : [...all, changed],
    );
  }, []);

  const follow = useCallback(
    async (response: Response, known?: Message) => {
      const mine = generation.current;
      let answer = known;
      let text = "";
      let reasoning = "";
      let shownAt = 0;
      const begun = performance.now();
      let firstAt: number | undefined;
      const show = (changes: Partial<Message> = {}) => {
        if (!answer) return;
        answer = { ...answer, content: text, reasoning: reasoning || answer.reasoning, ...changes };
        put(answer);
        shownAt = performance.now();
      };
      const hear = (event: StreamEvent): boolean => {
        switch (event.event) {
          case "message":
            answer = event.answer;
            setConversation((known) => known && { ...known, title: event.title });
            put(event.question);
            put(event.answer);
            setHead(event.answer.id);
            onChanged(); // The first message gives the conversation its title.
            return false;
          case "queued":
            setProgress({
              phase: event.why === "busy" ? "waiting" : event.why,
              position: event.position,
              startsInMs: event.predicted_start_ms,
            });
            return false;
          case "started":
            setProgress({ phase: "reading", position: 0, startsInMs: 0 });
            return false;
          case "token": {
            text += event.t;
            firstAt ??= performance.now();
            const seconds = (performance.now() - firstAt) / 1000;
            if (performance.now() - shownAt >= SHOW_EVERY_MS) {
              show();
              setProgress({
                phase: "writing",
                position: 0,
                startsInMs: 0,
                ttftMs: known ? undefined : firstAt - begun,
                tokensPerS: seconds > 0.5 ? event.i / seconds : undefined,
              });
            }
            return false;
          }
          case "reasoning":
            reasoning += event.t;
            if (performance.now() - shownAt >= SHOW_EVERY_MS) show();
            return false;
          case "citations": {
            const recalled = answer?.memory?.recalled?.map((one) => ({ ...one, cited: event.memories.includes(one.id) }));
            show({ memory: { ...answer?.memory, recalled } });
            return false;
          }
          case "end":
            show({ status: "complete", tokens_out: event.tokens_out, ttft_ms: event.ttft_ms, decode_ms: event.decode_ms, finish_reason: event.finish_reason });
            return true;
          case "cancelled":
            show({ status: "stopped" });
            return true;
          case "error":
            show({ status: "failed", error_code: event.code });
            setError(event.message);
            return true;
          default:
            return false;
        }
      };
      try {
        for await (const event of events(response)) {
          if (mine !== generation.current) return;
          if (hear(event)) break;
        }
      } catch (cause) {
        if (mine === generation.current) fail(cause);
      }
      if (mine === generation.current) setProgress(undefined);
      onChanged();
    },
    [fail, onChanged, put],
  );

  // Opens a conversation, and follows the answer that is being written in it, from its first word.
  useEffect(() => {
    if (id === current.current) return;
    current.current = id;
    generation.current += 1;
    const mine = generation.current;
    setError(undefined);
    setProgress(undefined);
    setConversation(undefined);
    setMessages([]);
    setHead(null);
    if (!id) return;
    api
      .conversation(id)
      .then(async (found) => {
        if (mine !== generation.current) return;
        setConversation(found);
        setMessages(found.messages ?? []);
        setHead(found.head ?? null);
        const answer = found.messages?.find((message) => message.task_id === found.running_task);
        if (found.running_task && answer) {
          setProgress({ phase: "reading", position: 0, startsInMs: 0 });
          await follow(await api.follow(found.running_task), answer);
        }
      })
      .catch((cause) => mine === generation.current && fail(cause));
  }, [id, fail, follow]);

  const turn = useCallback(
    async (begin: (id: string) => Promise<Response>) => {
      setError(undefined);
      setProgress({ phase: "sending", position: 0, startsInMs: 0 });
      try {
        let id = current.current;
        if (!id) {
          const made = await api.create(model, temporary);
          id = made.id;
          current.current = id;
          setConversation(made);
          onCreated(id);
        }
        await follow(await begin(id));
      } catch (cause) {
        fail(cause);
      }
    },
    [fail, follow, model, temporary, onCreated],
  );

  return useMemo(
    () => ({
      conversation,
      messages,
      head,
      progress,
      error,
      dismiss: () => setError(undefined),
      say: (content, parent) => turn((id) => api.say(id, content, parent, model)),
      edit: (message, content) => turn((id) => api.branch(id, message, content, model)),
      regenerate: (message) => turn((id) => api.regenerate(id, message, model)),
      stop: async () => {
        if (current.current) await api.stop(current.current).catch(fail);
      },
      show: (head) => {
        setHead(head);
        if (current.current) api.patch(current.current, { head }).catch(fail);
      },
      rate: async (message, rating) => {
        if (current.current) await api.rate(current.current, message, rating).then(put, fail);
      },
    }),
    [conversation, messages, head, progress, error, turn, model, fail, put],
  );
}
