// Each goal has a colour and a hatch of its own, so that colours are never all that tells.

const COLOURS = [
  [255, 176, 0],
  [41, 182, 246],
  [255, 95, 162],
  [126, 224, 129],
  [179, 136, 255],
  [255, 112, 67],
  [38, 215, 197],
  [244, 244, 90],
];
// A stripe is where (a x + b y) modulo the period is small.
const HATCHES = [
  [1, 1],
  [1, -1],
  [0, 1],
  [1, 0],
  [1, 2],
  [2, -1],
  [2, 1],
  [1, -2],
];

const places = new Map(); // of goals, by name

/** The place of a goal in the palette; it stays as long as the goal is in use. */
function placeOf(goal) {
  if (!places.has(goal)) {
    const taken = new Set(places.values());
    const free = COLOURS.findIndex((_, place) => !taken.has(place));
    places.set(goal, free < 0 ? places.size % COLOURS.length : free);
  }
  return places.get(goal);
}

/** {rgb, css, hatch} of a goal. */
export const styleOf = (goal) => styleAt(placeOf(goal));

/** {rgb, css, hatch} at a place of the palette; after the last one it begins anew. */
export function styleAt(place) {
  const rgb = COLOURS[place % COLOURS.length];
  return { rgb, css: `rgb(${rgb.join(" ")})`, hatch: HATCHES[place % HATCHES.length] };
}

/** A goal is in use no longer: another may have its colour. */
export function forget(goal) {
  places.delete(goal);
}
