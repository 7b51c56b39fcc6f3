// Drafts: text that was typed and that the server has not accepted yet. Each conversation and each edited message has one.
// Drafts are kept in sessionStorage: a reload does not lose them, and closing the tab deletes them. Text that is being sent
// is kept too, until the server accepts it.
//
// Drafts belong to one user. Another user who signs in in the same tab does not see them. The same user finds them again
// after an expired session. Signing out deletes them.

interface Draft {
  /** The text in the input. */
  text: string;
  /** Text that was sent from the input and that the server has not accepted yet. */
  sending?: string;
  /** Text put back into the input although the server may have accepted it: the connection broke before a response. */
  unsure?: string;
}

const EMPTY: Draft = { text: "" };
/** The id of the signed-in user. Without one, no draft is kept. */
let userId: string | undefined;
/** The drafts of that user, by key. */
const draftsByKey = new Map<string, Draft>();
const listeners = new Map<string, Set<() => void>>();

/** The draft key of a conversation, or of a new one. The draft key of an edited message is the message's id. */
export const draftKey = (conversation?: string) => conversation ?? "new";

const join = (...texts: (string | undefined)[]) => texts.filter(Boolean).join("\n\n");

/** The prefix of a user's keys in sessionStorage. */
const storagePrefix = (user: string) => `lar.draft.${user}.`;

export const drafts = {
  /** Loads the drafts of the user who has signed in, and of no other user. */
  open(user: string) {
    if (user === userId) return;
    userId = user;
    draftsByKey.clear();
    // If the page was closed or reloaded during a send, it does not know whether the server accepted the text.
    for (const name of storedNames(user)) {
      try {
        const { text, sending, unsure }: Draft = JSON.parse(sessionStorage.getItem(name)!);
        store(name.slice(storagePrefix(user).length), { text: join(sending, text), unsure: sending ?? unsure });
      } catch {
        // Not a draft of this page.
      }
    }
  },
  read: (key: string) => (draftsByKey.get(key) ?? EMPTY).text,
  /** Updates the text of an input after a user typed. */
  setText: (key: string, text: string) => store(key, { ...draftsByKey.get(key), text }),
  /** Empties the input and keeps its text until the server accepts it. */
  startSending: (key: string, text: string) => store(key, { text: "", sending: text }),
  /** Drops the sent text, because the server accepted it. */
  confirmSent: (key: string) => store(key, { text: drafts.read(key) }),
  /** Puts the sent text back into the input, before any text typed since. `unsure`: the server may have accepted it. */
  restoreUnsent(key: string, unsure: boolean) {
    const { text, sending } = draftsByKey.get(key) ?? EMPTY;
    store(key, { text: join(sending, text), unsure: unsure ? sending : undefined });
    notify(key);
  },
  /** Removes restored text from the input if the server accepted it after all: if its latest user message is that text. */
  reconcile(key: string, latestMessage?: string) {
    const { text, unsure } = draftsByKey.get(key) ?? EMPTY;
    if (unsure === undefined) return;
    const isAccepted = latestMessage === unsure && (text === unsure || text.startsWith(`${unsure}\n\n`));
    store(key, { text: isAccepted ? text.slice(unsure.length + 2) : text });
    if (isAccepted) notify(key);
  },
  /** Moves the draft of a new conversation to the id that the server gave the conversation. */
  move(from: string, to: string) {
    store(to, draftsByKey.get(from) ?? EMPTY);
    store(from, EMPTY);
  },
  discard: (key: string) => store(key, EMPTY),
  /** Deletes all drafts of the user, who signs out. */
  clear() {
    for (const name of userId ? storedNames(userId) : []) sessionStorage.removeItem(name);
    userId = undefined;
    draftsByKey.clear();
  },
  /** Calls `listener` when the text of an input changes in another way than by typing. Returns the unsubscribe function. */
  subscribe(key: string, listener: () => void): () => void {
    const subscribed = listeners.get(key) ?? new Set();
    listeners.set(key, subscribed.add(listener));
    return () => {
      subscribed.delete(listener);
      if (subscribed.size === 0) listeners.delete(key);
    };
  },
};

function store(key: string, draft: Draft) {
  if (!userId) return;
  const isEmpty = !draft.text && draft.sending === undefined;
  if (isEmpty) draftsByKey.delete(key);
  else draftsByKey.set(key, draft);
  try {
    if (isEmpty) sessionStorage.removeItem(storagePrefix(userId) + key);
    else sessionStorage.setItem(storagePrefix(userId) + key, JSON.stringify(draft));
  } catch {
    // sessionStorage is disabled or full: the draft lasts until the page is closed or reloaded.
  }
}

function notify(key: string) {
  for (const listener of listeners.get(key) ?? []) listener();
}

/** The keys of a user's drafts in sessionStorage. */
function storedNames(user: string): string[] {
  try {
    return Object.keys(sessionStorage).filter((name) => name.startsWith(storagePrefix(user)));
  } catch {
    return [];
  }
}
