// The panel to correct with: it draws what was clicked, follows it, and saves it as a row.

import { notify, say } from "./announce.js";
import { compose } from "./composing.js";
import { Correction, isPrompted, toPrompt } from "./correction.js";
import { drawCursor, drawObject, drawPoint, drawPromptBox } from "./drawing.js";
import { byId, element, swatch } from "./elements.js";
import { decodeMask } from "./frames.js";
import { styleAt } from "./palette.js";
import { listen } from "./pointer.js";
import { decodeIds } from "./png.js";
import { newRequest } from "./protocol.js";

const LONGEST_LABEL = 100;

/** Corrects the frame that is seen. */
export class CorrectionPanel {
  #on;
  #stage;
  #pointer;
  #correction = null;
  #frame = null;
  #found = null; // the result's mask
  #refined = null; // the newest answer to `refine`
  #pending = null; // {request, keys} of a `refine` under way
  #isDirty = false;

  /**
   * @param stage Shows the frame.
   * @param on {send(message), keep(frame), end(replaced), questionOf(goal)}; `replaced` are the
   *   track ids of objects that are followed no longer.
   */
  constructor(stage, on) {
    this.#stage = stage;
    this.#on = on;
    this.#pointer = listen(
      byId("stage"),
      () => stage.size,
      () => this.isActive && stage.shown.frame === this.#frame,
      {
        point: (x, y, isInside) => this.#point(x, y, isInside && byId("inside").checked),
        box: (box) => this.#change(() => this.#correction.addBox(box)),
        change: () => this.#stage.drawMarks(),
      },
    );
    byId("stage").addEventListener("pointermove", (event) => {
      stage.point(stage.size && this.#pointer.toPicture(event));
    });
    byId("stage").addEventListener("pointerleave", () => stage.point(null));
    const buttons = {
      "new-object": () => this.#select(null),
      undo: () => this.undo(),
      "delete-object": () => this.deleteSelected(),
      "nothing-there": () => this.#change(() => this.#correction.deleteAll()),
      "follow-corrected": () => this.follow(),
      "save-row": () => this.save(),
      "end-correction": () => this.end(),
    };
    for (const [id, action] of Object.entries(buttons)) byId(id).addEventListener("click", action);
  }

  get isActive() {
    return this.#correction !== null;
  }

  /** Begin to correct the frame that is seen. */
  async start() {
    const { frame } = this.#stage.shown;
    if (!frame || this.isActive) return;
    const objects = frame.result?.objects ?? [];
    const goal = objects[0]?.goal ?? byId("goal").value.trim();
    this.#correction = new Correction(objects, goal);
    this.#frame = frame;
    this.#found = this.#refined = this.#pending = null;
    this.#on.keep(frame);
    byId("correction").hidden = false;
    byId("correct").disabled = true;
    byId("saved").textContent = "";
    byId("row-question").value = this.#on.questionOf(goal) || byId("question").value.trim();
    byId("stage").classList.add("correcting");
    byId("stage").focus();
    say("Correcting: click the object, or move a cross with the arrow keys and press enter.");
    this.#found = await decodeMask(frame.result).catch(tellBadMask);
    if (this.#frame === frame) this.#show();
  }

  /** Stop correcting. */
  end(replaced = []) {
    if (!this.isActive) return;
    this.#correction = this.#frame = this.#pending = null;
    byId("correction").hidden = true;
    byId("correct").disabled = false;
    byId("stage").classList.remove("correcting");
    byId("stage").dataset.correcting = "no";
    this.#stage.setOverlay(null);
    this.#on.end(replaced);
  }

  undo() {
    this.#change(() => this.#correction.undo());
  }

  deleteSelected() {
    this.#change(() => this.#correction.deleteSelected());
  }

  newObject() {
    this.#select(null);
  }

  /** Follow the corrected objects from now on, instead of those that were wrong. */
  follow() {
    const label = byId("row-question").value.trim().slice(0, LONGEST_LABEL);
    const objects = this.#correction.prompted.map((item) => {
      return toPrompt({ ...item, label: item.label || label });
    });
    const ids = this.#correction.replacedTracks.filter((id) => id > 0);
    if (!objects.length && !ids.length) {
      notify("warn", "Nothing was changed: click an object or draw a box first.");
      return;
    }
    const { goal } = this.#correction;
    if (ids.length) this.#on.send({ type: "remove", request: newRequest(), ids });
    if (objects.length) {
      const { stamp } = this.#frame;
      this.#on.send({ type: "follow", request: newRequest(), stamp, goal, objects });
    }
    this.end(ids);
  }

  /** Save the frame, the question and the masks as a training row. */
  save() {
    const question = byId("row-question").value.trim();
    if (!question) {
      notify("warn", "A row needs the question that it answers.");
      byId("row-question").focus();
      return;
    }
    const objects = this.#correction.objects.map((item) => {
      return isPrompted(item) ? toPrompt(item) : { id: item.id };
    });
    const { stamp } = this.#frame;
    this.#on.send({ type: "save", request: newRequest(), stamp, question, objects });
  }

  /** A row was saved. */
  saved({ rows, folder }) {
    const text = `Saved. ${rows} ${rows === 1 ? "row" : "rows"} in ${folder}`;
    byId("saved").textContent = text;
    notify("ok", text);
  }

  /** The server drew what was asked for. */
  async refined(message) {
    if (!this.#pending || message.request !== this.#pending.request) return;
    const { keys } = this.#pending;
    const mask = await decodeIds(message.parts[0]).catch(tellBadMask);
    if (!this.#pending || message.request !== this.#pending.request) return;
    if (mask === null) return this.#settle();
    const boxes = new Map(message.objects.map((item) => [keys[item.id - 1], item.box]));
    this.#refined = { ...mask, keys, boxes };
    return this.#settle();
  }

  /** A request failed; returns whether it was one of this panel. */
  failed(request) {
    if (request !== this.#pending?.request) return false;
    this.#settle();
    return true;
  }

  #settle() {
    this.#pending = null;
    if (this.#isDirty) this.#refine();
    this.#show();
  }

  #point(x, y, isInside) {
    if (!this.#correction.selected && isInside) {
      const id = this.#found?.ids[Math.floor(y) * this.#found.width + Math.floor(x)];
      const { objects } = this.#correction;
      const known = id && objects.find((item) => item.id === id && !isPrompted(item));
      if (known) {
        this.#select(known.key);
        return;
      }
    }
    this.#change(() => {
      if (this.#correction.addPoint(x, y, isInside)) return;
      notify("warn", "A point outside belongs to an object: show or select the object first.");
    });
  }

  #select(key) {
    this.#correction.select(key);
    this.#show();
  }

  #change(action) {
    if (!this.isActive) return;
    action();
    this.#refine();
    this.#show();
  }

  #refine() {
    const { prompted } = this.#correction;
    this.#isDirty = Boolean(this.#pending) && prompted.length > 0;
    if (this.#pending || !prompted.length) return;
    this.#pending = { request: newRequest(), keys: prompted.map((item) => item.key) };
    const objects = prompted.map(toPrompt);
    const { stamp } = this.#frame;
    this.#on.send({ type: "refine", request: this.#pending.request, stamp, objects });
  }

  #show() {
    const { objects, selected, canUndo } = this.#correction;
    byId("undo").disabled = !canUndo;
    byId("delete-object").disabled = !selected;
    byId("nothing-there").disabled = !objects.length;
    byId("new-object").disabled = !selected;
    byId("save-row").textContent = objects.length ? "Save row" : "Save: nothing there";
    byId("refining").hidden = !this.#pending;
    byId("corrected").replaceChildren(...objects.map((item, place) => this.#button(item, place)));
    byId("stage").dataset.correcting = this.#pending ? "busy" : "ready";
    this.#stage.setOverlay({
      frame: this.#frame,
      mask: compose(objects, this.#found, this.#refined),
      styles: new Map(objects.map((item, place) => [place + 1, styleAt(place)])),
      drawMarks: (marks) => this.#drawMarks(marks),
    });
  }

  #button(item, place) {
    const isSelected = item === this.#correction.selected;
    const attributes = {
      type: "button",
      "aria-pressed": String(isSelected),
      onclick: () => this.#select(isSelected ? null : item.key),
    };
    const count = item.points.length;
    const how = item.box ? "box" : isPrompted(item) ? "" : "as found";
    const points = count ? `${count} ${count === 1 ? "point" : "points"}` : "";
    const shownBy = [how, points].filter(Boolean).join(", ");
    const text = [`${place + 1}`, item.label, shownBy].filter(Boolean).join(" · ");
    const { css } = styleAt(place);
    return element("li", {}, element("button", attributes, swatch(css), text));
  }

  #drawMarks(marks) {
    this.#correction.objects.forEach((item, place) => {
      const isSelected = item === this.#correction.selected;
      const { css } = styleAt(place);
      const box = isPrompted(item) ? this.#refined?.boxes.get(item.key) : item.found;
      drawObject(marks, { box, text: `${place + 1} ${item.label}`.trim(), css, isSelected });
      if (item.box && isSelected) drawPromptBox(marks, item.box, css);
      for (const point of item.points) drawPoint(marks, point);
    });
    const dragged = this.#pointer.dragged();
    if (dragged) drawPromptBox(marks, dragged, "#fff");
    const cursor = this.#pointer.cursor();
    if (cursor) drawCursor(marks, cursor);
  }
}

function tellBadMask(error) {
  notify("error", `The masks can't be read: ${error.message}`);
  return null;
}
