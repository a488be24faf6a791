// The objects of what is shown, as a list, the lost ones too, and the one under the pointer.

import { byId, element, foreign, nameOf, swatch } from "./elements.js";
import { styleOf } from "./palette.js";

/** A short text for an object on the picture. */
export const titleOf = ({ id, label }) => `${id} ${label}`.trim();

/** Distance and size of an object in words; empty without depth. */
export function placeOf({ distance, size }) {
  const parts = [];
  if (typeof distance === "number") parts.push(`${distance.toFixed(2)} m away`);
  if (size?.length === 3) parts.push(`${size.map((m) => (100 * m).toFixed(0)).join(" × ")} cm`);
  return parts.join(", ");
}

/** List objects. */
export function listObjects(objects) {
  const list = byId("objects");
  const rows = objects.map(({ id, label, goal, lost, score, distance, size }) => ({
    id, label, goal, lost, score: score.toFixed(2), place: placeOf({ distance, size }),
  })); // prettier-ignore
  const text = JSON.stringify(rows);
  if (list.dataset.shown === text) return;
  list.dataset.shown = text;
  list.replaceChildren(...rows.map(row));
  byId("no-objects").hidden = rows.length > 0;
}

function row({ id, label, goal, lost, score, place }) {
  const state = lost ? "lost" : [score, place].filter(Boolean).join(", ");
  const name = element("span.text", {}, `${id} `, foreign(label || nameOf(goal)));
  return element(
    lost ? "li.object.lost" : "li.object",
    { "data-id": id },
    swatch(styleOf(goal).css),
    name,
    element("span.state", {}, state),
  );
}

/** Show what is known about an object beside the pointer; null hides it. */
export function showTip(object, [left, top], width) {
  const tip = byId("tip");
  tip.hidden = !object;
  if (!object) return;
  const known = [`score ${object.score.toFixed(2)}`, placeOf(object)].filter(Boolean);
  const name = element("strong", {}, foreign(titleOf(object)));
  const lines = [nameOf(object.goal), known.join(", ")].map((line) => element("span", {}, line));
  tip.replaceChildren(name, ...lines);
  tip.style.setProperty("--left", `${Math.min(left + 14, Math.max(0, width - 180))}px`);
  tip.style.setProperty("--top", `${top + 14}px`);
}
