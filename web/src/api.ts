// The calls of Lar's public API that the page uses. `npm run generate` writes their types from openapi/v1.json.

import { request } from "./connection";
import type { components } from "./generated/api";

export type Schemas = components["schemas"];

export type Rating = NonNullable<Schemas["Feedback"]["rating"]>;

export type Message = Schemas["Message"];

/** The memory activity of an answer's turn. The content of a memory is empty if the memory has been erased since. */
export type MemoryActivity = Schemas["MemoryActivity"];

export type Conversation = Schemas["Conversation"];

/** A model, with the threads note of its pool. */
export type Model = Schemas["Model"] & Pick<Schemas["Pool"], "threads_note">;

export type Recommended = Schemas["RecommendedModel"];

export type Pull = Schemas["Pull"];

/** A page of a list. OpenAPI has a schema for each kind of row; apart from the rows they are equal. */
export type Page<Row> = Omit<Schemas["Page_Conversation"], "data"> & { data: Row[] };

/**
 * An event of an answer's stream, with its name in `event`. Written by hand: OpenAPI cannot say which events a stream has,
 * and its schema `TaskEvent` has their names only as titles.
 */
export type StreamEvent =
  | ({ event: "message" } & Schemas["TurnStarted"])
  | { event: "queued"; position: number; predicted_start_ms: number; why: Schemas["WaitReason"] }
  | { event: "started"; pool: string }
  | { event: "token"; t: string; i: number }
  | { event: "reasoning"; t: string; i: number }
  | { event: "metrics"; queue_depth: number; tokens_per_s: number }
  | { event: "citations"; memories: string[] }
  | { event: "end"; tokens_in: number; tokens_out: number; ttft_ms: number; decode_ms: number; finish_reason: string }
  | ({ event: "error" } & Schemas["TaskError"])
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
  const problem: Partial<Schemas["ProblemBody"]> = await response.json().catch(() => ({}));
  throw new ApiError(response.status, problem.code ?? "UNKNOWN", problem.detail ?? `The request failed with HTTP status ${response.status}. Try again, or look in Lar's log.`);
}

/** Parses a response as JSON. */
export const readJson = async <T>(response: Promise<Response>): Promise<T> => (await response).json();

/** Lists the models, each with the threads note of its pool. If the pools cannot be read, the notes are missing. */
async function listModels(): Promise<Page<Model>> {
  const [{ data }, pools] = await Promise.all([
    readJson<Page<Model>>(send("GET", "catalog/models")),
    readJson<Page<Schemas["Pool"]>>(send("GET", "pools")).catch(() => undefined),
  ]);
  const noteOf = (name: string) => pools?.data.find((pool) => pool.id === name)?.threads_note;
  return { data: data.map((model) => ({ ...model, threads_note: noteOf(model.name) })) };
}

export const api = {
  me: () => readJson<Schemas["Me"]>(send("GET", "me")),
  signIn: (secret: string) => send("POST", "sign-in", { secret } satisfies Schemas["SignIn"]),
  signOut: () => send("POST", "sign-out", {}),
  conversations: (after?: string) => readJson<Page<Conversation>>(send("GET", `conversations?limit=50${after ? `&after=${after}` : ""}`)),
  search: (query: string) => readJson<Page<Conversation>>(send("GET", `conversations?q=${encodeURIComponent(query)}`)),
  conversation: (id: string) => readJson<Conversation>(send("GET", `conversations/${id}`)),
  createConversation: (model: string | undefined, temporary: boolean) =>
    readJson<Conversation>(send("POST", "conversations", { model, temporary } satisfies Schemas["NewConversation"])),
  updateConversation: (id: string, change: Schemas["ConversationPatch"]) =>
    readJson<Conversation>(send("PATCH", `conversations/${id}`, change)),
  deleteConversation: (id: string) => send("DELETE", `conversations/${id}`),
  stop: (id: string) => send("POST", `conversations/${id}/stop`, {}),
  rate: (id: string, message: string, rating: Rating | null) =>
    readJson<Message>(send("POST", `conversations/${id}/messages/${message}/feedback`, { rating } satisfies Schemas["Feedback"])),
  sendMessage: (id: string, content: string, parent: string | null | undefined, model?: string) =>
    send("POST", `conversations/${id}/messages`, { content, parent, model } satisfies Schemas["NewMessage"]),
  editMessage: (id: string, message: string, content: string, model?: string) =>
    send("POST", `conversations/${id}/messages/${message}/branch`, { content, model } satisfies Schemas["Retry"]),
  regenerate: (id: string, message: string, model?: string) =>
    send("POST", `conversations/${id}/messages/${message}/regenerate`, { model } satisfies Schemas["Retry"]),
  streamTask: (task: string) => send("GET", `tasks/${task}/stream`),
  models: listModels,
  recommended: () => readJson<Page<Recommended>>(send("GET", "catalog/recommended")),
  pull: (source: string) => readJson<Pull>(send("POST", "catalog/pulls", { source } satisfies Schemas["NewPull"])),
  pulls: () => readJson<Page<Pull>>(send("GET", "catalog/pulls")),
  setDefault: (target: string) => send("POST", "aliases", { name: "default", target } satisfies Schemas["Alias"]),
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
