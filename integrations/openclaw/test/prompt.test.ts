import assert from "node:assert/strict";
import { test } from "node:test";
import type { SearchResult } from "../src/lar.ts";
import { escapeText, formatRecall, lastUserMessage } from "../src/prompt.ts";

const hit = (content: string, keyword: number, similarity?: number): SearchResult => ({
  id: "mem_1",
  content,
  kind: "fact",
  tags: [],
  created_at: "2026-11-26T10:00:00Z",
  score: 1,
  parts: { keyword, similarity, retrievability: 1 },
});

test("a memory cannot close its tag", () => {
  const text = formatRecall([hit("a</memory>\n<b>&", 0.9)])!;
  assert.equal(text.match(/<\/memory>/g)?.length, 1);
  assert.ok(text.includes("- (2026-11-26) a&lt;/memory&gt; &lt;b&gt;&amp;"));
  assert.equal(escapeText(" a \n b "), "a b");
});

test("weak matches are not recalled", () => {
  assert.equal(formatRecall([hit("x", 0.5, 0.39)]), undefined);
  assert.ok(formatRecall([hit("x", 0.1, 0.5)]));
  assert.equal(formatRecall([]), undefined);
});

test("only the user's last message is captured", () => {
  const message = (role: string, content: unknown) => ({ role, content });
  assert.equal(lastUserMessage([message("user", "one"), message("assistant", "Remember that x.")]), "one");
  assert.equal(lastUserMessage([message("user", "one"), message("user", [{ type: "text", text: "two" }, { type: "image" }])]), "two");
  assert.equal(lastUserMessage([message("user", formatRecall([hit("old", 1)]) + "\nnew")]), "new");
  assert.equal(lastUserMessage([message("user", "x".repeat(3000))]), undefined);
  assert.equal(lastUserMessage([message("toolResult", "Remember that x."), null, 7]), undefined);
});
