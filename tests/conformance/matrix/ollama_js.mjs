// Ollama's own client for JavaScript.
import { Ollama } from "ollama";
import { CHAT, EMBEDDER, HELLO, KEY, URL_, must, raises, run, tool } from "./harness.mjs";

const client = new Ollama({ host: URL_, headers: { authorization: `Bearer ${KEY}` } });
const request = { model: CHAT, messages: HELLO, options: { temperature: 0, num_predict: 16 } };
const schema = { type: "object", properties: { age: { type: "integer", minimum: 0, maximum: 99 } }, required: ["age"] };

run("ollama (JavaScript)", "ollama", {
  async chat() {
    must((await client.chat(request)).message.content, "no text");
  },
  async stream() {
    let text = "";
    for await (const part of await client.chat({ ...request, stream: true })) text += part.message.content;
    must(text === (await client.chat(request)).message.content, text);
  },
  async abort() {
    const stream = await client.chat({ ...request, options: { num_predict: 400 }, stream: true });
    await raises(async () => {
      for await (const _ of stream) stream.abort();
    }, (error) => error.name === "AbortError");
  },
  async tools() {
    const call = { function: { name: "get_weather", arguments: { city: "Paris" } } };
    const history = [...HELLO, { role: "assistant", content: "", tool_calls: [call] }, { role: "tool", content: "Sunny", tool_name: "get_weather" }];
    const { message, done_reason } = await client.chat({ ...request, messages: history, tools: [tool] });
    must((message.content || message.tool_calls) && ["stop", "length"].includes(done_reason), message);
  },
  async formatWithTools() {
    const { message } = await client.chat({ ...request, options: { temperature: 0, num_predict: 60 }, tools: [tool], format: schema });
    must(message.tool_calls || Number.isInteger(JSON.parse(message.content).age), message);
  },
  async format() {
    const { message } = await client.chat({ ...request, options: { temperature: 0, num_predict: 60 }, format: schema });
    must(Number.isInteger(JSON.parse(message.content).age), message.content);
  },
  async logprobs() {
    const { logprobs } = await client.chat({ ...request, logprobs: true, top_logprobs: 2 });
    must(logprobs[0].top_logprobs.length === 2, logprobs);
  },
  async context() {
    const first = await client.generate({ model: CHAT, prompt: "Say hello.", options: { num_predict: 8 } });
    const second = await client.generate({ model: CHAT, prompt: "Again.", context: first.context, options: { num_predict: 8 } });
    must(second.prompt_eval_count > first.prompt_eval_count, second);
  },
  async longPrompt() {
    // Lar drops the oldest messages of a chat that exceeds the context.
    const long = { role: "user", content: "word ".repeat(20_000) };
    const answer = await client.chat({ ...request, messages: [long, { role: "assistant", content: "Yes." }, ...HELLO] });
    must(answer.message.content && answer.prompt_eval_count < 200, answer);
  },
  async embed() {
    must((await client.embed({ model: EMBEDDER, input: ["a", "b"] })).embeddings.length === 2, "not two");
    must((await client.embed({ model: EMBEDDER, input: "" })).embeddings.length === 0, "not none");
  },
  async models() {
    must((await client.list()).models.some((model) => model.name === "smollm2-135m-instruct"), "not listed");
    must((await client.show({ model: CHAT })).capabilities.includes("completion"), "cannot chat");
  },
  async errors() {
    await raises(() => new Ollama({ host: URL_, headers: { authorization: "Bearer lar_wrong" } }).list(), (error) => error.status_code === 401);
    await raises(() => client.chat({ ...request, model: "nowhere" }), (error) => error.status_code === 404 && error.message.includes("nowhere"));
  },
});
