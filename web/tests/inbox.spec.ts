// The inbox of the memory page in a real browser with a real Lar: reasons, decisions and their undo, and long lists. Each
// test has its own server.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test, type Page } from "@playwright/test";
import { startServer, type Server } from "./lar";
import { expectAccessible, signIn } from "./page";

let directory: string;
let server: Server;

test.beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "lar-inbox-"));
  server = await startServer(directory);
});
test.afterEach(async () => {
  await server.stop("SIGKILL");
  rmSync(directory, { recursive: true });
});

/** Sends one request after another, as apps do. */
const post = (page: Page, path: string, bodies: object[]) =>
  page.evaluate(
    async ([path, bodies]) => {
      for (const body of bodies) {
        const response = await fetch(`/lar/v1/memories/${path}`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify(body),
        });
        if (!response.ok) throw new Error(await response.text());
      }
    },
    [path, bodies] as const,
  );

const saveMemories = (page: Page, ...texts: string[]) => post(page, "smart", texts.map((content) => ({ content })));

async function openMemoryPage(page: Page, tab: string | RegExp) {
  await page.getByRole("link", { name: "Memory" }).click();
  await page.getByRole("tab", { name: tab }).click();
}

const links = (page: Page) => page.getByRole("list", { name: "Possibly outdated memories" }).locator(".card");
const entries = (page: Page) => page.getByRole("list", { name: "Inbox entries" }).locator(".card");
const memory = (page: Page, text: string) => page.getByRole("list", { name: "Memories" }).locator(".card", { hasText: text });
const toast = (page: Page) => page.locator(".toast");
const undo = (page: Page) => toast(page).getByRole("button", { name: "Undo" }).click();

test("a link shows its reason, and each decision about it can be undone", async ({ page }) => {
  await page.clock.install();
  await signIn(page, directory);
  await saveMemories(page, "The boat is called Nele.", "The boat is called Fiete.");
  await openMemoryPage(page, "Memories");
  await expect(memory(page, "Nele")).toContainText("Possibly outdated");
  await expect(memory(page, "Fiete")).not.toContainText("Possibly outdated");
  await page.getByRole("tab", { name: "Inbox 1" }).click();
  await expect(links(page).locator(".why")).not.toBeEmpty();
  await expectAccessible(page);

  for (const [decision, text] of [["Replace", "Replaced."], ["Merge", "Merged."], ["Keep both", "Both memories stay."]]) {
    await links(page).getByRole("button", { name: decision }).click();
    await expect(page.getByText("The inbox is empty.")).toBeVisible();
    await expect(page.getByRole("tab", { name: "Inbox", exact: true })).toBeVisible();
    await expect(toast(page)).toContainText(text!);
    await expectAccessible(page);
    await undo(page);
    await expect(links(page)).toHaveCount(1);
    await expect(page.getByRole("tab", { name: "Inbox 1" })).toBeVisible();
  }
  // Without an undo, the decision is carried out when the notice closes.
  await links(page).getByRole("button", { name: "Keep both" }).click();
  const resolved = page.waitForResponse((response) => /\/links\/link_/.test(response.url()));
  await page.clock.runFor(10_000);
  expect((await resolved).ok()).toBe(true);
  await expect(toast(page)).toHaveCount(0);
  await page.reload();
  await expect(memory(page, "Nele")).not.toContainText("Possibly outdated");
  await expect(page.getByRole("tab", { name: "Inbox", exact: true })).toBeVisible();
});

test("a saved text is merged with the memory that it may replace", async ({ page }) => {
  await signIn(page, directory);
  await openMemoryPage(page, "Memories");
  for (const text of ["The boat is called Nele.", "The boat is called Fiete."]) {
    await page.getByRole("textbox", { name: "New memory" }).fill(text);
    await page.keyboard.press("Enter");
    await expect(page.getByRole("status")).toContainText("Saved.");
  }
  await page.getByRole("status").getByRole("button", { name: "Merge" }).click();
  await expect(memory(page, "Fiete").locator(".content")).toHaveText("The boat is called Nele.\nThe boat is called Fiete.");
});

test("entries are accepted and dismissed with an undo, also when the person leaves the inbox", async ({ page }) => {
  await signIn(page, directory);
  await post(page, "intents", [{ content: "I play the tuba." }, { content: "I am allergic to nuts." }]);
  await openMemoryPage(page, "Inbox 2");
  await expect(entries(page)).toHaveCount(2);
  await expect(entries(page).first().locator(".why")).not.toBeEmpty();
  await page.getByRole("button", { name: "Dismiss all" }).click();
  await expect(toast(page)).toContainText("Dismissed: 2 entries");
  await expect(page.getByText("The inbox is empty.")).toBeVisible();
  await undo(page);
  await expect(entries(page)).toHaveCount(2);
  await expect(page.getByRole("tab", { name: "Inbox 2" })).toBeVisible();

  await entries(page).first().getByRole("button", { name: "Dismiss" }).click();
  await expect(entries(page)).toHaveCount(1);
  // A second decision carries out the first one.
  await entries(page).getByRole("button", { name: "Accept" }).click();
  await expect(toast(page)).toContainText("Accepted: I play the tuba.");
  await undo(page);
  await expect(toast(page)).toContainText("does not return to the inbox");
  await page.getByRole("tab", { name: "Memories" }).click();
  await expect(page.getByText("No memories yet.")).toBeVisible();

  await post(page, "intents", [{ content: "I live in Kappeln." }]);
  await page.reload();
  await page.getByRole("tab", { name: "Inbox 1" }).click();
  await entries(page).getByRole("button", { name: "Dismiss" }).click();
  const rejected = page.waitForResponse((response) => response.url().endsWith("/reject"));
  await page.getByRole("tab", { name: "Spaces" }).click();
  expect((await rejected).ok()).toBe(true);
  await page.reload();
  await page.getByRole("tab", { name: "Inbox" }).click();
  await expect(page.getByText("The inbox is empty.")).toBeVisible();
});

test("a long list says how many links remain, and loads them", async ({ page }) => {
  await signIn(page, directory);
  const boats = [..."ABCDEFGHIJKLMNOPQRSTUVWXYZ"].map((letter) => `${letter}alo`);
  await saveMemories(page, ...boats.flatMap((boat) => ["Nele", "Fiete", "Kalle"].map((name) => `The boat of ${boat} is called ${name}.`)));
  const count = await page.evaluate(async () => (await (await fetch("/lar/v1/memories/stats")).json()).open_links);
  expect(count).toBeGreaterThan(50);
  expect(count).toBeLessThanOrEqual(100);
  await openMemoryPage(page, `Inbox ${count}`);
  await expect(links(page)).toHaveCount(50);
  await page.getByRole("button", { name: `Load more possibly outdated memories (${count - 50} remaining)` }).click();
  await expect(links(page)).toHaveCount(count);
  await expect(page.getByRole("button", { name: /^Load more/ })).toHaveCount(0);
  // After a decision, the loaded rows stay. The second decision carries out the first one.
  for (const decided of [1, 2]) {
    await links(page).last().getByRole("button", { name: "Keep both" }).click();
    await expect(links(page)).toHaveCount(count - decided);
  }
  await expect(toast(page)).toBeInViewport();
});
