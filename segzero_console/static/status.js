// What stands below the picture: rates, the age of the masks, dropped frames.

import { byId, seconds } from "./elements.js";

const EVERY = 500;
const WINDOW = 2000;

/** Counts what comes and shows it twice a second. */
export class Status {
  #frames = [];
  #results = [];
  #dropped = 0;

  /** @param shown Returns {frame, result} that are seen. */
  constructor(shown) {
    setInterval(() => this.#show(shown()), EVERY);
  }

  addFrame(dropped) {
    this.#frames.push(performance.now());
    this.#dropped = dropped;
  }

  addResult() {
    this.#results.push(performance.now());
  }

  #show({ frame, result }) {
    const now = performance.now();
    byId("frame-rate").textContent = rate(this.#frames, now);
    byId("mask-rate").textContent = rate(this.#results, now);
    byId("dropped").textContent = String(this.#dropped);
    const hasAge = frame && result && result.state !== "failed";
    const age = hasAge ? seconds(result.latency + (now - result.received) / 1000) : "–";
    byId("mask-age").textContent = age;
  }
}

function rate(times, now) {
  while (times.length && now - times[0] > WINDOW) times.shift();
  return `${((1000 * times.length) / WINDOW).toFixed(1)} / s`;
}
