// The page: signed in or not, the list of conversations, the one that is open.

import { Icon } from "./Icon";
import { useCallback, useEffect, useRef, useState } from "react";
import { flushSync } from "react-dom";
import { api, ApiError, type Model } from "./api";
import { useReachable } from "./connection";
import { useConversation } from "./conversation";
import { drafts } from "./drafts";
import { Help } from "./Help";
import { MemoryPage } from "./memory/MemoryPage";
import { ModelPicker, ThreadsNote } from "./ModelPicker";
import { Sidebar } from "./Sidebar";
import { SignIn } from "./SignIn";
import { Thread } from "./Thread";

const SECRET = /^#sign-in=([0-9a-f]+)$/;
const MODELS_EVERY_MS = 3000;
let signingIn: Promise<unknown> | undefined;

/** Exchanges the secret of a sign-in link, once, and takes it out of the address. */
function signIn(): Promise<unknown> {
  const secret = SECRET.exec(location.hash)?.[1];
  if (secret) {
    history.replaceState(null, "", location.pathname);
    signingIn = api.signIn(secret);
  }
  return signingIn ?? Promise.resolve();
}

// A sign-in link that is opened in a tab with the page changes only what is behind `#`: the page begins anew with it, so
// that nothing is left of whoever was signed in.
addEventListener("hashchange", () => {
  if (SECRET.test(location.hash)) location.reload();
});

/** The conversation that the address names. */
const addressed = () => /^\/c\/(conv_[0-9a-f]+)$/.exec(location.pathname)?.[1];
/** Whether it names the memory page. */
const atMemory = () => location.pathname === "/memory";

export function App() {
  const [signedIn, setSignedIn] = useState<boolean>();
  const [reason, setReason] = useState<string>();
  const reachable = useReachable();

  // Asked at first, and again when the server is back.
  useEffect(() => {
    if (signedIn || !reachable) return;
    signIn()
      .catch((cause: ApiError) => setReason(cause.message))
      .then(() => api.me())
      .then(({ user_id }) => {
        drafts.open(user_id);
        setSignedIn(true);
      })
      .catch((cause: ApiError) => {
        setSignedIn(false);
        if (cause.unreachable) setReason(cause.message);
      });
  }, [reachable]);

  if (signedIn === undefined) return <main className="blank" aria-busy="true" aria-label="Lar is opening" />;
  if (!signedIn) return <SignIn reason={reason} />;
  return <House onSignedOut={() => setSignedIn(false)} />;
}

function House({ onSignedOut }: { onSignedOut: () => void }) {
  const [id, setId] = useState(addressed);
  const [memory, setMemory] = useState(atMemory);
  const [temporary, setTemporary] = useState(false);
  const [models, setModels] = useState<Model[]>();
  const [model, setModel] = useState<string>();
  const [listed, setListed] = useState(0);
  const [drawer, setDrawer] = useState(false);
  const [help, setHelp] = useState(false);
  const search = useRef<HTMLInputElement>(null);
  const reachable = useReachable();

  const open = useCallback((next?: string) => {
    setId(next);
    setMemory(false);
    setDrawer(false);
    history.pushState(null, "", next ? `/c/${next}` : "/");
  }, []);
  const openMemory = useCallback(() => {
    setId(undefined);
    setMemory(true);
    setDrawer(false);
    history.pushState(null, "", "/memory");
  }, []);
  const changed = useCallback(() => setListed((count) => count + 1), []);
  const state = useConversation(id, model, temporary, open, changed);

  useEffect(() => {
    const back = () => {
      setId(addressed());
      setMemory(atMemory());
    };
    addEventListener("popstate", back);
    return () => removeEventListener("popstate", back);
  }, []);

  const refresh = useCallback(() => api.models().then(({ data }) => setModels(data), () => {}), []);
  // Models change when someone uses them here or elsewhere: looked at again when the page is, and while one loads.
  const loading = models?.some((model) => model.state === "loading") ?? false;
  const phase = state.progress?.phase;
  useEffect(() => {
    if (!reachable) return;
    refresh();
    addEventListener("focus", refresh);
    return () => removeEventListener("focus", refresh);
  }, [refresh, phase, reachable]);
  useEffect(() => {
    if (!loading || !reachable) return;
    const timer = setInterval(refresh, MODELS_EVERY_MS);
    return () => clearInterval(timer);
  }, [refresh, loading, reachable]);

  // A conversation goes on with its own model.
  const own = state.conversation?.model;
  useEffect(() => setModel(own), [own, id]);

  const title = state.conversation?.title;
  useEffect(() => {
    document.title = memory ? "Memory – Lar" : title ? `${title} – Lar` : "Lar";
  }, [title, memory]);

  const { stop, progress, messages } = state;
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      const command = event.ctrlKey || event.metaKey;
      const key = event.key.toLowerCase();
      if (event.key === "Escape" && help) setHelp(false);
      else if (event.key === "Escape" && drawer) setDrawer(false);
      // The message box stops the answer by itself, and an edited message gives up its edit.
      else if (event.key === "Escape" && progress && !event.defaultPrevented) void stop();
      else if (command && event.shiftKey && key === "o") open();
      else if (command && key === "k") {
        // The list must be there before it can be focused, and the next key must find it so.
        flushSync(() => setDrawer(true));
        search.current?.focus();
      } else if (command && event.shiftKey && key === "c") {
        const last = messages.findLast((message) => message.role === "assistant");
        if (last) void navigator.clipboard.writeText(last.content);
      } else if (command && key === "/") setHelp((shown) => !shown);
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, [help, drawer, progress, stop, open, messages]);

  return (
    <div className={drawer ? "house with-drawer" : "house"}>
      <a
        className="skip"
        href={memory ? "#memories" : "#message"}
        onClick={(event) => {
          event.preventDefault();
          document.getElementById(memory ? "memories" : "message")?.focus();
        }}
      >
        {memory ? "Go to the memories" : "Go to the message box"}
      </a>
      <Sidebar
        open={open}
        openMemory={openMemory}
        memory={memory}
        current={id}
        listed={listed}
        search={search}
        onHelp={() => setHelp(true)}
        onClose={() => setDrawer(false)}
        onSignOut={() => {
          drafts.clear();
          api.signOut().then(onSignedOut, onSignedOut);
        }}
      />
      {drawer && <div className="scrim" onClick={() => setDrawer(false)} />}
      {memory ? (
        <MemoryPage onDrawer={() => setDrawer(true)} drawer={drawer} onConversation={open} />
      ) : (
        <main>
          <div>
            <header>
              <button className="icon only-narrow" aria-label="Conversations" aria-expanded={drawer} onClick={() => setDrawer(true)}>
                <Icon name="menu" />
              </button>
              <h1>{title || (id ? "Conversation" : "New conversation")}</h1>
              {!id && (
                <label className="check" title="Neither recalls nor remembers, is in no list, and goes a day after its last word">
                  <input type="checkbox" checked={temporary} onChange={(event) => setTemporary(event.target.checked)} /> Temporary
                </label>
              )}
              {state.conversation?.temporary && <span className="chip">temporary</span>}
              <ModelPicker models={models} value={model} onChange={setModel} />
            </header>
            <ThreadsNote models={models} value={model} />
          </div>
          <Thread key={id ? "open" : "new"} id={id} state={state} models={models} onModelsChanged={refresh} />
        </main>
      )}
      {help && <Help onClose={() => setHelp(false)} />}
    </div>
  );
}
