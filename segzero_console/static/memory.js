// What this browser remembers. It works without storage, too: then nothing is remembered.

const PREFIX = "segzero.";

/** Read a value; `fallback` if there is none. */
export function read(key, fallback) {
  try {
    return JSON.parse(localStorage.getItem(PREFIX + key)) ?? fallback;
  } catch {
    return fallback;
  }
}

/** Remember a value that JSON can hold. */
export function write(key, value) {
  try {
    localStorage.setItem(PREFIX + key, JSON.stringify(value));
  } catch {
    // No storage, or it is full.
  }
}
