// The goals in use: what was asked for each, its colour, and its buttons.

import { byId, element, foreign, nameOf, swatch } from "./elements.js";
import { forget, styleOf } from "./palette.js";

/** Keeps the goals and shows them. */
export class Goals {
  #goals = new Map(); // name: {question, isOpen, tracks, lost}
  #stopped = new Set(); // track ids whose last results may still be on their way
  #onStop;

  /** @param onStop Called with the name of a goal that shall end. */
  constructor(onStop) {
    this.#onStop = onStop;
  }

  /** What was asked last for a goal; empty if that is unknown. */
  questionOf(goal) {
    return this.#goals.get(goal)?.question ?? "";
  }

  /** The server says what is followed. */
  reset(known) {
    for (const goal of this.#goals.keys()) forget(goal);
    this.#goals.clear();
    this.#stopped.clear();
    for (const { goal, question } of known) this.#change(goal, { question });
    this.#show();
  }

  asked(goal, question) {
    this.#change(goal, { question, isOpen: true });
    this.#show();
  }

  ended(goal, hasObjects) {
    this.#change(goal, { isOpen: false });
    if (!hasObjects && !this.#goals.get(goal).tracks.length) this.#goals.delete(goal);
    this.#show();
  }

  /**
   * Objects of followed frames: the goals that are still followed are those of the objects.
   *
   * @returns The objects that nobody stopped.
   */
  followed(objects) {
    const kept = objects.filter((item) => !this.#stopped.has(item.track_id));
    const found = new Map();
    for (const { goal, lost, track_id } of kept) {
      const known = found.get(goal) ?? { tracks: [], lost: 0 };
      known.tracks.push(track_id);
      known.lost += lost ? 1 : 0;
      found.set(goal, known);
    }
    for (const [goal, known] of found) this.#change(goal, known);
    for (const [goal, { isOpen, tracks }] of this.#goals) {
      if (!found.has(goal) && !isOpen && tracks.length) this.#goals.delete(goal);
    }
    this.#show();
    return kept;
  }

  /** These objects are followed no longer, whatever results may still come. */
  replaced(trackIds) {
    for (const id of trackIds) this.#stopped.add(id);
  }

  /** A goal ended; null for all. */
  cleared(goal) {
    for (const name of goal === null ? [...this.#goals.keys()] : [goal]) {
      this.replaced(this.#goals.get(name)?.tracks ?? []);
      this.#goals.delete(name);
      forget(name);
    }
    this.#show();
  }

  #change(goal, values) {
    const none = { question: "", isOpen: false, tracks: [], lost: 0 };
    this.#goals.set(goal, { ...none, ...this.#goals.get(goal), ...values });
  }

  #show() {
    const list = byId("goals");
    const text = JSON.stringify([...this.#goals]);
    if (list.dataset.shown === text) return;
    list.dataset.shown = text;
    list.replaceChildren(...Array.from(this.#goals, ([goal, values]) => this.#row(goal, values)));
    byId("no-goals").hidden = this.#goals.size > 0;
    byId("clear-all").hidden = this.#goals.size < 2;
    const names = Array.from(this.#goals.keys(), (goal) => element("option", { value: goal }));
    byId("goal-names").replaceChildren(...names);
  }

  #row(goal, { question, isOpen, tracks, lost }) {
    const seen = `${tracks.length - lost} seen${lost ? `, ${lost} lost` : ""}`;
    const state = isOpen ? "thinking" : tracks.length ? seen : "answered";
    const name = element("strong", {}, foreign(nameOf(goal)));
    const text = element("span.text", {}, name, " ", foreign(question));
    const stop = { type: "button", onclick: () => this.#onStop(goal) };
    stop["aria-label"] = `Stop ${nameOf(goal)}`;
    return element(
      "li.goal",
      { "data-goal": goal },
      swatch(styleOf(goal).css),
      text,
      element("span.state", {}, state),
      element("button", stop, "Stop"),
    );
  }
}
