// page.mjs LINK tell TEXT | search WORDS SEEN…: does in the real page what a person would. With LAR_PICTURES, pictures go there.

import { createRequire } from "node:module";
const { chromium } = createRequire(new URL("../../../web/package.json", import.meta.url))("playwright-core");

const [link, what, words, ...seen] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(20_000);
  await page.goto(link);
  await page.getByRole("link", { name: "Memory" }).click();
  if (what === "tell") {
    await page.getByRole("textbox", { name: "Something to remember" }).fill(words);
    await page.keyboard.press("Enter");
    await page.getByRole("status").getByText("Remembered.").waitFor();
  } else {
    await page.getByRole("searchbox", { name: "Search memories" }).fill(words);
    for (const text of seen) await page.locator(".card", { hasText: text }).first().waitFor();
    if (process.env.LAR_PICTURES) {
      for (const colorScheme of ["light", "dark"]) {
        for (const [name, width] of [["desktop", 1200], ["phone", 390]]) {
          await page.emulateMedia({ colorScheme });
          await page.setViewportSize({ width, height: 800 });
          await page.screenshot({ path: `${process.env.LAR_PICTURES}/told-${name}-${colorScheme}.png` });
        }
      }
    }
  }
} finally {
  await browser.close();
}
