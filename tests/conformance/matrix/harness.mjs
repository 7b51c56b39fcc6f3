// Runs the checks of one client and prints their outcome as one line of JSON.
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

export function must(condition, told) {
  if (!condition) throw new Error(typeof told === "string" ? told : JSON.stringify(told));
}

export async function raises(action, fits) {
  try {
    await action();
  } catch (error) {
    must(fits(error), `another error than expected: ${error}`);
    return error;
  }
  throw new Error("it did not fail");
}

// Runs every check: a check passes when it throws nothing. `package_` is the one whose version is printed.
export async function run(client, package_, checks) {
  const failed = {};
  const wanted = process.env.MATRIX_CHECK ?? "";
  const names = Object.keys(checks).filter((name) => name.includes(wanted));
  for (const name of names) {
    try {
      await checks[name]();
    } catch (error) {
      failed[name] = String(error?.message ?? error).slice(0, 300);
      if (wanted) console.error(error);
    }
  }
  const { version } = JSON.parse(readFileSync(`node_modules/${package_}/package.json`));
  console.log("\n" + JSON.stringify({ client, version, checks: names, failed }));
  process.exit(0);
}
