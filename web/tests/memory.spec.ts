// The memory page, and memory in conversations, in a real browser with a real Lar.

import { expect, test, type Page } from "@playwright/test";
import { expectAccessible, sendMessage, signIn, waitForAnswer } from "./page";

async function openMemoryPage(page: Page) {
  await signIn(page);
  await page.getByRole("link", { name: "Memory" }).click();
  await expect(page.getByRole("tab", { name: "Memories" })).toBeVisible();
}

async function saveMemory(page: Page, text: string) {
  await page.getByRole("textbox", { name: "New memory" }).fill(text);
  await page.keyboard.press("Enter");
}

const card = (page: Page, text: string) => page.locator(".card", { hasText: text });

test("a memory is saved, listed, corrected, undone, edited, pinned, forgotten and restored", async ({ page }) => {
  await openMemoryPage(page);
  await saveMemory(page, "The boat is called Nele.");
  await expect(page.getByRole("status")).toContainText("Saved.");
  await expectAccessible(page);
  await saveMemory(page, "The boat is called Fiete.");
  const question = page.getByRole("status");
  await expect(question).toContainText("Does it replace this memory?");
  await expect(question).toContainText("The boat is called Nele.");
  await expectAccessible(page);
  await question.getByRole("button", { name: "Undo" }).click();
  await expect(card(page, "Fiete")).toHaveCount(0);
  await saveMemory(page, "The boat is called Fiete.");
  await question.getByRole("button", { name: "Replace" }).click();
  await expect(card(page, "Nele")).toContainText("Superseded");
  await card(page, "Fiete").getByRole("button", { name: /^History/ }).click();
  await card(page, "Fiete").getByRole("button", { name: "Undo last change" }).click();
  await expect(card(page, "Nele")).not.toContainText("Superseded");
  await card(page, "Fiete").getByRole("checkbox", { name: /^Select/ }).check();
  await page.getByRole("toolbar", { name: "Selected memories" }).getByRole("button", { name: "Forget" }).click();
  await expect(card(page, "Fiete")).toHaveCount(0);

  const boat = card(page, "The boat is called");
  await boat.getByRole("button", { name: /^Edit/ }).click();
  await boat.getByRole("textbox", { name: "Memory text" }).fill("The boat is called Nele and lies in Kappeln.");
  await boat.getByRole("textbox", { name: /^Tags/ }).fill("boat, sea");
  await boat.getByRole("button", { name: "Save" }).click();
  await expect(boat).toContainText("#sea");
  await boat.getByRole("button", { name: /^Pin/ }).click();
  await expect(boat).toContainText("Pinned");
  await boat.getByRole("button", { name: /^History/ }).click();
  await expect(boat.locator(".history")).toContainText("edit");
  await expect(boat.locator(".history .old").first()).toHaveText("The boat is called Nele.");
  await expectAccessible(page);

  await page.getByRole("searchbox", { name: "Search memories" }).fill("where is the ship?");
  await expect(boat).toContainText("embedding");
  await page.getByRole("searchbox", { name: "Search memories" }).fill("zzzz qqqq");
  await expect(page.getByText("No memories found.")).toBeVisible();
  await page.getByRole("searchbox", { name: "Search memories" }).fill("");
  await boat.getByRole("checkbox", { name: /^Select/ }).check();
  await page.getByRole("toolbar", { name: "Selected memories" }).getByRole("button", { name: "Forget" }).click();
  await expect(boat).toHaveCount(0);
  await page.getByRole("checkbox", { name: "Forgotten only" }).check();
  await card(page, "Kappeln").getByRole("button", { name: /^Restore/ }).click();
  await page.getByRole("checkbox", { name: "Forgotten only" }).uncheck();
  await expect(card(page, "Kappeln")).toBeVisible();
});

test("hostile text in memories and titles stays text", async ({ page }) => {
  const hostile = '<img src=x onerror="window.broken=1"><script>window.broken=1</script> [a](javascript:window.broken=1)';
  const externalRequests: string[] = [];
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== process.env.LAR_PAGE_URL) externalRequests.push(request.url());
  });
  await openMemoryPage(page);
  await saveMemory(page, `The hut says ${hostile} ![b](http://192.0.2.1/b.png)`);
  const hut = card(page, "The hut says");
  await expect(hut).toContainText(hostile, { timeout: 60_000 });
  await hut.getByRole("button", { name: /^Edit/ }).click();
  await hut.getByRole("textbox", { name: /^Tags/ }).fill('<img/src=x/onerror="window.broken=1">');
  await hut.getByRole("button", { name: "Save" }).click();
  await expect(hut).toContainText('#<img/src=x/onerror="window.broken=1">');
  await hut.getByRole("button", { name: /^History/ }).click();
  await expect(hut.locator(".history")).toContainText("edit");
  await page.goto(process.env.LAR_PAGE_URL!);
  await sendMessage(page, "Say hello to the hedgehog.");
  await waitForAnswer(page);
  await page.getByRole("button", { name: "Rename Say hello to the hedgehog." }).click();
  await page.getByRole("textbox", { name: "New title" }).fill(hostile);
  await page.keyboard.press("Enter");
  await expect(page.getByRole("link", { name: hostile })).toBeVisible();
  await page.reload();
  await expect(page.getByRole("heading", { name: hostile })).toBeVisible();
  expect(await page.evaluate(() => "broken" in window)).toBe(false);
  expect(await page.locator('img[src="x"], a[href^="javascript:"]').count()).toBe(0);
  expect(externalRequests).toEqual([]);
});

test("a conversation recalls, saves with an undo, and adds to the inbox; a temporary one does not", async ({ page }) => {
  await signIn(page);
  await sendMessage(page, "Remember that the owl eats at nine. I play the tuba.");
  await waitForAnswer(page);
  const memory = page.locator(".memory-activity");
  await expect(memory).toContainText("Saved: the owl eats at nine.");
  await expect(memory).toContainText("Added to the inbox: I play the tuba.");
  await expectAccessible(page);
  await page.reload();
  await expect(memory).toContainText("the owl eats at nine");
  await page.getByRole("button", { name: "New conversation" }).click();
  await sendMessage(page, "When does the owl eat?");
  await waitForAnswer(page);
  await page.getByText("Recalled 1 memory").click();
  await expect(memory).toContainText("the owl eats at nine.");

  await page.getByRole("button", { name: "New conversation" }).click();
  await page.getByRole("checkbox", { name: "Temporary" }).check();
  await sendMessage(page, "Remember that the mouse sleeps. When does the owl eat?");
  await waitForAnswer(page);
  await expect(memory).toHaveCount(0);

  await page.getByRole("link", { name: "Memory" }).click();
  await page.getByRole("tab", { name: "Inbox 1" }).click();
  await page.getByRole("textbox", { name: "Entry text" }).fill("I play the tuba in a brass band.");
  await expectAccessible(page);
  await page.getByRole("button", { name: "Accept", exact: true }).click();
  await expect(page.getByText("The inbox is empty.")).toBeVisible();
  await page.getByRole("tab", { name: "Memories" }).click();
  await expect(card(page, "brass band")).toBeVisible();
  await card(page, "brass band").getByRole("button", { name: /^History/ }).click();
  await card(page, "brass band").getByRole("button", { name: "Open conversation" }).click();
  await expect(page.locator(".message.user").first()).toContainText("I play the tuba.");
});

test("a suggested change is accepted, and its run is undone", async ({ page }) => {
  await openMemoryPage(page);
  // The page compares what it saves. Imports and apps save memories as they are.
  await page.evaluate(async () => {
    const send = (method: string, path: string, body?: unknown) =>
      fetch(`/lar/v1/memories${path}`, {
        method,
        headers: { "content-type": "application/json" },
        body: body && JSON.stringify(body),
      }).then((response) => response.json());
    await send("POST", "", { content: "The lighthouse keeper paints watercolours." });
    await send("POST", "", { content: "The lighthouse keeper paints watercolours of the harbour." });
    let run = await send("POST", "/consolidation/runs");
    while (!run.ended_at) run = await send("GET", `/consolidation/runs/${run.id}`);
  });
  await page.getByRole("tab", { name: /^Inbox/ }).click();
  const suggestions = page.getByRole("list", { name: "Suggested changes" });
  const suggestion = suggestions.locator(".card", { hasText: "of the harbour" });
  await expect(suggestion).toContainText("another memory contains this text");
  await expectAccessible(page);
  await suggestion.getByRole("button", { name: "Accept" }).click();
  await expect(suggestion).toHaveCount(0);
  await page.getByRole("tab", { name: "Memories" }).click();
  const shorter = page.locator(".card", { hasText: "paints watercolours." });
  await expect(shorter).toContainText("Superseded");
  await page.getByRole("tab", { name: /^Inbox/ }).click();
  await page.getByRole("list", { name: "Consolidation runs" }).getByRole("button", { name: "Undo this run" }).first().click();
  await expect(page.getByRole("list", { name: "Consolidation runs" })).toHaveCount(0);
  await page.getByRole("tab", { name: "Memories" }).click();
  await expect(shorter).not.toContainText("Superseded");
});

test("a space is created and shared, and the apps are listed", async ({ page }) => {
  await openMemoryPage(page);
  await page.getByRole("tab", { name: "Spaces" }).click();
  await page.getByRole("textbox", { name: "New space name" }).fill("../x");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("alert")).toContainText("must be 1 to 64");
  await page.getByRole("textbox", { name: "New space name" }).fill("crew");
  await page.keyboard.press("Enter");
  const crew = card(page, "crew");
  await expect(crew).toContainText("Not shared with anyone.");
  await crew.getByRole("textbox", { name: "User name" }).fill("nobody");
  await crew.getByRole("button", { name: "Share" }).click();
  await expect(page.getByRole("alert")).toContainText("nobody");
  await expectAccessible(page);
  await page.getByRole("tab", { name: "Memories" }).click();
  await page.getByRole("combobox", { name: "Space" }).selectOption("crew");
  await saveMemory(page, "The winch is stuck.");
  await expect(card(page, "The winch is stuck.")).toBeVisible();
  await page.getByRole("tab", { name: "Apps" }).click();
  await expect(page.getByRole("cell", { name: "owner" }).first()).toBeVisible();
  await expectAccessible(page);
});
