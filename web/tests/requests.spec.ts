// How often the page sends requests to the server. Its timers use a fake clock, so that minutes pass immediately.

import { expect, test, type Page } from "@playwright/test";
import { answers, sendMessage, signIn, waitForAnswer } from "./page";

const MINUTE_MS = 60_000;

/** Opens the page with a fake clock and waits until no model is loading. */
async function openIdlePage(page: Page) {
  await page.clock.install();
  await signIn(page);
  await expect(page.getByRole("status").filter({ hasText: /^(Loaded|Not loaded)$/ })).toBeVisible({ timeout: 60_000 });
  await page.waitForLoadState("networkidle");
}

/** Records the API requests of the page. The returned function returns them and clears the record. */
function recordRequests(page: Page): () => string[] {
  let recorded: string[] = [];
  page.on("request", (request) => {
    const { pathname } = new URL(request.url());
    if (pathname.startsWith("/lar/")) recorded.push(`${request.method()} ${pathname.replace(/(conv|msg)_[0-9a-f]+/g, "$1")}`);
  });
  return () => {
    const all = recorded;
    recorded = [];
    return all;
  };
}

/** Advances the page's clock. Requests are reported in order: after the last one, all earlier ones have been recorded. */
async function advanceClock(page: Page, milliseconds: number) {
  await page.clock.runFor(milliseconds);
  const last = page.waitForEvent("request", (request) => request.url().endsWith("/healthz"));
  await page.evaluate(() => fetch("/healthz"));
  await last;
}

const countByRequest = (requests: string[]) =>
  requests.reduce<Record<string, number>>((counts, request) => ({ ...counts, [request]: (counts[request] ?? 0) + 1 }), {});

test("an idle page sends no requests", async ({ page }) => {
  await openIdlePage(page);
  const takeRequests = recordRequests(page);
  await advanceClock(page, 10 * MINUTE_MS);
  expect(takeRequests()).toEqual([]);
  // When the window gets the focus, the page reads the models again, once.
  await page.evaluate(() => dispatchEvent(new Event("focus")));
  await advanceClock(page, MINUTE_MS);
  expect(takeRequests()).toEqual(["GET /lar/v1/catalog/models", "GET /lar/v1/pools"]);
});

test("an answer is one stream, without polling", async ({ page }) => {
  await openIdlePage(page);
  const takeRequests = recordRequests(page);
  await sendMessage(page, "Write a very long story about an owl that travels around the world. Describe every place.");
  await expect(answers(page).locator(".markdown")).toHaveText(/\w+ \w+/);
  await advanceClock(page, MINUTE_MS);
  await page.keyboard.press("Escape");
  await waitForAnswer(page);
  await advanceClock(page, MINUTE_MS);
  const counts = countByRequest(takeRequests());
  // Models and pools: when the phase of the answer changes (sending, loading, queued or memory, prefill, decode, none).
  // Conversations: when the conversation is created, when it gets its title, and when its answer ends.
  const limits: Record<string, number> = {
    "POST /lar/v1/conversations": 1,
    "POST /lar/v1/conversations/conv/messages": 1,
    "POST /lar/v1/conversations/conv/stop": 1,
    "GET /lar/v1/conversations": 4,
    "GET /lar/v1/catalog/models": 7,
    "GET /lar/v1/pools": 7,
  };
  expect(counts["POST /lar/v1/conversations/conv/messages"]).toBe(1);
  expect(Object.entries(counts).filter(([request, times]) => times > (limits[request] ?? 0))).toEqual([]);
});

test("the page polls the models every three seconds, only while one loads", async ({ page }) => {
  let isLoading = true;
  await page.route("**/lar/v1/catalog/models", async (route) => {
    const response = await route.fetch();
    const { data } = await response.json();
    await route.fulfill({ response, json: { data: data.map((model: object) => ({ ...model, state: isLoading ? "loading" : "ready" })) } });
  });
  await page.clock.install();
  await signIn(page);
  await expect(page.getByRole("status").filter({ hasText: "Loading…" })).toBeVisible();
  await page.waitForLoadState("networkidle");
  const takeRequests = recordRequests(page);
  await advanceClock(page, MINUTE_MS);
  const counts = countByRequest(takeRequests());
  expect(Object.keys(counts)).toEqual(["GET /lar/v1/catalog/models", "GET /lar/v1/pools"]);
  for (const times of Object.values(counts)) {
    expect(times).toBeGreaterThanOrEqual(19);
    expect(times).toBeLessThanOrEqual(22);
  }
  isLoading = false;
  await advanceClock(page, 3000);
  await expect(page.getByRole("status").filter({ hasText: /^Loaded$/ })).toBeVisible();
  takeRequests();
  await advanceClock(page, 10 * MINUTE_MS);
  expect(takeRequests()).toEqual([]);
});

test("the memory page polls only the apps, every 15 seconds while their tab is open", async ({ page }) => {
  await openIdlePage(page);
  await page.getByRole("link", { name: "Memory", exact: true }).click();
  await expect(page.getByRole("tab", { name: "Memories" })).toBeVisible();
  await advanceClock(page, 1000);
  await page.waitForLoadState("networkidle");
  const takeRequests = recordRequests(page);
  await advanceClock(page, 10 * MINUTE_MS);
  expect(takeRequests()).toEqual([]);
  await page.getByRole("tab", { name: "Apps" }).click();
  await advanceClock(page, MINUTE_MS);
  const { "GET /lar/v1/clients": apps, ...others } = countByRequest(takeRequests());
  expect(others).toEqual({ "GET /lar/v1/memories/clients": 1 });
  expect(apps).toBeLessThanOrEqual(6);
});

test("the page retries an unreachable server every few seconds, only while the page is visible", async ({ page }) => {
  await openIdlePage(page);
  let isDown = true;
  await page.route("**/lar/v1/**", (route) => (isDown ? route.abort() : route.continue()));
  const badge = page.getByRole("status").filter({ hasText: "Not connected" });
  await page.evaluate(() => dispatchEvent(new Event("focus")));
  await expect(badge).toBeVisible();
  const takeRequests = recordRequests(page);
  // The page waits after each response, and the fake clock does not wait for responses. So advance it second by second.
  for (let second = 0; second < 60; second++) await advanceClock(page, 1000);
  const counts = countByRequest(takeRequests());
  expect(Object.keys(counts)).toEqual(["GET /lar/v1/me"]);
  expect(counts["GET /lar/v1/me"]).toBeGreaterThanOrEqual(4);
  expect(counts["GET /lar/v1/me"]).toBeLessThanOrEqual(10);
  await setVisible(page, false);
  await advanceClock(page, MINUTE_MS);
  expect(takeRequests()).toEqual([]);
  isDown = false;
  await setVisible(page, true);
  await expect(badge).toHaveCount(0);
  await expect(page.getByText("Could not reach Lar")).toHaveCount(0);
  await page.waitForLoadState("networkidle");
  expect(countByRequest(takeRequests())).toEqual({
    "GET /lar/v1/me": 1,
    "GET /lar/v1/conversations": 1,
    "GET /lar/v1/catalog/models": 1,
    "GET /lar/v1/pools": 1,
  });
  await advanceClock(page, 10 * MINUTE_MS);
  expect(takeRequests()).toEqual([]);
});

/** Makes the page visible or hidden. */
const setVisible = (page: Page, isVisible: boolean) =>
  page.evaluate((hidden) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event("visibilitychange"));
  }, !isVisible);
