// page.mjs LINK save TEXT | search WORDS EXPECTED…: uses the real page like a person. If LAR_PICTURES is set, writes
// screenshots to that folder.

import { createRequire } from "node:module";
const { chromium } = createRequire(new URL("../../../web/package.json", import.meta.url))("playwright-core");

const [link, action, words, ...expected] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(20_000);
  await page.goto(link);
  await page.getByRole("link", { name: "Memory" }).click();
  if (action === "save") {
    await page.getByRole("textbox", { name: "New memory" }).fill(words);
    await page.keyboard.press("Enter");
    await page.getByRole("status").getByText("Saved.").waitFor();
  } else {
    await page.getByRole("searchbox", { name: "Search memories" }).fill(words);
    for (const text of expected) await page.locator(".card", { hasText: text }).first().waitFor();
    if (process.env.LAR_PICTURES) {
      for (const colorScheme of ["light", "dark"]) {
        for (const [name, width] of [["desktop", 1200], ["phone", 390]]) {
          await page.emulateMedia({ colorScheme });
          await page.setViewportSize({ width, height: 800 });
          await page.screenshot({ path: `${process.env.LAR_PICTURES}/search-${name}-${colorScheme}.png` });
        }
      }
    }
  }
} finally {
  await browser.close();
}
