// `@langchain/openai`.
import { HumanMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI, OpenAI, OpenAIEmbeddings } from "@langchain/openai";
import { z } from "zod";
import { CHAT, EMBEDDER, KEY, URL_, must, run } from "./harness.mjs";

const at = { apiKey: KEY, configuration: { baseURL: `${URL_}/v1` }, maxRetries: 0 };
const model = new ChatOpenAI({ model: CHAT, maxTokens: 120, temperature: 0, ...at });
const person = z.object({ name: z.string().max(20), age: z.number().int().min(0).max(99) });
const getWeather = tool(async () => "Sunny", { name: "get_weather", description: "The weather of a city", schema: z.object({ city: z.enum(["Paris", "Oslo"]) }) });

run("@langchain/openai", "@langchain/openai", {
  async invoke() {
    must((await model.invoke("Say hello.")).content, "no text");
  },
  async stream() {
    let text = "";
    for await (const part of await model.stream("Say hello.")) text += part.content;
    must(text, "no text");
  },
  async forcedTool() {
    const answer = await model.bindTools([getWeather], { tool_choice: "any" }).invoke([new HumanMessage("Weather in Paris?")]);
    must(answer.tool_calls[0].name === "get_weather", answer.tool_calls);
  },
  async structuredOutput() {
    for (const method of ["jsonSchema", "functionCalling"]) {
      const found = await model.withStructuredOutput(person, { method, name: "person" }).invoke("Ada is 36 years old.");
      must(typeof found.age === "number", found);
    }
  },
  async severalPrompts() {
    const found = await new OpenAI({ model: CHAT, maxTokens: 4, ...at }).generate(["One", "Two"]);
    must(found.generations.length === 2, found.generations);
  },
  async embeddings() {
    must((await new OpenAIEmbeddings({ model: EMBEDDER, ...at }).embedDocuments(["a", "b"])).length === 2, "not two");
  },
});
