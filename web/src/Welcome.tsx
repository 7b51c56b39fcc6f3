// What an empty conversation says: what to do next, and better models that fit this machine.

import { useEffect, useState } from "react";
import { api, size, type Model, type Pull, type Recommended } from "./api";
import { useReachable } from "./connection";

const PICKS = 3;
const LOOK_EVERY_MS = 500;

export function Welcome({ models, onModelsChanged }: { models?: Model[]; onModelsChanged: () => void }) {
  const chat = models?.filter((model) => model.kind === "chat");
  const onlyStarter = chat !== undefined && chat.every((model) => model.starter);
  return (
    <div className="welcome">
      <img src="/icon.svg" alt="" width="48" height="48" />
      <h2>{chat?.length === 0 ? "No model is installed yet" : "What is on your mind?"}</h2>
      {chat?.length === 0 && (
        <p>
          Get the starter models with <code>lar models pull --starter</code>, or choose one.
        </p>
      )}
      {onlyStarter && chat.length > 0 && (
        <p>You are talking to the starter model. It proves the pipe and is often wrong; larger models are much better.</p>
      )}
      {chat !== undefined && onlyStarter && <Picks onModelsChanged={onModelsChanged} />}
    </div>
  );
}

/** The largest that fit and are fast enough, smallest of them first; where none is fast enough, the smallest that fits. */
function suitable(models: Recommended[]): Recommended[] {
  const fast = models.filter((model) => model.recommended);
  return fast.length > 0 ? fast.slice(-PICKS) : models.filter((model) => model.fits).slice(0, 1);
}

/** Whether a model comes from the hub, which is only asked once somebody gets it. */
const fromHub = (model: Recommended) => model.source.startsWith("hf:");

/** What is said above the models on offer. */
function heading(picks: Recommended[]): string {
  if (picks.length === 0) return "None of the models that Lar knows fits this machine's memory.";
  if (!picks.some((model) => model.recommended)) return "This one fits this machine, but will be slow on it:";
  return picks.length === 1 ? "This one suits this machine:" : "These suit this machine:";
}

function Picks({ onModelsChanged }: { onModelsChanged: () => void }) {
  const [picks, setPicks] = useState<Recommended[]>();
  const [pulls, setPulls] = useState<Pull[]>([]);
  const [error, setError] = useState<string>();
  const reachable = useReachable();

  useEffect(() => {
    if (picks || !reachable) return;
    api.recommended().then(
      ({ data }) => {
        setPicks(suitable(data));
        setError(undefined);
      },
      (cause: Error) => setError(cause.message),
    );
  }, [picks, reachable]);

  const busy = pulls.some((pull) => pull.state === "downloading" || pull.state === "verifying");
  useEffect(() => {
    if (!busy || !reachable) return;
    const timer = setInterval(async () => {
      const data = await api.pulls().then(({ data }) => data, () => undefined);
      if (!data) return;
      setPulls(data);
      for (const pull of data) {
        if (pull.state === "done" && pull.name) {
          await api.setDefault(pull.name);
          onModelsChanged();
        }
      }
    }, LOOK_EVERY_MS);
    return () => clearInterval(timer);
  }, [busy, onModelsChanged, reachable]);

  const pull = async (model: Recommended) => {
    setError(undefined);
    try {
      const begun = await api.pull(model.source);
      setPulls((all) => [...all.filter((one) => one.source !== begun.source), begun]);
    } catch (cause) {
      setError((cause as Error).message);
    }
  };

  return (
    <>
      <p role="status">{picks ? heading(picks) : error === undefined && "Looking for models that suit this machine…"}</p>
      <ul className="picks">
        {(picks ?? []).map((model) => {
          const under = pulls.find((one) => one.source === model.source);
          return (
            <li key={model.name}>
              <strong>{model.name}</strong>
              <span>{model.about}</span>
              <span className="quiet">
                {size(model.size_bytes)} · about {Math.round(model.tokens_per_second)} tokens/s ({model.speed}) · {model.license}
                {fromHub(model) && " · from the model hub"}
              </span>
              {under && under.state !== "failed" ? (
                <progress
                  aria-label={`Getting ${model.name}`}
                  max={under.total_bytes ?? model.size_bytes}
                  value={under.state === "done" ? (under.total_bytes ?? model.size_bytes) : under.done_bytes}
                />
              ) : (
                <button onClick={() => pull(model)}>Get it</button>
              )}
              {under?.state === "failed" && <span className="alert">{under.reason}</span>}
            </li>
          );
        })}
      </ul>
      {picks?.some(fromHub) && (
        <p className="quiet small">
          Where the model hub does not answer, <code>lar models pull --starter</code> gets a model from elsewhere.
        </p>
      )}
      {error && (
        <p role="alert" className="alert">
          {error}
        </p>
      )}
    </>
  );
}
