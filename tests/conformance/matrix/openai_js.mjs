// `openai` for Node.
import OpenAI from "openai";
import { CHAT, EMBEDDER, HELLO, KEY, URL_, must, raises, run, tool } from "./harness.mjs";

const client = new OpenAI({ baseURL: `${URL_}/v1`, apiKey: KEY, maxRetries: 0, timeout: 120_000 });
const request = { model: CHAT, messages: HELLO, max_tokens: 16, temperature: 0 };
const schema = {
  type: "object",
  properties: { name: { type: "string", maxLength: 20 }, age: { type: "integer", minimum: 0, maximum: 99 } },
  required: ["name", "age"],
  additionalProperties: false,
};
const format = { type: "json_schema", json_schema: { name: "person", strict: true, schema } };

run("openai (Node)", "openai", {
  async chat() {
    must((await client.chat.completions.create(request)).choices[0].message.content, "no text");
  },
  async stream() {
    const whole = (await client.chat.completions.create(request)).choices[0].message.content;
    let text = "";
    for await (const part of await client.chat.completions.create({ ...request, stream: true })) text += part.choices[0]?.delta?.content ?? "";
    must(text === whole, `${text} | ${whole}`);
  },
  async abort() {
    const stream = await client.chat.completions.create({ ...request, max_tokens: 400, stream: true });
    for await (const _ of stream) {
      stream.controller.abort();
      break;
    }
  },
  async toolsWithFormat() {
    const message = (await client.chat.completions.create({ ...request, max_tokens: 120, tools: [tool], response_format: format })).choices[0].message;
    must(message.tool_calls || JSON.parse(message.content).name !== undefined, message);
  },
  async runTools() {
    const runner = client.chat.completions.runTools(
      {
        ...request,
        max_tokens: 60,
        tool_choice: "required",
        parallel_tool_calls: false,
        tools: [{ type: "function", function: { ...tool.function, parse: JSON.parse, function: () => "Sunny" } }],
      },
      { maxChatCompletions: 2 },
    );
    // The runner fails with its own error if its last completion is a tool call.
    await runner.done().catch((error) => must(!error.status, error.message));
    must(runner.messages.some((message) => message.role === "tool" && message.content === "Sunny"), runner.messages);
  },
  async responses() {
    const first = await client.responses.create({ model: CHAT, input: "My name is Ada.", max_output_tokens: 16 });
    const second = await client.responses.create({ model: CHAT, input: "And?", previous_response_id: first.id, max_output_tokens: 16 });
    must(second.usage.input_tokens > first.usage.input_tokens, second.usage);
  },
  async embeddings() {
    const found = await client.embeddings.create({ model: EMBEDDER, input: ["a", "b"] });
    must(found.data.length === 2 && found.data[0].embedding.length === 384, found.data.length);
  },
  async errors() {
    await raises(() => new OpenAI({ baseURL: `${URL_}/v1`, apiKey: "lar_wrong", maxRetries: 0 }).models.list(), (error) => error instanceof OpenAI.AuthenticationError);
    await raises(() => client.chat.completions.create({ ...request, model: "nowhere" }), (error) => error instanceof OpenAI.NotFoundError);
  },
});
