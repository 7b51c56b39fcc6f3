// Starts a real Lar with the real starter model for all tests of the page, on a free port and with its own data directory,
// and stops it at the end.

import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

export const program = resolve(import.meta.dirname, "../../target/release/lar");

export default async function setUp(): Promise<() => Promise<void>> {
  const directory = mkdtempSync(join(tmpdir(), "lar-page-"));
  process.env.LAR_DATA_DIR = directory;
  process.env.LAR_MODELS_DIR = process.env.LAR_TEST_MODELS ?? resolve(import.meta.dirname, "../../.build/models");
  process.env.LAR_LISTEN = "127.0.0.1:0";
  // The starter model sometimes writes until its context is full. A small context keeps this short on a slow machine.
  process.env.LAR_ENGINES_CONTEXT_TOKENS_MAX = "512";
  const server = await startServer(directory);
  process.env.LAR_PAGE_URL = server.url;
  return async () => {
    await server.stop("SIGTERM");
    rmSync(directory, { recursive: true });
  };
}

export interface Server {
  url: string;
  /** Sends the signal and waits until the process has exited. */
  stop(signal: "SIGTERM" | "SIGKILL"): Promise<void>;
}

/** Starts a server with a data directory, on the address `listen` or on a free port. */
export async function startServer(directory: string, listen = "127.0.0.1:0"): Promise<Server> {
  const environment = { ...process.env, LAR_PAGE_URL: undefined, LAR_DATA_DIR: directory, LAR_LISTEN: listen, LAR_LOG: "warn" };
  const server = spawn(program, ["serve"], { stdio: ["ignore", "pipe", "inherit"], env: environment });
  const exited = new Promise<void>((resolve) => server.once("exit", () => resolve()));
  return {
    url: await readUrl(server),
    async stop(signal) {
      server.kill(signal);
      await exited;
    },
  };
}

/** Reads the server's URL from its output. */
function readUrl(server: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once("exit", (code) => reject(new Error(`lar exited with ${code}`)));
    server.stdout!.on("data", (data: Buffer) => {
      const url = /Lar is at (\S+)/.exec(data.toString())?.[1];
      if (url) resolve(url);
    });
  });
}

/** Creates a sign-in link of the server with a data directory. */
export function createSignInLink(directory = process.env.LAR_DATA_DIR!): string {
  const env = { ...process.env, LAR_DATA_DIR: directory };
  return execFileSync(program, ["open", "--print"], { encoding: "utf8", env }).trim();
}

/** Invites a user to the server with a data directory. Returns the user's sign-in link, which works once. */
export function inviteUser(name: string, directory: string): string {
  const env = { ...process.env, LAR_DATA_DIR: directory };
  const user = execFileSync(program, ["--json", "users", "invite", name], { encoding: "utf8", env });
  return JSON.parse(user).sign_in_url;
}

/** The API key of the test server's owner. */
export function ownerKey(): string {
  return readFileSync(join(process.env.LAR_DATA_DIR!, "owner.key"), "utf8").trim();
}
