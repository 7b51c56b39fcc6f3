// The memory page, with a tab each for memories, the inbox, reminders, spaces and apps.

import { useCallback, useEffect, useMemo, useState } from "react";
import { Icon } from "../Icon";
import { memoryApi, PAGE_MAX, spaceName, spaces, type MemoryStats, type Space } from "./api";
import { Apps } from "./Apps";
import { Inbox } from "./Inbox";
import { KeyActivity } from "./KeyActivity";
import { MemoryList } from "./MemoryList";
import { Reminders } from "./Reminders";
import { Spaces } from "./Spaces";

const TABS = ["Memories", "Inbox", "Reminders", "Spaces", "Apps"] as const;

interface Props {
  onOpenDrawer: () => void;
  isDrawerOpen: boolean;
  onOpenConversation: (id: string) => void;
}

export function MemoryPage({ onOpenDrawer, isDrawerOpen, onOpenConversation }: Props) {
  const [tab, setTab] = useState<(typeof TABS)[number]>("Memories");
  const [allSpaces, setAllSpaces] = useState<Space[]>([]);
  const [spaceId, setSpaceId] = useState<string>("");
  const [stats, setStats] = useState<MemoryStats>();
  const [inbox, setInbox] = useState({ count: 0, isPartial: false });
  /** The number of decisions in the inbox that are not carried out yet. */
  const [pendingCount, setPendingCount] = useState(0);
  /** The ids of the memories that may be outdated. */
  const [outdated, setOutdated] = useState<ReadonlySet<string>>(new Set());
  const space = allSpaces.find((space) => space.id === spaceId);
  const memories = useMemo(() => memoryApi(space), [space]);

  const refresh = useCallback(
    () =>
      Promise.allSettled([
        spaces.list().then(({ data }) => setAllSpaces(data)),
        memories.getStats().then(setStats),
        Promise.all([memories.listInbox(PAGE_MAX), memories.listLinks(PAGE_MAX), memories.listProposals(PAGE_MAX)]).then((lists) => {
          setInbox({ count: lists.reduce((count, { data }) => count + data.length, 0), isPartial: lists.some(({ next }) => next) });
          setOutdated(new Set(lists[1].data.map(({ older }) => older.id)));
        }),
      ]),
    [memories],
  );
  useEffect(() => void refresh(), [refresh]);
  const inboxCount = inbox.count - pendingCount;

  return (
    <main className="memory-page">
      <header>
        <button className="icon only-narrow" aria-label="Open sidebar" aria-expanded={isDrawerOpen} onClick={onOpenDrawer}>
          <Icon name="menu" />
        </button>
        <h1>Memory</h1>
        {allSpaces.length > 1 && (
          <label className="picker">
            <span className="hidden">Space</span>
            <select value={spaceId} onChange={(event) => setSpaceId(event.target.value)}>
              <option value="">My memories and those shared with me</option>
              {allSpaces
                .filter((space) => space.kind !== "personal")
                .map((space) => (
                  <option key={space.id} value={space.id}>
                    {spaceName(space)}
                  </option>
                ))}
            </select>
          </label>
        )}
      </header>
      <div className="scroll" id="memories" tabIndex={0} role="region" aria-label="Memory">
        <div className="column">
          <div className="tabs" role="tablist" aria-label="Memory">
            {TABS.map((name) => (
              <button
                key={name}
                role="tab"
                id={`tab-${name}`}
                aria-selected={tab === name}
                aria-controls="tab-panel"
                onClick={() => setTab(name)}
              >
                {name}
                {name === "Inbox" && inboxCount > 0 && <span className="count"> {inboxCount}{inbox.isPartial && "+"}</span>}
              </button>
            ))}
          </div>
          <section id="tab-panel" role="tabpanel" aria-labelledby={`tab-${tab}`}>
            {tab === "Memories" && (
              <MemoryList
                memories={memories}
                stats={stats}
                outdated={outdated}
                isReadOnly={space?.access === "read"}
                onChanged={refresh}
                onOpenConversation={onOpenConversation}
              />
            )}
            {tab === "Inbox" && (
              <Inbox
                memories={memories}
                stats={stats}
                onChanged={refresh}
                onPendingChanged={setPendingCount}
                onOpenConversation={onOpenConversation}
              />
            )}
            {tab === "Reminders" && <Reminders memories={memories} spaces={allSpaces} />}
            {tab === "Spaces" && <Spaces allSpaces={allSpaces} onChanged={refresh} />}
            {tab === "Apps" && (
              <>
                <Apps />
                <KeyActivity memories={memories} spaces={allSpaces} />
              </>
            )}
          </section>
        </div>
      </div>
    </main>
  );
}
