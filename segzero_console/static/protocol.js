// Binary messages: uint32 length of the header, the header as JSON, then its parts.

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Read a binary message; returns its header, with the parts as Uint8Arrays. */
export function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(decoder.decode(new Uint8Array(buffer, 4, length)));
  let at = 4 + length;
  const parts = header.parts.map((size) => {
    const part = new Uint8Array(buffer, at, size);
    at += size;
    return part;
  });
  return { ...header, parts };
}

/** Make a binary message of a header and one part, an ArrayBuffer. */
export function pack(header, part) {
  const text = encoder.encode(JSON.stringify({ ...header, parts: [part.byteLength] }));
  const message = new Uint8Array(4 + text.length + part.byteLength);
  new DataView(message.buffer).setUint32(0, text.length, true);
  message.set(text, 4);
  message.set(new Uint8Array(part), 4 + text.length);
  return message;
}

const page = Array.from(crypto.getRandomValues(new Uint32Array(2)), (n) => n.toString(36)).join("");
let count = 0;

/** A name for a request that no other page uses. */
export function newRequest() {
  count += 1;
  return `${page}-${count}`;
}
