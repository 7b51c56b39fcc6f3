// The tools: two by the names that OpenClaw's agents know, and five by those of an earlier memory service.

import type { AgentContext, Api, ToolDefinition, ToolResult } from "openclaw/plugin-sdk/plugin-entry";
import type { Config, Lar as Client, Memory } from "./lar.ts";
import { Lar } from "./lar.ts";
import { day } from "./prompt.ts";

const text = (description: string) => ({ type: "string", description });
const object = (properties: Record<string, unknown>, required: string[]) => ({
  type: "object",
  properties,
  required,
  additionalProperties: false,
});

const SEARCH = object(
  {
    query: text("What to look for, in words or as a question"),
    limit: { type: "integer", minimum: 1, maximum: 50, description: "Default 8" },
  },
  ["query"],
);
const KINDS = ["fact", "concept", "event", "person", "place", "note", "pattern", "decision", "preference", "procedure"];
const INGEST = object(
  {
    content: text("The text"),
    node_type: { type: "string", enum: KINDS, description: "Default fact" },
    tags: { type: "array", items: { type: "string" } },
  },
  ["content"],
);
const REVIEW = object({ id: text("The memory's id"), reason: text("Why") }, ["id"]);

type Run = (lar: Client, params: Record<string, unknown>, signal?: AbortSignal) => Promise<{ text: string; details: unknown }>;

const find: Run = async (lar, params, signal) => {
  const { results } = await lar.search(String(params.query ?? ""), { limit: params.limit ?? 8 }, signal);
  return { text: results.length ? results.map(line).join("\n\n") : "Nothing is remembered of that.", details: { results } };
};

const keep =
  (smart: boolean): Run =>
  async (lar, params, signal) => {
    const kind = params.node_type === "concept" ? "fact" : params.node_type;
    const more = { ...(kind ? { kind } : {}), ...(params.tags ? { tags: params.tags } : {}) };
    const details = await lar.save(String(params.content ?? ""), more, smart, signal);
    const id = (details.memory as Memory | undefined)?.id ?? details.id;
    const decision = typeof details.decision === "string" ? `${details.decision}: ` : "";
    return { text: `${decision}${id ?? details.reason ?? "not saved"}`, details };
  };

const review =
  (how: "promote" | "demote"): Run =>
  async (lar, params, signal) => {
    const reason = typeof params.reason === "string" ? params.reason : undefined;
    const details = await lar.review(String(params.id ?? ""), how, reason, signal);
    return { text: "Noted.", details };
  };

const ALL: { name: string; description: string; parameters: unknown; run: Run }[] = [
  {
    name: "memory_search",
    description:
      "Search what is remembered of the person, their projects and decisions. Use it before answering about anything that was said or decided before. Not for files or the web.",
    parameters: SEARCH,
    run: find,
  },
  {
    name: "memory_get",
    description: "Read one memory whole, by the id that a search told.",
    parameters: object({ id: text("The memory's id") }, ["id"]),
    run: async (lar, params, signal) => {
      const details = await lar.get(String(params.id ?? ""), signal);
      return { text: line(details), details };
    },
  },
  { name: "search", description: "The same as memory_search.", parameters: SEARCH, run: find },
  { name: "ingest", description: "Remember a text as it is.", parameters: INGEST, run: keep(false) },
  {
    name: "smart_ingest",
    description:
      "Remember a text with regard to what is known: it is created, or reinforces, updates, takes the place of or is merged with what is there.",
    parameters: INGEST,
    run: keep(true),
  },
  { name: "promote", description: "Say that a memory matters or was right.", parameters: REVIEW, run: review("promote") },
  { name: "demote", description: "Say that a memory matters less or was wrong.", parameters: REVIEW, run: review("demote") },
];

function line(memory: Memory): string {
  const about = [memory.kind, memory.source, ...memory.tags].filter(Boolean).join(" · ");
  return `[${memory.id}] ${day(memory)} · ${about}\n${memory.content}`;
}

export function registerTools(api: Api, config: Config): void {
  for (const { name, description, parameters, run } of ALL) {
    const made = (context: AgentContext): ToolDefinition => ({
      name,
      label: name,
      description,
      parameters,
      async execute(_id, params, signal): Promise<ToolResult> {
        const told = await run(new Lar(config, context.agentId), params, signal);
        return { content: [{ type: "text", text: told.text }], details: told.details };
      },
    });
    api.registerTool(made, { name });
  }
}
