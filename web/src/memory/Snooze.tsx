// The choice for how long a reminder is snoozed.

import { useState } from "react";

/** The hour of the day at which a snooze of days ends, in local time. */
const SNOOZE_END_HOUR = 9;
const HOUR_MS = 3_600_000;
const TIME = { hour: "numeric", minute: "2-digit" } as const;

/** The ends of a snooze from which a person can choose: in an hour, and at nine on a later day. */
function listSnoozes() {
  const morning = (days: number) => {
    const end = new Date();
    end.setDate(end.getDate() + days);
    end.setHours(SNOOZE_END_HOUR, 0, 0, 0);
    return end;
  };
  return [
    { name: "1 hour", end: new Date(Date.now() + HOUR_MS), format: TIME },
    { name: "Tomorrow", end: morning(1), format: { ...TIME, weekday: "short" } },
    { name: "Next week", end: morning(7), format: { ...TIME, weekday: "short", day: "numeric", month: "short" } },
  ] satisfies { name: string; end: Date; format: Intl.DateTimeFormatOptions }[];
}

interface SnoozeProps {
  /** The text of the reminder, for the names of the buttons. */
  label: string;
  /** Receives the time at which the snooze ends (RFC 3339). */
  onSnooze: (until: string) => void;
}

/** A button that shows for how long a reminder can be snoozed. */
export function Snooze({ label, onSnooze }: SnoozeProps) {
  const [isOpen, setIsOpen] = useState(false);
  return (
    <>
      <button aria-expanded={isOpen} aria-label={`Snooze: ${label}`} onClick={() => setIsOpen(!isOpen)}>
        Snooze
      </button>
      {isOpen && (
        <span className="choices" role="group" aria-label={`Snooze until: ${label}`}>
          {listSnoozes().map(({ name, end, format }) => (
            <button
              key={name}
              onClick={() => {
                setIsOpen(false);
                onSnooze(end.toISOString());
              }}
            >
              {name} <span className="quiet">{end.toLocaleString(undefined, format)}</span>
            </button>
          ))}
        </span>
      )}
    </>
  );
}
