// Points and boxes on the picture, by mouse, finger or keyboard.

const DRAG_FROM = 6; // CSS pixels
const STEP = 1 / 40; // of the picture, by an arrow key
const FINE = 1 / 400;

/**
 * Listen to a stage.
 *
 * @param stage The element that has exactly the picture's place.
 * @param size Returns the picture's {width, height}, or null without one.
 * @param isActive Returns whether points and boxes are wanted now.
 * @param on {point(x, y, isInside), box([x1, y1, x2, y2]), change()}, in the picture's pixels.
 * @returns {cursor, dragged}: functions, what the keyboard or a drag is at; null without.
 */
export function listen(stage, size, isActive, on) {
  let start = null;
  let dragged = null;
  let cursor = null;
  let corner = null; // where the keyboard began a box

  const toPicture = (event) => {
    const place = stage.getBoundingClientRect();
    const { width, height } = size();
    const x = ((event.clientX - place.left) / place.width) * width;
    const y = ((event.clientY - place.top) / place.height) * height;
    return [clamp(x, width), clamp(y, height)];
  };
  const isAvailable = () => isActive() && size() !== null;

  stage.addEventListener("pointerdown", (event) => {
    if (!isAvailable() || event.button > 0 || !event.isPrimary) return;
    stage.setPointerCapture(event.pointerId);
    start = { at: toPicture(event), x: event.clientX, y: event.clientY };
    cursor = corner = null;
  });
  stage.addEventListener("pointermove", (event) => {
    if (!start || !event.isPrimary) return;
    const far = Math.hypot(event.clientX - start.x, event.clientY - start.y);
    if (!dragged && far < DRAG_FROM) return;
    dragged = boxOf(start.at, toPicture(event));
    on.change();
  });
  stage.addEventListener("pointerup", (event) => {
    if (!start || !event.isPrimary) return;
    const [box, at] = [dragged, start.at];
    start = dragged = null;
    if (!isAvailable()) return;
    if (box === null) on.point(...at, !event.shiftKey);
    else if (isLarge(box)) on.box(box);
    on.change();
  });
  stage.addEventListener("pointercancel", () => {
    start = dragged = null;
    on.change();
  });

  stage.addEventListener("keydown", (event) => {
    if (!isAvailable() || event.ctrlKey || event.metaKey || event.altKey) return;
    const { width, height } = size();
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key in move) {
      const [dx, dy] = move[event.key];
      const share = event.shiftKey ? FINE : STEP;
      const step = Math.max(1, Math.round(Math.max(width, height) * share));
      const [x, y] = cursor ?? [width / 2, height / 2];
      cursor = [clamp(x + dx * step, width), clamp(y + dy * step, height)];
    } else if (event.key === "Enter" && cursor) {
      on.point(...cursor, !event.shiftKey);
    } else if (event.key === "b" && cursor) {
      const box = corner && boxOf(corner, cursor);
      if (box && isLarge(box)) on.box(box);
      corner = corner ? null : cursor;
    } else return;
    event.preventDefault();
    on.change();
  });

  const begun = () => (corner && cursor ? boxOf(corner, cursor) : null);
  return { cursor: () => cursor, dragged: () => dragged ?? begun(), toPicture };
}

const clamp = (value, most) => Math.max(0, Math.min(most - 1, value));

function boxOf([x1, y1], [x2, y2]) {
  return [Math.min(x1, x2), Math.min(y1, y2), Math.max(x1, x2), Math.max(y1, y2)];
}

const isLarge = ([x1, y1, x2, y2]) => x2 - x1 >= 2 && y2 - y1 >= 2;
