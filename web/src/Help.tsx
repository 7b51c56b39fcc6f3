// The keyboard's shortcuts.

import { useEffect, useRef } from "react";

const KEYS = [
  ["Enter", "Send"],
  ["Shift + Enter", "New line"],
  ["Esc", "Stop the answer"],
  ["Ctrl + Shift + O", "New conversation"],
  ["Ctrl + K", "Search conversations"],
  ["Ctrl + Shift + C", "Copy the last answer"],
  ["Ctrl + /", "Show or hide this"],
];

export function Help({ onClose }: { onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} onClose={onClose} aria-labelledby="help-title">
      <h2 id="help-title">Keyboard</h2>
      <dl>
        {KEYS.map(([keys, what]) => (
          <div key={keys}>
            <dt>
              <kbd>{keys}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <button className="primary" onClick={onClose}>
        Close
      </button>
    </dialog>
  );
}
