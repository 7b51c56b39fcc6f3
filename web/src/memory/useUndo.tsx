// A decision that can be undone for a while, and the notice that offers this. The API cannot revert some decisions, such as
// to dismiss an entry of the inbox. Such a decision is carried out only when its notice closes: after some seconds, at the
// next decision, or when the person leaves the view. If the browser closes before, nothing has changed.

import { useCallback, useEffect, useRef, useState } from "react";

/** The time for which the notice of a decision is shown, while neither the pointer nor the focus is on it. */
const UNDO_MS = 8000;

export interface Decision {
  /** What was decided, as a sentence. */
  text: string;
  /** Reverts the decision. Missing for a notice that only informs. */
  undo?: () => Promise<unknown>;
  /** Carries the decision out. Missing if it has been carried out already. Must not fail. */
  commit?: () => Promise<unknown>;
}

/** Returns the function that offers to undo a decision, and the notice to show at the end of the view. */
export function useUndo(onFailed: (cause: unknown) => void) {
  const [shown, setShown] = useState<Decision>();
  const pending = useRef<Decision>(undefined);
  const number = useRef(0);
  const close = useCallback(async () => {
    const decision = pending.current;
    pending.current = undefined;
    setShown(undefined);
    await decision?.commit?.();
  }, []);
  const offer = useCallback(
    async (decision: Decision) => {
      await close();
      pending.current = decision;
      number.current++;
      setShown(decision);
    },
    [close],
  );
  useEffect(() => () => void close(), [close]);
  const undo = (decision: Decision) => {
    pending.current = undefined;
    setShown(undefined);
    decision.undo?.().catch(onFailed);
  };
  const notice = shown && <Notice key={number.current} text={shown.text} onUndo={shown.undo && (() => undo(shown))} onClose={close} />;
  return { offer, notice };
}

interface NoticeProps {
  text: string;
  onUndo?: () => void;
  onClose: () => void;
}

function Notice({ text, onUndo, onClose }: NoticeProps) {
  const [isHeld, setIsHeld] = useState(false);
  useEffect(() => {
    if (isHeld) return;
    const timer = setTimeout(onClose, UNDO_MS);
    return () => clearTimeout(timer);
  }, [isHeld, onClose]);
  return (
    <p
      role="status"
      className="toast"
      onMouseEnter={() => setIsHeld(true)}
      onMouseLeave={() => setIsHeld(false)}
      onFocus={() => setIsHeld(true)}
      onBlur={() => setIsHeld(false)}
    >
      <span>{text}</span> {onUndo && <button onClick={onUndo}>Undo</button>}
    </p>
  );
}
