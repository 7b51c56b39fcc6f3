// The tools: two with the names that OpenClaw's agents know, and five with the names of an earlier memory service.

import type { AgentContext, Api, ToolDefinition, ToolResult } from "openclaw/plugin-sdk/plugin-entry";
import type { Config, Lar as Client, Memory } from "./lar.ts";
import { Lar } from "./lar.ts";
import { formatDay } from "./prompt.ts";

const text = (description: string) => ({ type: "string", description });
const object = (properties: Record<string, unknown>, required: string[]) => ({
  type: "object",
  properties,
  required,
  additionalProperties: false,
});

const SEARCH = object(
  {
    query: text("Keywords or a question"),
    limit: { type: "integer", minimum: 1, maximum: 50, description: "Default 8" },
  },
  ["query"],
);
const KINDS = ["fact", "concept", "event", "person", "place", "note", "pattern", "decision", "preference", "procedure"];
const INGEST = object(
  {
    content: text("The text to save"),
    node_type: { type: "string", enum: KINDS, description: "Default fact" },
    tags: { type: "array", items: { type: "string" } },
  },
  ["content"],
);
const REVIEW = object({ id: text("The memory's id"), reason: text("The reason") }, ["id"]);

type Run = (lar: Client, params: Record<string, unknown>, signal?: AbortSignal) => Promise<{ text: string; details: unknown }>;

const find: Run = async (lar, params, signal) => {
  const { results } = await lar.search(String(params.query ?? ""), { limit: params.limit ?? 8 }, signal);
  return { text: results.length ? results.map(line).join("\n\n") : "No memories match.", details: { results } };
};

const save =
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
  (action: "promote" | "demote"): Run =>
  async (lar, params, signal) => {
    const reason = typeof params.reason === "string" ? params.reason : undefined;
    const details = await lar.review(String(params.id ?? ""), action, reason, signal);
    return { text: action === "promote" ? "Promoted." : "Demoted.", details };
  };

const ALL: { name: string; description: string; parameters: unknown; run: Run }[] = [
  {
    name: "memory_search",
    description:
      "Search the memories about the user, their projects and decisions. Use it before you answer about anything said or decided earlier. Does not search files or the web.",
    parameters: SEARCH,
    run: find,
  },
  {
    name: "memory_get",
    description: "Read one memory in full, by the id from a search result.",
    parameters: object({ id: text("The memory's id") }, ["id"]),
    run: async (lar, params, signal) => {
      const details = await lar.get(String(params.id ?? ""), signal);
      return { text: line(details), details };
    },
  },
  { name: "search", description: "The same as memory_search.", parameters: SEARCH, run: find },
  { name: "ingest", description: "Save a text unchanged as a new memory.", parameters: INGEST, run: save(false) },
  {
    name: "smart_ingest",
    description:
      "Save a text, after comparing it with similar memories: creates a memory, or reinforces, updates or supersedes an existing one.",
    parameters: INGEST,
    run: save(true),
  },
  { name: "promote", description: "Mark a memory as important or correct.", parameters: REVIEW, run: review("promote") },
  { name: "demote", description: "Mark a memory as less important or wrong.", parameters: REVIEW, run: review("demote") },
];

/** Returns a memory as the text of a tool result. */
function line(memory: Memory): string {
  const about = [memory.kind, memory.source, ...memory.tags].filter(Boolean).join(" · ");
  return `[${memory.id}] ${formatDay(memory)} · ${about}\n${memory.content}`;
}

export function registerTools(api: Api, config: Config): void {
  for (const { name, description, parameters, run } of ALL) {
    const create = (context: AgentContext): ToolDefinition => ({
      name,
      label: name,
      description,
      parameters,
      async execute(_id, params, signal): Promise<ToolResult> {
        const result = await run(new Lar(config, context.agentId), params, signal);
        return { content: [{ type: "text", text: result.text }], details: result.details };
      },
    });
    api.registerTool(create, { name });
  }
}
