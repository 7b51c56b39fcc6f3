// `@anthropic-ai/sdk`.
import Anthropic from "@anthropic-ai/sdk";
import { betaTool } from "@anthropic-ai/sdk/helpers/beta/json-schema";
import { CHAT, HELLO, KEY, URL_, WEATHER, must, raises, run } from "./harness.mjs";

const client = new Anthropic({ baseURL: URL_, apiKey: KEY, maxRetries: 0, timeout: 120_000 });
const request = { model: CHAT, max_tokens: 60, messages: HELLO };
const read = (usage) => usage.input_tokens + (usage.cache_read_input_tokens ?? 0);
const weather = () => betaTool({ name: "get_weather", description: "The weather of a city", inputSchema: WEATHER, run: () => "Sunny" });
const runner = (stream) => client.beta.messages.toolRunner({ ...request, tools: [weather()], tool_choice: { type: "any", disable_parallel_tool_use: true }, max_iterations: 2, stream });

run("@anthropic-ai/sdk", "@anthropic-ai/sdk", {
  async message() {
    must((await client.messages.create(request)).content[0].text, "no text");
  },
  async stream() {
    must((await client.messages.stream(request).finalMessage()).content[0].text, "no text");
  },
  async toolRunner() {
    const usages = [];
    for await (const message of runner(false)) usages.push(message.usage);
    must(usages.length === 2 && read(usages[1]) > read(usages[0]) + 20, usages);
  },
  async toolRunnerStreamed() {
    const usages = [];
    for await (const stream of runner(true)) usages.push((await stream.finalMessage()).usage);
    must(usages.length === 2 && read(usages[1]) > read(usages[0]) + 20, usages);
  },
  async toolsWithFormat() {
    const schema = { type: "object", properties: { age: { type: "integer", minimum: 0, maximum: 99 } }, required: ["age"], additionalProperties: false };
    const config = { format: { type: "json_schema", schema } };
    const tools = [{ name: "get_weather", input_schema: WEATHER }];
    const [block] = (await client.messages.create({ ...request, tools, output_config: config })).content;
    must(block.type === "tool_use" || Number.isInteger(JSON.parse(block.text).age), block);
  },
  async count() {
    must((await client.messages.countTokens({ model: CHAT, messages: HELLO })).input_tokens > 5, "too few");
  },
  async batches() {
    must(Array.isArray((await client.messages.batches.list()).data), "no list");
  },
  async errors() {
    await raises(() => new Anthropic({ baseURL: URL_, apiKey: "lar_wrong", maxRetries: 0 }).messages.create(request), (error) => error instanceof Anthropic.AuthenticationError);
    await raises(() => client.messages.create({ ...request, model: "nowhere" }), (error) => error instanceof Anthropic.NotFoundError);
    const long = [{ role: "user", content: "word ".repeat(20_000) }];
    await raises(() => client.messages.create({ ...request, messages: long }), (error) => /prompt is too long: \d+ tokens > \d+ maximum/.test(error.message));
  },
});
