// A reminder that an answer shows: its text and why it is due, and what the person can do about it.

import { useCallback, useEffect, useState } from "react";
import { ApiError, type MemoryActivity } from "./api";
import { formatDateTime, memoryApi, type Reminder } from "./memory/api";
import { snoozedUntil } from "./memory/due";
import { Snooze } from "./memory/Snooze";

type ShownReminder = NonNullable<MemoryActivity["reminders"]>[number];

const memories = memoryApi();

/** The requests in progress. Several answers of a conversation can show the same reminder. */
const requests = new Map<string, Promise<Reminder>>();

function getReminder(id: string): Promise<Reminder> {
  const request = requests.get(id) ?? memories.getReminder(id).finally(() => requests.delete(id));
  requests.set(id, request);
  return request;
}

export function ReminderActivity({ reminder: { id, content, reason } }: { reminder: ShownReminder }) {
  // The answer has the reminder as it was then. Its state may have changed since.
  const [reminder, setReminder] = useState<Reminder>();
  const [error, setError] = useState<string>();
  const fail = useCallback((cause: unknown) => {
    // Nothing is left to do about a reminder that was deleted.
    if (cause instanceof ApiError && cause.status === 404) setReminder(undefined);
    else setError(cause instanceof ApiError ? cause.message : "Could not change this reminder. Try again.");
  }, []);
  useEffect(() => void getReminder(id).then(setReminder, fail), [id, fail]);
  const update = (change: Parameters<typeof memories.updateReminder>[1]) => {
    setError(undefined);
    memories.updateReminder(id, change).then(setReminder, (cause) => {
      fail(cause);
      // It may have changed elsewhere.
      getReminder(id).then(setReminder, fail);
    });
  };
  const label = (content ?? "").slice(0, 60);
  const snoozed = reminder && snoozedUntil(reminder);
  // The reason names the time in UTC.
  const time = !reminder?.deadline && reminder?.trigger?.at;
  return (
    <div className="reminder">
      <p>
        <strong>Reminder:</strong> {content || <span className="quiet">(erased)</span>} <span className="quiet">{time ? `it is set for ${formatDateTime(time)}` : reason}</span>
      </p>
      {error && (
        <p role="alert" className="alert">
          {error}
        </p>
      )}
      {reminder?.status === "active" && !snoozed && (
        <div className="choices">
          <button aria-label={`Done: ${label}`} onClick={() => update({ status: "done" })}>
            Done
          </button>
          <Snooze label={label} onSnooze={(until) => update({ snoozed_until: until })} />
        </div>
      )}
      {reminder && (reminder.status !== "active" || snoozed) && (
        <p role="status">
          {snoozed ? `Snoozed until ${formatDateTime(snoozed)}.` : reminder.status === "done" ? "Done." : "Cancelled."}{" "}
          <button aria-label={`Undo: ${label}`} onClick={() => update(snoozed ? { snoozed_until: null } : { status: "active" })}>
            Undo
          </button>
        </p>
      )}
    </div>
  );
}
