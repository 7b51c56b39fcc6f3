// Speaks to Lar's own API.

import { readFileSync } from "node:fs";

/** How the plugin was set up. */
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

/** A memory, as Lar tells of one. */
export interface Memory {
  id: string;
  content: string;
  kind: string;
  tags: string[];
  source?: string;
  occurred_at?: string;
  created_at: string;
}

export interface Found extends Memory {
  score: number;
  parts: { words: number; meaning?: number; retrievability: number };
}

/** What was set, with what is usual for the rest. */
export function configured(given: unknown): Config {
  const set = (given ?? {}) as Partial<Config>;
  return {
    url: (set.url ?? "http://127.0.0.1:5270").replace(/\/+$/, ""),
    key: set.key,
    keyFile: set.keyFile,
    recall: set.recall ?? true,
    capture: set.capture ?? true,
    recallLimit: set.recallLimit ?? 5,
    recallTokens: set.recallTokens ?? 800,
    sharedAgents: set.sharedAgents ?? ["main"],
  };
}

export class Lar {
  private readonly config: Config;
  private readonly agent: string | undefined;
  private readonly patience: number;

  /** `patience`: milliseconds that an answer may take. */
  constructor(config: Config, agent: string | undefined, patience = 10_000) {
    this.config = config;
    this.agent = agent;
    this.patience = patience;
  }

  search(query: string, more: Record<string, unknown> = {}, signal?: AbortSignal) {
    return this.ask<{ results: Found[]; tokens?: number }>("POST", "memories/search", { query, ...more }, signal);
  }

  get(id: string, signal?: AbortSignal) {
    return this.ask<Memory>("GET", `memories/${encodeURIComponent(id)}`, undefined, signal);
  }

  save(content: string, more: Record<string, unknown>, smart: boolean, signal?: AbortSignal) {
    const path = smart ? "memories/smart" : "memories";
    return this.ask<Record<string, unknown>>("POST", path, { content, source: "openclaw", ...more }, signal);
  }

  review(id: string, how: "promote" | "demote", reason?: string, signal?: AbortSignal) {
    return this.ask<Memory>("POST", `memories/${encodeURIComponent(id)}/${how}`, reason ? { reason } : {}, signal);
  }

  /** Has Lar do what a person's message asks of memory. */
  heard(content: string, signal?: AbortSignal) {
    return this.ask<Record<string, unknown>>("POST", "memories/heard", { content }, signal);
  }

  private async ask<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
    const patience = AbortSignal.timeout(this.patience);
    const headers: Record<string, string> = { authorization: `Bearer ${this.key()}` };
    if (body !== undefined) headers["content-type"] = "application/json";
    // An agent that is not the person's own has memories of its own.
    if (this.agent && !this.config.sharedAgents.includes(this.agent)) headers["x-agent-id"] = this.agent;
    const answer = await fetch(`${this.config.url}/lar/v1/${path}`, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, patience]) : patience,
    });
    const text = await answer.text();
    const told = text ? (JSON.parse(text) as Record<string, unknown>) : {};
    if (!answer.ok) throw new Error(typeof told.detail === "string" ? told.detail : `Lar answered with status ${answer.status}`);
    return told as T;
  }

  /** The key, read anew each time: it may have been made again. */
  private key(): string {
    if (this.config.keyFile) return readFileSync(this.config.keyFile, "utf8").trim();
    if (this.config.key) return this.config.key;
    throw new Error("the plugin has no key: run `lar connect openclaw`, or set keyFile");
  }
}
