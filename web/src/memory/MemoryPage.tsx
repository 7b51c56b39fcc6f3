// The memory page: what is known, what waits for a word, who shares what, and which apps read and wrote.

import { useCallback, useEffect, useMemo, useState } from "react";
import { Icon } from "../Icon";
import { memories, spaceName, spaces, type Space, type Stats } from "./api";
import { Apps } from "./Apps";
import { Clients } from "./Clients";
import { Inbox } from "./Inbox";
import { MemoryList } from "./MemoryList";
import { Spaces } from "./Spaces";

const TABS = ["Memories", "Inbox", "Spaces", "Apps"] as const;

interface Props {
  onDrawer: () => void;
  drawer: boolean;
  onConversation: (id: string) => void;
}

export function MemoryPage({ onDrawer, drawer, onConversation }: Props) {
  const [tab, setTab] = useState<(typeof TABS)[number]>("Memories");
  const [all, setAll] = useState<Space[]>([]);
  const [chosen, setChosen] = useState<string>("");
  const [stats, setStats] = useState<Stats>();
  const [waiting, setWaiting] = useState(0);
  const space = all.find((one) => one.id === chosen);
  const calls = useMemo(() => memories(space), [space]);

  const refresh = useCallback(() => {
    spaces.list().then(({ data }) => setAll(data), () => {});
    calls.stats().then(setStats, () => {});
    calls.inbox().then(({ data }) => setWaiting(data.length), () => {});
  }, [calls]);
  useEffect(refresh, [refresh]);

  return (
    <main className="memory-page">
      <header>
        <button className="icon only-narrow" aria-label="Conversations" aria-expanded={drawer} onClick={onDrawer}>
          <Icon name="menu" />
        </button>
        <h1>Memory</h1>
        {all.length > 1 && (
          <label className="picker">
            <span className="hidden">Whose memories</span>
            <select value={chosen} onChange={(event) => setChosen(event.target.value)}>
              <option value="">Mine and what is shared with me</option>
              {all
                .filter((one) => one.kind !== "personal")
                .map((one) => (
                  <option key={one.id} value={one.id}>
                    {spaceName(one)}
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
                {name === "Inbox" && waiting > 0 && <span className="count"> {waiting}</span>}
              </button>
            ))}
          </div>
          <section id="tab-panel" role="tabpanel" aria-labelledby={`tab-${tab}`}>
            {tab === "Memories" && (
              <MemoryList calls={calls} stats={stats} onChanged={refresh} onConversation={onConversation} readOnly={space?.access === "read"} />
            )}
            {tab === "Inbox" && <Inbox calls={calls} onChanged={refresh} onConversation={onConversation} />}
            {tab === "Spaces" && <Spaces all={all} onChanged={refresh} />}
            {tab === "Apps" && (
              <>
                <Apps />
                <Clients calls={calls} spaces={all} />
              </>
            )}
          </section>
        </div>
      </div>
    </main>
  );
}
