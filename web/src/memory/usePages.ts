// A list that the page loads in pages, as a hook: the rows so far, and a function that loads more of them.

import { useCallback, useRef, useState } from "react";
import type { Page } from "../api";
import { PAGE_MAX } from "./api";

/** The number of rows that the first page has. */
const PAGE_SIZE = 50;

export interface Pages<Row> {
  /** The rows so far. Undefined until the first page is there. */
  rows?: Row[];
  /** Whether there are more rows. */
  hasMore: boolean;
  /** Loads the list again, with as many rows as before, up to the most of one page. */
  reload: () => Promise<void>;
  loadMore: () => Promise<void>;
}

/** Loads a list in pages. `fetchPage` must be the same function in each render, unless the list is another one. */
export function usePages<Row>(fetchPage: (limit: number, after?: string) => Promise<Page<Row>>): Pages<Row> {
  const [page, setPage] = useState<Page<Row>>();
  const count = useRef(PAGE_SIZE);
  /** The number of the latest request. A response to an earlier one is ignored. */
  const latest = useRef(0);
  const reload = useCallback(async () => {
    const request = ++latest.current;
    const found = await fetchPage(Math.min(Math.max(count.current, PAGE_SIZE), PAGE_MAX));
    if (request === latest.current) setPage(found);
  }, [fetchPage]);
  const next = page?.next;
  const loadMore = useCallback(async () => {
    if (!next) return;
    const request = ++latest.current;
    const found = await fetchPage(PAGE_SIZE, next);
    if (request === latest.current) setPage((current) => ({ data: [...(current?.data ?? []), ...found.data], next: found.next }));
  }, [fetchPage, next]);
  count.current = page?.data.length ?? PAGE_SIZE;
  return { rows: page?.data, hasMore: next != null, reload, loadMore };
}
