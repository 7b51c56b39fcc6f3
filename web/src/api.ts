// Lar's public API, as the page uses it. Types mirror /openapi.json.

import { request } from "./connection";

export interface Message {
  id: string;
  parent?: string;
  role: "system" | "user" | "assistant";
  content: string;
  /** What a reasoning model produced before the answer. */
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
  memory?: InTurn;
  created_at: string;
}

/** What memory did in the turn of an answer. The content of a memory that was erased since is empty. */
export interface InTurn {
  recalled?: { id: string; content: string; day: string; score: number; reason: string; cited?: boolean }[];
  saved?: { id: string; decision: string; content: string; instead_of?: string; change?: string }[];
  forgotten?: { id: string; content: string; change?: string }[];
  waiting?: { content: string }[];
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
  /** Why it computes on fewer threads than the machine has cores, while it is loaded. */
  threads_note?: string;
}

/** A model's engine. */
interface Pool {
  /** The model's name. */
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
  /** Tokens a second on this machine, and whether that was measured or estimated. */
  tokens_per_second: number;
  speed: "estimated" | "measured";
  /** Fits the memory and is fast enough to read along. */
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

/** An error that the server answered with, or that kept it from answering. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }

  /** Whether the server did not answer at all. The page asks again by itself then, and says so. */
  get unreachable() {
    return this.status === 0;
  }
}

export async function send(method: string, path: string, body?: unknown, more?: Record<string, string>): Promise<Response> {
  let response: Response;
  try {
    response = await request(`/lar/v1/${path}`, {
      method,
      headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...more },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new ApiError(0, "UNREACHABLE", "Lar does not answer. Is it still running?");
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  throw new ApiError(response.status, problem.code ?? "UNKNOWN", problem.detail ?? `The server answered with status ${response.status}.`);
}

export const read = async <T>(response: Promise<Response>): Promise<T> => (await response).json();

/** The models, each with the note of its engine. Without the engines' answer the notes are left out. */
async function models(): Promise<{ data: Model[] }> {
  const [{ data }, pools] = await Promise.all([
    read<{ data: Model[] }>(send("GET", "catalog/models")),
    read<{ data: Pool[] }>(send("GET", "pools")).catch(() => undefined),
  ]);
  const note = (name: string) => pools?.data.find((pool) => pool.id === name)?.threads_note;
  return { data: data.map((model) => ({ ...model, threads_note: note(model.name) })) };
}

export const api = {
  me: () => read<{ user_id: string; scopes: string[] }>(send("GET", "me")),
  signIn: (secret: string) => send("POST", "sign-in", { secret }),
  signOut: () => send("POST", "sign-out", {}),
  conversations: (after?: string) =>
    read<{ data: Conversation[]; next?: string }>(send("GET", `conversations?limit=50${after ? `&after=${after}` : ""}`)),
  search: (words: string) => read<{ data: Conversation[] }>(send("GET", `conversations?q=${encodeURIComponent(words)}`)),
  conversation: (id: string) => read<Conversation>(send("GET", `conversations/${id}`)),
  create: (model: string | undefined, temporary: boolean) =>
    read<Conversation>(send("POST", "conversations", { model, temporary })),
  patch: (id: string, change: { title?: string; head?: string; deleted?: boolean; model?: string }) =>
    read<Conversation>(send("PATCH", `conversations/${id}`, change)),
  remove: (id: string) => send("DELETE", `conversations/${id}`),
  stop: (id: string) => send("POST", `conversations/${id}/stop`, {}),
  rate: (id: string, message: string, rating: "good" | "bad" | null) =>
    read<Message>(send("POST", `conversations/${id}/messages/${message}/feedback`, { rating })),
  say: (id: string, content: string, parent: string | null | undefined, model?: string) =>
    send("POST", `conversations/${id}/messages`, { content, parent, model }),
  branch: (id: string, message: string, content: string, model?: string) =>
    send("POST", `conversations/${id}/messages/${message}/branch`, { content, model }),
  regenerate: (id: string, message: string, model?: string) =>
    send("POST", `conversations/${id}/messages/${message}/regenerate`, { model }),
  follow: (task: string) => send("GET", `tasks/${task}/stream`),
  models,
  recommended: () => read<{ data: Recommended[] }>(send("GET", "catalog/recommended")),
  pull: (source: string) => read<Pull>(send("POST", "catalog/pulls", { source })),
  pulls: () => read<{ data: Pull[] }>(send("GET", "catalog/pulls")),
  setDefault: (target: string) => send("POST", "aliases", { name: "default", target }),
};

/** The events of a stream as they come. Comments are left out. */
export async function* events(response: Response): AsyncGenerator<StreamEvent> {
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

/** A number of bytes for a person, in the units of the terminal. */
export function size(bytes: number): string {
  const gib = bytes / 2 ** 30;
  if (gib >= 1) return `${gib.toFixed(gib < 10 ? 1 : 0)} GiB`;
  return `${Math.max(1, Math.round(bytes / 2 ** 20))} MiB`;
}
