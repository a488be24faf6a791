// Draws what the view chooses: picture and mask together, or neither.

import { notify } from "./announce.js";
import { clearMarks, drawMasks, drawObject, drawPicture } from "./drawing.js";
import { byId } from "./elements.js";
import { decodeMask, decodePicture } from "./frames.js";
import { showTip, titleOf } from "./objects.js";
import { styleOf } from "./palette.js";

const NOTHING = { frame: null, result: null, mask: null };

/** The picture with its masks on the page. */
export class Stage {
  #view;
  #shown = NOTHING;
  #isBusy = false;
  #overlay = null;
  #onShown;
  #element = byId("stage");
  #canvases = { picture: byId("picture"), masks: byId("masks"), marks: byId("marks") };

  /**
   * @param view Chooses what is shown.
   * @param onShown Called with the frame and the result that were drawn.
   * @param onReady Called whenever the next frame can be drawn.
   */
  constructor(view, onShown, onReady) {
    this.#view = view;
    this.#onShown = onShown;
    new ResizeObserver(() => this.drawMarks()).observe(this.#element);
    const tick = () => {
      this.#tick();
      if (!this.#isBusy) onReady();
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  /** {frame, result, mask} that is seen now. */
  get shown() {
    return this.#shown;
  }

  /** Size of the picture that is seen; null without one. */
  get size() {
    const { frame } = this.#shown;
    return frame && { width: frame.width, height: frame.height };
  }

  /**
   * Draw masks and marks of a correction instead of the result's.
   *
   * @param overlay {frame, mask, styles, drawMarks(marks)}, or null.
   */
  setOverlay(overlay) {
    this.#overlay = overlay;
    if (this.#shown.frame) this.#drawOver(this.#shown);
  }

  /** Say why there is no picture yet: the light of the source knows. */
  explain(lights) {
    const source = lights.find(({ name }) => name === "source" || name === "picture");
    const isBad = source && source.level !== "ok";
    byId("empty").textContent = isBad ? `No picture yet: ${source.text}` : "No picture yet";
  }

  /** Draw boxes, names and points again. */
  drawMarks() {
    const { frame, result } = this.#shown;
    if (!frame) return;
    const marks = clearMarks(this.#canvases.marks, frame.width, frame.height);
    if (this.#overlay?.frame === frame) {
      this.#overlay.drawMarks(marks);
      return;
    }
    for (const item of result?.objects ?? []) {
      if (item.lost) continue;
      drawObject(marks, { box: item.box, text: titleOf(item), css: styleOf(item.goal).css });
    }
  }

  /** Tell about the object at a place of the picture; null hides what was told. */
  point(at) {
    const { frame, mask, result } = this.#shown;
    const isOverMask = at && mask && !this.#overlay;
    const id = isOverMask ? mask.ids[Math.floor(at[1]) * mask.width + Math.floor(at[0])] : 0;
    const object = id ? result.objects.find((item) => item.id === id) : null;
    if (!object) return showTip(null, [0, 0], 0);
    const { width, height } = this.#element.getBoundingClientRect();
    showTip(object, [(at[0] / frame.width) * width, (at[1] / frame.height) * height], width);
  }

  #tick() {
    const wanted = this.#view.choose(performance.now());
    const { frame, result } = this.#shown;
    if (wanted.frame === frame && wanted.result === result) {
      const opacity = wanted.opacity.toFixed(2);
      this.#canvases.masks.style.opacity = opacity;
      this.#canvases.marks.style.opacity = opacity;
    } else if (!this.#isBusy) {
      this.#isBusy = true;
      this.#show(wanted)
        .catch((error) => {
          this.#shown = { ...NOTHING, frame: wanted.frame, result: wanted.result };
          notify("error", `A picture can't be shown: ${error.message}`);
        })
        .finally(() => (this.#isBusy = false));
    }
  }

  async #show({ frame, result, opacity }) {
    const isNew = frame !== this.#shown.frame;
    const [bitmap, mask] = await Promise.all([
      isNew && frame ? decodePicture(frame) : null,
      decodeMask(result),
    ]);
    this.#shown = { frame, result, mask };
    byId("empty").hidden = frame !== null;
    if (bitmap) {
      this.#element.style.setProperty("--ratio", frame.width / frame.height);
      drawPicture(this.#canvases.picture, bitmap);
      bitmap.close();
    }
    this.#canvases.masks.style.opacity = opacity;
    this.#canvases.marks.style.opacity = opacity;
    this.#drawOver(this.#shown);
    const data = this.#element.dataset;
    data.stamp = frame?.stamp ?? "";
    data.index = frame?.index ?? "";
    data.maskStamp = result?.stamp ?? "";
    data.state = result?.state ?? "";
    this.#onShown(frame, result);
  }

  #drawOver({ frame, result, mask }) {
    const overlay = this.#overlay?.frame === frame ? this.#overlay : null;
    const styles = overlay?.styles ?? stylesOf(result);
    drawMasks(this.#canvases.masks, overlay ? overlay.mask : mask, styles);
    this.drawMarks();
  }
}

function stylesOf(result) {
  return new Map((result?.objects ?? []).map((item) => [item.id, styleOf(item.goal)]));
}
