// The welcome text of an empty conversation, with recommended models for this machine.

import { useEffect, useState } from "react";
import { api, formatBytes, type Model, type Pull, type Recommended } from "./api";
import { useReachable } from "./connection";

const RECOMMENDED_MAX = 3;
const PULLS_POLL_MS = 500;

export function Welcome({ models, onModelsChanged }: { models?: Model[]; onModelsChanged: () => void }) {
  const chatModels = models?.filter((model) => model.kind === "chat");
  const hasOnlyStarter = chatModels !== undefined && chatModels.every((model) => model.starter);
  return (
    <div className="welcome">
      <img src="/icon.svg" alt="" width="48" height="48" />
      <h2>{chatModels?.length === 0 ? "No chat model is installed" : "What's on your mind?"}</h2>
      {chatModels?.length === 0 && (
        <p>
          Run <code>lar models pull --starter</code> to get the starter models, or download a model below.
        </p>
      )}
      {hasOnlyStarter && chatModels.length > 0 && (
        <p>You are using the smallest starter model. It shows that Lar works, but its answers are often wrong. Larger models are much better.</p>
      )}
      {chatModels !== undefined && hasOnlyStarter && <RecommendedModels onModelsChanged={onModelsChanged} />}
    </div>
  );
}

/** Selects the largest models that fit and are fast enough, smallest first. If none is fast enough: the smallest that fits. */
function selectModels(models: Recommended[]): Recommended[] {
  const fast = models.filter((model) => model.recommended);
  return fast.length > 0 ? fast.slice(-RECOMMENDED_MAX) : models.filter((model) => model.fits).slice(0, 1);
}

/** Whether a model comes from the model hub. Lar contacts the hub only when someone downloads the model. */
const isFromHub = (model: Recommended) => model.source.startsWith("hf:");

/** The heading above the list of models. */
function listHeading(models: Recommended[]): string {
  if (models.length === 0) return "No model in Lar's list fits in this machine's memory.";
  if (!models.some((model) => model.recommended)) return "This model fits in this machine's memory, but will be slow:";
  return models.length === 1 ? "Recommended model for this machine:" : "Recommended models for this machine:";
}

function RecommendedModels({ onModelsChanged }: { onModelsChanged: () => void }) {
  const [models, setModels] = useState<Recommended[]>();
  const [pulls, setPulls] = useState<Pull[]>([]);
  const [error, setError] = useState<string>();
  const isReachable = useReachable();

  useEffect(() => {
    if (models || !isReachable) return;
    api.recommended().then(
      ({ data }) => {
        setModels(selectModels(data));
        setError(undefined);
      },
      (cause: Error) => setError(cause.message),
    );
  }, [models, isReachable]);

  const isPulling = pulls.some((pull) => pull.state === "downloading" || pull.state === "verifying");
  useEffect(() => {
    if (!isPulling || !isReachable) return;
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
    }, PULLS_POLL_MS);
    return () => clearInterval(timer);
  }, [isPulling, onModelsChanged, isReachable]);

  const startPull = async (model: Recommended) => {
    setError(undefined);
    try {
      const started = await api.pull(model.source);
      setPulls((all) => [...all.filter((pull) => pull.source !== started.source), started]);
    } catch (cause) {
      setError((cause as Error).message);
    }
  };

  return (
    <>
      <p role="status">{models ? listHeading(models) : error === undefined && "Finding models for this machine…"}</p>
      <ul className="picks">
        {(models ?? []).map((model) => {
          const pulling = pulls.find((pull) => pull.source === model.source);
          return (
            <li key={model.name}>
              <strong>{model.name}</strong>
              <span>{model.about}</span>
              <span className="quiet">
                {formatBytes(model.size_bytes)} · about {Math.round(model.tokens_per_second)} tokens/s ({model.speed}) · {model.license}
                {isFromHub(model) && " · from the model hub"}
              </span>
              {pulling && pulling.state !== "failed" ? (
                <progress
                  aria-label={`Downloading ${model.name}`}
                  max={pulling.total_bytes ?? model.size_bytes}
                  value={pulling.state === "done" ? (pulling.total_bytes ?? model.size_bytes) : pulling.done_bytes}
                />
              ) : (
                <button onClick={() => startPull(model)}>Download</button>
              )}
              {pulling?.state === "failed" && <span className="alert">{pulling.reason}</span>}
            </li>
          );
        })}
      </ul>
      {models?.some(isFromHub) && (
        <p className="quiet small">
          If Lar cannot reach the model hub, run <code>lar models pull --starter</code> to get a model from another source.
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
