// What every test of the page does.

import AxeBuilder from "@axe-core/playwright";
import { expect, type Page } from "@playwright/test";
import { link } from "./lar";

export async function signIn(page: Page, directory?: string) {
  await page.goto(link(directory));
  await expect(page.getByRole("textbox", { name: "Message", exact: true })).toBeVisible();
}

export async function say(page: Page, text: string) {
  await page.getByRole("textbox", { name: "Message", exact: true }).fill(text);
  await page.keyboard.press("Enter");
}

export const answers = (page: Page) => page.locator(".message.assistant");
export const finished = (page: Page) =>
  expect(answers(page).last()).toHaveAttribute("data-status", /complete|stopped|failed/, { timeout: 100_000 });

export async function clean(page: Page) {
  const { violations } = await new AxeBuilder({ page }).analyze();
  expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`)).toEqual([]);
}
