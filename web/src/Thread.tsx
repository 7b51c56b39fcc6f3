// The messages of a conversation and the message box, built on assistant-ui: branches, editing, stopping.

import { Icon } from "./Icon";
import {
  ActionBarPrimitive,
  AssistantRuntimeProvider,
  BranchPickerPrimitive,
  ComposerPrimitive,
  ExportedMessageRepository,
  MessagePrimitive,
  ThreadPrimitive,
  useAui,
  useAuiState,
  useExternalStoreRuntime,
  type AppendMessage,
  type ThreadMessage,
} from "@assistant-ui/react";
import { createContext, useContext, useEffect, useLayoutEffect, useMemo, useState } from "react";
import type { Message, Model, Rating } from "./api";
import { useReachable } from "./connection";
import { draftKey, drafts } from "./drafts";
import { failureText } from "./failures";
import { Markdown } from "./Markdown";
import { MemoryActivity } from "./MemoryActivity";
import type { ConversationState, Progress } from "./useConversation";
import { Welcome } from "./Welcome";

const ConversationContext = createContext<ConversationState | undefined>(undefined);

/** assistant-ui's form of each message. A message is converted again only if it becomes another object. */
const threadMessages = new WeakMap<Message, ThreadMessage>();

function toThreadMessage(message: Message): ThreadMessage {
  const cached = threadMessages.get(message);
  if (cached) return cached;
  const status =
    message.role !== "assistant"
      ? undefined
      : message.status === "streaming"
        ? ({ type: "running" } as const)
        : message.status === "failed"
          ? ({ type: "incomplete", reason: "error", error: message.error_code ?? "failed" } as const)
          : message.status === "stopped"
            ? ({ type: "incomplete", reason: "cancelled" } as const)
            : ({ type: "complete", reason: "stop" } as const);
  const source = {
    id: message.id,
    role: message.role,
    content: [{ type: "text" as const, text: message.content }],
    createdAt: new Date(message.created_at),
    status,
  };
  const converted = ExportedMessageRepository.fromBranchableArray([{ message: source, parentId: null }]).messages[0]!.message;
  threadMessages.set(message, converted);
  return converted;
}

const textOf = (message: AppendMessage) =>
  message.content.map((part) => (part.type === "text" ? part.text : "")).join("");

interface Props {
  /** The id of the conversation; undefined for a new one. */
  id?: string;
  state: ConversationState;
  models?: Model[];
  onModelsChanged: () => void;
}

export function Thread({ id, state, models, onModelsChanged }: Props) {
  const isReachable = useReachable();
  const messageRepository = useMemo(
    () => ({
      headId: state.head,
      messages: state.messages.map((message) => ({ message: toThreadMessage(message), parentId: message.parent ?? null })),
    }),
    [state.messages, state.head],
  );
  const runtime = useExternalStoreRuntime<ThreadMessage>({
    messageRepository,
    isRunning: state.progress !== undefined,
    setMessages: (messages) => {
      const last = messages.at(-1);
      if (last && last.id !== state.head) state.switchBranch(last.id);
    },
    onNew: (message) => state.sendMessage(textOf(message), message.parentId),
    onEdit: async (message) => {
      if (message.sourceId) await state.editMessage(message.sourceId, textOf(message));
    },
    onReload: async (parentId) => {
      if (parentId) await state.regenerate(parentId);
    },
    onCancel: state.stop,
  });
  return (
    <ConversationContext.Provider value={state}>
      <AssistantRuntimeProvider runtime={runtime}>
        <ThreadPrimitive.Root className="thread">
          <ThreadPrimitive.Viewport className="viewport" tabIndex={0} role="log" aria-label="Messages" aria-live="off">
            {!id && state.messages.length === 0 && !state.progress && (
              <Welcome models={models} onModelsChanged={onModelsChanged} />
            )}
            <ThreadPrimitive.Messages components={{ UserMessage, AssistantMessage, EditComposer }} />
            {state.progress && <ProgressLine progress={state.progress} />}
            <ThreadPrimitive.ScrollToBottom className="to-bottom icon" aria-label="Scroll to the end">
              <Icon name="down" />
            </ThreadPrimitive.ScrollToBottom>
          </ThreadPrimitive.Viewport>
          {!isReachable && (
            <p role="alert" className="alert">
              Could not reach Lar. Check that it is running. This page reconnects automatically.
            </p>
          )}
          {state.error && (
            <p role="alert" className="alert">
              {state.error} <button onClick={state.dismissError}>Dismiss</button>
            </p>
          )}
          <ScreenReaderStatus />
          <Composer draft={draftKey(id)} />
        </ThreadPrimitive.Root>
      </AssistantRuntimeProvider>
    </ConversationContext.Provider>
  );
}

/** The message box. `draft`: the key of its draft. */
function Composer({ draft }: { draft: string }) {
  const aui = useAui();
  useLayoutEffect(() => {
    const showDraft = () => aui.composer.setText(drafts.read(draft));
    showDraft();
    return drafts.subscribe(draft, showDraft);
  }, [aui, draft]);
  return (
    <ComposerPrimitive.Root className="composer">
      <label className="hidden" htmlFor="message">
        Message
      </label>
      <ComposerPrimitive.Input
        id="message"
        placeholder="Message Lar…"
        rows={1}
        maxRows={10}
        autoFocus
        submitMode="enter"
        onChange={(event) => drafts.setText(draft, event.target.value)}
      />
      <ThreadPrimitive.If running={false}>
        <ComposerPrimitive.Send className="primary">Send</ComposerPrimitive.Send>
      </ThreadPrimitive.If>
      <ThreadPrimitive.If running>
        <ComposerPrimitive.Cancel className="primary">Stop</ComposerPrimitive.Cancel>
      </ThreadPrimitive.If>
    </ComposerPrimitive.Root>
  );
}

function UserMessage() {
  const id = useAuiState((s) => s.message.id);
  const aui = useAui();
  // Opens the edit form again if an edit was not sent: after a reload, or after a failed send.
  useEffect(() => {
    const openEdit = () => {
      if (drafts.read(id) && !aui.composer.getState().isEditing) aui.composer.beginEdit();
    };
    const timer = setTimeout(openEdit);
    const unsubscribe = drafts.subscribe(id, openEdit);
    return () => {
      clearTimeout(timer);
      unsubscribe();
    };
  }, [aui, id]);
  return (
    <MessagePrimitive.Root className="message user">
      <div className="bubble">
        <MessagePrimitive.Parts components={{ Text: ({ text }) => <p>{text}</p> }} />
      </div>
      <div className="actions">
        <BranchPicker />
        <ActionBarPrimitive.Root hideWhenRunning>
          <ActionBarPrimitive.Edit className="icon" aria-label="Edit">
            <Icon name="edit" />
          </ActionBarPrimitive.Edit>
        </ActionBarPrimitive.Root>
      </div>
    </MessagePrimitive.Root>
  );
}

function EditComposer() {
  const id = useAuiState((s) => s.message.id);
  const aui = useAui();
  const original = useContext(ConversationContext)?.messages.find((message) => message.id === id)?.content;
  useLayoutEffect(() => {
    const draft = drafts.read(id);
    if (draft) aui.composer.setText(draft);
  }, [aui, id]);
  const discardDraft = () => drafts.discard(id);
  return (
    <MessagePrimitive.Root className="message user">
      <ComposerPrimitive.Root className="edit">
        <ComposerPrimitive.Input
          aria-label="Edit message"
          autoFocus
          onChange={({ target }) => drafts.setText(id, target.value === original ? "" : target.value)}
          cancelOnEscape={false}
          onKeyDown={(event) => {
            if (event.key !== "Escape" || event.nativeEvent.isComposing) return;
            event.preventDefault();
            discardDraft();
            aui.composer.cancel();
          }}
        />
        <div className="actions">
          <ComposerPrimitive.Cancel onClick={discardDraft}>Cancel</ComposerPrimitive.Cancel>
          <ComposerPrimitive.Send className="primary" aria-label="Send edited message">
            Send
          </ComposerPrimitive.Send>
        </div>
      </ComposerPrimitive.Root>
    </MessagePrimitive.Root>
  );
}

function AssistantMessage() {
  const id = useAuiState((s) => s.message.id);
  const state = useContext(ConversationContext);
  const message = state?.messages.find((message) => message.id === id);
  return (
    <MessagePrimitive.Root className="message assistant" data-status={message?.status}>
      {message?.memory && <MemoryActivity activity={message.memory} />}
      {message?.reasoning && (
        <details className="reasoning">
          <summary>Reasoning</summary>
          <p>{message.reasoning}</p>
        </details>
      )}
      <MessagePrimitive.Parts components={{ Text: Markdown }} />
      {message && message.status !== "streaming" && (
        <>
          {message.status === "stopped" && <p className="quiet">You stopped this answer.</p>}
          {message.status === "failed" && (
            <p className="alert" title={message.error_code ?? undefined}>
              {failureText(message.error_code, message.content !== "")}
            </p>
          )}
          <div className="actions">
            <BranchPicker />
            <ActionBarPrimitive.Root hideWhenRunning>
              <ActionBarPrimitive.Copy className="icon" aria-label="Copy">
                <Icon name="copy" />
              </ActionBarPrimitive.Copy>
              <ActionBarPrimitive.Reload className="icon" aria-label="Regenerate">
                <Icon name="regenerate" />
              </ActionBarPrimitive.Reload>
            </ActionBarPrimitive.Root>
            <RatingButtons message={message} />
            <span className="numbers">{formatMetrics(message)}</span>
          </div>
        </>
      )}
    </MessagePrimitive.Root>
  );
}

function RatingButtons({ message }: { message: Message }) {
  const state = useContext(ConversationContext);
  const button = (rating: Rating, label: string) => (
    <button
      className="icon"
      aria-label={label}
      aria-pressed={message.rating === rating}
      onClick={() => state?.rate(message.id, message.rating === rating ? null : rating)}
    >
      <Icon name={rating} />
    </button>
  );
  return (
    <>
      {button("good", "Good answer")}
      {button("bad", "Bad answer")}
    </>
  );
}

function BranchPicker() {
  return (
    <BranchPickerPrimitive.Root hideWhenSingleBranch className="branches">
      <BranchPickerPrimitive.Previous className="icon" aria-label="Previous version">
        <Icon name="left" />
      </BranchPickerPrimitive.Previous>
      <span>
        <BranchPickerPrimitive.Number />/<BranchPickerPrimitive.Count />
      </span>
      <BranchPickerPrimitive.Next className="icon" aria-label="Next version">
        <Icon name="right" />
      </BranchPickerPrimitive.Next>
    </BranchPickerPrimitive.Root>
  );
}

/** An answer's model, time to first token and decode speed, as one line. */
function formatMetrics(message: Message): string {
  const parts = [message.model];
  if (message.ttft_ms != null) parts.push(`first token in ${formatDuration(message.ttft_ms)}`);
  if (message.tokens_out && message.decode_ms) parts.push(`${Math.round((message.tokens_out * 1000) / message.decode_ms)} tokens/s`);
  if (message.finish_reason === "length") parts.push("stopped at the token limit");
  return parts.filter(Boolean).join(" · ");
}

const formatDuration = (ms: number) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

/** What is happening before and while an answer is written: queue position, loading, speed. */
function ProgressLine({ progress }: { progress: Progress }) {
  const { position } = progress;
  const eta = progress.startsInMs > 0 ? `, about ${Math.ceil(progress.startsInMs / 1000)} s` : "";
  const text = {
    sending: "Sending…",
    loading: `Loading the model${eta}…`,
    memory: "Waiting for other models to free memory…",
    queued: position === 0 ? `You are next in the queue${eta}…` : `${position} ${position === 1 ? "request" : "requests"} ahead of you${eta}…`,
    prefill: "Reading the prompt…",
    decode: [
      "Writing…",
      progress.ttftMs !== undefined && `first token in ${formatDuration(progress.ttftMs)}`,
      progress.tokensPerS !== undefined && `${Math.round(progress.tokensPerS)} tokens/s`,
    ]
      .filter(Boolean)
      .join(" · "),
  }[progress.phase];
  return (
    <p className="waiting" aria-hidden="true">
      <span className="dot" /> {text}
    </p>
  );
}

const PHASE_ANNOUNCEMENTS: Partial<Record<Progress["phase"], string>> = {
  loading: "Loading the model.",
  memory: "Waiting for other models to free memory.",
  queued: "Waiting in the queue.",
};

/** Announces progress and the growing answer to screen readers, in whole sentences. */
function ScreenReaderStatus() {
  const state = useContext(ConversationContext);
  const last = state?.messages.find((message) => message.id === state.head && message.role === "assistant");
  const [announcement, setAnnouncement] = useState("");
  const phase = state?.progress?.phase;
  useEffect(() => {
    if (!last) return;
    if (last.status !== "streaming") {
      if (announcement) setAnnouncement("The answer is complete.");
      return;
    }
    const end = Math.max(...[". ", "! ", "? ", "\n"].map((mark) => last.content.lastIndexOf(mark)));
    if (end > 0) setAnnouncement(last.content.slice(0, end + 1).slice(-400));
  }, [last, announcement]);
  return (
    <div className="hidden" aria-live="polite">
      {(phase && PHASE_ANNOUNCEMENTS[phase]) ?? announcement}
    </div>
  );
}
