// open_webui.mjs URL: uses the page of Open WebUI like a person: signs up, finds Lar's models and sends a message to
// the preselected one. If LAR_PICTURES is set, writes screenshots to that folder.

import { createRequire } from "node:module";
const { chromium } = createRequire(new URL("../../../web/package.json", import.meta.url))("playwright-core");

const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
page.setDefaultTimeout(60_000);
const picture = (name) => process.env.LAR_PICTURES && page.screenshot({ path: `${process.env.LAR_PICTURES}/${name}.png` });
try {
  await page.goto(process.argv[2]);
  await page.getByRole("button", { name: "Get started" }).click();
  await page.locator("#name").fill("Someone");
  await page.locator("#email").fill("someone@example.org");
  await page.locator("#password").fill("a long enough secret");
  await page.locator("button[type=submit]").click();
  await page.getByRole("button", { name: "Okay, Let's Go!" }).click();
  await picture("open-webui-1");
  await page.getByRole("button", { name: /Selected model: default|default/ }).first().click();
  for (const model of ["default+memory", "smollm2-135m-instruct"]) await page.getByText(model, { exact: true }).first().waitFor();
  await picture("open-webui-2");
  await page.keyboard.press("Escape");
  await page.locator("#chat-input").click();
  await page.keyboard.type("Say hello.");
  await page.keyboard.press("Enter");
  const answer = page.locator(".chat-assistant").first();
  await answer.waitFor();
  for (let waited = 0; waited < 240 && (await answer.innerText()).trim().length < 5; waited++) await page.waitForTimeout(500);
  const text = (await answer.innerText()).trim();
  await picture("open-webui-3");
  if (text.length < 5 || /error|not found/i.test(text)) throw new Error(`Open WebUI shows no answer: ${text}`);
  console.log(`open webui got the answer: ${text.split("\n")[0].slice(0, 80)}`);
} catch (error) {
  await picture("open-webui-failed");
  throw error;
} finally {
  await browser.close();
}
