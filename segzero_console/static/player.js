// A video or folder: play, pause, step, seek.

import { byId } from "./elements.js";

/**
 * Show the player of a source that can be sought.
 *
 * @param send Sends a message to the server.
 * @param onJump Called before a place that doesn't follow the one that is shown.
 * @returns {show(message), step(by), toggle()}.
 */
export function startPlayer(send, onJump) {
  let state = { index: 0, length: 0, playing: false };
  const slider = byId("seek");
  const seek = (index) => {
    if (index !== state.index + 1) onJump();
    send({ type: "seek", index: Math.max(0, Math.min(state.length - 1, index)) });
  };
  const toggle = () => send({ type: state.playing ? "pause" : "play" });
  const step = (by) => {
    if (state.playing) send({ type: "pause" });
    seek(state.index + by);
  };
  slider.addEventListener("input", () => seek(Number(slider.value)));
  byId("play").addEventListener("click", toggle);
  byId("back").addEventListener("click", () => step(-1));
  byId("forward").addEventListener("click", () => step(1));

  function show(message) {
    state = message;
    slider.max = Math.max(0, message.length - 1);
    slider.value = message.index;
    slider.setAttribute("aria-valuetext", `frame ${message.index + 1} of ${message.length}`);
    byId("place").textContent = `${message.index + 1} / ${message.length}`;
    byId("play").textContent = message.playing ? "Pause" : "Play";
  }
  return { show, step, toggle };
}
