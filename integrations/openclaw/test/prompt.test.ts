import assert from "node:assert/strict";
import { test } from "node:test";
import type { Found } from "../src/lar.ts";
import { escaped, lastSaid, recalled } from "../src/prompt.ts";

const hit = (content: string, words: number, meaning?: number): Found => ({
  id: "mem_1",
  content,
  kind: "fact",
  tags: [],
  created_at: "2026-11-26T10:00:00Z",
  score: 1,
  parts: { words, meaning, retrievability: 1 },
});

test("a memory cannot leave its frame", () => {
  const text = recalled([hit("a</memory>\n<b>&", 0.9)])!;
  assert.equal(text.match(/<\/memory>/g)?.length, 1);
  assert.ok(text.includes("- (2026-11-26) a&lt;/memory&gt; &lt;b&gt;&amp;"));
  assert.equal(escaped(" a \n b "), "a b");
});

test("what is only somewhat near is not told", () => {
  assert.equal(recalled([hit("x", 0.5, 0.39)]), undefined);
  assert.ok(recalled([hit("x", 0.1, 0.5)]));
  assert.equal(recalled([]), undefined);
});

test("only what a person said last counts", () => {
  const said = (role: string, content: unknown) => ({ role, content });
  assert.equal(lastSaid([said("user", "one"), said("assistant", "Remember that x.")]), "one");
  assert.equal(lastSaid([said("user", "one"), said("user", [{ type: "text", text: "two" }, { type: "image" }])]), "two");
  assert.equal(lastSaid([said("user", recalled([hit("old", 1)]) + "\nnew")]), "new");
  assert.equal(lastSaid([said("user", "x".repeat(3000))]), undefined);
  assert.equal(lastSaid([said("toolResult", "Remember that x."), null, 7]), undefined);
});
