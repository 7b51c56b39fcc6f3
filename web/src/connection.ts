// Tracks whether the server is reachable. Every request of the page updates this. While the server is unreachable, the page
// retries by itself: with exponential backoff, and only while the page is visible.

import { useSyncExternalStore } from "react";

/** The wait before the first retry. Each wait is twice as long as the one before, up to the longest. */
const RETRY_FIRST_MS = 1000;
const RETRY_LONGEST_MS = 10_000;
/** If a retry gets no response within this time, the server counts as unreachable. */
const RETRY_TIMEOUT_MS = 5000;
/** The backoff starts again from the first wait only if the connection was stable for at least this long. */
const STABLE_AFTER_MS = 30_000;

let reachable = true;
let reachableSince = -Infinity;
let retryWaitMs = RETRY_FIRST_MS;
let retryTimer: ReturnType<typeof setTimeout> | undefined;
const listeners = new Set<() => void>();

/** Calls `fetch` and records whether the server responded. Throws if it did not. */
export async function request(path: string, init?: RequestInit): Promise<Response> {
  try {
    const response = await fetch(path, init);
    if (isFromProxy(response)) throw new Error(`a proxy returned status ${response.status}`);
    markReachable();
    return response;
  } catch (cause) {
    markUnreachable();
    throw cause;
  }
}

/** Records that the server became unreachable. Call it directly when a response stream ends too early. */
export function markUnreachable() {
  if (!reachable) return;
  reachable = false;
  if (performance.now() - reachableSince > STABLE_AFTER_MS) retryWaitMs = RETRY_FIRST_MS;
  scheduleRetry();
  for (const listener of listeners) listener();
}

/** Whether the server responded to the last request. */
export const isReachable = () => reachable;

/** `isReachable` as a React hook. */
export function useReachable(): boolean {
  return useSyncExternalStore(subscribe, isReachable);
}

function markReachable() {
  clearTimeout(retryTimer);
  if (reachable) return;
  reachable = true;
  reachableSince = performance.now();
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Whether a reverse proxy sent this response because it cannot reach Lar. Lar's own errors are JSON; a proxy's are not. */
const isFromProxy = ({ status, headers }: Response) =>
  status >= 502 && status <= 504 && !headers.get("content-type")?.includes("json");

function scheduleRetry() {
  clearTimeout(retryTimer);
  retryTimer = setTimeout(retry, retryWaitMs);
  retryWaitMs = Math.min(2 * retryWaitMs, RETRY_LONGEST_MS);
}

async function retry() {
  if (reachable || document.hidden) return;
  await request("/lar/v1/me", { signal: AbortSignal.timeout(RETRY_TIMEOUT_MS) }).catch(scheduleRetry);
}

function retryNow() {
  clearTimeout(retryTimer);
  retryWaitMs = RETRY_FIRST_MS;
  void retry();
}
document.addEventListener("visibilitychange", retryNow);
addEventListener("online", retryNow);
