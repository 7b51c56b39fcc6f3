// The apps that can be connected to Lar: how to connect each one, whether it is connected, and when it was last seen.

import { useCallback, useEffect, useState } from "react";
import type { ApiError } from "../api";
import { Icon } from "../Icon";
import { apps, formatAgo, type ClientApp } from "./api";

const POLL_MS = 15_000;
const COPIED_MS = 2000;

export function Apps() {
  const [list, setList] = useState<ClientApp[]>();
  const [error, setError] = useState<string>();
  const refresh = useCallback(() => {
    apps.list().then(
      ({ data }) => {
        setList(data);
        setError(undefined);
      },
      (cause: ApiError) => setError(cause.message),
    );
  }, []);
  useEffect(() => {
    refresh();
    const timer = setInterval(refresh, POLL_MS);
    return () => clearInterval(timer);
  }, [refresh]);

  if (error) return <p className="quiet">{error}</p>;
  if (!list) return <p className="quiet" aria-busy="true">Loading…</p>;
  return (
    <>
      <p className="quiet small">
        To connect an app, run its command on the machine where Lar runs. The command also tests the connection. To disconnect the app,
        run the command with <code>--undo</code>. Each app gets its own API key.
      </p>
      <ul className="cards apps">
        {list.map((app) => (
          <AppCard key={app.name} app={app} onChanged={refresh} />
        ))}
      </ul>
    </>
  );
}

function AppCard({ app, onChanged }: { app: ClientApp; onChanged: () => void }) {
  const [secret, setSecret] = useState<string>();
  const [error, setError] = useState<string>();
  const createKey = () =>
    apps.createKey(app).then(
      (key) => {
        setSecret(key.secret ?? undefined);
        onChanged();
      },
      (cause: ApiError) => setError(cause.message),
    );
  const lastSeen = app.last_seen_at ? `last seen ${formatAgo(app.last_seen_at)}` : "not seen yet";
  return (
    <li className="card app">
      <h2>{app.title}</h2>
      <p className="about">{app.about}</p>
      <p className={app.key_id ? "small state on" : "small state quiet"}>{app.key_id ? `Connected, ${lastSeen}` : "Not connected"}</p>
      <CopyableLine text={app.command} />
      <details>
        <summary>Connect manually</summary>
        {secret ? (
          <>
            <p className="small">API key of this app. Copy it now: Lar shows it only once.</p>
            <CopyableLine text={secret} />
          </>
        ) : (
          <p className="small">
            <button onClick={createKey}>Create API key</button> {error && <span role="alert">{error}</span>}
          </p>
        )}
        {app.by_hand.map((step) => (
          <div key={step.file ?? ""} className="step">
            {step.file && <p className="small quiet">{step.file}</p>}
            <CopyableBlock text={secret ? step.text.replaceAll("lar_YOUR_KEY", secret) : step.text} />
          </div>
        ))}
        <p className="small">{app.then}</p>
      </details>
    </li>
  );
}

function CopyableLine({ text }: { text: string }) {
  return (
    <div className="copyable">
      <code>{text}</code>
      <CopyButton text={text} />
    </div>
  );
}

function CopyableBlock({ text }: { text: string }) {
  return (
    <div className="copyable">
      <pre tabIndex={0}>{text}</pre>
      <CopyButton text={text} />
    </div>
  );
}

function CopyButton({ text }: { text: string }) {
  const [isCopied, setIsCopied] = useState(false);
  useEffect(() => {
    if (!isCopied) return;
    const timer = setTimeout(() => setIsCopied(false), COPIED_MS);
    return () => clearTimeout(timer);
  }, [isCopied]);
  return (
    <button
      className="icon"
      aria-label={isCopied ? "Copied" : "Copy"}
      onClick={() => void navigator.clipboard.writeText(text).then(() => setIsCopied(true), () => {})}
    >
      <Icon name={isCopied ? "done" : "copy"} />
    </button>
  );
}
