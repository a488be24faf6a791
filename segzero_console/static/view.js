// Which frame is to be seen: the live one, the one of the newest masks, or one that is kept.

const LEAST_HOLD = 700;
const LONGEST_HOLD = 3000;
const ANSWER_HOLD = 2500;
const TRACKED_FOR = 1000;

/**
 * Chooses what is shown.
 *
 * A mask is only ever shown on its own frame. So while objects are followed, the newest frame that
 * has masks is shown, not the newest one. When no masks come any more they fade, and then the live
 * frames are shown again.
 */
export class View {
  #newest = null;
  #pair = null;
  #still = null;
  #interval = 200; // between results of followed frames, in ms
  #tracked = -Infinity;

  constructor(isLive) {
    this.isLive = isLive; // whether time goes on in the source
  }

  get still() {
    return this.#still;
  }

  /** Whether a frame is kept: by the user, for an answer, or for a correction. */
  get isStill() {
    return this.#still !== null;
  }

  addFrame(frame) {
    this.#newest = frame;
  }

  /** A result came for a frame. */
  addResult(frame, now) {
    const { state, objects } = frame.result;
    if (state === "tracked" || state === "lost") {
      const since = now - this.#tracked;
      if (since < LONGEST_HOLD) this.#interval += 0.2 * (since - this.#interval);
      this.#tracked = now;
      this.#pair = frame;
    } else if (objects.length && !(this.isLive && now - this.#tracked < TRACKED_FOR)) {
      this.#pair = frame; // an answer's frame is old: it doesn't interrupt what is followed
    }
  }

  keep(frame) {
    this.#still = frame;
  }

  release() {
    this.#still = null;
  }

  /** Show no masks any more: nothing is followed. */
  dropMasks() {
    this.#pair = null;
  }

  reset() {
    this.#newest = this.#pair = this.#still = null;
    this.#tracked = -Infinity;
  }

  /** What to show now: {frame, result, opacity}; frame is null before the first one. */
  choose(now) {
    if (this.#still) return { frame: this.#still, result: this.#still.result, opacity: 1 };
    const opacity = this.#opacity(now);
    if (opacity > 0) return { frame: this.#pair, result: this.#pair.result, opacity };
    return { frame: this.#newest, result: null, opacity: 1 };
  }

  #opacity(now) {
    if (!this.#pair) return 0;
    if (!this.isLive && this.#pair === this.#newest) return 1;
    const followed = ["tracked", "lost"].includes(this.#pair.result.state);
    const usual = Math.min(LONGEST_HOLD / 2, Math.max(LEAST_HOLD, 3 * this.#interval));
    const hold = followed ? usual : ANSWER_HOLD;
    const age = now - this.#pair.result.received;
    if (!this.isLive) return age < hold ? 1 : 0; // the newest frame's masks are on their way
    return Math.max(0, Math.min(1, 2 - age / hold));
  }
}
