// Helpers that all tests of the page share.

import AxeBuilder from "@axe-core/playwright";
import { expect, type Page } from "@playwright/test";
import { createSignInLink } from "./lar";

export const messageBox = (page: Page) => page.getByRole("textbox", { name: "Message", exact: true });
export const answers = (page: Page) => page.locator(".message.assistant");

export async function signIn(page: Page, directory?: string) {
  await page.goto(createSignInLink(directory));
  await expect(messageBox(page)).toBeVisible();
}

export async function sendMessage(page: Page, text: string) {
  await messageBox(page).fill(text);
  await page.keyboard.press("Enter");
}

export const waitForAnswer = (page: Page) =>
  expect(answers(page).last()).toHaveAttribute("data-status", /complete|stopped|failed/, { timeout: 100_000 });

/** Expects that axe finds no accessibility violation. */
export async function expectAccessible(page: Page) {
  const { violations } = await new AxeBuilder({ page }).analyze();
  expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`)).toEqual([]);
}
