// The memory activity of a turn: the memories that were recalled and why, reminders, what was saved, forgotten or
// scheduled, with an undo, and questions about memories that the message makes outdated.

import { useState } from "react";
import { ApiError, type MemoryActivity as Activity } from "./api";
import { memoryApi } from "./memory/api";
import { ReminderActivity } from "./ReminderActivity";

const memories = memoryApi();

export function MemoryActivity({ activity }: { activity: Activity }) {
  const [undoStatus, setUndoStatus] = useState<string>();
  const { recalled = [], saved = [], forgotten = [], suggested = [], listed = [] } = activity;
  const { reminders = [], scheduled = [], refused = [] } = activity;
  const citedCount = recalled.filter((memory) => memory.cited).length;
  const changed = [...saved, ...forgotten].filter(({ id }) => id);
  const undo = async () => {
    // One undo reverts everything that one decision changed.
    const decisions = new Map(changed.map((memory) => [memory.change ?? memory.id, memory]));
    try {
      for (const { id, change } of decisions.values()) await memories.undo(id, change);
      for (const { id } of scheduled) await memories.updateReminder(id, { status: "cancelled" });
      setUndoStatus("Undone.");
    } catch (cause) {
      setUndoStatus(cause instanceof ApiError ? cause.message : "Could not undo this. Try again.");
    }
  };
  return (
    <div className="memory-activity">
      {recalled.length > 0 && (
        <details>
          <summary>
            Recalled {recalled.length} {recalled.length === 1 ? "memory" : "memories"}
            {citedCount > 0 && `, ${recalled.length === 1 ? "" : `${citedCount} `}cited in the answer`}
          </summary>
          <ul>
            {recalled.map((memory) => (
              <li key={memory.id}>
                {memory.cited && <strong>Cited: </strong>}
                <Content of={memory} /> <span className="quiet">{memory.day}, {memory.reason}</span>
              </li>
            ))}
          </ul>
        </details>
      )}
      {reminders.map((reminder) => (
        <ReminderActivity key={reminder.id} reminder={reminder} />
      ))}
      {scheduled.map((reminder) => (
        <p key={reminder.id}>
          <strong>Will remind you:</strong> <Content of={reminder} /> <span className="quiet">{reminder.reason}</span>
        </p>
      ))}
      {saved.map((memory) => (
        <p key={memory.id}>
          <strong>{memory.decision === "reinforce" ? "Already saved:" : "Saved:"}</strong> <Content of={memory} />
          {memory.superseded_content && <span className="old">{memory.superseded_content}</span>}
        </p>
      ))}
      {forgotten.map((memory) => (
        <p key={`${memory.id} ${memory.content}`}>
          <strong>Forgotten:</strong> <Content of={memory} />
        </p>
      ))}
      {listed.length > 0 && (
        <details open>
          <summary>
            {listed.length} {listed.length === 1 ? "memory" : "memories"} about this
          </summary>
          <ul>
            {listed.map((memory) => (
              <li key={memory.id}>
                <Content of={memory} /> <span className="quiet">{memory.day}</span>
              </li>
            ))}
          </ul>
        </details>
      )}
      {suggested.map((memory) =>
        memory.candidate && memory.outdated_content ? (
          <Question key={memory.content} candidate={memory.candidate} outdated={memory.outdated_content} />
        ) : (
          <p key={memory.content} className="quiet">
            Added to the inbox: {memory.content}
          </p>
        ),
      )}
      {refused.map((reason) => (
        <p key={reason} className="alert">
          {reason}
        </p>
      ))}
      {changed.length + scheduled.length > 0 && (undoStatus ? <p role="status">{undoStatus}</p> : <button onClick={undo}>Undo</button>)}
    </div>
  );
}

function Content({ of: { content } }: { of: { content?: string } }) {
  return content ? <>{content}</> : <span className="quiet">(erased)</span>;
}

/** Asks whether the message replaces a memory. */
function Question({ candidate, outdated }: { candidate: string; outdated: string }) {
  const [answer, setAnswer] = useState<string>();
  const handle = (action: Promise<unknown>, done: string) =>
    action.then(
      () => setAnswer(done),
      (cause) => setAnswer(cause instanceof ApiError ? cause.message : "Could not save this. Try again."),
    );
  return (
    <div>
      <p>
        Your memory says: “{outdated}”. {answer ? <span role="status">{answer}</span> : "Update it?"}
      </p>
      {!answer && (
        <div className="choices">
          <button onClick={() => handle(memories.acceptEntry(candidate), "Updated.")}>Update</button>
          <button onClick={() => handle(memories.acceptEntry(candidate, undefined, true), "Both are saved.")}>Keep both</button>
          <button onClick={() => handle(memories.rejectEntry(candidate), "Nothing changed.")}>No</button>
        </div>
      )}
    </div>
  );
}
