// The frames and the masks of the last seconds, by stamp. They are decoded when they are shown.

import { decodeIds } from "./png.js";

const KEPT = 40; // more than the server counts on (SENT of viewers.py), and some that are pinned

/** Keeps frames and results; a result can be drawn only with the frame of its own stamp. */
export class Frames {
  #frames = new Map(); // by stamp, the newest last
  #pinned = new Set();

  /** Add a message of type frame. */
  add(message) {
    const known = this.#frames.get(message.stamp);
    const received = performance.now();
    if (known) {
      this.#frames.delete(message.stamp); // it was shown before: it is the newest again
      this.#frames.set(message.stamp, Object.assign(known, { received }));
      return known;
    }
    const { stamp, width, height, index, parts, request } = message;
    const frame = { stamp, width, height, index, request, received, result: null };
    frame.jpeg = new Blob([parts[0]], { type: "image/jpeg" });
    this.#frames.set(stamp, frame);
    this.#drop();
    return frame;
  }

  /** Add a message of type result to the frame of its stamp; null if that frame is unknown. */
  addResult(message) {
    const frame = this.#frames.get(message.stamp);
    if (!frame) return null;
    const result = { ...message, received: performance.now(), png: message.parts[0] };
    delete result.parts;
    frame.result = joined(frame.result, result);
    return frame;
  }

  get(stamp) {
    return this.#frames.get(stamp) ?? null;
  }

  /** Keep the frames of these stamps, however old they get. */
  pin(...stamps) {
    this.#pinned = new Set(stamps);
  }

  clear() {
    this.#frames.clear();
  }

  #drop() {
    for (const stamp of this.#frames.keys()) {
      if (this.#frames.size <= KEPT) return;
      if (!this.#pinned.has(stamp)) this.#frames.delete(stamp);
    }
  }
}

// A second goal's answer about the same frame stands beside the first one's.
function joined(old, result) {
  if (!old || !["answered", "partial"].includes(result.state)) return result;
  const others = old.objects.filter((item) => item.goal !== result.goal);
  if (!others.length) return result;
  return { ...result, objects: [...others, ...result.objects], below: { ...old, objects: others } };
}

/** Decode a frame's picture; returns an ImageBitmap, to be closed by the caller. */
export function decodePicture(frame) {
  return createImageBitmap(frame.jpeg);
}

/** Decode a result's mask; returns {width, height, ids}, or null without objects. */
export async function decodeMask(result) {
  const above = result?.png ? await decodeIds(result.png) : null;
  const below = result?.below ? await decodeMask(result.below) : null;
  if (!above || !below) return above ?? below;
  const kept = new Set(result.below.objects.map((item) => item.id));
  const ids = below.ids.map((id, at) => above.ids[at] || (kept.has(id) ? id : 0));
  return { ...below, ids };
}
