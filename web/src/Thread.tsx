// What is said, through the assistant-ui toolkit: messages, branches, editing, stopping.

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
import type { Message, Model } from "./api";
import { useReachable } from "./connection";
import type { ConversationState, Progress } from "./conversation";
import { boxOf, drafts } from "./drafts";
import { failureWords } from "./failures";
import { Remembered } from "./InTurn";
import { Markdown } from "./Markdown";
import { Welcome } from "./Welcome";

const State = createContext<ConversationState | undefined>(undefined);

/** The toolkit's form of each message, kept as long as the message stays the same object. */
const converted = new WeakMap<Message, ThreadMessage>();

function convert(message: Message): ThreadMessage {
  const known = converted.get(message);
  if (known) return known;
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
  const like = {
    id: message.id,
    role: message.role,
    content: [{ type: "text" as const, text: message.content }],
    createdAt: new Date(message.created_at),
    status,
  };
  const made = ExportedMessageRepository.fromBranchableArray([{ message: like, parentId: null }]).messages[0]!.message;
  converted.set(message, made);
  return made;
}

const textOf = (message: AppendMessage) =>
  message.content.map((part) => (part.type === "text" ? part.text : "")).join("");

interface Props {
  /** The conversation, none for one that is not begun. */
  id?: string;
  state: ConversationState;
  models?: Model[];
  onModelsChanged: () => void;
}

export function Thread({ id, state, models, onModelsChanged }: Props) {
  const reachable = useReachable();
  const messageRepository = useMemo(
    () => ({
      headId: state.head,
      messages: state.messages.map((message) => ({ message: convert(message), parentId: message.parent ?? null })),
    }),
    [state.messages, state.head],
  );
  const runtime = useExternalStoreRuntime<ThreadMessage>({
    messageRepository,
    isRunning: state.progress !== undefined,
    setMessages: (messages) => {
      const last = messages.at(-1);
      if (last && last.id !== state.head) state.show(last.id);
    },
    onNew: (message) => state.say(textOf(message), message.parentId),
    onEdit: async (message) => {
      if (message.sourceId) await state.edit(message.sourceId, textOf(message));
    },
    onReload: async (parentId) => {
      if (parentId) await state.regenerate(parentId);
    },
    onCancel: state.stop,
  });
  return (
    <State.Provider value={state}>
      <AssistantRuntimeProvider runtime={runtime}>
        <ThreadPrimitive.Root className="thread">
          <ThreadPrimitive.Viewport className="viewport" tabIndex={0} role="log" aria-label="Messages" aria-live="off">
            {!id && state.messages.length === 0 && !state.progress && (
              <Welcome models={models} onModelsChanged={onModelsChanged} />
            )}
            <ThreadPrimitive.Messages components={{ UserMessage, AssistantMessage, EditComposer }} />
            {state.progress && <Waiting progress={state.progress} />}
            <ThreadPrimitive.ScrollToBottom className="to-bottom icon" aria-label="Go to the end">
              <Icon name="down" />
            </ThreadPrimitive.ScrollToBottom>
          </ThreadPrimitive.Viewport>
          {!reachable && (
            <p role="alert" className="alert">
              Lar does not answer. Is it still running? This page asks again by itself.
            </p>
          )}
          {state.error && (
            <p role="alert" className="alert">
              {state.error} <button onClick={state.dismiss}>Dismiss</button>
            </p>
          )}
          <Spoken />
          <Composer box={boxOf(id)} />
        </ThreadPrimitive.Root>
      </AssistantRuntimeProvider>
    </State.Provider>
  );
}

function Composer({ box }: { box: string }) {
  const aui = useAui();
  useLayoutEffect(() => {
    const fill = () => aui.composer.setText(drafts.read(box));
    fill();
    return drafts.listen(box, fill);
  }, [aui, box]);
  return (
    <ComposerPrimitive.Root className="composer">
      <label className="hidden" htmlFor="message">
        Message
      </label>
      <ComposerPrimitive.Input
        id="message"
        placeholder="Say something…"
        rows={1}
        maxRows={10}
        autoFocus
        submitMode="enter"
        onChange={(event) => drafts.type(box, event.target.value)}
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
  // An edit that was not sent is gone on with: after a reload, or when it came back.
  useEffect(() => {
    const open = () => {
      if (drafts.read(id) && !aui.composer.getState().isEditing) aui.composer.beginEdit();
    };
    const opening = setTimeout(open);
    const unlisten = drafts.listen(id, open);
    return () => {
      clearTimeout(opening);
      unlisten();
    };
  }, [aui, id]);
  return (
    <MessagePrimitive.Root className="message user">
      <div className="bubble">
        <MessagePrimitive.Parts components={{ Text: ({ text }) => <p>{text}</p> }} />
      </div>
      <div className="actions">
        <Branches />
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
  const said = useContext(State)?.messages.find((one) => one.id === id)?.content;
  useLayoutEffect(() => {
    const kept = drafts.read(id);
    if (kept) aui.composer.setText(kept);
  }, [aui, id]);
  const forget = () => drafts.forget(id);
  return (
    <MessagePrimitive.Root className="message user">
      <ComposerPrimitive.Root className="edit">
        <ComposerPrimitive.Input
          aria-label="Edit the message"
          autoFocus
          onChange={({ target }) => drafts.type(id, target.value === said ? "" : target.value)}
          cancelOnEscape={false}
          onKeyDown={(event) => {
            if (event.key !== "Escape" || event.nativeEvent.isComposing) return;
            event.preventDefault();
            forget();
            aui.composer.cancel();
          }}
        />
        <div className="actions">
          <ComposerPrimitive.Cancel onClick={forget}>Cancel</ComposerPrimitive.Cancel>
          <ComposerPrimitive.Send className="primary">Send again</ComposerPrimitive.Send>
        </div>
      </ComposerPrimitive.Root>
    </MessagePrimitive.Root>
  );
}

function AssistantMessage() {
  const id = useAuiState((s) => s.message.id);
  const state = useContext(State);
  const message = state?.messages.find((one) => one.id === id);
  return (
    <MessagePrimitive.Root className="message assistant" data-status={message?.status}>
      {message?.memory && <Remembered memory={message.memory} />}
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
            <p className="alert" title={message.error_code}>
              {failureWords(message.error_code, message.content !== "")}
            </p>
          )}
          <div className="actions">
            <Branches />
            <ActionBarPrimitive.Root hideWhenRunning>
              <ActionBarPrimitive.Copy className="icon" aria-label="Copy">
                <Icon name="copy" />
              </ActionBarPrimitive.Copy>
              <ActionBarPrimitive.Reload className="icon" aria-label="Another answer">
                <Icon name="again" />
              </ActionBarPrimitive.Reload>
            </ActionBarPrimitive.Root>
            <Rate message={message} />
            <span className="numbers">{numbers(message)}</span>
          </div>
        </>
      )}
    </MessagePrimitive.Root>
  );
}

function Rate({ message }: { message: Message }) {
  const state = useContext(State);
  const button = (rating: "good" | "bad", label: string) => (
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

function Branches() {
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

/** What the answer cost: its model, the time to its first token, its speed. */
function numbers(message: Message): string {
  const parts = [message.model];
  if (message.ttft_ms !== undefined) parts.push(`first token ${duration(message.ttft_ms)}`);
  if (message.tokens_out && message.decode_ms) parts.push(`${Math.round((message.tokens_out * 1000) / message.decode_ms)} tokens/s`);
  if (message.finish_reason === "length") parts.push("cut: no room for more");
  return parts.filter(Boolean).join(" · ");
}

const duration = (ms: number) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

function Waiting({ progress }: { progress: Progress }) {
  const about = progress.startsInMs > 0 ? `, about ${Math.ceil(progress.startsInMs / 1000)} s` : "";
  const text = {
    sending: "Sending…",
    loading: `The model is being loaded${about}…`,
    memory: "Waiting for memory that other models hold…",
    waiting: progress.position === 0 ? `You are next${about}…` : `${progress.position} before you${about}…`,
    reading: "Reading…",
    writing: [
      "Writing…",
      progress.ttftMs !== undefined && `first token ${duration(progress.ttftMs)}`,
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

const SPOKEN: Partial<Record<Progress["phase"], string>> = {
  loading: "The model is being loaded.",
  memory: "Waiting for memory that other models hold.",
  waiting: "Waiting for a place.",
};

/** Tells screen readers of a growing answer, whole sentences at a time. */
function Spoken() {
  const state = useContext(State);
  const last = state?.messages.find((message) => message.id === state.head && message.role === "assistant");
  const [said, setSaid] = useState("");
  const phase = state?.progress?.phase;
  useEffect(() => {
    if (!last) return;
    if (last.status !== "streaming") {
      if (said) setSaid("The answer is complete.");
      return;
    }
    const end = Math.max(...[". ", "! ", "? ", "\n"].map((mark) => last.content.lastIndexOf(mark)));
    if (end > 0) setSaid(last.content.slice(0, end + 1).slice(-400));
  }, [last, said]);
  return (
    <div className="hidden" aria-live="polite">
      {(phase && SPOKEN[phase]) ?? said}
    </div>
  );
}
