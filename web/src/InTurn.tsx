// What memory did in an answer's turn: what it was given and why, what was remembered or forgotten, with undo.

import { useState } from "react";
import { ApiError, type InTurn } from "./api";
import { memories } from "./memory/api";

const calls = memories();

export function Remembered({ memory }: { memory: InTurn }) {
  const [done, setDone] = useState<string>();
  const { recalled = [], saved = [], forgotten = [], waiting = [], refused = [] } = memory;
  const cited = recalled.filter((one) => one.cited).length;
  const changed = [...saved, ...forgotten].filter(({ id }) => id);
  const undo = async () => {
    try {
      for (const { id, change } of changed) await calls.undo(id, change);
      setDone("Taken back.");
    } catch (cause) {
      setDone(cause instanceof ApiError ? cause.message : "It could not be taken back.");
    }
  };
  return (
    <div className="in-turn">
      {recalled.length > 0 && (
        <details>
          <summary>
            Recalled {recalled.length} {recalled.length === 1 ? "memory" : "memories"}
            {cited > 0 && `, ${recalled.length === 1 ? "and the answer says it" : `${cited} of them in the answer`}`}
          </summary>
          <ul>
            {recalled.map((one) => (
              <li key={one.id}>
                {one.cited && <strong>In the answer: </strong>}
                <Content of={one} /> <span className="quiet">{one.day}, {one.reason}</span>
              </li>
            ))}
          </ul>
        </details>
      )}
      {saved.map((one) => (
        <p key={one.id}>
          <strong>{one.decision === "reinforce" ? "Known already" : "Remembered"}</strong> <Content of={one} />
          {one.instead_of && <span className="old">{one.instead_of}</span>}
        </p>
      ))}
      {forgotten.map((one) => (
        <p key={`${one.id} ${one.content}`}>
          <strong>Forgotten</strong> <Content of={one} />
        </p>
      ))}
      {waiting.map((one) => (
        <p key={one.content} className="quiet">
          Waits in the inbox: {one.content}
        </p>
      ))}
      {refused.map((reason) => (
        <p key={reason} className="alert">
          {reason}
        </p>
      ))}
      {changed.length > 0 && (done ? <p role="status">{done}</p> : <button onClick={undo}>Undo</button>)}
    </div>
  );
}

function Content({ of: { content } }: { of: { content?: string } }) {
  return content ? <>{content}</> : <span className="quiet">(its text is gone)</span>;
}
