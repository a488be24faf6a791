// Downloads: the result as PNG, as COCO json, the last minute as MP4.

import { byId, element } from "./elements.js";
import { newRequest } from "./protocol.js";

const BUTTONS = { "export-png": "png", "export-coco": "coco", "export-mp4": "mp4" };
const waiting = new Map(); // the buttons by request

/**
 * Let the buttons ask for files.
 *
 * @param send Sends a message; returns whether it could be sent.
 * @param stillStamp Returns the stamp of the frame that is kept; undefined for the newest result.
 */
export function startRecording(send, stillStamp) {
  for (const [id, what] of Object.entries(BUTTONS)) {
    const button = byId(id);
    button.addEventListener("click", () => {
      const request = newRequest();
      const stamp = what === "mp4" ? undefined : stillStamp();
      if (!send({ type: "export", request, what, stamp })) return;
      waiting.set(request, button);
      button.disabled = true;
    });
  }
}

/** The server has the file. */
export function download({ request, name, url }) {
  endWaiting(request);
  const link = element("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
}

/** The file could not be made, or the server is gone (no request); returns whether one waited. */
export function endWaiting(request) {
  for (const [known, button] of waiting) {
    if (request !== undefined && known !== request) continue;
    button.disabled = false;
    waiting.delete(known);
    if (request !== undefined) return true;
  }
  return false;
}
