// Runs the checks of one client and prints the results as one line of JSON.
import { readFileSync } from "node:fs";

export const URL_ = process.env.LAR_URL;
export const KEY = process.env.LAR_KEY;
export const CHAT = "default";
export const EMBEDDER = "default-embedding";
export const HELLO = [{ role: "user", content: "Say hello." }];
export const WEATHER = {
  type: "object",
  properties: { city: { type: "string", enum: ["Paris", "Oslo"] } },
  required: ["city"],
};
export const tool = { type: "function", function: { name: "get_weather", description: "The weather of a city", parameters: WEATHER } };

export function must(condition, details) {
  if (!condition) throw new Error(typeof details === "string" ? details : JSON.stringify(details));
}

export async function raises(action, fits) {
  try {
    await action();
  } catch (error) {
    must(fits(error), `unexpected error: ${error}`);
    return error;
  }
  throw new Error("the call did not fail");
}

// Runs the checks. A check passes if it throws nothing. Prints the version of `package_`.
export async function run(client, package_, checks) {
  const failed = {};
  const selected = process.env.MATRIX_CHECK ?? "";
  const names = Object.keys(checks).filter((name) => name.includes(selected));
  for (const name of names) {
    try {
      await checks[name]();
    } catch (error) {
      failed[name] = String(error?.message ?? error).slice(0, 300);
      if (selected) console.error(error);
    }
  }
  const { version } = JSON.parse(readFileSync(`node_modules/${package_}/package.json`));
  console.log("\n" + JSON.stringify({ client, version, checks: names, failed }));
  process.exit(0);
}
