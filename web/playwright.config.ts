import { defineConfig } from "@playwright/test";

export default defineConfig({
  testDir: "tests",
  timeout: 60_000,
  workers: 1,
  // Answers of a real model are chance; a test that meets an odd one is run again, and told as flaky.
  retries: 1,
  reporter: [["list"]],
  globalSetup: "./tests/lar.ts",
  use: {
    launchOptions: {
      executablePath: "/usr/bin/chromium",
      args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
    },
  },
});
