// The keys of the page. Letters work on the picture alone, so that they disturb no typing.

import { byId } from "./elements.js";

const TYPING = "input, textarea, select, [contenteditable]";

/** @param actions {cancel, pause, correct, undo, deleteObject, newObject, save, follow}. */
export function startKeys(actions) {
  const dialog = byId("help");
  byId("show-help").addEventListener("click", () => dialog.showModal());
  byId("close-help").addEventListener("click", () => dialog.close());

  document.addEventListener("keydown", (event) => {
    if (event.altKey || dialog.open) return;
    const isTyping = event.target.closest(TYPING) !== null;
    if (event.key === "Escape") actions.cancel();
    else if (isTyping) return;
    else if ((event.ctrlKey || event.metaKey) && event.key === "z") actions.undo();
    else if (event.ctrlKey || event.metaKey) return;
    else if (event.key === "/") byId("question").focus();
    else if (event.key === "?") dialog.showModal();
    else if (event.target.id === "stage" && onPicture(event.key, actions));
    else return;
    event.preventDefault();
  });
}

function onPicture(key, actions) {
  const found = {
    " ": actions.pause,
    c: actions.correct,
    u: actions.undo,
    n: actions.newObject,
    s: actions.save,
    f: actions.follow,
    Delete: actions.deleteObject,
    Backspace: actions.deleteObject,
  }[key];
  found?.();
  return found !== undefined;
}
