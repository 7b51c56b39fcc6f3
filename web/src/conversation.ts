// One conversation as the page holds it: its tree of messages, the answer that is being written, and what
// can be done. The server is the truth; this follows it.

import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { api, ApiError, events, type Conversation, type Message, type StreamEvent } from "./api";
import { isReachable, markLost, useReachable } from "./connection";
import { boxOf, drafts } from "./drafts";

/** What the reader is told while an answer is on its way. */
export interface Progress {
  phase: "sending" | "loading" | "memory" | "waiting" | "reading" | "writing";
  position: number;
  startsInMs: number;
  ttftMs?: number;
  tokensPerS?: number;
}

/** What was typed for a turn: in the conversation's box, or in place of a message. */
interface Typed {
  text: string;
  message?: string;
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
  /** The generation whose message is on its way to the server or being answered. */
  const turning = useRef<number>(undefined);
  /** Whether the server may know more than is shown: it went away in mid-answer, or before the messages came. */
  const stale = useRef(false);
  const reachable = useReachable();

  const fail = useCallback((cause: unknown) => {
    setProgress(undefined);
    if (cause instanceof ApiError && cause.unreachable) return; // That is shown as long as it lasts.
    setError(cause instanceof ApiError ? cause.message : "What the server answered could not be read. Try again.");
  }, []);

  const put = useCallback((changed: Message) => {
    setMessages((all) =>
      all.some((message) => message.id === changed.id)
        ? all.map((message) => (message.id === changed.id ? changed : message))
        : [...all, changed],
    );
  }, []);

  const follow = useCallback(
    async (response: Response, mine: number, known?: Message) => {
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
      let ended = false;
      try {
        for await (const event of events(response)) {
          if (mine !== generation.current) return;
          if ((ended = hear(event))) break;
        }
      } catch {
        // The connection broke, which the missing end tells too.
      }
      if (mine === generation.current) {
        setProgress(undefined);
        if (!ended) {
          show();
          stale.current = true;
          markLost();
        }
      }
      onChanged();
    },
    [onChanged, put],
  );

  /** Reads a conversation, and follows the answer that is being written in it, from its first word. */
  const load = useCallback(
    async (id: string) => {
      generation.current += 1;
      const mine = generation.current;
      stale.current = false;
      try {
        const found = await api.conversation(id);
        if (mine !== generation.current) return;
        const all = found.messages ?? [];
        setConversation(found);
        setMessages(all);
        setHead(found.head ?? null);
        const latest = latestQuestion(all)?.content;
        for (const box of [boxOf(id), ...all.map((message) => message.id)]) drafts.settle(box, latest);
        const answer = all.find((message) => message.task_id === found.running_task);
        if (found.running_task && answer) {
          setProgress({ phase: "reading", position: 0, startsInMs: 0 });
          await follow(await api.follow(found.running_task), mine, answer);
        }
      } catch (cause) {
        if (mine !== generation.current) return;
        stale.current = cause instanceof ApiError && cause.unreachable;
        fail(cause);
      }
    },
    [fail, follow],
  );

  useEffect(() => {
    if (id === current.current) return;
    current.current = id;
    generation.current += 1;
    stale.current = false;
    setError(undefined);
    setProgress(undefined);
    setConversation(undefined);
    setMessages([]);
    setHead(null);
    if (id) void load(id);
  }, [id, load]);

  // The server is back: what became of the answer that was being written when it went away?
  const catchUp = useCallback(() => {
    if (stale.current && turning.current !== generation.current && current.current) void load(current.current);
  }, [load]);
  useEffect(() => {
    if (reachable) catchUp();
  }, [reachable, catchUp]);

  const turn = useCallback(
    async (begin: (id: string) => Promise<Response>, typed?: Typed) => {
      const mine = generation.current;
      let id = current.current;
      const loaded = !id || conversation !== undefined;
      let box = typed && (typed.message ?? boxOf(id));
      if (typed && box) drafts.send(box, typed.text);
      turning.current = mine;
      setError(undefined);
      setProgress({ phase: "sending", position: 0, startsInMs: 0 });
      let response: Response | undefined;
      try {
        if (!id) {
          const made = await api.create(model, temporary);
          id = made.id;
          if (box) {
            drafts.move(box, boxOf(id));
            box = boxOf(id);
          }
          if (mine === generation.current) {
            current.current = id;
            setConversation(made);
            onCreated(id);
          }
        }
        response = await begin(id);
        if (box) drafts.sent(box);
        if (mine === generation.current) {
          // The messages before this one may not have come yet.
          if (loaded) await follow(response, mine);
          else {
            void response.body?.cancel();
            await load(id);
          }
        }
      } catch (cause) {
        const unsure = id !== undefined && cause instanceof ApiError && cause.unreachable;
        if (box && !response) drafts.giveBack(box, unsure);
        if (mine === generation.current) {
          stale.current ||= unsure;
          fail(cause);
        }
      }
      if (turning.current === mine) turning.current = undefined;
      if (isReachable()) catchUp();
    },
    [catchUp, conversation, fail, follow, load, model, temporary, onCreated],
  );

  return useMemo(
    () => ({
      conversation,
      messages,
      head,
      progress,
      error,
      dismiss: () => setError(undefined),
      // Without a parent it is said after the conversation's last message.
      say: (content, parent) => turn((id) => api.say(id, content, conversation ? parent : undefined, model), { text: content }),
      edit: (message, content) => turn((id) => api.branch(id, message, content, model), { text: content, message }),
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

/** What was said last, on whichever branch. */
const latestQuestion = (messages: Message[]) =>
  messages
    .filter(({ role }) => role === "user")
    .reduce<Message | undefined>((latest, one) => (!latest || one.created_at >= latest.created_at ? one : latest), undefined);
