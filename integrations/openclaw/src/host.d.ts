// The parts of OpenClaw's plugin SDK that this plugin uses, as documented for version 2026.9.6. The host provides the
// SDK.

declare module "openclaw/plugin-sdk/plugin-entry" {
  interface ToolResult {
    content: { type: "text"; text: string }[];
    details?: unknown;
  }
  interface ToolDefinition {
    name: string;
    label?: string;
    description: string;
    parameters: unknown;
    execute(id: string, params: Record<string, unknown>, signal?: AbortSignal): Promise<ToolResult>;
  }
  /** The agent that a tool is created for, or that a hook runs for. */
  interface AgentContext {
    agentId?: string;
    toolAuthority?: { allows(tool: string): boolean; assertActive(): void };
  }
  interface Api {
    pluginConfig?: unknown;
    logger: { info(text: string): void; warn(text: string): void };
    registerTool(tool: ToolDefinition | ((context: AgentContext) => ToolDefinition), options?: { name?: string }): void;
    registerMemoryCapability(capability: {
      promptBuilder?(params: { availableTools: Set<string> | readonly string[] }): string[];
      deterministicRecallToolName?: string;
    }): void;
    on(
      hook: "before_prompt_build",
      handler: (
        event: { prompt: string; currentUserMessage?: string },
        context: AgentContext,
      ) => Promise<{ prependContext?: string } | undefined>,
      options?: { requiresToolAuthority?: boolean },
    ): void;
    on(
      hook: "agent_end",
      handler: (event: { messages: unknown[]; success: boolean }, context: AgentContext) => Promise<void>,
    ): void;
  }
  export function definePluginEntry(entry: {
    id: string;
    name: string;
    description: string;
    kind?: "memory";
    register(api: Api): void;
  }): unknown;
  export type { Api, ToolDefinition, ToolResult, AgentContext };
}
