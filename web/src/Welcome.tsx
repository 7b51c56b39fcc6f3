// What an empty conversation says: what to do next, and better models that fit this machine.

import { useEffect, useState } from "react";
import { api, size, type Model, type Pull, type Recommended } from "./api";

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
          Get the starter models with <code>lar models pull --starter</code>, or one of these:
        </p>
      )}
      {onlyStarter && chat.length > 0 && (
        <p>
          You are talking to the starter model. It proves the pipe and is often wrong. These fit this machine and are much
          better:
        </p>
      )}
      {chat !== undefined && onlyStarter && <Picks onModelsChanged={onModelsChanged} />}
    </div>
  );
}

function Picks({ onModelsChanged }: { onModelsChanged: () => void }) {
  const [picks, setPicks] = useState<Recommended[]>([]);
  const [pulls, setPulls] = useState<Pull[]>([]);
  const [error, setError] = useState<string>();

  useEffect(() => {
    // The largest that fit and are fast enough, smallest of them first.
    api.recommended().then(({ data }) => setPicks(data.filter((model) => model.recommended).slice(-PICKS)), () => {});
  }, []);

  const busy = pulls.some((pull) => pull.state === "downloading" || pull.state === "verifying");
  useEffect(() => {
    if (!busy) return;
    const timer = setInterval(async () => {
      const { data } = await api.pulls();
      setPulls(data);
      for (const pull of data) {
        if (pull.state === "done" && pull.name) {
          await api.setDefault(pull.name);
          onModelsChanged();
        }
      }
    }, LOOK_EVERY_MS);
    return () => clearInterval(timer);
  }, [busy, onModelsChanged]);

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
      <ul className="picks">
        {picks.map((model) => {
          const under = pulls.find((one) => one.source === model.source);
          return (
            <li key={model.name}>
              <strong>{model.name}</strong>
              <span>{model.about}</span>
              <span className="quiet">
                {size(model.size_bytes)} · about {Math.round(model.tokens_per_second)} tokens/s ({model.speed}) · {model.license}
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
      {error && (
        <p role="alert" className="alert">
          {error}
        </p>
      )}
    </>
  );
}
