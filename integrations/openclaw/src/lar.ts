// The client of Lar's own API.

import { readFileSync } from "node:fs";

/** The settings of the plugin. */
export interface Config {
  url: string;
  key?: string;
  keyFile?: string;
  recall: boolean;
  capture: boolean;
  recallLimit: number;
  recallTokens: number;
  sharedAgents: string[];
}

/** A memory, as Lar's API returns it. */
export interface Memory {
  id: string;
  content: string;
  kind: string;
  tags: string[];
  source?: string;
  occurred_at?: string;
  created_at: string;
}

/** A memory in the results of a search. */
export interface SearchResult extends Memory {
  score: number;
  parts: { keyword: number; similarity?: number; retrievability: number };
}

/** Reads the plugin's configuration and adds the defaults. */
export function readConfig(pluginConfig: unknown): Config {
  const config = (pluginConfig ?? {}) as Partial<Config>;
  return {
    url: (config.url ?? "http://127.0.0.1:5270").replace(/\/+$/, ""),
    key: config.key,
    keyFile: config.keyFile,
    recall: config.recall ?? true,
    capture: config.capture ?? true,
    recallLimit: config.recallLimit ?? 5,
    recallTokens: config.recallTokens ?? 800,
    sharedAgents: config.sharedAgents ?? ["main"],
  };
}

export class Lar {
  private readonly config: Config;
  private readonly agent: string | undefined;
  private readonly timeoutMs: number;

  /** `timeoutMs`: the longest time of a request, in milliseconds. */
  constructor(config: Config, agent: string | undefined, timeoutMs = 10_000) {
    this.config = config;
    this.agent = agent;
    this.timeoutMs = timeoutMs;
  }

  search(query: string, more: Record<string, unknown> = {}, signal?: AbortSignal) {
    return this.request<{ results: SearchResult[]; tokens?: number }>("POST", "memories/search", { query, ...more }, signal);
  }

  get(id: string, signal?: AbortSignal) {
    return this.request<Memory>("GET", `memories/${encodeURIComponent(id)}`, undefined, signal);
  }

  save(content: string, more: Record<string, unknown>, smart: boolean, signal?: AbortSignal) {
    const path = smart ? "memories/smart" : "memories";
    return this.request<Record<string, unknown>>("POST", path, { content, source: "openclaw", ...more }, signal);
  }

  review(id: string, action: "promote" | "demote", reason?: string, signal?: AbortSignal) {
    return this.request<Memory>("POST", `memories/${encodeURIComponent(id)}/${action}`, reason ? { reason } : {}, signal);
  }

  /** Lets Lar save, correct or forget memories as a user's message asks. */
  captureMessage(content: string, signal?: AbortSignal) {
    return this.request<Record<string, unknown>>("POST", "memories/intents", { content }, signal);
  }

  private async request<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
    const timeout = AbortSignal.timeout(this.timeoutMs);
    const headers: Record<string, string> = { authorization: `Bearer ${this.key()}` };
    if (body !== undefined) headers["content-type"] = "application/json";
    // An agent that is not shared has its own memories.
    if (this.agent && !this.config.sharedAgents.includes(this.agent)) headers["x-agent-id"] = this.agent;
    const answer = await fetch(`${this.config.url}/lar/v1/${path}`, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
    const text = await answer.text();
    const json = text ? (JSON.parse(text) as Record<string, unknown>) : {};
    if (!answer.ok) throw new Error(typeof json.detail === "string" ? json.detail : `Lar answered with status ${answer.status}`);
    return json as T;
  }

  /** Returns the key. The file is read each time, because the key may have been replaced. */
  private key(): string {
    if (this.config.keyFile) return readFileSync(this.config.keyFile, "utf8").trim();
    if (this.config.key) return this.config.key;
    throw new Error("the plugin has no API key: run `lar connect openclaw`, or set `keyFile`");
  }
}
