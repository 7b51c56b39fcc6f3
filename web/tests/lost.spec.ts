// What the page does when its server goes away: nothing typed is lost, and it says how things are until the server is back.
// Each test kills a server of its own and starts it again at the same address.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test, type Page } from "@playwright/test";
import { invite, serve, type Server } from "./lar";
import { answers, finished, say, signIn } from "./page";

const TEXT = "A long message about an owl.\nIt has a second line, and more words than anyone would type twice.";
const LONG = "Write a very long story about an owl that travels around the world. Describe every place.";

let directory: string;
let server: Server;

test.beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "lar-lost-"));
  server = await serve(directory);
});
test.afterEach(async () => {
  await server.end("SIGKILL");
  rmSync(directory, { recursive: true });
});

const kill = () => server.end("SIGKILL");
async function restart() {
  server = await serve(directory, new URL(server.url).host);
}

const box = (page: Page) => page.getByRole("textbox", { name: "Message", exact: true });
const badge = (page: Page) => page.locator(".picker [role=status]");

async function expectLost(page: Page) {
  await expect(page.getByRole("alert")).toHaveText(/Lar does not answer\. Is it still running\?/);
  await expect(badge(page)).toHaveText("not reachable");
}

async function expectBack(page: Page) {
  await expect(page.getByRole("alert")).toHaveCount(0, { timeout: 20_000 });
  await expect(badge(page)).toHaveText(/^(not loaded|loading…|loaded)$/);
}

test("what could not be sent is in the box again, in a new conversation and in one that is there", async ({ page }) => {
  await signIn(page, directory);
  await kill();
  await say(page, TEXT);
  await expectLost(page);
  await expect(box(page)).toHaveValue(TEXT);
  await restart();
  await expectBack(page);
  await expect(box(page)).toHaveValue(TEXT);
  // A reload does not lose it either.
  await page.reload();
  await expect(box(page)).toHaveValue(TEXT);
  await box(page).press("Enter");
  await finished(page);
  await expect(box(page)).toHaveValue("");
  await expect(page.locator(".message.user")).toHaveCount(1);

  await kill();
  await say(page, "And now?");
  await expectLost(page);
  await expect(box(page)).toHaveValue("And now?");
  await restart();
  await expectBack(page);
  await expect(page.locator(".message.user")).toHaveCount(1);
  await box(page).press("Enter");
  await expect(page.locator(".message.user")).toHaveCount(2);
  await finished(page);
});

test("what could not be sent comes in front of what was typed meanwhile", async ({ page }) => {
  await signIn(page, directory);
  let refuse = () => {};
  const typed = new Promise<void>((done) => (refuse = done));
  await page.route("**/lar/v1/conversations/*/messages", async (route) => {
    await typed;
    await route.fulfill({ status: 429, json: { code: "QUEUE_FULL", detail: "the queue is full" } });
  });
  await say(page, "First.");
  // The conversation is there, so the box is another one than before.
  await expect(page).toHaveURL(/\/c\/conv_/);
  await box(page).fill("Second.");
  refuse();
  await expect(page.getByRole("alert")).toContainText("the queue is full");
  await expect(box(page)).toHaveValue("First.\n\nSecond.");
});

test("what is sent into a conversation that could not be read is its next message", async ({ page }) => {
  await signIn(page, directory);
  await say(page, "Name one bird.");
  await finished(page);
  let down = true;
  await page.route(/\/conversations\/conv_[0-9a-f]+$/, (route) => (down ? route.abort() : route.continue()));
  await page.reload();
  await expect(page.getByRole("alert")).toContainText("Lar does not answer");
  const sent = page.waitForResponse((response) => response.url().endsWith("/messages") && response.ok());
  await say(page, "Name one fish.");
  await sent;
  down = false;
  await expect(page.locator(".message.user")).toHaveText([/Name one bird/, /Name one fish/], { timeout: 20_000 });
  await finished(page);
});

test("an edit that could not be sent is open again", async ({ page }) => {
  await signIn(page, directory);
  await say(page, "Name one bird.");
  await finished(page);
  await kill();
  await page.locator(".message.user").hover();
  await page.getByRole("button", { name: "Edit" }).click();
  const edit = page.getByRole("textbox", { name: "Edit the message" });
  await edit.fill("Name one fish.");
  await page.getByRole("button", { name: "Send again" }).click();
  await expectLost(page);
  await expect(edit).toHaveValue("Name one fish.");
  await restart();
  await expectBack(page);
  await page.reload();
  await expect(edit).toHaveValue("Name one fish.");
  await page.getByRole("button", { name: "Send again" }).click();
  await expect(page.locator(".message.user .branches")).toHaveText(/2\/2/);
  await expect(page.locator(".message.user")).toContainText("Name one fish.");
  await finished(page);
});

test("an edit that is given up is forgotten", async ({ page }) => {
  await signIn(page, directory);
  await say(page, "Name one bird.");
  await finished(page);
  for (const giveUp of [() => page.keyboard.press("Escape"), () => page.getByRole("button", { name: "Cancel" }).click()]) {
    await page.locator(".message.user").hover();
    await page.getByRole("button", { name: "Edit" }).click();
    await page.getByRole("textbox", { name: "Edit the message" }).fill("Name one fish.");
    await giveUp();
    await page.reload();
    await expect(page.locator(".message.user")).toContainText("Name one bird.");
    await expect(page.getByRole("textbox", { name: "Edit the message" })).toHaveCount(0);
  }
});

test("each conversation keeps its draft, until someone signs out", async ({ page }) => {
  await signIn(page, directory);
  await say(page, "Say hello to the owl.");
  await finished(page);
  await box(page).fill("For the owl.");
  await page.getByRole("button", { name: "New conversation" }).click();
  await expect(box(page)).toHaveValue("");
  await box(page).fill("For someone else.");
  await page.getByRole("link", { name: "Say hello to the owl." }).click();
  await expect(box(page)).toHaveValue("For the owl.");
  await page.reload();
  await expect(box(page)).toHaveValue("For the owl.");
  await page.getByRole("button", { name: "New conversation" }).click();
  await expect(box(page)).toHaveValue("For someone else.");
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page.getByText("lar open")).toBeVisible();
  expect(await page.evaluate(() => Object.keys(sessionStorage))).toEqual([]);
});

test("a draft is its person's alone in a browser that two people use", async ({ page }) => {
  const endSession = async () => {
    await page.context().clearCookies();
    await page.reload();
    await expect(page.getByText("lar open")).toBeVisible();
    // A link to the address that is open would only change what is behind its `#`.
    await page.goto("about:blank");
  };
  await signIn(page, directory);
  await say(page, "Say hello to the owl.");
  await finished(page);
  await box(page).fill("For the owl.");
  await page.getByRole("button", { name: "New conversation" }).click();
  await box(page).fill("For nobody else.");
  await endSession();

  await page.goto(invite("bea", directory));
  await expect(box(page)).toHaveValue("");
  await box(page).fill("From Bea.");
  await page.reload();
  await expect(box(page)).toHaveValue("From Bea.");
  await endSession();

  // Who was there before finds what they typed, and only that.
  await signIn(page, directory);
  await expect(box(page)).toHaveValue("For nobody else.");
  await page.getByRole("link", { name: "Say hello to the owl." }).click();
  await expect(box(page)).toHaveValue("For the owl.");
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page.getByText("lar open")).toBeVisible();
  const left = await page.evaluate(() => JSON.stringify({ ...sessionStorage }));
  expect(left).toContain("From Bea.");
  expect(left).not.toMatch(/For the owl|For nobody else/);
});

test("an answer that the server's end broke off says so in words, when the server is back", async ({ page }) => {
  await signIn(page, directory);
  await say(page, LONG);
  await expect(answers(page).locator(".markdown")).toHaveText(/\w+ \w+/);
  await kill();
  await expectLost(page);
  await restart();
  await expectBack(page);
  const why = page.locator(".message.assistant .alert");
  await expect(why).toHaveText(/^Lar or its model stopped while this was written\. .* have it made again\.$/);
  await expect(why).toHaveAttribute("title", "ENGINE_FAILED");
  await expect(page.getByText("ENGINE_FAILED")).toHaveCount(0);
  await page.getByRole("button", { name: "Another answer" }).click();
  await finished(page);
});
