// What a screen reader says, and what stands below the page for a while.

import { byId, element } from "./elements.js";

const SHOWN_FOR = 8000;
const MOST = 4;

/** Let a screen reader say a text, after what it says now. */
export function say(text) {
  const place = byId("spoken");
  while (place.childElementCount >= 20) place.firstElementChild.remove();
  place.append(element("p", {}, text));
}

/** Show a notice; level is ok, warn or error. Errors stay until they are closed. */
export function notify(level, text) {
  const place = byId("notices");
  const known = Array.from(place.children).find((item) => item.dataset.text === text);
  known?.remove();
  while (place.childElementCount >= MOST) place.firstElementChild.remove();
  const close = () => item.remove();
  const attributes = { type: "button", "aria-label": "Close notice", onclick: close };
  const button = element("button", attributes, "✕");
  const item = element(`li.notice.${level}`, {}, element("bdi", {}, text), button);
  item.dataset.text = text;
  place.append(item);
  if (level !== "error") setTimeout(close, SHOWN_FOR);
}
