// The result of saving a text: what smart ingest decided and why, with an undo.

import { ApiError } from "../api";
import { useState } from "react";
import { toSentence, type IngestResult, type MemoryApi, type Resolution } from "./api";

const DECISION_TEXTS: Record<IngestResult["decision"], string> = {
  create: "Saved.",
  reinforce: "Already saved; strengthened.",
  update: "Updated an existing memory.",
  supersede: "Saved; supersedes an older memory.",
  merge: "Merged into an existing memory.",
  reject: "Not saved.",
};

interface Props {
  result: IngestResult;
  memories: MemoryApi;
  onChanged: () => void;
  onClose: () => void;
}

export function SaveResult({ result, memories, onChanged, onClose }: Props) {
  const [error, setError] = useState<string>();
  const undo = () =>
    memories.undo(result.memory!.id).then(
      () => {
        onChanged();
        onClose();
      },
      (cause: ApiError) => setError(cause.message),
    );
  const resolve = (link: string, resolution: Resolution) =>
    memories.resolveLink(link, resolution).then(
      () => {
        onChanged();
        onClose();
      },
      (cause: ApiError) => setError(cause.message),
    );
  return (
    <div className="outcome" role="status">
      <p>
        <strong>{result.link ? "Saved. Does it replace this memory?" : DECISION_TEXTS[result.decision]}</strong> {result.reason && <span className="quiet">{toSentence(result.reason)}</span>}
      </p>
      {result.decision === "supersede" && result.against && <p className="old">{result.against.content}</p>}
      {result.link && result.against && <p>“{result.against.content}”</p>}
      {result.diff && (
        <p className="diff">
          {result.diff.map((part, index) =>
            part.change === "removed" ? <del key={index}>{part.text}</del> : part.change === "added" ? <ins key={index}>{part.text}</ins> : <span key={index}>{part.text}</span>,
          )}
        </p>
      )}
      {error && <p className="alert">{error}</p>}
      <div className="actions">
        {result.link && (
          <>
            <button className="primary" onClick={() => resolve(result.link!.id, "replace")}>
              Replace
            </button>
            <button onClick={() => resolve(result.link!.id, "keep_both")}>Keep both</button>
            <button onClick={() => resolve(result.link!.id, "merge")}>Merge</button>
          </>
        )}
        {result.memory && <button onClick={undo}>Undo</button>}
        <button className="quiet-button" onClick={onClose}>
          Close
        </button>
      </div>
    </div>
  );
}
