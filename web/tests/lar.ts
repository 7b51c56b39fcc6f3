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
  const server = await serve(directory);
  process.env.LAR_PAGE_URL = server.url;
  return async () => {
    await server.end("SIGTERM");
    rmSync(directory, { recursive: true });
  };
}

export interface Server {
  url: string;
  /** Ends the server and waits until it has gone. */
  end(signal: "SIGTERM" | "SIGKILL"): Promise<void>;
}

/** Starts a server on a data directory, at an address or on a free port. */
export async function serve(directory: string, listen = "127.0.0.1:0"): Promise<Server> {
  const environment = { ...process.env, LAR_PAGE_URL: undefined, LAR_DATA_DIR: directory, LAR_LISTEN: listen, LAR_LOG: "warn" };
  const server = spawn(program, ["serve"], { stdio: ["ignore", "pipe", "inherit"], env: environment });
  const gone = new Promise<void>((done) => server.once("exit", () => done()));
  return {
    url: await address(server),
    async end(signal) {
      server.kill(signal);
      await gone;
    },
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

/** A new link that signs a browser in, at the server on a data directory. */
export function link(directory = process.env.LAR_DATA_DIR!): string {
  const env = { ...process.env, LAR_DATA_DIR: directory };
  return execFileSync(program, ["open", "--print"], { encoding: "utf8", env }).trim();
}

/** Invites somebody to the server on a data directory; returns the link that signs their browser in, once. */
export function invite(name: string, directory: string): string {
  const env = { ...process.env, LAR_DATA_DIR: directory };
  const user = execFileSync(program, ["--json", "users", "invite", name], { encoding: "utf8", env });
  return JSON.parse(user).sign_in_url;
}

/** The key of the test server's owner. */
export function ownerKey(): string {
  return readFileSync(join(process.env.LAR_DATA_DIR!, "owner.key"), "utf8").trim();
}
