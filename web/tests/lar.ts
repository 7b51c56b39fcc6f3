// Starts a real Lar with the real starter model for all page tests, on a free port and a data directory of
// its own, and stops it in the end.

import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

export const program = resolve(import.meta.dirname, "../../target/release/lar");

export default async function start(): Promise<() => Promise<void>> {
  const directory = mkdtempSync(join(tmpdir(), "lar-page-"));
  process.env.LAR_DATA_DIR = directory;
  process.env.LAR_MODELS_DIR = process.env.LAR_TEST_MODELS ?? resolve(import.meta.dirname, "../../.build/models");
  process.env.LAR_LISTEN = "127.0.0.1:0";
  // The starter model now and then goes on until its context is full; that must not take minutes on a slow machine.
  process.env.LAR_ENGINES_CONTEXT_TOKENS_MAX = "512";
  const server = spawn(program, ["serve"], { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, LAR_LOG: "warn" } });
  process.env.LAR_PAGE_URL = await address(server);
  return async () => {
    const ended = new Promise((done) => server.once("exit", done));
    server.kill("SIGTERM");
    await ended;
    rmSync(directory, { recursive: true });
  };
}

/** Where the server says it is. */
function address(server: ChildProcess): Promise<string> {
  return new Promise((found, failed) => {
    server.once("exit", (code) => failed(new Error(`lar ended with ${code}`)));
    server.stdout!.on("data", (data: Buffer) => {
      const url = /Lar is at (\S+)/.exec(data.toString())?.[1];
      if (url) found(url);
    });
  });
}

/** A new link that signs a browser in. */
export function link(): string {
  return execFileSync(program, ["open", "--print"], { encoding: "utf8" }).trim();
}

/** The key of the test server's owner. */
export function ownerKey(): string {
  return readFileSync(join(process.env.LAR_DATA_DIR!, "owner.key"), "utf8").trim();
}
