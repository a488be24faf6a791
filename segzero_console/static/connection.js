// The connection to the server: it comes back by itself, and says how it stands.

import { pack, unpack } from "./protocol.js";

const FIRST_DELAY = 500;
const LONGEST_DELAY = 4000;
// The server sends its lights every second: a longer silence is a dead connection.
const LONGEST_SILENCE = 8000;

/**
 * Connect, and connect again whenever the connection is lost.
 *
 * @param onMessage Called with each message of the server.
 * @param onState Called with "connecting", "open" or "lost", and with the server's reason for the
 *   last, if it has one.
 * @returns {send, sendBinary}; both return whether the message could be sent.
 */
export function connect(onMessage, onState) {
  let socket = null;
  let delay = FIRST_DELAY;
  let heard = 0;

  function open() {
    const address = new URL("/ws", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const opened = new WebSocket(address);
    let ended = false;
    socket = opened;
    opened.binaryType = "arraybuffer";
    heard = performance.now();
    opened.onopen = () => onState("open");
    opened.onmessage = (event) => {
      if (ended) return;
      delay = FIRST_DELAY;
      heard = performance.now();
      const isText = typeof event.data === "string";
      onMessage(isText ? JSON.parse(event.data) : unpack(event.data));
    };
    const end = (event) => {
      clearInterval(watch);
      if (ended) return;
      ended = true;
      onState("lost", event?.reason ? `The server closed this page: ${event.reason}.` : "");
      setTimeout(open, delay);
      delay = Math.min(2 * delay, LONGEST_DELAY);
    };
    opened.onclose = end;
    const watch = setInterval(() => {
      if (performance.now() - heard < LONGEST_SILENCE) return;
      opened.close();
      end(null); // a dead network lets close() wait for minutes
    }, 1000);
  }

  function transmit(data) {
    if (socket.readyState !== WebSocket.OPEN) return false;
    socket.send(data);
    return true;
  }

  onState("connecting");
  open();
  return {
    send: (message) => transmit(JSON.stringify(message)),
    sendBinary: (header, part) => transmit(pack(header, part)),
  };
}
