// The box to ask in: with the history of questions, goals, and a picture of one's own.

import { byId, element } from "./elements.js";
import { read, write } from "./memory.js";

const MOST = 50;
const EXAMPLES = {
  tabletop: ["the red ball", "the orange mug", "the blue cone"],
};
const MOST_SHOWN = 4;
const MOST_BYTES = 15 * 2 ** 20;

/** Keeps the history and the picture to ask about. */
export class Asking {
  #history = read("questions", []).filter((text) => typeof text === "string");
  #kind = "";
  #picture = null;

  /** @param on {ask({text, goal, follow, picture}), error(text)}. */
  constructor(on) {
    const form = byId("ask");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = byId("question").value.trim();
      if (!text) return byId("question").focus();
      const goal = byId("goal").value.trim();
      const follow = byId("follow").checked;
      if (!on.ask({ text, goal, follow, picture: this.#picture })) return undefined;
      this.#setPicture(null); // it is shown now: the next question is about what is shown
      this.#remember(text);
      byId("question").select();
      return undefined;
    });
    byId("file").addEventListener("change", (event) => {
      if (event.target.files[0]) this.takePicture(event.target.files[0], on.error);
      event.target.value = "";
    });
    byId("choose-file").addEventListener("click", () => byId("file").click());
    byId("drop-picture").addEventListener("click", () => this.#setPicture(null));
    this.#showHistory();
  }

  /** The kind of the source, for examples that fit. */
  setKind(kind) {
    this.#kind = kind;
    this.#showHistory();
  }

  /** Ask the next question about a file. */
  takePicture(file, onError) {
    if (file.size > MOST_BYTES) {
      onError(`${file.name} is larger than 15 MiB: make it smaller first.`);
      return;
    }
    this.#setPicture(file);
    byId("question").focus();
  }

  #setPicture(file) {
    this.#picture = file;
    byId("about-picture").hidden = file === null;
    byId("picture-name").textContent = file?.name ?? "";
  }

  #remember(text) {
    this.#history = [text, ...this.#history.filter((known) => known !== text)].slice(0, MOST);
    write("questions", this.#history);
    this.#showHistory();
  }

  #showHistory() {
    const options = this.#history.map((text) => element("option", { value: text }));
    byId("questions").replaceChildren(...options);
    const fresh = EXAMPLES[this.#kind] ?? [];
    const shown = [...new Set([...this.#history.slice(0, MOST_SHOWN - 1), ...fresh])];
    const take = (text) => () => {
      byId("question").value = text;
      byId("question").focus();
    };
    const buttons = shown.slice(0, MOST_SHOWN).map((text) =>
      element("button.example", { type: "button", onclick: take(text), dir: "auto" }, text),
    );
    byId("examples").replaceChildren(...buttons);
  }
}
