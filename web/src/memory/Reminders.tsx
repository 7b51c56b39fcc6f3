// The reminders: those that are open, the next one first, and those that are done or cancelled.

import { useCallback, useEffect, useMemo, useState, type FormEvent } from "react";
import { ApiError, type Schemas } from "../api";
import { formatDateTime, spaceName, type MemoryApi, type Reminder, type Space } from "./api";
import { canSnooze, describeTrigger, isDue, snoozedUntil } from "./due";
import { Snooze } from "./Snooze";
import { usePages } from "./usePages";
import { useUndo } from "./useUndo";

type Change = Schemas["IntentionPatch"];

interface Props {
  memories: MemoryApi;
  spaces: Space[];
}

export function Reminders({ memories, spaces }: Props) {
  const [error, setError] = useState<string>();
  const fail = useCallback((cause: unknown) => setError(cause instanceof ApiError ? cause.message : String(cause)), []);
  const open = usePages(useCallback((limit: number, after?: string) => memories.listReminders("active", limit, after), [memories]));
  const done = usePages(useCallback((limit: number, after?: string) => memories.listReminders("done", limit, after), [memories]));
  const cancelled = usePages(useCallback((limit: number, after?: string) => memories.listReminders("cancelled", limit, after), [memories]));
  const { offer, notice } = useUndo(fail);
  const lists = [open.reload, done.reload, cancelled.reload];
  // The functions of each list change only with the space.
  // eslint-disable-next-line react-hooks/exhaustive-deps
  const reload = useCallback(() => Promise.all(lists.map((reload) => reload())).then(() => {}, fail), lists);
  useEffect(() => void reload(), [reload]);

  const upcoming = useMemo(() => [...(open.rows ?? [])].sort((one, other) => nextTime(one) - nextTime(other)), [open.rows]);
  const finished = useMemo(
    () => [...(done.rows ?? []), ...(cancelled.rows ?? [])].sort((one, other) => Date.parse(other.updated_at) - Date.parse(one.updated_at)),
    [done.rows, cancelled.rows],
  );

  /** Changes a reminder. With a text of what was decided, offers to undo it by another change. */
  const update = async (id: string, change: Change, decided?: string, reverse?: Change) => {
    setError(undefined);
    try {
      await memories.updateReminder(id, change);
    } catch (cause) {
      fail(cause);
      return false;
    } finally {
      await reload();
    }
    if (decided && reverse) await offer({ text: decided, undo: () => memories.updateReminder(id, reverse).finally(reload) });
    return true;
  };
  const remove = async ({ id }: Reminder) => {
    if (!confirm("Delete this reminder? This cannot be undone.")) return;
    setError(undefined);
    await memories.deleteReminder(id).catch(fail);
    await reload();
  };
  const loadMore = (...more: (() => Promise<void>)[]) => Promise.all(more.map((load) => load())).catch(fail);
  const cards = (reminders: Reminder[]) =>
    reminders.map((reminder) => (
      <ReminderCard
        key={reminder.id}
        reminder={reminder}
        space={spaces.find(({ id }) => id === reminder.space)}
        onUpdate={(...change) => update(reminder.id, ...change)}
        onDelete={() => remove(reminder)}
      />
    ));

  return (
    <>
      {error && (
        <p role="alert" className="alert">
          {error} <button onClick={() => setError(undefined)}>Dismiss</button>
        </p>
      )}
      {open.rows?.length === 0 && (
        <p className="quiet empty">
          You have no open reminders. Write “Remind me tomorrow at 9 to call the bank” or “Remind me to ask about the deposit when I
          mention the landlord” in a conversation.
        </p>
      )}
      <ul className="cards" aria-label="Open reminders">
        {cards(upcoming)}
      </ul>
      {open.hasMore && (
        <button className="more" onClick={() => loadMore(open.loadMore)}>
          Load more open reminders
        </button>
      )}
      {finished.length > 0 && (
        <>
          <h2 className="section">Finished</h2>
          <ul className="cards" aria-label="Finished reminders">
            {cards(finished)}
          </ul>
          {(done.hasMore || cancelled.hasMore) && (
            <button className="more" onClick={() => loadMore(done.loadMore, cancelled.loadMore)}>
              Load more finished reminders
            </button>
          )}
        </>
      )}
      {notice}
    </>
  );
}

/** The time by which open reminders are sorted. Those without a time come last. */
function nextTime(reminder: Reminder): number {
  const time = snoozedUntil(reminder) ?? reminder.trigger?.at ?? reminder.deadline;
  return time ? Date.parse(time) : Number.MAX_VALUE;
}

interface CardProps {
  reminder: Reminder;
  space?: Space;
  onUpdate: (change: Change, decided?: string, reverse?: Change) => Promise<boolean>;
  onDelete: () => void;
}

function ReminderCard({ reminder, space, onUpdate, onDelete }: CardProps) {
  const [isEditing, setIsEditing] = useState(false);
  const { content, status, priority } = reminder;
  const label = content?.slice(0, 60) ?? "";
  const snoozed = snoozedUntil(reminder);
  const isOpen = status === "active";
  return (
    <li className={isOpen ? "card" : "card past"}>
      {isEditing ? (
        <EditForm
          reminder={reminder}
          onSave={async (change) => {
            if (await onUpdate(change)) setIsEditing(false);
          }}
          onClose={() => setIsEditing(false)}
        />
      ) : (
        <>
          <p className="content">{content}</p>
          <p className="about">
            {isDue(reminder) && <span className="chip due">Due</span>}
            {!isOpen && <span className="chip">{status === "done" ? "Done" : "Cancelled"}</span>}
            {isOpen && priority !== "normal" && <span className="chip">{priority} priority</span>}
            {space && space.kind !== "personal" && <span className="chip">{spaceName(space)}</span>}
            {isOpen && snoozed && <span>Snoozed until {formatDateTime(snoozed)}</span>}
            <span>{describeTrigger(reminder)}</span>
            {!isOpen && <span>{formatDateTime(reminder.updated_at)}</span>}
          </p>
        </>
      )}
      {!isEditing && space?.access !== "read" && (
        <div className="actions">
          {isOpen ? (
            <>
              <button
                className={isDue(reminder) ? "primary" : undefined}
                aria-label={`Done: ${label}`}
                onClick={() => onUpdate({ status: "done" }, `Done: ${label}`, { status: "active", ...(snoozed && { snoozed_until: snoozed }) })}
              >
                Done
              </button>
              {snoozed ? (
                <button aria-label={`End snooze: ${label}`} onClick={() => onUpdate({ snoozed_until: null }, "Snooze ended.", { snoozed_until: snoozed })}>
                  End snooze
                </button>
              ) : (
                canSnooze(reminder) && (
                  <Snooze
                    label={label}
                    onSnooze={(until) => onUpdate({ snoozed_until: until }, `Snoozed until ${formatDateTime(until)}.`, { snoozed_until: null })}
                  />
                )
              )}
              <button className="quiet-button" aria-label={`Edit: ${label}`} onClick={() => setIsEditing(true)}>
                Edit
              </button>
            </>
          ) : (
            <button aria-label={`Reopen: ${label}`} onClick={() => onUpdate({ status: "active" }, `Reopened: ${label}`, { status })}>
              Reopen
            </button>
          )}
          <button className="quiet-button" aria-label={`Delete: ${label}`} onClick={onDelete}>
            Delete
          </button>
        </div>
      )}
    </li>
  );
}

interface EditFormProps {
  reminder: Reminder;
  onSave: (change: Change) => void;
  onClose: () => void;
}

/** The form that changes the text of a reminder, and its time, its deadline or its topics if it has them. */
function EditForm({ reminder: { content, trigger, deadline }, onSave, onClose }: EditFormProps) {
  const topics = trigger?.topics ?? [];
  const save = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const text = (name: string) => String(form.get(name) ?? "");
    const change: Change = { content: text("content") };
    // A new trigger replaces the whole old one.
    if (trigger?.at && text("at") !== toInput(trigger.at)) {
      change.trigger = { ...trigger, at: fromInput(text("at")) };
      change.snoozed_until = null;
    }
    if (topics.length > 0) change.trigger = { ...trigger, topics: text("topics").split("\n").map((topic) => topic.trim()).filter(Boolean) };
    if (deadline && text("deadline") !== toInput(deadline)) change.deadline = text("deadline") ? fromInput(text("deadline")) : null;
    onSave(change);
  };
  return (
    <form className="edit" onSubmit={save}>
      <textarea name="content" aria-label="Reminder text" rows={2} required defaultValue={content} autoFocus />
      {topics.length > 0 && (
        <label className="field">
          When you mention (one phrase per line)
          <textarea name="topics" rows={Math.max(2, topics.length)} required defaultValue={topics.join("\n")} />
        </label>
      )}
      <div className="filters">
        {trigger?.at && (
          <label className="field">
            Time
            <input type="datetime-local" name="at" required defaultValue={toInput(trigger.at)} />
          </label>
        )}
        {deadline && (
          <label className="field">
            Deadline (empty for none)
            <input type="datetime-local" name="deadline" defaultValue={toInput(deadline)} />
          </label>
        )}
        <button type="button" onClick={onClose}>
          Cancel
        </button>
        <button className="primary">Save</button>
      </div>
    </form>
  );
}

/** A time (RFC 3339) as the value of a field for a local date and time. */
function toInput(time: string): string {
  const date = new Date(time);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** The time (RFC 3339) of the value of a field for a local date and time. */
const fromInput = (value: string) => new Date(value).toISOString();
