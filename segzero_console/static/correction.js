// The objects of a correction: those that were found, and those that are shown by points and boxes.

const MOST_STEPS = 200;

/**
 * Objects of one frame that are being corrected. Every change can be undone.
 *
 * An object is {key, id, trackId, goal, label, box, points, found}: `id` is its id in the frame's
 * result, 0 for a new one; `box` and `points` are what shows it, and none of both leaves a found
 * object as it is; `found` is the box of its mask.
 */
export class Correction {
  #state;
  #steps = [];
  #keys = 0;
  #original;

  constructor(objects, goal) {
    this.goal = goal;
    const found = objects.filter((item) => !item.lost);
    this.#original = found.map((item) => ({
      key: this.#newKey(),
      id: item.id,
      trackId: item.track_id,
      goal: item.goal,
      label: item.label,
      box: null,
      points: [],
      found: item.box,
    }));
    this.#state = { objects: this.#original, selected: null };
  }

  get objects() {
    return this.#state.objects;
  }

  get selected() {
    return this.objects.find((item) => item.key === this.#state.selected) ?? null;
  }

  get canUndo() {
    return this.#steps.length > 0;
  }

  /** The objects that are shown by a box or points, and so need to be drawn. */
  get prompted() {
    return this.objects.filter(isPrompted);
  }

  /** Track ids of found objects that were changed or deleted. */
  get replacedTracks() {
    const kept = new Set(this.objects.filter((item) => !isPrompted(item)).map((item) => item.key));
    return this.#original.filter((item) => !kept.has(item.key)).map((item) => item.trackId);
  }

  /** Select an object by its key; null selects none, so that the next click begins a new one. */
  select(key) {
    this.#state = { ...this.#state, selected: key };
  }

  /** Add a point to the selected object, or begin a new one; false if that can't be. */
  addPoint(x, y, isInside) {
    const point = [x, y, isInside ? 1 : 0];
    const selected = this.selected;
    if (selected) {
      // The mask that is there already is shown to the model as its box.
      const box = selected.box ?? (isPrompted(selected) ? null : selected.found);
      const grown = box && isInside ? including(box, x, y) : box;
      this.#replace({ ...selected, box: grown, points: [...selected.points, point] });
      return true;
    }
    if (!isInside) return false;
    this.#add({ box: null, points: [point] });
    return true;
  }

  /** Begin a new object with a box. */
  addBox(box) {
    this.#add({ box, points: [] });
  }

  /** Delete the selected object. */
  deleteSelected() {
    const selected = this.selected;
    if (!selected) return;
    this.#step({ objects: this.objects.filter((item) => item !== selected), selected: null });
  }

  /** Delete all objects: nothing of what was asked for is there. */
  deleteAll() {
    this.#step({ objects: [], selected: null });
  }

  undo() {
    if (this.canUndo) this.#state = this.#steps.pop();
  }

  #add({ box, points }) {
    const key = this.#newKey();
    const made = { key, id: 0, trackId: 0, goal: this.goal, label: "", box, points, found: null };
    this.#step({ objects: [...this.objects, made], selected: key });
  }

  #replace(changed) {
    const objects = this.objects.map((item) => (item.key === changed.key ? changed : item));
    this.#step({ objects, selected: changed.key });
  }

  #step(state) {
    this.#steps.push(this.#state);
    if (this.#steps.length > MOST_STEPS) this.#steps.shift();
    this.#state = state;
  }

  #newKey() {
    this.#keys += 1;
    return this.#keys;
  }
}

/** Whether an object is shown by a box or points. */
export const isPrompted = (item) => item.box !== null || item.points.length > 0;

/** An object as the server reads it. */
export function toPrompt({ box, points, label }) {
  return { ...(box && { box }), ...(points.length && { points }), ...(label && { label }) };
}

function including([x1, y1, x2, y2], x, y) {
  return [Math.min(x1, x), Math.min(y1, y), Math.max(x2, x), Math.max(y2, y)];
}
