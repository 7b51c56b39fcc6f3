// Whether and when a reminder is due, in words and local time.

import { formatDateTime, type Reminder } from "./api";

/** Whether a time has come. */
const isPast = (time: string) => Date.parse(time) <= Date.now();

/** The time until which a reminder is snoozed, if it still is. */
export const snoozedUntil = ({ snoozed_until }: Reminder) => (snoozed_until && !isPast(snoozed_until) ? snoozed_until : undefined);

/** Whether a reminder is due because of its time or its deadline. */
export const isDue = (reminder: Reminder) => {
  const times = [reminder.trigger?.at, reminder.deadline];
  return reminder.status === "active" && !snoozedUntil(reminder) && times.some((time) => time && isPast(time));
};

/** Whether a snooze changes something: the reminder is due, or words or work can make it due at any time. */
export const canSnooze = (reminder: Reminder) =>
  isDue(reminder) || reminder.trigger?.type === "context" || reminder.trigger?.type === "event";

/** Says what makes a reminder due, in local time. */
export function describeTrigger({ trigger, deadline }: Reminder): string {
  const { at, project, codebase, file_pattern, topics = [], condition } = trigger ?? {};
  const conditions = [
    at && formatDateTime(at),
    project && `when you work on ${project}`,
    codebase && `when you work on ${codebase}`,
    file_pattern && `when you work on a file like ${file_pattern}`,
    topics.length > 0 && `when you mention ${topics.map((topic) => `“${topic}”`).join(" or ")}`,
    condition && `when you mention “${condition}”`,
  ].filter(Boolean);
  const text = conditions.join(" and ");
  const due = at ? `Set for ${text}` : text && `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
  return [due, deadline && `Deadline ${formatDateTime(deadline)}`].filter(Boolean).join(". ") || "Has no time and no topic";
}
