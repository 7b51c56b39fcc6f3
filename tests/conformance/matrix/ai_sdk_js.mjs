// Vercel's `ai` with five providers.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import * as ai from "ai";
import { createOllama } from "ollama-ai-provider-v2";
import { z } from "zod";
import { CHAT, EMBEDDER, KEY, URL_, must, run } from "./harness.mjs";

const compatible = createOpenAICompatible({ name: "lar", baseURL: `${URL_}/v1`, apiKey: KEY, supportsStructuredOutputs: true });
const openai = createOpenAI({ baseURL: `${URL_}/v1`, apiKey: KEY });
const anthropic = createAnthropic({ baseURL: `${URL_}/v1`, apiKey: KEY });
const ollama = createOllama({ baseURL: `${URL_}/api`, headers: { authorization: `Bearer ${KEY}` } });
const providers = {
  compatible: compatible(CHAT),
  chat: openai.chat(CHAT),
  responses: openai.responses(CHAT),
  anthropic: anthropic(CHAT),
  ollama: ollama(CHAT),
};
const person = z.object({ name: z.string().max(20), age: z.number().int().min(0).max(99) });
const getWeather = ai.tool({
  description: "The weather of a city",
  inputSchema: z.object({ city: z.enum(["Paris", "Oslo"]) }),
  execute: async () => "Sunny",
});
const limits = { maxOutputTokens: 120, maxRetries: 0 };
const checks = {};
for (const [name, model] of Object.entries(providers)) {
  checks[`${name}_text`] = async () => {
    must((await ai.generateText({ model, prompt: "Say hello.", ...limits })).text, "no text");
  };
  checks[`${name}_stream`] = async () => {
    let text = "";
    for await (const part of ai.streamText({ model, prompt: "Say hello.", ...limits, onError: () => {} }).textStream) text += part;
    must(text, "no text");
  };
  checks[`${name}_object`] = async () => {
    const request = { model, prompt: "Ada is 36 years old. Extract the person as JSON.", ...limits, output: ai.Output.object({ schema: person }) };
    const { output } = await ai.generateText(request);
    must(typeof output.age === "number", output);
  };
  // Ollama's API cannot force a tool call. The model may answer with text, which the library reports as an error.
  if (name !== "ollama") checks[`${name}_forced_tool`] = async () => {
    const request = { model, prompt: "What is the weather in Paris?", tools: { getWeather }, toolChoice: "required", stopWhen: ai.stepCountIs(1), ...limits };
    const { toolCalls } = await ai.generateText(request);
    must(toolCalls[0]?.toolName === "getWeather", toolCalls);
  };
  checks[`${name}_object_with_tools`] = async () => {
    const request = { model, prompt: "Ada is 36 years old. Extract the person as JSON.", tools: { getWeather }, stopWhen: ai.stepCountIs(3), ...limits, output: ai.Output.object({ schema: person }) };
    const result = await ai.generateText(request);
    must(result.steps.length > 0, result.steps);
    if (result.steps.length < 3 && result.finishReason === "stop") must(typeof result.output.age === "number", result.output);
  };
}
checks.embeddings = async () => {
  const { embeddings } = await ai.embedMany({ model: compatible.textEmbeddingModel(EMBEDDER), values: ["a", "b"] });
  must(embeddings.length === 2 && embeddings[0].length === 384, embeddings.length);
};
run("ai (5 providers)", "ai", checks);
