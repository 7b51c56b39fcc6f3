// The page in a real browser against a real Lar with the real starter model.

import { expect, test, type Page } from "@playwright/test";
import { link, ownerKey } from "./lar";
import { answers, clean, finished, say, signIn } from "./page";

const LONG = "Write a very long story about an owl that travels around the world. Describe every place.";

test("who has no link is told how to get one, and a link works once", async ({ page, browser }) => {
  await page.goto(process.env.LAR_PAGE_URL!);
  await expect(page.getByText("lar open")).toBeVisible();
  await clean(page);
  const once = link();
  await page.goto(once);
  await expect(page.getByRole("heading", { name: "What is on your mind?" })).toBeVisible();
  await page.reload();
  await expect(page.getByRole("heading", { name: "What is on your mind?" })).toBeVisible();
  expect(page.url()).not.toContain("sign-in");
  const other = await (await browser.newContext()).newPage();
  await other.goto(once);
  await expect(other.getByRole("alert")).toContainText("used already");
});

test("a link that is opened where the page asks for one signs in, also after one that did not", async ({ page }) => {
  const url = new URL("/", process.env.LAR_PAGE_URL!).href;
  await page.goto(url);
  await expect(page.getByText("lar open")).toBeVisible();
  // As someone pastes it: the address differs only behind its `#`, so the browser does not load the page again.
  const paste = (address: string) => page.evaluate((to) => void (location.href = to), address);
  await paste(`${url}#sign-in=00`);
  await expect(page.getByRole("alert")).toBeVisible();
  expect(page.url()).toBe(url);
  await paste(link());
  await expect(page.getByRole("heading", { name: "What is on your mind?" })).toBeVisible();
  await expect(page.getByRole("alert")).toHaveCount(0);
  expect(page.url()).toBe(url);
});

test("an answer streams, shows its numbers, and is there after a reload", async ({ page }) => {
  await signIn(page);
  await expect(page.getByText("proves the pipe and is often wrong")).toBeVisible();
  // How many are fast enough is up to the machine; where none is, the smallest is offered.
  await expect(page.locator(".picks li").first()).toBeVisible();
  await say(page, "Say hello to the owl.");
  await expect(page.locator(".message.user")).toHaveText(/Say hello to the owl/);
  await finished(page);
  await expect(answers(page)).toHaveCount(1);
  await expect(page.locator(".numbers")).toHaveText(/smollm2-135m-instruct · first token .* · \d+ tokens\/s/);
  const text = await answers(page).locator(".markdown").innerText();
  expect(text.length).toBeGreaterThan(0);
  await expect(page.getByRole("link", { name: "Say hello to the owl." })).toBeVisible();
  await page.reload();
  await expect(answers(page).locator(".markdown")).toHaveText(text);
  await clean(page);
});

test("a slow machine is offered the smallest model, a small one is told that none fits", async ({ page }) => {
  let fits = true;
  await page.route("**/lar/v1/catalog/recommended", async (route) => {
    const response = await route.fetch();
    const { data } = await response.json();
    await route.fulfill({ response, json: { data: data.map((model: object) => ({ ...model, recommended: false, fits })) } });
  });
  await signIn(page);
  await expect(page.getByText("but will be slow on it")).toBeVisible();
  await expect(page.locator(".picks li")).toHaveCount(1);
  fits = false;
  await page.reload();
  await expect(page.getByText("fits this machine's memory")).toBeVisible();
  await expect(page.locator(".picks li")).toHaveCount(0);
});

test("a model from the hub is offered with the way to go where the hub does not answer", async ({ page }) => {
  let source = "hf:owner/repo/file.gguf";
  await page.route("**/lar/v1/catalog/recommended", async (route) => {
    const response = await route.fetch();
    const { data } = await response.json();
    const model = { ...data[0], recommended: true, fits: true, source };
    await route.fulfill({ response, json: { data: [model] } });
  });
  await signIn(page);
  await expect(page.locator(".picks li")).toContainText("from the model hub");
  await expect(page.getByText("Where the model hub does not answer")).toContainText("lar models pull --starter");
  await clean(page);
  source = "pip:package==1";
  await page.reload();
  await expect(page.locator(".picks li")).toHaveCount(1);
  await expect(page.getByText("model hub")).toHaveCount(0);
});

test("a loaded model that computes on fewer threads than there are cores says why", async ({ page }) => {
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
  await clean(page);
  state = "unloaded";
  await page.reload();
  await expect(page.getByRole("status").filter({ hasText: /^not loaded$/ })).toBeVisible();
  await expect(page.locator(".threads-note")).toHaveCount(0);
});

test("stop keeps what was written", async ({ page }) => {
  await signIn(page);
  await say(page, LONG);
  await expect(answers(page).locator(".markdown")).toHaveText(/\w+ \w+/);
  await page.keyboard.press("Escape");
  await expect(page.getByText("You stopped this answer.")).toBeVisible();
  const kept = await answers(page).locator(".markdown").innerText();
  await page.reload();
  // A last word may have been on its way when the engine stopped.
  await expect(answers(page).locator(".markdown")).toContainText(kept);
});

test("a reload in mid-answer resumes it", async ({ page }) => {
  await signIn(page);
  await say(page, LONG);
  await expect(answers(page).locator(".markdown")).toHaveText(/\w+ \w+ \w+/);
  const before = (await answers(page).locator(".markdown").innerText()).slice(0, 20);
  await page.reload();
  await expect(page.getByRole("button", { name: "Stop", exact: true })).toBeVisible();
  await expect(answers(page).locator(".markdown")).toContainText(before);
  const length = (await answers(page).locator(".markdown").innerText()).length;
  await expect.poll(async () => (await answers(page).locator(".markdown").innerText()).length).toBeGreaterThan(length);
  await page.getByRole("button", { name: "Stop", exact: true }).click();
  await finished(page);
});

test("who waits sees the place, and the answer comes when it is free", async ({ page, request }) => {
  await signIn(page);
  const headers = { authorization: `Bearer ${ownerKey()}` };
  const tasks: string[] = [];
  // Four run at once; some may end early, so a good many wait.
  for (let place = 0; place < 16; place++) {
    const taken = await request.post(`${process.env.LAR_PAGE_URL}/lar/v1/tasks`, {
      headers,
      data: { workload: "completion", prompt: "Once upon a time", max_tokens: 900, detached: true },
    });
    tasks.push((await taken.json()).task_id);
  }
  await say(page, "Say hello.");
  await expect(page.getByText(/before you|You are next/)).toBeVisible();
  if (process.env.LAR_PICTURES) await page.screenshot({ path: `${process.env.LAR_PICTURES}/queue.png` });
  for (const task of tasks) await request.post(`${process.env.LAR_PAGE_URL}/lar/v1/tasks/${task}/cancel`, { headers });
  await expect(answers(page).locator(".markdown")).toHaveText(/\S/, { timeout: 30_000 });
  await page.keyboard.press("Escape");
  await finished(page);
});

test("another answer and an edit are branches", async ({ page }) => {
  await signIn(page);
  await say(page, "Name one bird.");
  await finished(page);
  await page.getByRole("button", { name: "Another answer" }).click();
  await expect(page.locator(".message.assistant .branches")).toHaveText(/2\/2/);
  await finished(page);
  await page.locator(".message.assistant").getByRole("button", { name: "Previous version" }).click();
  await expect(page.locator(".message.assistant .branches")).toHaveText(/1\/2/);
  await page.locator(".message.user").hover();
  await page.getByRole("button", { name: "Edit" }).click();
  await page.getByRole("textbox", { name: "Edit the message" }).fill("Name one fish.");
  await page.getByRole("button", { name: "Send again" }).click();
  await expect(page.locator(".message.user .branches")).toHaveText(/2\/2/);
  await expect(page.locator(".message.user")).toContainText("Name one fish.");
  await finished(page);
  await page.locator(".message.user").getByRole("button", { name: "Previous version" }).click();
  await expect(page.locator(".message.user")).toContainText("Name one bird.");
  // The branch that is shown is kept.
  await page.reload();
  await expect(page.locator(".message.user")).toContainText("Name one bird.");
});

test("conversations are renamed, searched, deleted and brought back", async ({ page }) => {
  await signIn(page);
  await say(page, "Remember the word xylophone.");
  await finished(page);
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
  await finished(page);
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
    test(`axe finds nothing: ${name}, ${scheme}`, async ({ page }) => {
      await page.setViewportSize(viewport);
      await page.emulateMedia({ colorScheme: scheme });
      await signIn(page);
      await clean(page);
      await say(page, "Show me a short Python program that prints the numbers from 1 to 3.");
      await finished(page);
      await clean(page);
      expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
      if (process.env.LAR_PICTURES) await page.screenshot({ path: `${process.env.LAR_PICTURES}/${name}-${scheme}.png` });
      if (name === "phone") {
        await page.getByRole("button", { name: "Conversations" }).click();
        await clean(page);
        if (process.env.LAR_PICTURES) await page.screenshot({ path: `${process.env.LAR_PICTURES}/drawer-${scheme}.png` });
      }
    });
  }
}
