// Reminders in a real browser with a real Lar: beside an answer, and on the memory page. Each test has its own server,
// because a reminder that is due shows up in every conversation.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test, type Page } from "@playwright/test";
import { startServer, type Server } from "./lar";
import { expectAccessible, sendMessage, signIn, waitForAnswer } from "./page";

// Tokyo has no daylight saving time: it is always nine hours ahead of UTC.
test.use({ locale: "en-GB", timezoneId: "Asia/Tokyo" });

let directory: string;
let server: Server;

test.beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "lar-reminders-"));
  server = await startServer(directory);
});
test.afterEach(async () => {
  await server.stop("SIGKILL");
  rmSync(directory, { recursive: true });
});

/** Creates reminders as the command line and apps do. */
const createReminders = (page: Page, reminders: object[]) =>
  page.evaluate(async (reminders) => {
    for (const reminder of reminders) {
      const response = await fetch("/lar/v1/memories/intentions", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(reminder),
      });
      if (!response.ok) throw new Error(await response.text());
    }
  }, reminders);

async function openReminders(page: Page) {
  await page.getByRole("link", { name: "Memory" }).click();
  await page.getByRole("tab", { name: "Reminders" }).click();
}

const list = (page: Page, name: string) => page.getByRole("list", { name });
const openReminder = (page: Page, text: string) => list(page, "Open reminders").locator(".card", { hasText: text });
const finishedReminder = (page: Page, text: string) => list(page, "Finished reminders").locator(".card", { hasText: text });

test("a reminder beside an answer is snoozed, and done", async ({ page }) => {
  await signIn(page, directory);
  await createReminders(page, [{ content: "Call the bank.", trigger: { at: "2020-01-01T08:00:00Z" } }]);
  await sendMessage(page, "Say hello.");
  await waitForAnswer(page);
  const memory = page.locator(".memory-activity");
  await expect(memory).toContainText("Reminder: Call the bank.");
  await memory.getByRole("button", { name: "Snooze: Call the bank." }).click();
  await expectAccessible(page);
  await memory.getByRole("button", { name: /^1 hour/ }).click();
  await expect(memory.getByRole("status")).toContainText("Snoozed until");
  await expect(memory.getByRole("button", { name: "Done: Call the bank." })).toHaveCount(0);
  await memory.getByRole("button", { name: "Undo: Call the bank." }).click();
  await memory.getByRole("button", { name: "Done: Call the bank." }).click();
  await expect(memory.getByRole("status")).toContainText("Done.");
  await expectAccessible(page);
  // The answer keeps the reminder, and shows its state of now.
  await page.reload();
  await expect(memory.getByRole("status")).toContainText("Done.");
  await page.getByRole("button", { name: "New conversation" }).click();
  await sendMessage(page, "Say hello again.");
  await waitForAnswer(page);
  await expect(memory).toHaveCount(0);
});

test("reminders are listed, snoozed, edited, finished, reopened and deleted", async ({ page }) => {
  await signIn(page, directory);
  await openReminders(page);
  await expect(page.getByText("You have no open reminders.")).toBeVisible();
  await expectAccessible(page);
  await createReminders(page, [
    { content: "Ask about the deposit.", trigger: { topics: ["landlord", "new flat"] } },
    { content: "Renew the passport.", trigger: { at: "2051-12-01T09:00:00Z" }, priority: "high" },
    { content: "Call the bank.", trigger: { at: "2020-01-01T08:00:00Z" } },
  ]);
  await page.reload();
  await page.getByRole("tab", { name: "Reminders" }).click();
  const bank = openReminder(page, "Call the bank.");
  const passport = openReminder(page, "Renew the passport.");
  const deposit = openReminder(page, "Ask about the deposit.");
  // The next one is first. Those without a time are last.
  await expect(list(page, "Open reminders").locator(".content")).toHaveText(["Call the bank.", "Renew the passport.", "Ask about the deposit."]);
  await expect(bank.locator(".about")).toHaveText("DueSet for 1 Jan 2020, 17:00");
  await expect(passport.locator(".about")).toHaveText("high prioritySet for 1 Dec 2051, 18:00");
  await expect(deposit.locator(".about")).toHaveText("When you mention “landlord” or “new flat”");
  // A snooze would not change when it is due.
  await expect(passport.getByRole("button", { name: /^Snooze/ })).toHaveCount(0);
  await expectAccessible(page);

  const toast = page.locator(".toast");
  await bank.getByRole("button", { name: /^Snooze/ }).click();
  await bank.getByRole("button", { name: /^Tomorrow/ }).click();
  await expect(bank).toContainText("Snoozed until");
  await expect(toast).toContainText("Snoozed until");
  await expectAccessible(page);
  await toast.getByRole("button", { name: "Undo" }).click();
  await expect(bank).not.toContainText("Snoozed until");
  await bank.getByRole("button", { name: /^Snooze/ }).click();
  await bank.getByRole("button", { name: /^Next week/ }).click();
  await bank.getByRole("button", { name: /^End snooze/ }).click();
  await expect(bank).not.toContainText("Snoozed until");

  await bank.getByRole("button", { name: /^Done/ }).click();
  await expect(finishedReminder(page, "Call the bank.")).toContainText("Done");
  await toast.getByRole("button", { name: "Undo" }).click();
  await expect(bank).toBeVisible();
  await expect(list(page, "Finished reminders")).toHaveCount(0);
  await bank.getByRole("button", { name: /^Done/ }).click();
  await finishedReminder(page, "Call the bank.").getByRole("button", { name: /^Reopen/ }).click();
  await expect(bank).toBeVisible();

  await bank.getByRole("button", { name: /^Edit/ }).click();
  const text = page.getByRole("textbox", { name: "Reminder text" });
  await text.fill("   ");
  await page.getByRole("button", { name: "Save" }).click();
  await expect(page.getByRole("alert")).toContainText("must not be empty");
  await expectAccessible(page);
  await text.fill("Call the new bank.");
  await page.getByLabel("Time").fill("2052-03-04T10:30");
  await page.getByRole("button", { name: "Save" }).click();
  const newBank = openReminder(page, "Call the new bank.");
  await expect(newBank.locator(".about")).toHaveText("Set for 4 Mar 2052, 10:30");
  await expect(list(page, "Open reminders").locator(".content")).toHaveText(["Renew the passport.", "Call the new bank.", "Ask about the deposit."]);
  await deposit.getByRole("button", { name: /^Edit/ }).click();
  await deposit.getByLabel(/^When you mention/).fill("landlord\nlease, deposit");
  await deposit.getByRole("button", { name: "Save" }).click();
  await expect(deposit.locator(".about")).toHaveText("When you mention “landlord” or “lease, deposit”");

  page.on("dialog", (dialog) => dialog.accept());
  for (const text of ["Call the new bank.", "Renew the passport.", "Ask about the deposit."]) {
    await page.getByRole("button", { name: `Delete: ${text}` }).click();
    await expect(openReminder(page, text)).toHaveCount(0);
  }
  await expect(page.getByText("You have no open reminders.")).toBeVisible();
});

test("reminders that are set in a conversation are in the list, and an undo cancels them", async ({ page }) => {
  await signIn(page, directory);
  // The examples of the empty list.
  await sendMessage(page, "Remind me to ask about the deposit when I mention the landlord.");
  await waitForAnswer(page);
  const memory = page.locator(".memory-activity").last();
  await expect(memory).toContainText("Will remind you:");
  await sendMessage(page, "Remind me tomorrow at 9 to call the bank.");
  await expect(page.locator(".memory-activity")).toHaveCount(2);
  await waitForAnswer(page);
  await openReminders(page);
  await expect(openReminder(page, "deposit")).toContainText("When you mention “landlord”");
  // The conversation takes the time to be in UTC.
  await expect(openReminder(page, "call the bank")).toContainText("18:00");
  await page.goBack();
  await memory.getByRole("button", { name: "Undo" }).click();
  await expect(memory.getByRole("status")).toContainText("Undone.");
  await openReminders(page);
  await expect(finishedReminder(page, "call the bank")).toContainText("Cancelled");
});
