// Whether the server answers. Each request of the page tells; while none is answered, the page asks again by itself:
// with back-off, and only while someone can see it.

import { useSyncExternalStore } from "react";

/** The first wait before the server is asked again. Each wait is twice as long as the one before, up to the longest. */
const WAIT_FIRST_MS = 1000;
const WAIT_LONGEST_MS = 10_000;
/** A server that does not answer within this time counts as not reachable. */
const ASK_TIMEOUT_MS = 5000;
/** A server that is lost again sooner than this is not asked more often for having been back. */
const STEADY_MS = 30_000;

let reachable = true;
let backAt = -Infinity;
let waitMs = WAIT_FIRST_MS;
let timer: ReturnType<typeof setTimeout> | undefined;
const listeners = new Set<() => void>();

/** Fetches, and notes whether the server answered. Throws when it did not. */
export async function request(path: string, init?: RequestInit): Promise<Response> {
  try {
    const response = await fetch(path, init);
    if (fromProxy(response)) throw new Error(`a proxy answered with status ${response.status}`);
    markReachable();
    return response;
  } catch (cause) {
    markLost();
    throw cause;
  }
}

/** Notes that the server went away in the middle of an answer. */
export function markLost() {
  if (!reachable) return;
  reachable = false;
  if (performance.now() - backAt > STEADY_MS) waitMs = WAIT_FIRST_MS;
  wait();
  for (const listener of listeners) listener();
}

/** Whether the server answered the last request. */
export const isReachable = () => reachable;

/** The same, for a component that shows it. */
export function useReachable(): boolean {
  return useSyncExternalStore(subscribe, isReachable);
}

function markReachable() {
  clearTimeout(timer);
  if (reachable) return;
  reachable = true;
  backAt = performance.now();
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Lar's own errors are JSON; a proxy that cannot reach Lar answers with a page of its own. */
const fromProxy = ({ status, headers }: Response) =>
  status >= 502 && status <= 504 && !headers.get("content-type")?.includes("json");

function wait() {
  clearTimeout(timer);
  timer = setTimeout(ask, waitMs);
  waitMs = Math.min(2 * waitMs, WAIT_LONGEST_MS);
}

async function ask() {
  if (reachable || document.hidden) return;
  await request("/lar/v1/me", { signal: AbortSignal.timeout(ASK_TIMEOUT_MS) }).catch(wait);
}

function askNow() {
  clearTimeout(timer);
  waitMs = WAIT_FIRST_MS;
  void ask();
}
document.addEventListener("visibilitychange", askNow);
addEventListener("online", askNow);
