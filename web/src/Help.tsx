// The dialog that lists the keyboard shortcuts.

import { useEffect, useRef } from "react";

const SHORTCUTS = [
  ["Enter", "Send the message"],
  ["Shift + Enter", "Start a new line"],
  ["Esc", "Stop the answer"],
  ["Ctrl + Shift + O", "Start a new conversation"],
  ["Ctrl + K", "Search conversations"],
  ["Ctrl + Shift + C", "Copy the last answer"],
  ["Ctrl + /", "Show or hide keyboard shortcuts"],
];

export function Help({ onClose }: { onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} onClose={onClose} aria-labelledby="help-title">
      <h2 id="help-title">Keyboard shortcuts</h2>
      <dl>
        {SHORTCUTS.map(([keys, action]) => (
          <div key={keys}>
            <dt>
              <kbd>{keys}</kbd>
            </dt>
            <dd>{action}</dd>
          </div>
        ))}
      </dl>
      <button className="primary" onClick={onClose}>
        Close
      </button>
    </dialog>
  );
}
