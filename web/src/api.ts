// The calls of Lar's public API that the page uses. The types mirror /openapi.json.

import { request } from "./connection";

export interface Message {
  id: string;
  parent?: string;
  role: "system" | "user" | "assistant";
  content: string;
  /** The text that a reasoning model produces before its answer. */
  reasoning?: string;
  status: "streaming" | "complete" | "stopped" | "failed";
  model?: string;
  task_id?: string;
  error_code?: string;
  tokens_out?: number;
  ttft_ms?: number;
  decode_ms?: number;
  finish_reason?: string;
  rating?: "good" | "bad";
  memory?: MemoryActivity;
  created_at: string;
}

/** The memory activity of an answer's turn. The content of a memory is empty if the memory has been erased since. */
export interface MemoryActivity {
  recalled?: { id: string; content: string; day: string; score: number; reason: string; cited?: boolean }[];
  saved?: { id: string; decision: string; content: string; instead_of?: string; change?: string }[];
  forgotten?: { id: string; content: string; change?: string }[];
  /** Entries that the turn added to the inbox. */
  waiting?: { content: string }[];
  /** Reasons why Lar did not do what the message asked. */
  refused?: string[];
}

export interface Conversation {
  id: string;
  title: string;
  model?: string;
  head?: string;
  temporary?: boolean;
  version: number;
  updated_at: string;
  running_task?: string;
  messages?: Message[];
  snippet?: string;
}

export interface Model {
  name: string;
  kind: "chat" | "embedding" | "rerank";
  state: "unloaded" | "loading" | "ready" | "failed";
  reason?: string;
  context_tokens: number;
  size_bytes: number;
  memory_bytes: number;
  parameters: number;
  aliases: string[];
  starter: boolean;
  /** Why the loaded model runs on fewer threads than the machine has cores. */
  threads_note?: string;
}

/** The pool of a model. */
interface Pool {
  /** The name of the model. */
  id: string;
  threads_note?: string;
}

export interface Recommended {
  name: string;
  source: string;
  about: string;
  license: string;
  size_bytes: number;
  memory_bytes: number;
  fits: boolean;
  /** Tokens per second on this machine. `speed` says whether the number is estimated or measured. */
  tokens_per_second: number;
  speed: "estimated" | "measured";
  /** Whether the model fits in memory and is fast enough to read along. */
  recommended: boolean;
  installed: boolean;
}

export interface Pull {
  source: string;
  state: "downloading" | "verifying" | "done" | "failed";
  done_bytes: number;
  total_bytes?: number;
  name?: string;
  reason?: string;
}

export type StreamEvent =
  | { event: "message"; title: string; question: Message; answer: Message; task_id: string }
  | { event: "queued"; position: number; predicted_start_ms: number; why: "loading" | "memory" | "busy" }
  | { event: "started"; pool: string }
  | { event: "token"; t: string; i: number }
  | { event: "reasoning"; t: string; i: number }
  | { event: "metrics"; queue_depth: number; tokens_per_s: number }
  | { event: "citations"; memories: string[] }
  | { event: "end"; tokens_in: number; tokens_out: number; ttft_ms: number; decode_ms: number; finish_reason: string }
  | { event: "error"; code: string; message: string; retriable: boolean }
  | { event: "cancelled" };

/** An error response of the server, or a server that could not be reached. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }

  /** Whether the server did not respond at all. The page then shows this and retries by itself. */
  get isUnreachable() {
    return this.status === 0;
  }
}

export async function send(method: string, path: string, body?: unknown, extraHeaders?: Record<string, string>): Promise<Response> {
  let response: Response;
  try {
    response = await request(`/lar/v1/${path}`, {
      method,
      headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...extraHeaders },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new ApiError(0, "UNREACHABLE", "Could not reach Lar. Check that it is running.");
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  throw new ApiError(response.status, problem.code ?? "UNKNOWN", problem.detail ?? `The request failed with HTTP status ${response.status}. Try again, or look in Lar's log.`);
}

/** Parses a response as JSON. */
export const readJson = async <T>(response: Promise<Response>): Promise<T> => (await response).json();

/** Lists the models, each with the threads note of its pool. If the pools cannot be read, the notes are missing. */
async function listModels(): Promise<{ data: Model[] }> {
  const [{ data }, pools] = await Promise.all([
    readJson<{ data: Model[] }>(send("GET", "catalog/models")),
    readJson<{ data: Pool[] }>(send("GET", "pools")).catch(() => undefined),
  ]);
  const noteOf = (name: string) => pools?.data.find((pool) => pool.id === name)?.threads_note;
  return { data: data.map((model) => ({ ...model, threads_note: noteOf(model.name) })) };
}

export const api = {
  me: () => readJson<{ user_id: string; scopes: string[] }>(send("GET", "me")),
  signIn: (secret: string) => send("POST", "sign-in", { secret }),
  signOut: () => send("POST", "sign-out", {}),
  conversations: (after?: string) =>
    readJson<{ data: Conversation[]; next?: string }>(send("GET", `conversations?limit=50${after ? `&after=${after}` : ""}`)),
  search: (query: string) => readJson<{ data: Conversation[] }>(send("GET", `conversations?q=${encodeURIComponent(query)}`)),
  conversation: (id: string) => readJson<Conversation>(send("GET", `conversations/${id}`)),
  createConversation: (model: string | undefined, temporary: boolean) =>
    readJson<Conversation>(send("POST", "conversations", { model, temporary })),
  updateConversation: (id: string, change: { title?: string; head?: string; deleted?: boolean; model?: string }) =>
    readJson<Conversation>(send("PATCH", `conversations/${id}`, change)),
  deleteConversation: (id: string) => send("DELETE", `conversations/${id}`),
  stop: (id: string) => send("POST", `conversations/${id}/stop`, {}),
  rate: (id: string, message: string, rating: "good" | "bad" | null) =>
    readJson<Message>(send("POST", `conversations/${id}/messages/${message}/feedback`, { rating })),
  sendMessage: (id: string, content: string, parent: string | null | undefined, model?: string) =>
    send("POST", `conversations/${id}/messages`, { content, parent, model }),
  editMessage: (id: string, message: string, content: string, model?: string) =>
    send("POST", `conversations/${id}/messages/${message}/branch`, { content, model }),
  regenerate: (id: string, message: string, model?: string) =>
    send("POST", `conversations/${id}/messages/${message}/regenerate`, { model }),
  streamTask: (task: string) => send("GET", `tasks/${task}/stream`),
  models: listModels,
  recommended: () => readJson<{ data: Recommended[] }>(send("GET", "catalog/recommended")),
  pull: (source: string) => readJson<Pull>(send("POST", "catalog/pulls", { source })),
  pulls: () => readJson<{ data: Pull[] }>(send("GET", "catalog/pulls")),
  setDefault: (target: string) => send("POST", "aliases", { name: "default", target }),
};

/** Yields the events of a server-sent event stream as they arrive, without comments. */
export async function* readEvents(response: Response): AsyncGenerator<StreamEvent> {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    buffer += value;
    for (let end = buffer.indexOf("\n\n"); end >= 0; end = buffer.indexOf("\n\n")) {
      const lines = buffer.slice(0, end).split("\n");
      buffer = buffer.slice(end + 2);
      const field = (name: string) => lines.find((line) => line.startsWith(name))?.slice(name.length);
      const data = field("data: ");
      if (data !== undefined) yield { event: field("event: ") ?? "message", ...JSON.parse(data) };
    }
  }
}

/** Formats a number of bytes for people, in the units that the command line uses. */
export function formatBytes(bytes: number): string {
  const gib = bytes / 2 ** 30;
  if (gib >= 1) return `${gib.toFixed(gib < 10 ? 1 : 0)} GiB`;
  return `${Math.max(1, Math.round(bytes / 2 ** 20))} MiB`;
}
