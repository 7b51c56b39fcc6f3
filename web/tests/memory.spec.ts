// The memory page and memory in conversations, in a real browser against a real Lar.

import { expect, test, type Page } from "@playwright/test";
import { clean, finished, say, signIn } from "./page";

async function open(page: Page) {
  await signIn(page);
  await page.getByRole("link", { name: "Memory" }).click();
  await expect(page.getByRole("tab", { name: "Memories" })).toBeVisible();
}

async function tell(page: Page, text: string) {
  await page.getByRole("textbox", { name: "Something to remember" }).fill(text);
  await page.keyboard.press("Enter");
}

const card = (page: Page, text: string) => page.locator(".card", { hasText: text });

test("what is told is listed, corrected, undone, edited, pinned, forgotten and brought back", async ({ page }) => {
  await open(page);
  await tell(page, "The boat is called Nele.");
  await expect(page.getByRole("status")).toContainText("Remembered.");
  await clean(page);
  await tell(page, "The boat is called Fiete.");
  await expect(page.getByRole("status")).toContainText("in place of what was known");
  await expect(card(page, "Nele")).toContainText("corrected since");
  await page.getByRole("status").getByRole("button", { name: "Undo" }).click();
  await expect(card(page, "Fiete")).toHaveCount(0);
  await expect(card(page, "Nele")).not.toContainText("corrected since");

  const boat = card(page, "The boat is called");
  await boat.getByRole("button", { name: /^Edit/ }).click();
  await boat.getByRole("textbox", { name: "What it says" }).fill("The boat is called Nele and lies in Kappeln.");
  await boat.getByRole("textbox", { name: /^Tags/ }).fill("boat, sea");
  await boat.getByRole("button", { name: "Save" }).click();
  await expect(boat).toContainText("#sea");
  await boat.getByRole("button", { name: /^Pin/ }).click();
  await expect(boat).toContainText("pinned");
  await boat.getByRole("button", { name: /^History/ }).click();
  await expect(boat.locator(".history")).toContainText("edit");
  await expect(boat.locator(".history .old").first()).toHaveText("The boat is called Nele.");
  await clean(page);

  await page.getByRole("searchbox", { name: "Search memories" }).fill("where is the ship?");
  await expect(boat).toContainText("meaning");
  await page.getByRole("searchbox", { name: "Search memories" }).fill("zzzz qqqq");
  await expect(page.getByText("Nothing was found.").last()).toBeVisible();
  await page.getByRole("searchbox", { name: "Search memories" }).fill("");
  await boat.getByRole("checkbox", { name: /^Choose/ }).check();
  await page.getByRole("toolbar", { name: "Chosen memories" }).getByRole("button", { name: "Forget" }).click();
  await expect(boat).toHaveCount(0);
  await page.getByRole("checkbox", { name: "Forgotten ones" }).check();
  await card(page, "Kappeln").getByRole("button", { name: /^Bring back/ }).click();
  await page.getByRole("checkbox", { name: "Forgotten ones" }).uncheck();
  await expect(boat).toBeVisible();
});

test("hostile text in memories and titles stays text", async ({ page }) => {
  const hostile = '<img src=x onerror="window.broken=1"><script>window.broken=1</script> [a](javascript:window.broken=1)';
  const elsewhere: string[] = [];
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== process.env.LAR_PAGE_URL) elsewhere.push(request.url());
  });
  await open(page);
  await tell(page, `The hut says ${hostile} ![b](http://192.0.2.1/b.png)`);
  const hut = card(page, "The hut says");
  await expect(hut).toContainText(hostile, { timeout: 60_000 });
  await hut.getByRole("button", { name: /^Edit/ }).click();
  await hut.getByRole("textbox", { name: /^Tags/ }).fill('<img/src=x/onerror="window.broken=1">');
  await hut.getByRole("button", { name: "Save" }).click();
  await expect(hut).toContainText('#<img/src=x/onerror="window.broken=1">');
  await hut.getByRole("button", { name: /^History/ }).click();
  await expect(hut.locator(".history")).toContainText("edit");
  await page.goto(process.env.LAR_PAGE_URL!);
  await say(page, "Say hello to the hedgehog.");
  await finished(page);
  await page.getByRole("button", { name: "Rename Say hello to the hedgehog." }).click();
  await page.getByRole("textbox", { name: "New title" }).fill(hostile);
  await page.keyboard.press("Enter");
  await expect(page.getByRole("link", { name: hostile })).toBeVisible();
  await page.reload();
  await expect(page.getByRole("heading", { name: hostile })).toBeVisible();
  expect(await page.evaluate(() => "broken" in window)).toBe(false);
  expect(await page.locator('img[src="x"], a[href^="javascript:"]').count()).toBe(0);
  expect(elsewhere).toEqual([]);
});

test("a conversation recalls, remembers with an undo, and fills the inbox; a temporary one does not", async ({ page }) => {
  await signIn(page);
  await say(page, "Remember that the owl eats at nine. I play the tuba.");
  await finished(page);
  const memory = page.locator(".in-turn");
  await expect(memory).toContainText("Remembered the owl eats at nine.");
  await expect(memory).toContainText("Waits in the inbox: I play the tuba.");
  await clean(page);
  await page.reload();
  await expect(memory).toContainText("the owl eats at nine");
  await page.getByRole("button", { name: "New conversation" }).click();
  await say(page, "When does the owl eat?");
  await finished(page);
  await page.getByText("Recalled 1 memory").click();
  await expect(memory).toContainText("the owl eats at nine.");

  await page.getByRole("button", { name: "New conversation" }).click();
  await page.getByRole("checkbox", { name: "Temporary" }).check();
  await say(page, "Remember that the mouse sleeps. When does the owl eat?");
  await finished(page);
  await expect(memory).toHaveCount(0);

  await page.getByRole("link", { name: "Memory" }).click();
  await page.getByRole("tab", { name: "Inbox 1" }).click();
  await page.getByRole("textbox", { name: "What would be remembered" }).fill("I play the tuba in a brass band.");
  await clean(page);
  await page.getByRole("button", { name: "Remember", exact: true }).click();
  await expect(page.getByText("Nothing waits.")).toBeVisible();
  await page.getByRole("tab", { name: "Memories" }).click();
  await expect(card(page, "brass band")).toBeVisible();
  await card(page, "brass band").getByRole("button", { name: /^History/ }).click();
  await card(page, "brass band").getByRole("button", { name: "Where it was said" }).click();
  await expect(page.locator(".message.user").first()).toContainText("I play the tuba.");
});

test("spaces are made and shared, and apps are told", async ({ page }) => {
  await open(page);
  await page.getByRole("tab", { name: "Spaces" }).click();
  await page.getByRole("textbox", { name: "Name of a new space" }).fill("../x");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("alert")).toContainText("must be 1 to 64");
  await page.getByRole("textbox", { name: "Name of a new space" }).fill("crew");
  await page.keyboard.press("Enter");
  const crew = card(page, "crew");
  await expect(crew).toContainText("Nobody else yet.");
  await crew.getByRole("textbox", { name: "Who" }).fill("nobody");
  await crew.getByRole("button", { name: "Share" }).click();
  await expect(page.getByRole("alert")).toContainText("nobody");
  await clean(page);
  await page.getByRole("tab", { name: "Memories" }).click();
  await page.getByRole("combobox", { name: "Whose memories" }).selectOption("crew");
  await tell(page, "The winch is stuck.");
  await expect(card(page, "The winch is stuck.")).toBeVisible();
  await page.getByRole("tab", { name: "Apps" }).click();
  await expect(page.getByRole("cell", { name: "owner" }).first()).toBeVisible();
  await clean(page);
});
