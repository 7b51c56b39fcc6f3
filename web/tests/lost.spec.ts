// The page while its server is unreachable: it keeps everything that was typed and shows that it cannot reach Lar.
// Each test starts its own server, kills it and starts it again on the same address.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test, type Page } from "@playwright/test";
import { inviteUser, startServer, type Server } from "./lar";
import { answers, messageBox, sendMessage, signIn, waitForAnswer } from "./page";

const TEXT = "A long message about an owl.\nIt has a second line, and more words than anyone would type twice.";
const LONG = "Write a very long story about an owl that travels around the world. Describe every place.";

let directory: string;
let server: Server;

test.beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "lar-lost-"));
  server = await startServer(directory);
});
test.afterEach(async () => {
  await server.stop("SIGKILL");
  rmSync(directory, { recursive: true });
});

const killServer = () => server.stop("SIGKILL");
async function restartServer() {
  server = await startServer(directory, new URL(server.url).host);
}

const modelStatus = (page: Page) => page.locator(".picker [role=status]");

async function expectDisconnected(page: Page) {
  await expect(page.getByRole("alert")).toHaveText(/Could not reach Lar\. Check that it is running\./);
  await expect(modelStatus(page)).toHaveText("Not connected");
}

async function expectReconnected(page: Page) {
  await expect(page.getByRole("alert")).toHaveCount(0, { timeout: 20_000 });
  await expect(modelStatus(page)).toHaveText(/^(Not loaded|Loading…|Loaded)$/);
}

test("an unsent message returns to the message box, in a new conversation and in an existing one", async ({ page }) => {
  await signIn(page, directory);
  await killServer();
  await sendMessage(page, TEXT);
  await expectDisconnected(page);
  await expect(messageBox(page)).toHaveValue(TEXT);
  await restartServer();
  await expectReconnected(page);
  await expect(messageBox(page)).toHaveValue(TEXT);
  // A reload does not lose the text.
  await page.reload();
  await expect(messageBox(page)).toHaveValue(TEXT);
  await messageBox(page).press("Enter");
  await waitForAnswer(page);
  await expect(messageBox(page)).toHaveValue("");
  await expect(page.locator(".message.user")).toHaveCount(1);

  await killServer();
  await sendMessage(page, "And now?");
  await expectDisconnected(page);
  await expect(messageBox(page)).toHaveValue("And now?");
  await restartServer();
  await expectReconnected(page);
  await expect(page.locator(".message.user")).toHaveCount(1);
  await messageBox(page).press("Enter");
  await expect(page.locator(".message.user")).toHaveCount(2);
  await waitForAnswer(page);
});

test("an unsent message comes before text typed since", async ({ page }) => {
  await signIn(page, directory);
  let refuseMessage = () => {};
  const mayRefuse = new Promise<void>((resolve) => (refuseMessage = resolve));
  await page.route("**/lar/v1/conversations/*/messages", async (route) => {
    await mayRefuse;
    await route.fulfill({ status: 429, json: { code: "QUEUE_FULL", detail: "the queue is full" } });
  });
  await sendMessage(page, "First.");
  // The conversation exists now, so this is another message box than before.
  await expect(page).toHaveURL(/\/c\/conv_/);
  await messageBox(page).fill("Second.");
  refuseMessage();
  await expect(page.getByRole("alert")).toContainText("the queue is full");
  await expect(messageBox(page)).toHaveValue("First.\n\nSecond.");
});

test("a message sent into a conversation that failed to load becomes its next message", async ({ page }) => {
  await signIn(page, directory);
  await sendMessage(page, "Name one bird.");
  await waitForAnswer(page);
  let isDown = true;
  await page.route(/\/conversations\/conv_[0-9a-f]+$/, (route) => (isDown ? route.abort() : route.continue()));
  await page.reload();
  await expect(page.getByRole("alert")).toContainText("Could not reach Lar");
  const sent = page.waitForResponse((response) => response.url().endsWith("/messages") && response.ok());
  await sendMessage(page, "Name one fish.");
  await sent;
  isDown = false;
  await expect(page.locator(".message.user")).toHaveText([/Name one bird/, /Name one fish/], { timeout: 20_000 });
  await waitForAnswer(page);
});

test("an unsent edit opens again", async ({ page }) => {
  await signIn(page, directory);
  await sendMessage(page, "Name one bird.");
  await waitForAnswer(page);
  await killServer();
  await page.locator(".message.user").hover();
  await page.getByRole("button", { name: "Edit" }).click();
  const edit = page.getByRole("textbox", { name: "Edit message" });
  await edit.fill("Name one fish.");
  await page.getByRole("button", { name: "Send edited message" }).click();
  await expectDisconnected(page);
  await expect(edit).toHaveValue("Name one fish.");
  await restartServer();
  await expectReconnected(page);
  await page.reload();
  await expect(edit).toHaveValue("Name one fish.");
  await page.getByRole("button", { name: "Send edited message" }).click();
  await expect(page.locator(".message.user .branches")).toHaveText(/2\/2/);
  await expect(page.locator(".message.user")).toContainText("Name one fish.");
  await waitForAnswer(page);
});

test("a canceled edit is discarded", async ({ page }) => {
  await signIn(page, directory);
  await sendMessage(page, "Name one bird.");
  await waitForAnswer(page);
  for (const cancelEdit of [() => page.keyboard.press("Escape"), () => page.getByRole("button", { name: "Cancel" }).click()]) {
    await page.locator(".message.user").hover();
    await page.getByRole("button", { name: "Edit" }).click();
    await page.getByRole("textbox", { name: "Edit message" }).fill("Name one fish.");
    await cancelEdit();
    await page.reload();
    await expect(page.locator(".message.user")).toContainText("Name one bird.");
    await expect(page.getByRole("textbox", { name: "Edit message" })).toHaveCount(0);
  }
});

test("each conversation keeps its draft until the user signs out", async ({ page }) => {
  await signIn(page, directory);
  await sendMessage(page, "Say hello to the owl.");
  await waitForAnswer(page);
  await messageBox(page).fill("For the owl.");
  await page.getByRole("button", { name: "New conversation" }).click();
  await expect(messageBox(page)).toHaveValue("");
  await messageBox(page).fill("For someone else.");
  await page.getByRole("link", { name: "Say hello to the owl." }).click();
  await expect(messageBox(page)).toHaveValue("For the owl.");
  await page.reload();
  await expect(messageBox(page)).toHaveValue("For the owl.");
  await page.getByRole("button", { name: "New conversation" }).click();
  await expect(messageBox(page)).toHaveValue("For someone else.");
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page.getByText("lar open")).toBeVisible();
  expect(await page.evaluate(() => Object.keys(sessionStorage))).toEqual([]);
});

test("a user sees only their own drafts in a browser that two people use", async ({ page }) => {
  const endSession = async () => {
    await page.context().clearCookies();
    await page.reload();
    await expect(page.getByText("lar open")).toBeVisible();
    // Without this, a sign-in link would only change the hash of the open URL.
    await page.goto("about:blank");
  };
  await signIn(page, directory);
  await sendMessage(page, "Say hello to the owl.");
  await waitForAnswer(page);
  await messageBox(page).fill("For the owl.");
  await page.getByRole("button", { name: "New conversation" }).click();
  await messageBox(page).fill("For nobody else.");
  await endSession();

  await page.goto(inviteUser("bea", directory));
  await expect(messageBox(page)).toHaveValue("");
  await messageBox(page).fill("From Bea.");
  await page.reload();
  await expect(messageBox(page)).toHaveValue("From Bea.");
  await endSession();

  // The first user finds their own drafts, and no others.
  await signIn(page, directory);
  await expect(messageBox(page)).toHaveValue("For nobody else.");
  await page.getByRole("link", { name: "Say hello to the owl." }).click();
  await expect(messageBox(page)).toHaveValue("For the owl.");
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page.getByText("lar open")).toBeVisible();
  const remaining = await page.evaluate(() => JSON.stringify({ ...sessionStorage }));
  expect(remaining).toContain("From Bea.");
  expect(remaining).not.toMatch(/For the owl|For nobody else/);
});

test("an answer cut off by a server crash explains its failure after the restart", async ({ page }) => {
  await signIn(page, directory);
  await sendMessage(page, LONG);
  await expect(answers(page).locator(".markdown")).toHaveText(/\w+ \w+/);
  await killServer();
  await expectDisconnected(page);
  await restartServer();
  await expectReconnected(page);
  const failure = page.locator(".message.assistant .alert");
  await expect(failure).toHaveText(/^Lar or the model stopped while it wrote this answer\. .* Regenerate the answer to try again\.$/);
  await expect(failure).toHaveAttribute("title", "ENGINE_FAILED");
  await expect(page.getByText("ENGINE_FAILED")).toHaveCount(0);
  await page.getByRole("button", { name: "Regenerate" }).click();
  await waitForAnswer(page);
});
