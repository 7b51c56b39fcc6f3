// The model picker and the state of the chosen model. The model states are hidden while the server is unreachable.

import { useReachable } from "./connection";
import { formatBytes, type Model } from "./api";

const STATE_LABELS = { unloaded: "Not loaded", loading: "Loading…", ready: "Loaded", failed: "Failed" };

/** A context length for people: 4k, 128k. */
const formatContext = (tokens: number) => (tokens >= 1024 ? `${Math.round(tokens / 1024)}k` : `${tokens}`);

interface Props {
  models?: Model[];
  value?: string;
  onChange: (model: string) => void;
}

const chatModels = (models?: Model[]) => models?.filter((model) => model.kind === "chat") ?? [];

/** The model with a name or an alias; the default model if `value` is undefined. */
function findModel(models: Model[], value?: string): Model | undefined {
  return models.find((model) => model.name === value) ?? models.find((model) => model.aliases.includes(value ?? "default"));
}

export function ModelPicker({ models, value, onChange }: Props) {
  const isReachable = useReachable();
  const options = chatModels(models);
  const chosen = findModel(options, value);
  if (models && options.length === 0) return <span className="chip failed">No model</span>;
  return (
    <div className="picker">
      <label className="hidden" htmlFor="model">
        Model
      </label>
      <select id="model" value={chosen?.name ?? ""} onChange={(event) => onChange(event.target.value)}>
        {!chosen && <option value="">…</option>}
        {options.map((model) => (
          <option key={model.name} value={model.name}>
            {model.name} · {formatBytes(model.size_bytes)} · {formatContext(model.context_tokens)} context
            {isReachable && ` · ${STATE_LABELS[model.state].toLowerCase()}`}
          </option>
        ))}
      </select>
      {!isReachable && (
        <span className="chip failed" role="status">
          Not connected
        </span>
      )}
      {isReachable && chosen && (
        <span className={`chip ${chosen.state}`} role="status" title={chosen.reason ?? undefined}>
          {STATE_LABELS[chosen.state]}
        </span>
      )}
    </div>
  );
}

/** Explains why the chosen model runs on fewer threads than the machine has cores. Shown while the model is loaded. */
export function ThreadsNote({ models, value }: Pick<Props, "models" | "value">) {
  const isReachable = useReachable();
  const chosen = findModel(chatModels(models), value);
  if (!isReachable || chosen?.state !== "ready" || !chosen.threads_note) return null;
  return (
    <p className="threads-note">
      {chosen.name} · {chosen.threads_note}
    </p>
  );
}
