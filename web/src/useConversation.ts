// The state of one conversation: its message tree, the answer that is being written, and the actions on them. The server
// holds the truth; this hook follows it.

import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { api, ApiError, readEvents, type Conversation, type Message, type Rating, type StreamEvent } from "./api";
import { isReachable as isServerReachable, markUnreachable, useReachable } from "./connection";
import { draftKey, drafts } from "./drafts";

/** The progress of an answer, as the page shows it. */
export interface Progress {
  phase: "sending" | "loading" | "memory" | "queued" | "prefill" | "decode";
  /** The queue position: how many requests are ahead. */
  position: number;
  startsInMs: number;
  ttftMs?: number;
  tokensPerS?: number;
}

/** The text of a turn: a new message, or the new text of the message with the id `editedMessage`. */
interface TurnText {
  text: string;
  editedMessage?: string;
}

/** The shortest time between two renders of a growing answer. Text must appear within 100 ms of the engine's output. */
const RENDER_INTERVAL_MS = 50;

export interface ConversationState {
  conversation?: Conversation;
  messages: Message[];
  head: string | null;
  progress?: Progress;
  error?: string;
  dismissError(): void;
  sendMessage(content: string, parent: string | null): Promise<void>;
  editMessage(message: string, content: string): Promise<void>;
  regenerate(message: string): Promise<void>;
  stop(): Promise<void>;
  switchBranch(head: string): void;
  rate(message: string, rating: Rating | null): Promise<void>;
}

export function useConversation(
  id: string | undefined,
  model: string | undefined,
  isTemporary: boolean,
  onCreated: (id: string) => void,
  onChanged: () => void,
): ConversationState {
  const [conversation, setConversation] = useState<Conversation>();
  const [messages, setMessages] = useState<Message[]>([]);
  const [head, setHead] = useState<string | null>(null);
  const [progress, setProgress] = useState<Progress>();
  const [error, setError] = useState<string>();
  const currentId = useRef<string | undefined>(undefined);
  /** Increases when another conversation is opened. An older stream then stops updating the state. */
  const generation = useRef(0);
  /** The generation that has a turn in progress: its message is being sent or answered. */
  const turnGeneration = useRef<number>(undefined);
  /** Whether the server may have newer messages than the page: the connection broke during an answer or a load. */
  const isStale = useRef(false);
  const isReachable = useReachable();

  const fail = useCallback((cause: unknown) => {
    setProgress(undefined);
    if (cause instanceof ApiError && cause.isUnreachable) return; // `useReachable` shows this until the server responds.
    setError(cause instanceof ApiError ? cause.message : "Could not read the server's response. Try again.");
  }, []);

  const upsertMessage = useCallback((changed: Message) => {
    setMessages((all) =>
      all.some((message) => message.id === changed.id)
        ? all.map((message) => (message.id === changed.id ? changed : message))
        : [...all, changed],
    );
  }, []);

  /** Applies the events of an answer's stream. `resumed`: the answer, if its stream is read again after a reload. */
  const followStream = useCallback(
    async (response: Response, ownGeneration: number, resumed?: Message) => {
      let answer = resumed;
      let text = "";
      let reasoning = "";
      let renderedAt = 0;
      const startedAt = performance.now();
      let firstTokenAt: number | undefined;
      const render = (changes: Partial<Message> = {}) => {
        if (!answer) return;
        answer = { ...answer, content: text, reasoning: reasoning || answer.reasoning, ...changes };
        upsertMessage(answer);
        renderedAt = performance.now();
      };
      /** Applies one event. Returns whether it is the terminal event. */
      const applyEvent = (event: StreamEvent): boolean => {
        switch (event.event) {
          case "message":
            answer = event.answer;
            setConversation((current) => current && { ...current, title: event.title });
            upsertMessage(event.question);
            upsertMessage(event.answer);
            setHead(event.answer.id);
            onChanged(); // The first message gives the conversation its title.
            return false;
          case "queued":
            setProgress({
              phase: event.why === "busy" ? "queued" : event.why,
              position: event.position,
              startsInMs: event.predicted_start_ms,
            });
            return false;
          case "started":
            setProgress({ phase: "prefill", position: 0, startsInMs: 0 });
            return false;
          case "token": {
            text += event.t;
            firstTokenAt ??= performance.now();
            const seconds = (performance.now() - firstTokenAt) / 1000;
            if (performance.now() - renderedAt >= RENDER_INTERVAL_MS) {
              render();
              setProgress({
                phase: "decode",
                position: 0,
                startsInMs: 0,
                ttftMs: resumed ? undefined : firstTokenAt - startedAt,
                tokensPerS: seconds > 0.5 ? event.i / seconds : undefined,
              });
            }
            return false;
          }
          case "reasoning":
            reasoning += event.t;
            if (performance.now() - renderedAt >= RENDER_INTERVAL_MS) render();
            return false;
          case "citations": {
            const recalled = answer?.memory?.recalled?.map((memory) => ({ ...memory, cited: event.memories.includes(memory.id) }));
            render({ memory: { ...answer?.memory, recalled } });
            return false;
          }
          case "end":
            render({ status: "complete", tokens_out: event.tokens_out, ttft_ms: event.ttft_ms, decode_ms: event.decode_ms, finish_reason: event.finish_reason });
            return true;
          case "cancelled":
            render({ status: "stopped" });
            return true;
          case "error":
            render({ status: "failed", error_code: event.code });
            setError(event.message);
            return true;
          default:
            return false;
        }
      };
      let hasEnded = false;
      try {
        for await (const event of readEvents(response)) {
          if (ownGeneration !== generation.current) return;
          if ((hasEnded = applyEvent(event))) break;
        }
      } catch {
        // The connection broke. The check for a missing terminal event below handles this.
      }
      if (ownGeneration === generation.current) {
        setProgress(undefined);
        if (!hasEnded) {
          render();
          isStale.current = true;
          markUnreachable();
        }
      }
      onChanged();
    },
    [onChanged, upsertMessage],
  );

  /** Loads a conversation. If an answer is being written in it, follows the answer's stream from the start. */
  const load = useCallback(
    async (id: string) => {
      generation.current += 1;
      const ownGeneration = generation.current;
      isStale.current = false;
      try {
        const loaded = await api.conversation(id);
        if (ownGeneration !== generation.current) return;
        const loadedMessages = loaded.messages ?? [];
        setConversation(loaded);
        setMessages(loadedMessages);
        setHead(loaded.head ?? null);
        const latest = latestUserMessage(loadedMessages)?.content;
        for (const key of [draftKey(id), ...loadedMessages.map((message) => message.id)]) drafts.reconcile(key, latest);
        const answer = loadedMessages.find((message) => message.task_id === loaded.running_task);
        if (loaded.running_task && answer) {
          setProgress({ phase: "prefill", position: 0, startsInMs: 0 });
          await followStream(await api.streamTask(loaded.running_task), ownGeneration, answer);
        }
      } catch (cause) {
        if (ownGeneration !== generation.current) return;
        isStale.current = cause instanceof ApiError && cause.isUnreachable;
        fail(cause);
      }
    },
    [fail, followStream],
  );

  useEffect(() => {
    if (id === currentId.current) return;
    currentId.current = id;
    generation.current += 1;
    isStale.current = false;
    setError(undefined);
    setProgress(undefined);
    setConversation(undefined);
    setMessages([]);
    setHead(null);
    if (id) void load(id);
  }, [id, load]);

  /** Reloads a stale conversation, unless it has a turn in progress. */
  const catchUp = useCallback(() => {
    if (isStale.current && turnGeneration.current !== generation.current && currentId.current) void load(currentId.current);
  }, [load]);
  useEffect(() => {
    if (isReachable) catchUp();
  }, [isReachable, catchUp]);

  /** Runs one turn: creates the conversation if needed, starts the turn with `start`, and follows the answer. */
  const runTurn = useCallback(
    async (start: (id: string) => Promise<Response>, turnText?: TurnText) => {
      const ownGeneration = generation.current;
      let id = currentId.current;
      const isLoaded = !id || conversation !== undefined;
      let key = turnText && (turnText.editedMessage ?? draftKey(id));
      if (turnText && key) drafts.startSending(key, turnText.text);
      turnGeneration.current = ownGeneration;
      setError(undefined);
      setProgress({ phase: "sending", position: 0, startsInMs: 0 });
      let response: Response | undefined;
      try {
        if (!id) {
          const created = await api.createConversation(model, isTemporary);
          id = created.id;
          if (key) {
            drafts.move(key, draftKey(id));
            key = draftKey(id);
          }
          if (ownGeneration === generation.current) {
            currentId.current = id;
            setConversation(created);
            onCreated(id);
          }
        }
        response = await start(id);
        if (key) drafts.confirmSent(key);
        if (ownGeneration === generation.current) {
          // If the earlier messages are not loaded yet, load the whole conversation instead.
          if (isLoaded) await followStream(response, ownGeneration);
          else {
            void response.body?.cancel();
            await load(id);
          }
        }
      } catch (cause) {
        const isUnsure = id !== undefined && cause instanceof ApiError && cause.isUnreachable;
        if (key && !response) drafts.restoreUnsent(key, isUnsure);
        if (ownGeneration === generation.current) {
          isStale.current ||= isUnsure;
          fail(cause);
        }
      }
      if (turnGeneration.current === ownGeneration) turnGeneration.current = undefined;
      if (isServerReachable()) catchUp();
    },
    [catchUp, conversation, fail, followStream, load, model, isTemporary, onCreated],
  );

  return useMemo(
    () => ({
      conversation,
      messages,
      head,
      progress,
      error,
      dismissError: () => setError(undefined),
      // Without a parent, the server appends the message after the conversation's last one.
      sendMessage: (content, parent) =>
        runTurn((id) => api.sendMessage(id, content, conversation ? parent : undefined, model), { text: content }),
      editMessage: (message, content) =>
        runTurn((id) => api.editMessage(id, message, content, model), { text: content, editedMessage: message }),
      regenerate: (message) => runTurn((id) => api.regenerate(id, message, model)),
      stop: async () => {
        if (currentId.current) await api.stop(currentId.current).catch(fail);
      },
      switchBranch: (head) => {
        setHead(head);
        if (currentId.current) api.updateConversation(currentId.current, { head }).catch(fail);
      },
      rate: async (message, rating) => {
        if (currentId.current) await api.rate(currentId.current, message, rating).then(upsertMessage, fail);
      },
    }),
    [conversation, messages, head, progress, error, runTurn, model, fail, upsertMessage],
  );
}

/** The newest user message, on any branch. */
const latestUserMessage = (messages: Message[]) =>
  messages
    .filter(({ role }) => role === "user")
    .reduce<Message | undefined>((latest, message) => (!latest || message.created_at >= latest.created_at ? message : latest), undefined);
