// The official TypeScript SDK of MCP, over HTTP and standard input.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { KEY, URL_, must, run } from "./harness.mjs";

const ways = {
  http: () => new StreamableHTTPClientTransport(new URL(`${URL_}/mcp`), { requestInit: { headers: { authorization: `Bearer ${KEY}` } } }),
  stdio: () => new StdioClientTransport({ command: process.env.LAR_PROGRAM, args: ["mcp"], env: process.env }),
};
const checks = {};
for (const [name, way] of Object.entries(ways)) {
  const session = async (done) => {
    const client = new Client({ name: "matrix", version: "1" });
    await client.connect(way());
    try {
      return await done(client);
    } finally {
      await client.close();
    }
  };
  checks[`${name}_tools`] = () =>
    session(async (client) => {
      const { tools } = await client.listTools();
      must(tools.some((tool) => tool.name === "memory_search"), tools);
    });
  checks[`${name}_saves_and_finds`] = () =>
    session(async (client) => {
      await client.callTool({ name: "memory_save", arguments: { content: "The matrix runs the TypeScript SDK.", tags: null } });
      const found = await client.callTool({ name: "memory_search", arguments: { query: "What does the matrix run?", limit: 5.0 } });
      must(found.content.some((block) => block.text.includes("TypeScript")), found);
    });
  checks[`${name}_errors`] = () =>
    session(async (client) => {
      must((await client.callTool({ name: "memory_get", arguments: { id: "mem_nothing" } })).isError, "no error");
    });
}
run("@modelcontextprotocol/sdk", "@modelcontextprotocol/sdk", checks);
