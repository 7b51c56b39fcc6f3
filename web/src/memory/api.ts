// The calls of Lar's memory API that the page uses: memories, reminders, spaces and apps.

import { readJson, send, type Page, type Schemas } from "../api";

export type Kind = NonNullable<Schemas["Filters"]["kinds"]>[number];
/** All kinds of memories. If the OpenAPI document has other kinds, the type check fails. */
export const KINDS = Object.keys({
  fact: true,
  event: true,
  preference: true,
  person: true,
  place: true,
  decision: true,
  procedure: true,
  pattern: true,
  note: true,
} satisfies Record<Kind, true>) as Kind[];

export type Memory = Schemas["Memory"];
export type SearchResult = Schemas["SearchResult"];
/**
 * A change in the history of a memory. `before` has the old values of the changed fields. The OpenAPI document does not
 * list them: that of `content` is an array of the text and its hash.
 */
export type MemoryChange = Schemas["MemoryChange"] & { before: { content?: [string, unknown] } };
/** The decision of smart ingest about a new text, and its result. */
export type IngestResult = Schemas["SmartIngestResult"];
export type InboxEntry = Schemas["Candidate"];
/** Two memories of which the newer one may make the older one outdated. */
export type MemoryLink = Schemas["MemoryLink"];
/** A decision about a link. */
export type Resolution = Schemas["ResolveLink"]["resolution"];
/** A text of which the user wants to be reminded. The API calls it an intention. */
export type Reminder = Schemas["Intention"];
export type ReminderStatus = Schemas["IntentionStatus"];
/** A change that Lar proposes after it compared memories in idle hours. */
export type Proposal = Schemas["Proposal"];
/** A run in which Lar compared memories. */
export type ConsolidationRun = Schemas["ConsolidationRun"];
export type Space = Schemas["Space"];
export type Access = Schemas["NewGrant"]["access"];
export type Grant = Schemas["Grant"];
/** When an API key last used the memories of a space. */
export type KeyActivity = Schemas["MemoryClient"];
/** A client that can be connected to Lar. The page calls it an app. */
export type ClientApp = Schemas["ClientCard"];
export type MemoryStats = Schemas["MemoryStats"];

/** The header that selects a space. Without it, the API uses the user's own memories and those shared with them. */
const spaceHeader = (space?: Space): Record<string, string> =>
  space?.kind === "team" ? { "x-space": space.id } : space?.kind === "agent" ? { "x-agent-id": space.agent! } : {};

/** The most rows of a page of a list. */
export const PAGE_MAX = 200;

/** The query for a page of a list, with the first `limit` rows or those after a cursor. */
const pageQuery = (limit: number, after?: string) => `limit=${limit}${after ? `&after=${after}` : ""}`;

/** The calls for the memories of one space. */
export const memoryApi = (space?: Space) => {
  const get = <T>(path: string) => readJson<T>(send("GET", `memories${path}`, undefined, spaceHeader(space)));
  const post = <T>(path: string, body: unknown = {}) => readJson<T>(send("POST", `memories${path}`, body, spaceHeader(space)));
  return {
    list: (query: URLSearchParams) => get<Page<Memory>>(`?${query}`),
    search: (query: string, kind: Kind | undefined, superseded: boolean) =>
      post<Schemas["SearchResponse"]>("/search", {
        query,
        limit: 50,
        detail: "brief",
        filters: { kinds: kind ? [kind] : [], superseded },
      } satisfies Schemas["SearchRequest"]),
    get: (id: string) => get<Memory>(`/${id}`),
    listHistory: (id: string) => get<Page<MemoryChange>>(`/${id}/history`),
    save: (content: string) => post<IngestResult>("/smart", { content, source: "memory page" } satisfies Schemas["NewMemory"]),
    update: (id: string, change: Schemas["MemoryPatch"]) =>
      readJson<Schemas["WrittenMemory"]>(send("PATCH", `memories/${id}`, change, spaceHeader(space))),
    promote: (id: string) => post<Schemas["WrittenMemory"]>(`/${id}/promote`),
    demote: (id: string) => post<Schemas["WrittenMemory"]>(`/${id}/demote`),
    forget: (id: string) => send("DELETE", `memories/${id}`, undefined, spaceHeader(space)),
    erase: (id: string) => send("DELETE", `memories/${id}?erase=true`, undefined, spaceHeader(space)),
    undo: (id: string, decision?: string | null) => post<Schemas["UndoResult"]>(`/${id}/undo`, { decision } satisfies Schemas["Undo"]),
    /** The id of the last decision about a memory, to undo exactly this one later. */
    getLastDecision: async (id: string) => (await get<Page<MemoryChange>>(`/${id}/history`)).data.at(-1)?.decision,
    listReminders: (status: ReminderStatus, limit: number, after?: string) =>
      get<Page<Reminder>>(`/intentions?status=${status}&${pageQuery(limit, after)}`),
    getReminder: (id: string) => get<Reminder>(`/intentions/${id}`),
    updateReminder: (id: string, change: Schemas["IntentionPatch"]) =>
      readJson<Reminder>(send("PATCH", `memories/intentions/${id}`, change, spaceHeader(space))),
    deleteReminder: (id: string) => send("DELETE", `memories/intentions/${id}`, undefined, spaceHeader(space)),
    getStats: () => get<MemoryStats>("/stats"),
    listInbox: (limit: number, after?: string) => get<Page<InboxEntry>>(`/inbox?${pageQuery(limit, after)}`),
    acceptEntry: (id: string, content?: string, keepBoth = false) =>
      post<IngestResult>(`/inbox/${id}/accept`, { content, keep_both: keepBoth } satisfies Schemas["Accept"]),
    rejectEntry: (id: string) => send("POST", `memories/inbox/${id}/reject`, {}, spaceHeader(space)),
    listLinks: (limit: number, after?: string) => get<Page<MemoryLink>>(`/links?${pageQuery(limit, after)}`),
    resolveLink: (id: string, resolution: Resolution) =>
      post<Schemas["ResolvedLink"]>(`/links/${id}`, { resolution } satisfies Schemas["ResolveLink"]),
    listProposals: (limit: number, after?: string) => get<Page<Proposal>>(`/consolidation/proposals?${pageQuery(limit, after)}`),
    acceptProposal: (id: string) => post<Schemas["AcceptedProposal"]>(`/consolidation/proposals/${id}/accept`),
    rejectProposal: (id: string) => send("POST", `memories/consolidation/proposals/${id}/reject`, {}, spaceHeader(space)),
    listRuns: () => get<Page<ConsolidationRun>>("/consolidation/runs?limit=5"),
    undoRun: (id: string) => post<Schemas["UndoneRun"]>(`/consolidation/runs/${id}/undo`),
    keyActivity: () => get<Page<KeyActivity>>("/clients"),
  };
};

export type MemoryApi = ReturnType<typeof memoryApi>;

export const spaces = {
  list: () => readJson<Page<Space>>(send("GET", "spaces")),
  create: (name: string) => readJson<Space>(send("POST", "spaces", { name } satisfies Schemas["NewSpace"])),
  listGrants: (space: string) => readJson<Page<Grant>>(send("GET", `spaces/${space}/grants`)),
  grant: (space: string, user: string, access: Access) =>
    readJson<Page<Grant>>(send("POST", `spaces/${space}/grants`, { user, access } satisfies Schemas["NewGrant"])),
  revoke: (space: string, user: string) => send("DELETE", `spaces/${space}/grants/${user}`),
};

export const apps = {
  list: () => readJson<Page<ClientApp>>(send("GET", "clients")),
  /** Creates an API key for an app. Only this response contains the secret. */
  createKey: (app: ClientApp) =>
    readJson<Schemas["Key"]>(send("POST", "keys", { name: app.title, client: app.name, scopes: app.scopes } satisfies Schemas["NewKey"])),
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

/** Makes a sentence of a reason: a capital letter and a period. */
export const toSentence = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
