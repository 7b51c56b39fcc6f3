// The apps that can be told of this Lar: how, whether they are, and when each was last seen.

import { useCallback, useEffect, useState } from "react";
import type { ApiError } from "../api";
import { Icon } from "../Icon";
import { ago, apps, type App } from "./api";

const EVERY_MS = 15_000;

export function Apps() {
  const [all, setAll] = useState<App[]>();
  const [reason, setReason] = useState<string>();
  const refresh = useCallback(() => {
    apps.list().then(
      ({ data }) => {
        setAll(data);
        setReason(undefined);
      },
      (cause: ApiError) => setReason(cause.message),
    );
  }, []);
  useEffect(() => {
    refresh();
    const timer = setInterval(refresh, EVERY_MS);
    return () => clearInterval(timer);
  }, [refresh]);

  if (reason) return <p className="quiet">{reason}</p>;
  if (!all) return <p className="quiet" aria-busy="true">Looking…</p>;
  return (
    <>
      <p className="quiet small">
        One command where Lar runs connects an app, tries it, and can take it back with <code>--undo</code>. Each app gets a key of its own.
      </p>
      <ul className="cards apps">
        {all.map((app) => (
          <Card key={app.name} app={app} onChanged={refresh} />
        ))}
      </ul>
    </>
  );
}

function Card({ app, onChanged }: { app: App; onChanged: () => void }) {
  const [secret, setSecret] = useState<string>();
  const [reason, setReason] = useState<string>();
  const make = () =>
    apps.key(app).then(
      (made) => {
        setSecret(made.secret);
        onChanged();
      },
      (cause: ApiError) => setReason(cause.message),
    );
  const seen = app.last_seen_at ? `last seen ${ago(app.last_seen_at)}` : "not seen yet";
  return (
    <li className="card app">
      <h2>{app.title}</h2>
      <p className="about">{app.about}</p>
      <p className={app.key_id ? "small state on" : "small state quiet"}>{app.key_id ? `Connected, ${seen}` : "Not connected"}</p>
      <Line text={app.command} />
      <details>
        <summary>By hand</summary>
        {secret ? (
          <>
            <p className="small">Its key, shown this once:</p>
            <Line text={secret} />
          </>
        ) : (
          <p className="small">
            <button onClick={make}>Make a key</button> {reason && <span role="alert">{reason}</span>}
          </p>
        )}
        {app.by_hand.map((step) => (
          <div key={step.file ?? ""} className="step">
            {step.file && <p className="small quiet">{step.file}</p>}
            <Block text={secret ? step.text.replaceAll("lar_YOUR_KEY", secret) : step.text} />
          </div>
        ))}
        <p className="small">{app.then}</p>
      </details>
    </li>
  );
}

function Line({ text }: { text: string }) {
  return (
    <div className="copyable">
      <code>{text}</code>
      <Copy text={text} />
    </div>
  );
}

function Block({ text }: { text: string }) {
  return (
    <div className="copyable">
      <pre tabIndex={0}>{text}</pre>
      <Copy text={text} />
    </div>
  );
}

function Copy({ text }: { text: string }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 2000);
    return () => clearTimeout(timer);
  }, [copied]);
  return (
    <button
      className="icon"
      aria-label={copied ? "Copied" : "Copy"}
      onClick={() => void navigator.clipboard.writeText(text).then(() => setCopied(true), () => {})}
    >
      <Icon name={copied ? "done" : "copy"} />
    </button>
  );
}
