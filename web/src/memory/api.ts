// The calls of Lar's memory API that the page uses: memories, spaces and apps.

import { readJson, send } from "../api";

export const KINDS = ["fact", "event", "preference", "person", "place", "decision", "procedure", "pattern", "note"];

export interface Memory {
  id: string;
  content: string;
  kind: string;
  tags: string[];
  source?: string;
  project?: string;
  space: string;
  conversation?: string;
  occurred_at?: string;
  valid_to?: string;
  superseded_by?: string;
  pinned: boolean;
  retrievability: number;
  version: number;
  created_at: string;
  updated_at: string;
  deleted_at?: string;
}

export interface SearchResult {
  id: string;
  score: number;
  /** The parts of the score: keywords, embedding, retrievability and age. */
  parts: { words: number; meaning?: number; retrievability: number; recency: number };
  /** The memory that this one superseded. */
  instead_of?: { content: string; until: string };
}

export interface MemoryChange {
  id: string;
  at: string;
  by: string;
  action: string;
  reason?: string;
  before: { content?: [string, unknown]; [field: string]: unknown };
  undone_by?: string;
}

/** The decision of smart ingest about a new text, and its result. */
export interface IngestResult {
  decision: "create" | "reinforce" | "update" | "supersede" | "merge" | "reject";
  reason?: string;
  confidence?: number;
  against?: Memory;
  memory?: Memory;
  diff?: { change: "same" | "removed" | "added"; text: string }[];
  redacted?: string[];
}

export interface InboxEntry {
  id: string;
  content: string;
  kind: string;
  reason: string;
  conversation?: string;
  created_at: string;
}

export interface Space {
  id: string;
  kind: "personal" | "agent" | "team";
  agent?: string;
  name?: string;
  access: "read" | "write" | "own";
}

export interface Grant {
  user_id: string;
  user: string;
  access: "read" | "write";
  granted_at: string;
}

/** When an API key last used the memories of a space. */
export interface KeyActivity {
  key: string;
  name: string;
  space: string;
  read_at?: string;
  written_at?: string;
}

/** A client that can be connected to Lar. The page calls it an app. */
export interface ClientApp {
  name: string;
  title: string;
  about: string;
  command: string;
  scopes: string[];
  by_hand: { file?: string; text: string }[];
  then: string;
  key_id?: string;
  last_seen_at?: string;
}

export interface MemoryStats {
  memories: number;
  superseded: number;
  deleted: number;
  pinned: number;
  passages_without_vectors: number;
}

/** The header that selects a space. Without it, the API uses the person's own memories and those shared with them. */
const spaceHeader = (space?: Space): Record<string, string> =>
  space?.kind === "team" ? { "x-space": space.id } : space?.kind === "agent" ? { "x-agent-id": space.agent! } : {};

/** The calls for the memories of one space. */
export const memoryApi = (space?: Space) => {
  const get = <T>(path: string) => readJson<T>(send("GET", `memories${path}`, undefined, spaceHeader(space)));
  const post = <T>(path: string, body: unknown = {}) => readJson<T>(send("POST", `memories${path}`, body, spaceHeader(space)));
  return {
    list: (query: URLSearchParams) => get<{ data: Memory[]; next?: string }>(`?${query}`),
    search: (query: string, kind: string | undefined, superseded: boolean) =>
      post<{ results: SearchResult[]; mode: string; reason?: string }>("/search", {
        query,
        limit: 50,
        detail: "brief",
        filters: { kinds: kind ? [kind] : [], superseded },
      }),
    get: (id: string) => get<Memory>(`/${id}`),
    listHistory: (id: string) => get<{ data: MemoryChange[] }>(`/${id}/history`),
    save: (content: string) => post<IngestResult>("/smart", { content, source: "memory page" }),
    update: (id: string, change: Partial<{ content: string; kind: string; tags: string[]; pinned: boolean; deleted: boolean }>) =>
      readJson<Memory>(send("PATCH", `memories/${id}`, change, spaceHeader(space))),
    promote: (id: string) => post<Memory>(`/${id}/promote`),
    demote: (id: string) => post<Memory>(`/${id}/demote`),
    forget: (id: string) => send("DELETE", `memories/${id}`, undefined, spaceHeader(space)),
    erase: (id: string) => send("DELETE", `memories/${id}?erase=true`, undefined, spaceHeader(space)),
    undo: (id: string, decision?: string) => post<{ memories: Memory[] }>(`/${id}/undo`, { decision }),
    getStats: () => get<MemoryStats>("/stats"),
    listInbox: () => get<{ data: InboxEntry[] }>("/inbox"),
    acceptEntry: (id: string, content?: string) => post<IngestResult>(`/inbox/${id}/accept`, { content }),
    rejectEntry: (id: string) => send("POST", `memories/inbox/${id}/reject`, {}, spaceHeader(space)),
    keyActivity: () => get<{ data: KeyActivity[] }>("/clients"),
  };
};

export type MemoryApi = ReturnType<typeof memoryApi>;

export const spaces = {
  list: () => readJson<{ data: Space[] }>(send("GET", "spaces")),
  create: (name: string) => readJson<Space>(send("POST", "spaces", { name })),
  listGrants: (space: string) => readJson<{ data: Grant[] }>(send("GET", `spaces/${space}/grants`)),
  grant: (space: string, user: string, access: string) =>
    readJson<{ data: Grant[] }>(send("POST", `spaces/${space}/grants`, { user, access })),
  revoke: (space: string, user: string) => send("DELETE", `spaces/${space}/grants/${user}`),
};

export const apps = {
  list: () => readJson<{ data: ClientApp[] }>(send("GET", "clients")),
  /** Creates an API key for an app. Only this response contains the secret. */
  createKey: (app: ClientApp) => readJson<{ id: string; secret: string }>(send("POST", "keys", { name: app.title, client: app.name, scopes: app.scopes })),
};

/** Formats how long ago a time was. */
export const formatAgo = (time: string) => {
  const seconds = (Date.now() - Date.parse(time)) / 1000;
  const format = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
  if (seconds < 60) return "just now";
  if (seconds < 3600) return format.format(-Math.round(seconds / 60), "minute");
  if (seconds < 86400) return format.format(-Math.round(seconds / 3600), "hour");
  return format.format(-Math.round(seconds / 86400), "day");
};

/** The name of a space, as the page shows it. */
export const spaceName = (space: Space) => space.name ?? (space.agent ? `${space.agent} (agent)` : "My memories");

/** Formats a time as a date. */
export const formatDate = (time: string) => new Date(time).toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric" });

/** Formats a time as a date and time. */
export const formatDateTime = (time: string) => new Date(time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
