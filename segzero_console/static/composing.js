// One mask of all objects of a correction: of those that were found, and of those drawn anew.

import { isPrompted } from "./correction.js";

/**
 * Number objects from 1 in their order, and draw them into one mask.
 *
 * @param objects Of the correction.
 * @param found {width, height, ids} of the frame's result, or null.
 * @param refined {width, height, ids, keys}: the object with keys[k - 1] has id k; or null.
 * @returns {width, height, ids}, or null if there is nothing to draw.
 */
export function compose(objects, found, refined) {
  const size = refined ?? found;
  if (!size) return null;
  const ids = new Uint16Array(size.width * size.height);
  const kept = numbers(objects, (item) => (isPrompted(item) ? 0 : item.id));
  const drawn = numbers(objects, (item) => {
    return isPrompted(item) && refined ? refined.keys.indexOf(item.key) + 1 : 0;
  });
  if (found && kept.size) copy(ids, found.ids, kept);
  if (refined && drawn.size) copy(ids, refined.ids, drawn);
  return { width: size.width, height: size.height, ids };
}

function numbers(objects, idOf) {
  const pairs = objects.map((item, place) => [idOf(item), place + 1]);
  return new Map(pairs.filter(([id]) => id > 0));
}

function copy(target, source, numbersOf) {
  for (let at = 0; at < source.length; at += 1) {
    const id = source[at];
    if (id !== 0) target[at] = numbersOf.get(id) ?? target[at];
  }
}
