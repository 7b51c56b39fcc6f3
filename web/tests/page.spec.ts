// The page in a real browser, with a real Lar and the real starter model.

import { expect, test } from "@playwright/test";
import { createSignInLink, ownerKey } from "./lar";
import { answers, expectAccessible, sendMessage, signIn, waitForAnswer } from "./page";

const LONG = "Write a very long story about an owl that travels around the world. Describe every place.";

test("the sign-in screen shows how to get a link, and a link works once", async ({ page, browser }) => {
  await page.goto(process.env.LAR_PAGE_URL!);
  await expect(page.getByText("lar open")).toBeVisible();
  await expectAccessible(page);
  const link = createSignInLink();
  await page.goto(link);
  await expect(page.getByRole("heading", { name: "What's on your mind?" })).toBeVisible();
  await page.reload();
  await expect(page.getByRole("heading", { name: "What's on your mind?" })).toBeVisible();
  expect(page.url()).not.toContain("sign-in");
  const other = await (await browser.newContext()).newPage();
  await other.goto(link);
  await expect(other.getByRole("alert")).toHaveText("This sign-in link was already used or has expired; create a new one with lar open");
});

test("a link pasted into the sign-in screen signs in, also after an invalid link", async ({ page }) => {
  const url = new URL("/", process.env.LAR_PAGE_URL!).href;
  await page.goto(url);
  await expect(page.getByText("lar open")).toBeVisible();
  // Like a paste into the address bar: only the hash of the URL changes, so the browser does not load the page again.
  const pasteUrl = (url: string) => page.evaluate((to) => void (location.href = to), url);
  await pasteUrl(`${url}#sign-in=00`);
  await expect(page.getByRole("alert")).toBeVisible();
  expect(page.url()).toBe(url);
  await pasteUrl(createSignInLink());
  await expect(page.getByRole("heading", { name: "What's on your mind?" })).toBeVisible();
  await expect(page.getByRole("alert")).toHaveCount(0);
  expect(page.url()).toBe(url);
});

test("an answer streams, shows its speed, and survives a reload", async ({ page }) => {
  await signIn(page);
  await expect(page.getByText("its answers are often wrong")).toBeVisible();
  // The machine decides how many models are fast enough. If none is, the page offers the smallest.
  await expect(page.locator(".picks li").first()).toBeVisible();
  await sendMessage(page, "Say hello to the owl.");
  await expect(page.locator(".message.user")).toHaveText(/Say hello to the owl/);
  await waitForAnswer(page);
  await expect(answers(page)).toHaveCount(1);
  await expect(page.locator(".numbers")).toHaveText(/smollm2-135m-instruct · first token in .* · \d+ tokens\/s/);
  const text = await answers(page).locator(".markdown").innerText();
  expect(text.length).toBeGreaterThan(0);
  await expect(page.getByRole("link", { name: "Say hello to the owl." })).toBeVisible();
  await page.reload();
  await expect(answers(page).locator(".markdown")).toHaveText(text);
  await expectAccessible(page);
});

test("the page offers a slow machine the smallest model, and tells a small one that none fits", async ({ page }) => {
  let fits = true;
  await page.route("**/lar/v1/catalog/recommended", async (route) => {
    const response = await route.fetch();
    const { data } = await response.json();
    await route.fulfill({ response, json: { data: data.map((model: object) => ({ ...model, recommended: false, fits })) } });
  });
  await signIn(page);
  await expect(page.getByText("but will be slow")).toBeVisible();
  await expect(page.locator(".picks li")).toHaveCount(1);
  fits = false;
  await page.reload();
  await expect(page.getByText("No model in Lar's list fits in this machine's memory.")).toBeVisible();
  await expect(page.locator(".picks li")).toHaveCount(0);
});

test("a model from the hub comes with a command for when the hub is unreachable", async ({ page }) => {
  let source = "hf:owner/repo/file.gguf";
  await page.route("**/lar/v1/catalog/recommended", async (route) => {
    const response = await route.fetch();
    const { data } = await response.json();
    const model = { ...data[0], recommended: true, fits: true, source };
    await route.fulfill({ response, json: { data: [model] } });
  });
  await signIn(page);
  await expect(page.locator(".picks li")).toContainText("from the model hub");
  await expect(page.getByText("If Lar cannot reach the model hub")).toContainText("lar models pull --starter");
  await expectAccessible(page);
  source = "pip:package==1";
  await page.reload();
  await expect(page.locator(".picks li")).toHaveCount(1);
  await expect(page.getByText("model hub")).toHaveCount(0);
});

test("the page says why a loaded model runs on fewer threads than cores", async ({ page }) => {
  const note = "1 of 2 cores: measured while it worked, fewer threads decode faster now";
  let state = "ready";
  await page.route("**/lar/v1/catalog/models", async (route) => {
    const response = await route.fetch();
    const { data } = await response.json();
    await route.fulfill({ response, json: { data: data.map((model: object) => ({ ...model, state })) } });
  });
  await page.route("**/lar/v1/pools", (route) =>
    route.fulfill({ json: { data: [{ id: "smollm2-135m-instruct", threads_note: note }, { id: "other", threads_note: "-" }] } }),
  );
  await signIn(page);
  await expect(page.locator(".threads-note")).toHaveText(`smollm2-135m-instruct · ${note}`);
  await expectAccessible(page);
  state = "unloaded";
  await page.reload();
  await expect(page.getByRole("status").filter({ hasText: /^Not loaded$/ })).toBeVisible();
  await expect(page.locator(".threads-note")).toHaveCount(0);
});

test("stop keeps the text so far", async ({ page }) => {
  await signIn(page);
  await sendMessage(page, LONG);
  await expect(answers(page).locator(".markdown")).toHaveText(/\w+ \w+/);
  await page.keyboard.press("Escape");
  await expect(page.getByText("You stopped this answer.")).toBeVisible();
  const before = await answers(page).locator(".markdown").innerText();
  await page.reload();
  // The last words may arrive after the test has read the text.
  await expect(answers(page).locator(".markdown")).toContainText(before);
});

test("a reload during an answer resumes it", async ({ page }) => {
  await signIn(page);
  await sendMessage(page, LONG);
  await expect(answers(page).locator(".markdown")).toHaveText(/\w+ \w+ \w+/);
  const before = (await answers(page).locator(".markdown").innerText()).slice(0, 20);
  await page.reload();
  await expect(page.getByRole("button", { name: "Stop", exact: true })).toBeVisible();
  await expect(answers(page).locator(".markdown")).toContainText(before);
  const length = (await answers(page).locator(".markdown").innerText()).length;
  await expect.poll(async () => (await answers(page).locator(".markdown").innerText()).length).toBeGreaterThan(length);
  await page.getByRole("button", { name: "Stop", exact: true }).click();
  await waitForAnswer(page);
});

test("a queued message shows its queue position, then gets its answer", async ({ page, request }) => {
  await signIn(page);
  const headers = { authorization: `Bearer ${ownerKey()}` };
  const tasks: string[] = [];
  // Four tasks run at once. Some may end early, so many more are queued.
  for (let count = 0; count < 16; count++) {
    const response = await request.post(`${process.env.LAR_PAGE_URL}/lar/v1/tasks`, {
      headers,
      data: { workload: "completion", prompt: "Once upon a time", max_tokens: 900, detached: true },
    });
    tasks.push((await response.json()).task_id);
  }
  await sendMessage(page, "Say hello.");
  await expect(page.getByText(/ahead of you|You are next/)).toBeVisible();
  if (process.env.LAR_PICTURES) await page.screenshot({ path: `${process.env.LAR_PICTURES}/queue.png` });
  for (const task of tasks) await request.post(`${process.env.LAR_PAGE_URL}/lar/v1/tasks/${task}/cancel`, { headers });
  await expect(answers(page).locator(".markdown")).toHaveText(/\S/, { timeout: 30_000 });
  await page.keyboard.press("Escape");
  await waitForAnswer(page);
});

test("a regenerated answer and an edit are branches", async ({ page }) => {
  await signIn(page);
  await sendMessage(page, "Name one bird.");
  await waitForAnswer(page);
  await page.getByRole("button", { name: "Regenerate" }).click();
  await expect(page.locator(".message.assistant .branches")).toHaveText(/2\/2/);
  await waitForAnswer(page);
  await page.locator(".message.assistant").getByRole("button", { name: "Previous version" }).click();
  await expect(page.locator(".message.assistant .branches")).toHaveText(/1\/2/);
  await page.locator(".message.user").hover();
  await page.getByRole("button", { name: "Edit" }).click();
  await page.getByRole("textbox", { name: "Edit message" }).fill("Name one fish.");
  await page.getByRole("button", { name: "Send edited message" }).click();
  await expect(page.locator(".message.user .branches")).toHaveText(/2\/2/);
  await expect(page.locator(".message.user")).toContainText("Name one fish.");
  await waitForAnswer(page);
  await page.locator(".message.user").getByRole("button", { name: "Previous version" }).click();
  await expect(page.locator(".message.user")).toContainText("Name one bird.");
  // A reload shows the same branch.
  await page.reload();
  await expect(page.locator(".message.user")).toContainText("Name one bird.");
});

test("a conversation is renamed, searched, deleted and restored", async ({ page }) => {
  await signIn(page);
  await sendMessage(page, "Remember the word xylophone.");
  await waitForAnswer(page);
  await page.getByRole("button", { name: "Rename Remember the word xylophone." }).click();
  await page.getByRole("textbox", { name: "New title" }).fill("About music");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("link", { name: "About music" })).toBeVisible();
  await page.keyboard.press("Control+k");
  await page.keyboard.type("xyloph");
  await expect(page.locator(".sidebar mark").first()).toHaveText(/xylophone/i);
  await page.getByRole("searchbox").fill("");
  await page.getByRole("button", { name: "Delete About music" }).click();
  await expect(page.getByRole("link", { name: "About music" })).toHaveCount(0);
  await page.getByRole("button", { name: "Undo" }).click();
  await expect(page.getByRole("link", { name: "About music" })).toBeVisible();
});

test("the keyboard alone is enough, and hostile text stays text", async ({ page }) => {
  await signIn(page);
  await page.keyboard.type('<img src=x onerror="window.broken=1"><script>window.broken=1</script>');
  await page.keyboard.press("Enter");
  await waitForAnswer(page);
  expect(await page.evaluate(() => "broken" in window)).toBe(false);
  await page.keyboard.press("Control+Shift+O");
  await expect(page.getByRole("heading", { name: "New conversation" })).toBeVisible();
  await page.keyboard.press("Control+/");
  await expect(page.getByRole("dialog")).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(page.getByRole("dialog")).toHaveCount(0);
});

for (const scheme of ["light", "dark"] as const) {
  for (const [name, viewport] of [["desktop", { width: 1280, height: 800 }], ["phone", { width: 390, height: 780 }]] as const) {
    test(`axe finds no violation: ${name}, ${scheme}`, async ({ page }) => {
      await page.setViewportSize(viewport);
      await page.emulateMedia({ colorScheme: scheme });
      await signIn(page);
      await expectAccessible(page);
      await sendMessage(page, "Show me a short Python program that prints the numbers from 1 to 3.");
      await waitForAnswer(page);
      await expectAccessible(page);
      expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
      if (process.env.LAR_PICTURES) await page.screenshot({ path: `${process.env.LAR_PICTURES}/${name}-${scheme}.png` });
      if (name === "phone") {
        await page.getByRole("button", { name: "Open sidebar" }).click();
        await expectAccessible(page);
        if (process.env.LAR_PICTURES) await page.screenshot({ path: `${process.env.LAR_PICTURES}/drawer-${scheme}.png` });
      }
    });
  }
}
