// What was typed and is not with the server yet, one draft a conversation and one an edited message. Kept in
// sessionStorage: a reload does not lose it, and private text goes with the tab. What is being sent is kept too, until
// the server has taken it.
//
// A draft is its person's: whoever else signs in in this tab is not shown it, and who signs in again after their session
// expired finds it. Signing out forgets it.

interface Draft {
  /** What the box shows. */
  text: string;
  /** What was sent from the box and not taken by the server yet. */
  sending?: string;
  /** What came back into the box, though the server may have taken it: the connection broke before it could say. */
  unsure?: string;
}

const EMPTY: Draft = { text: "" };
/** The id of the person who is signed in. While nobody is, nothing is kept. */
let person: string | undefined;
/** Their drafts, by box. */
const all = new Map<string, Draft>();
const listeners = new Map<string, Set<() => void>>();

/** The box of a conversation, or of the one that is not begun. A message's edit has the message's id for its box. */
export const boxOf = (conversation?: string) => conversation ?? "new";

const joined = (...texts: (string | undefined)[]) => texts.filter(Boolean).join("\n\n");

/** What the names of a person's drafts begin with in sessionStorage. */
const prefixOf = (user: string) => `lar.draft.${user}.`;

export const drafts = {
  /** Takes up the drafts of the person who has signed in, and nobody else's. */
  open(user: string) {
    if (user === person) return;
    person = user;
    all.clear();
    // A page that was closed or reloaded while it was sending does not know whether the server took it.
    for (const name of stored(user)) {
      try {
        const { text, sending, unsure }: Draft = JSON.parse(sessionStorage.getItem(name)!);
        put(name.slice(prefixOf(user).length), { text: joined(sending, text), unsure: sending ?? unsure });
      } catch {
        // Not a draft of this page's.
      }
    }
  },
  read: (box: string) => (all.get(box) ?? EMPTY).text,
  /** Someone typed. */
  type: (box: string, text: string) => put(box, { ...all.get(box), text }),
  /** The box is emptied to send its text. */
  send: (box: string, text: string) => put(box, { text: "", sending: text }),
  /** The server has taken what was being sent. */
  sent: (box: string) => put(box, { text: drafts.read(box) }),
  /** The server has not taken it, or not said so: it goes back into the box, in front of what was typed meanwhile. */
  giveBack(box: string, unsure: boolean) {
    const { text, sending } = all.get(box) ?? EMPTY;
    put(box, { text: joined(sending, text), unsure: unsure ? sending : undefined });
    tell(box);
  },
  /** Takes out of the box what the server turns out to have taken: its latest message says it. */
  settle(box: string, latest?: string) {
    const { text, unsure } = all.get(box) ?? EMPTY;
    if (unsure === undefined) return;
    const taken = latest === unsure && (text === unsure || text.startsWith(`${unsure}\n\n`));
    put(box, { text: taken ? text.slice(unsure.length + 2) : text });
    if (taken) tell(box);
  },
  /** The conversation that was not begun has been. */
  move(from: string, to: string) {
    put(to, all.get(from) ?? EMPTY);
    put(from, EMPTY);
  },
  forget: (box: string) => put(box, EMPTY),
  /** Forgets all drafts of the person, who signs out. */
  clear() {
    for (const name of person ? stored(person) : []) sessionStorage.removeItem(name);
    person = undefined;
    all.clear();
  },
  /** Calls back when the text of a box changes otherwise than by typing. Returns how to end that. */
  listen(box: string, listener: () => void): () => void {
    const known = listeners.get(box) ?? new Set();
    listeners.set(box, known.add(listener));
    return () => {
      known.delete(listener);
      if (known.size === 0) listeners.delete(box);
    };
  },
};

function put(box: string, draft: Draft) {
  if (!person) return;
  const empty = !draft.text && draft.sending === undefined;
  if (empty) all.delete(box);
  else all.set(box, draft);
  try {
    if (empty) sessionStorage.removeItem(prefixOf(person) + box);
    else sessionStorage.setItem(prefixOf(person) + box, JSON.stringify(draft));
  } catch {
    // The browser keeps nothing, or has no room: the draft lasts as long as the page.
  }
}

function tell(box: string) {
  for (const listener of listeners.get(box) ?? []) listener();
}

function stored(user: string): string[] {
  try {
    return Object.keys(sessionStorage).filter((name) => name.startsWith(prefixOf(user)));
  } catch {
    return [];
  }
}
