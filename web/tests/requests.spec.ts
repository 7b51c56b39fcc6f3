// How often the page asks the server. Its timers run on a clock of the test's, so that minutes of an open page pass at once.

import { expect, test, type Page } from "@playwright/test";
import { answers, finished, say, signIn } from "./page";

const MINUTE_MS = 60_000;

/** Opens the page with a clock of the test's, when no model is being loaded any more. */
async function openQuietly(page: Page) {
  await page.clock.install();
  await signIn(page);
  await expect(page.getByRole("status").filter({ hasText: /^(loaded|not loaded)$/ })).toBeVisible({ timeout: 60_000 });
  await page.waitForLoadState("networkidle");
}

/** Collects the API's requests that the page begins, and forgets them when asked for. */
function listen(page: Page): () => string[] {
  let heard: string[] = [];
  page.on("request", (request) => {
    const { pathname } = new URL(request.url());
    if (pathname.startsWith("/lar/")) heard.push(`${request.method()} ${pathname.replace(/(conv|msg)_[0-9a-f]+/g, "$1")}`);
  });
  return () => {
    const all = heard;
    heard = [];
    return all;
  };
}

/** Lets time pass for the page's timers. Requests are told of in their order: behind the last one, all before are known. */
async function pass(page: Page, milliseconds: number) {
  await page.clock.runFor(milliseconds);
  const last = page.waitForEvent("request", (request) => request.url().endsWith("/healthz"));
  await page.evaluate(() => fetch("/healthz"));
  await last;
}

const count = (requests: string[]) =>
  requests.reduce<Record<string, number>>((counts, request) => ({ ...counts, [request]: (counts[request] ?? 0) + 1 }), {});

test("an idle page asks nothing, however long it is open", async ({ page }) => {
  await openQuietly(page);
  const requests = listen(page);
  await pass(page, 10 * MINUTE_MS);
  expect(requests()).toEqual([]);
  // Coming back to it is when models are looked at again: once.
  await page.evaluate(() => dispatchEvent(new Event("focus")));
  await pass(page, MINUTE_MS);
  expect(requests()).toEqual(["GET /lar/v1/catalog/models", "GET /lar/v1/pools"]);
});

test("an answer is one stream, beside which nothing is asked again and again", async ({ page }) => {
  await openQuietly(page);
  const requests = listen(page);
  await say(page, "Write a very long story about an owl that travels around the world. Describe every place.");
  await expect(answers(page).locator(".markdown")).toHaveText(/\w+ \w+/);
  await pass(page, MINUTE_MS);
  await page.keyboard.press("Escape");
  await finished(page);
  await pass(page, MINUTE_MS);
  const counts = count(requests());
  // Models and their engines: when the answer's phase changes (sending, loading, waiting or memory, reading, writing, none). Conversations:
  // when one is there, when it has its title, when its answer has ended.
  const atMost: Record<string, number> = {
    "POST /lar/v1/conversations": 1,
    "POST /lar/v1/conversations/conv/messages": 1,
    "POST /lar/v1/conversations/conv/stop": 1,
    "GET /lar/v1/conversations": 4,
    "GET /lar/v1/catalog/models": 7,
    "GET /lar/v1/pools": 7,
  };
  expect(counts["POST /lar/v1/conversations/conv/messages"]).toBe(1);
  expect(Object.entries(counts).filter(([request, times]) => times > (atMost[request] ?? 0))).toEqual([]);
});

test("models are looked at every three seconds while one loads, and no longer", async ({ page }) => {
  let loads = true;
  await page.route("**/lar/v1/catalog/models", async (route) => {
    const response = await route.fetch();
    const { data } = await response.json();
    await route.fulfill({ response, json: { data: data.map((model: object) => ({ ...model, state: loads ? "loading" : "ready" })) } });
  });
  await page.clock.install();
  await signIn(page);
  await expect(page.getByRole("status").filter({ hasText: "loading…" })).toBeVisible();
  await page.waitForLoadState("networkidle");
  const requests = listen(page);
  await pass(page, MINUTE_MS);
  const counts = count(requests());
  expect(Object.keys(counts)).toEqual(["GET /lar/v1/catalog/models", "GET /lar/v1/pools"]);
  for (const times of Object.values(counts)) {
    expect(times).toBeGreaterThanOrEqual(19);
    expect(times).toBeLessThanOrEqual(22);
  }
  loads = false;
  await pass(page, 3000);
  await expect(page.getByRole("status").filter({ hasText: /^loaded$/ })).toBeVisible();
  requests();
  await pass(page, 10 * MINUTE_MS);
  expect(requests()).toEqual([]);
});

test("of the memory page only the list of apps is looked at again, every quarter of a minute", async ({ page }) => {
  await openQuietly(page);
  await page.getByRole("link", { name: "Memory", exact: true }).click();
  await expect(page.getByRole("tab", { name: "Memories" })).toBeVisible();
  await pass(page, 1000);
  await page.waitForLoadState("networkidle");
  const requests = listen(page);
  await pass(page, 10 * MINUTE_MS);
  expect(requests()).toEqual([]);
  await page.getByRole("tab", { name: "Apps" }).click();
  await pass(page, MINUTE_MS);
  const { "GET /lar/v1/clients": apps, ...others } = count(requests());
  expect(others).toEqual({ "GET /lar/v1/memories/clients": 1 });
  expect(apps).toBeLessThanOrEqual(6);
});

test("a server that does not answer is asked again every few seconds, only while the page is seen", async ({ page }) => {
  await openQuietly(page);
  let down = true;
  await page.route("**/lar/v1/**", (route) => (down ? route.abort() : route.continue()));
  const badge = page.getByRole("status").filter({ hasText: "not reachable" });
  await page.evaluate(() => dispatchEvent(new Event("focus")));
  await expect(badge).toBeVisible();
  const requests = listen(page);
  // Each wait follows an answer, which the page's clock does not wait for: time passes a second at a time.
  for (let second = 0; second < 60; second++) await pass(page, 1000);
  const counts = count(requests());
  expect(Object.keys(counts)).toEqual(["GET /lar/v1/me"]);
  expect(counts["GET /lar/v1/me"]).toBeGreaterThanOrEqual(4);
  expect(counts["GET /lar/v1/me"]).toBeLessThanOrEqual(10);
  await see(page, false);
  await pass(page, MINUTE_MS);
  expect(requests()).toEqual([]);
  down = false;
  await see(page, true);
  await expect(badge).toHaveCount(0);
  await expect(page.getByText("Lar does not answer")).toHaveCount(0);
  await page.waitForLoadState("networkidle");
  expect(count(requests())).toEqual({
    "GET /lar/v1/me": 1,
    "GET /lar/v1/conversations": 1,
    "GET /lar/v1/catalog/models": 1,
    "GET /lar/v1/pools": 1,
  });
  await pass(page, 10 * MINUTE_MS);
  expect(requests()).toEqual([]);
});

/** Has the page believe that someone sees it, or nobody. */
const see = (page: Page, seen: boolean) =>
  page.evaluate((hidden) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event("visibilitychange"));
  }, !seen);
