// What is remembered, as the page asks for it.

import { read, send } from "../api";

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

export interface Found {
  id: string;
  score: number;
  parts: { words: number; meaning?: number; retrievability: number; recency: number };
  instead_of?: { content: string; until: string };
}

export interface Change {
  id: string;
  at: string;
  by: string;
  action: string;
  reason?: string;
  before: { content?: [string, unknown]; [field: string]: unknown };
  undone_by?: string;
}

export interface Decided {
  decision: "create" | "reinforce" | "update" | "supersede" | "merge" | "reject";
  reason?: string;
  confidence?: number;
  against?: Memory;
  memory?: Memory;
  diff?: { change: "same" | "removed" | "added"; text: string }[];
  redacted?: string[];
}

export interface Candidate {
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

export interface Client {
  key: string;
  name: string;
  space: string;
  read_at?: string;
  written_at?: string;
}

/** A client that can be told of this Lar. */
export interface App {
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

export interface Stats {
  memories: number;
  superseded: number;
  deleted: number;
  pinned: number;
  passages_without_vectors: number;
}

/** The header that says whose memories are meant: none for one's own and those shared with one. */
const of = (space?: Space): Record<string, string> =>
  space?.kind === "team" ? { "x-space": space.id } : space?.kind === "agent" ? { "x-agent-id": space.agent! } : {};

/** Calls about the memories of one space. */
export const memories = (space?: Space) => {
  const get = <T>(path: string) => read<T>(send("GET", `memories${path}`, undefined, of(space)));
  const post = <T>(path: string, body: unknown = {}) => read<T>(send("POST", `memories${path}`, body, of(space)));
  return {
    list: (query: URLSearchParams) => get<{ data: Memory[]; next?: string }>(`?${query}`),
    search: (query: string, kind: string | undefined, superseded: boolean) =>
      post<{ results: Found[]; mode: string; reason?: string }>("/search", {
        query,
        limit: 50,
        detail: "brief",
        filters: { kinds: kind ? [kind] : [], superseded },
      }),
    show: (id: string) => get<Memory>(`/${id}`),
    history: (id: string) => get<{ data: Change[] }>(`/${id}/history`),
    tell: (content: string) => post<Decided>("/smart", { content, source: "memory page" }),
    patch: (id: string, change: Partial<{ content: string; kind: string; tags: string[]; pinned: boolean; deleted: boolean }>) =>
      read<Memory>(send("PATCH", `memories/${id}`, change, of(space))),
    promote: (id: string) => post<Memory>(`/${id}/promote`),
    demote: (id: string) => post<Memory>(`/${id}/demote`),
    forget: (id: string) => send("DELETE", `memories/${id}`, undefined, of(space)),
    erase: (id: string) => send("DELETE", `memories/${id}?erase=true`, undefined, of(space)),
    undo: (id: string, decision?: string) => post<{ memories: Memory[] }>(`/${id}/undo`, { decision }),
    stats: () => get<Stats>("/stats"),
    inbox: () => get<{ data: Candidate[] }>("/inbox"),
    accept: (id: string, content?: string) => post<Decided>(`/inbox/${id}/accept`, { content }),
    reject: (id: string) => send("POST", `memories/inbox/${id}/reject`, {}, of(space)),
    clients: () => get<{ data: Client[] }>("/clients"),
  };
};

export const spaces = {
  list: () => read<{ data: Space[] }>(send("GET", "spaces")),
  create: (name: string) => read<Space>(send("POST", "spaces", { name })),
  grants: (space: string) => read<{ data: Grant[] }>(send("GET", `spaces/${space}/grants`)),
  grant: (space: string, user: string, access: string) =>
    read<{ data: Grant[] }>(send("POST", `spaces/${space}/grants`, { user, access })),
  revoke: (space: string, user: string) => send("DELETE", `spaces/${space}/grants/${user}`),
};

export const apps = {
  list: () => read<{ data: App[] }>(send("GET", "clients")),
  /** Makes a key; its secret is told this once. */
  key: (app: App) => read<{ id: string; secret: string }>(send("POST", "keys", { name: app.title, client: app.name, scopes: app.scopes })),
};

/** How long ago, for a person. */
export const ago = (time: string) => {
  const seconds = (Date.now() - Date.parse(time)) / 1000;
  const words = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
  if (seconds < 60) return "just now";
  if (seconds < 3600) return words.format(-Math.round(seconds / 60), "minute");
  if (seconds < 86400) return words.format(-Math.round(seconds / 3600), "hour");
  return words.format(-Math.round(seconds / 86400), "day");
};

/** What a space is called. */
export const spaceName = (space: Space) => space.name ?? (space.agent ? `${space.agent} (agent)` : "Mine alone");

/** A day for a person. */
export const day = (time: string) => new Date(time).toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric" });

/** A moment for a person. */
export const moment = (time: string) => new Date(time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
