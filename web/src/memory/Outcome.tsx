// What became of something that was told, with the way back.

import { ApiError } from "../api";
import { useState } from "react";
import type { Decided } from "./api";
import type { Calls } from "./MemoryList";

const WHAT: Record<Decided["decision"], string> = {
  create: "Remembered.",
  reinforce: "That was known already; it holds better now.",
  update: "A memory says that now.",
  supersede: "Remembered, in place of what was known.",
  merge: "Added to a memory of the same thing.",
  reject: "Not remembered.",
};

interface Props {
  decided: Decided;
  calls: Calls;
  onChanged: () => void;
  onClose: () => void;
}

export function Outcome({ decided, calls, onChanged, onClose }: Props) {
  const [error, setError] = useState<string>();
  const undo = () =>
    calls.undo(decided.memory!.id).then(
      () => {
        onChanged();
        onClose();
      },
      (cause: ApiError) => setError(cause.message),
    );
  return (
    <div className="outcome" role="status">
      <p>
        <strong>{WHAT[decided.decision]}</strong> {decided.reason && <span className="quiet">{sentence(decided.reason)}</span>}
      </p>
      {decided.decision === "supersede" && decided.against && <p className="old">{decided.against.content}</p>}
      {decided.diff && (
        <p className="diff">
          {decided.diff.map((part, index) =>
            part.change === "removed" ? <del key={index}>{part.text}</del> : part.change === "added" ? <ins key={index}>{part.text}</ins> : <span key={index}>{part.text}</span>,
          )}
        </p>
      )}
      {error && <p className="alert">{error}</p>}
      <div className="actions">
        {decided.memory && <button onClick={undo}>Undo</button>}
        <button className="quiet-button" onClick={onClose}>
          Close
        </button>
        {decided.decision !== "create" && decided.confidence !== undefined && <span className="numbers">such a decision is right {Math.round(decided.confidence * 100)} times of 100</span>}
      </div>
    </div>
  );
}

const sentence = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
