// Which model answers, and what it is doing. What it was doing is left out while the server does not answer.

import { useReachable } from "./connection";
import { size, type Model } from "./api";

const STATES = { unloaded: "not loaded", loading: "loading…", ready: "loaded", failed: "failed" };

/** A context for a person: 4k, 128k. */
const context = (tokens: number) => (tokens >= 1024 ? `${Math.round(tokens / 1024)}k` : `${tokens}`);

interface Props {
  models?: Model[];
  value?: string;
  onChange: (model: string) => void;
}

const chatModels = (models?: Model[]) => models?.filter((model) => model.kind === "chat") ?? [];

/** The model that a name or an alias stands for; without one, the model that answers by default. */
function chosenModel(chat: Model[], value?: string): Model | undefined {
  return chat.find((model) => model.name === value) ?? chat.find((model) => model.aliases.includes(value ?? "default"));
}

export function ModelPicker({ models, value, onChange }: Props) {
  const reachable = useReachable();
  const chat = chatModels(models);
  const chosen = chosenModel(chat, value);
  if (models && chat.length === 0) return <span className="chip failed">no model</span>;
  return (
    <div className="picker">
      <label className="hidden" htmlFor="model">
        Model
      </label>
      <select id="model" value={chosen?.name ?? ""} onChange={(event) => onChange(event.target.value)}>
        {!chosen && <option value="">…</option>}
        {chat.map((model) => (
          <option key={model.name} value={model.name}>
            {model.name} · {size(model.size_bytes)} · {context(model.context_tokens)} context
            {reachable && ` · ${STATES[model.state]}`}
          </option>
        ))}
      </select>
      {!reachable && (
        <span className="chip failed" role="status">
          not reachable
        </span>
      )}
      {reachable && chosen && (
        <span className={`chip ${chosen.state}`} role="status" title={chosen.reason}>
          {STATES[chosen.state]}
        </span>
      )}
    </div>
  );
}

/** Why the chosen model computes on fewer threads than the machine has cores, while it is loaded. */
export function ThreadsNote({ models, value }: Pick<Props, "models" | "value">) {
  const reachable = useReachable();
  const chosen = chosenModel(chatModels(models), value);
  if (!reachable || chosen?.state !== "ready" || !chosen.threads_note) return null;
  return (
    <p className="threads-note">
      {chosen.name} · {chosen.threads_note}
    </p>
  );
}
