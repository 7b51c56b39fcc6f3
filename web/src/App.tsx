// The root component: the sign-in screen, or the sidebar with the open conversation or the memory page.

import { Icon } from "./Icon";
import { useCallback, useEffect, useRef, useState } from "react";
import { flushSync } from "react-dom";
import { api, ApiError, type Model } from "./api";
import { useReachable } from "./connection";
import { drafts } from "./drafts";
import { Help } from "./Help";
import { MemoryPage } from "./memory/MemoryPage";
import { ModelPicker, ThreadsNote } from "./ModelPicker";
import { Sidebar } from "./Sidebar";
import { SignIn } from "./SignIn";
import { Thread } from "./Thread";
import { useConversation } from "./useConversation";

const SIGN_IN_HASH = /^#sign-in=([0-9a-f]+)$/;
const MODELS_POLL_MS = 3000;
let signInRequest: Promise<unknown> | undefined;

/** Exchanges the secret of a sign-in link for a session, once, and removes it from the URL. */
function signIn(): Promise<unknown> {
  const secret = SIGN_IN_HASH.exec(location.hash)?.[1];
  if (secret) {
    history.replaceState(null, "", location.pathname);
    signInRequest = api.signIn(secret);
  }
  return signInRequest ?? Promise.resolve();
}

// A sign-in link that is opened in a tab with the page changes only the URL's hash. Reload the page, so that no state of
// the previous user remains.
addEventListener("hashchange", () => {
  if (SIGN_IN_HASH.test(location.hash)) location.reload();
});

/** The id of the conversation in the URL. */
const conversationInUrl = () => /^\/c\/(conv_[0-9a-f]+)$/.exec(location.pathname)?.[1];
/** Whether the URL is that of the memory page. */
const isMemoryUrl = () => location.pathname === "/memory";

export function App() {
  const [isSignedIn, setIsSignedIn] = useState<boolean>();
  const [signInError, setSignInError] = useState<string>();
  const isReachable = useReachable();

  // Runs when the page opens, and again when the server is reachable again.
  useEffect(() => {
    if (isSignedIn || !isReachable) return;
    signIn()
      .catch((cause: ApiError) => setSignInError(cause.message))
      .then(() => api.me())
      .then(({ user_id }) => {
        drafts.open(user_id);
        setIsSignedIn(true);
      })
      .catch((cause: ApiError) => {
        setIsSignedIn(false);
        if (cause.isUnreachable) setSignInError(cause.message);
      });
  }, [isReachable]);

  if (isSignedIn === undefined) return <main className="blank" aria-busy="true" aria-label="Loading Lar" />;
  if (!isSignedIn) return <SignIn error={signInError} />;
  return <SignedInApp onSignedOut={() => setIsSignedIn(false)} />;
}

function SignedInApp({ onSignedOut }: { onSignedOut: () => void }) {
  const [id, setId] = useState(conversationInUrl);
  const [isMemoryOpen, setIsMemoryOpen] = useState(isMemoryUrl);
  const [isTemporary, setIsTemporary] = useState(false);
  const [models, setModels] = useState<Model[]>();
  const [model, setModel] = useState<string>();
  const [listVersion, setListVersion] = useState(0);
  const [isDrawerOpen, setIsDrawerOpen] = useState(false);
  const [isHelpOpen, setIsHelpOpen] = useState(false);
  const searchInput = useRef<HTMLInputElement>(null);
  const isReachable = useReachable();

  const openConversation = useCallback((next?: string) => {
    setId(next);
    setIsMemoryOpen(false);
    setIsDrawerOpen(false);
    history.pushState(null, "", next ? `/c/${next}` : "/");
  }, []);
  const openMemory = useCallback(() => {
    setId(undefined);
    setIsMemoryOpen(true);
    setIsDrawerOpen(false);
    history.pushState(null, "", "/memory");
  }, []);
  const reloadList = useCallback(() => setListVersion((version) => version + 1), []);
  const state = useConversation(id, model, isTemporary, openConversation, reloadList);

  useEffect(() => {
    const handlePopState = () => {
      setId(conversationInUrl());
      setIsMemoryOpen(isMemoryUrl());
    };
    addEventListener("popstate", handlePopState);
    return () => removeEventListener("popstate", handlePopState);
  }, []);

  const loadModels = useCallback(() => api.models().then(({ data }) => setModels(data), () => {}), []);
  // The state of a model changes when a user uses it, here or in another client. The page reads the models again when its
  // window gets the focus, when the phase of an answer changes, and every few seconds while a model loads.
  const isLoading = models?.some((model) => model.state === "loading") ?? false;
  const phase = state.progress?.phase;
  useEffect(() => {
    if (!isReachable) return;
    loadModels();
    addEventListener("focus", loadModels);
    return () => removeEventListener("focus", loadModels);
  }, [loadModels, phase, isReachable]);
  useEffect(() => {
    if (!isLoading || !isReachable) return;
    const timer = setInterval(loadModels, MODELS_POLL_MS);
    return () => clearInterval(timer);
  }, [loadModels, isLoading, isReachable]);

  // A conversation continues with its own model.
  const conversationModel = state.conversation?.model;
  useEffect(() => setModel(conversationModel ?? undefined), [conversationModel, id]);

  const title = state.conversation?.title;
  useEffect(() => {
    document.title = isMemoryOpen ? "Memory – Lar" : title ? `${title} – Lar` : "Lar";
  }, [title, isMemoryOpen]);

  const { stop, progress, messages } = state;
  useEffect(() => {
    const handleKeyDown = (event: KeyboardEvent) => {
      const isCommand = event.ctrlKey || event.metaKey;
      const key = event.key.toLowerCase();
      if (event.key === "Escape" && isHelpOpen) setIsHelpOpen(false);
      else if (event.key === "Escape" && isDrawerOpen) setIsDrawerOpen(false);
      // The message box itself stops the answer on Escape, and an edited message cancels its edit.
      else if (event.key === "Escape" && progress && !event.defaultPrevented) void stop();
      else if (isCommand && event.shiftKey && key === "o") openConversation();
      else if (isCommand && key === "k") {
        // Render the drawer first: its search box must exist before it can get the focus and the next key.
        flushSync(() => setIsDrawerOpen(true));
        searchInput.current?.focus();
      } else if (isCommand && event.shiftKey && key === "c") {
        const lastAnswer = messages.findLast((message) => message.role === "assistant");
        if (lastAnswer) void navigator.clipboard.writeText(lastAnswer.content);
      } else if (isCommand && key === "/") setIsHelpOpen((isOpen) => !isOpen);
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", handleKeyDown);
    return () => removeEventListener("keydown", handleKeyDown);
  }, [isHelpOpen, isDrawerOpen, progress, stop, openConversation, messages]);

  return (
    <div className={isDrawerOpen ? "layout with-drawer" : "layout"}>
      <a
        className="skip"
        href={isMemoryOpen ? "#memories" : "#message"}
        onClick={(event) => {
          event.preventDefault();
          document.getElementById(isMemoryOpen ? "memories" : "message")?.focus();
        }}
      >
        {isMemoryOpen ? "Skip to memories" : "Skip to message box"}
      </a>
      <Sidebar
        openConversation={openConversation}
        openMemory={openMemory}
        isMemoryOpen={isMemoryOpen}
        currentId={id}
        listVersion={listVersion}
        searchInput={searchInput}
        onHelp={() => setIsHelpOpen(true)}
        onClose={() => setIsDrawerOpen(false)}
        onSignOut={() => {
          drafts.clear();
          api.signOut().then(onSignedOut, onSignedOut);
        }}
      />
      {isDrawerOpen && <div className="scrim" onClick={() => setIsDrawerOpen(false)} />}
      {isMemoryOpen ? (
        <MemoryPage onOpenDrawer={() => setIsDrawerOpen(true)} isDrawerOpen={isDrawerOpen} onOpenConversation={openConversation} />
      ) : (
        <main>
          <div>
            <header>
              <button className="icon only-narrow" aria-label="Open sidebar" aria-expanded={isDrawerOpen} onClick={() => setIsDrawerOpen(true)}>
                <Icon name="menu" />
              </button>
              <h1>{title || (id ? "Conversation" : "New conversation")}</h1>
              {!id && (
                <label className="check" title="Temporary conversation: uses no memory, appears in no list, and is deleted 24 hours after its last message">
                  <input type="checkbox" checked={isTemporary} onChange={(event) => setIsTemporary(event.target.checked)} /> Temporary
                </label>
              )}
              {state.conversation?.temporary && <span className="chip">Temporary</span>}
              <ModelPicker models={models} value={model} onChange={setModel} />
            </header>
            <ThreadsNote models={models} value={model} />
          </div>
          <Thread key={id ? "open" : "new"} id={id} state={state} models={models} onModelsChanged={loadModels} />
        </main>
      )}
      {isHelpOpen && <Help onClose={() => setIsHelpOpen(false)} />}
    </div>
  );
}
