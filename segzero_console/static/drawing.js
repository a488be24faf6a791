// Draws pictures, masks, boxes and labels.

const HATCH_PERIOD = 9;
const FILL = 0.22;
const STRIPE = 0.7;
const EDGE = [10, 10, 14];

// The bytes red, green, blue, alpha as one number.
const pack = ([r, g, b], alpha) =>
  ((Math.round(255 * alpha) << 24) | (b << 16) | (g << 8) | r) >>> 0;

/** Draw a bitmap in its own size. */
export function drawPicture(canvas, bitmap) {
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
  }
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
}

/**
 * Draw masks in their own size: a dark and a bright outline, which one of both is seen on any
 * colour, and a hatch. Exactly the pixels of the masks are drawn, the others are transparent.
 *
 * @param mask {width, height, ids}, or null to draw nothing.
 * @param styles Map from ids to {rgb, hatch}; other ids aren't drawn.
 */
export function drawMasks(canvas, mask, styles) {
  const context = canvas.getContext("2d");
  if (!mask || !styles.size) {
    context.clearRect(0, 0, canvas.width, canvas.height);
    return;
  }
  const { width, height, ids } = mask;
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const image = context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const inks = new Map(Array.from(styles, ([id, style]) => [id, inksOf(style)]));
  const line = Math.max(1, Math.round(width / 640));
  const period = HATCH_PERIOD * line;
  let [lastId, ink] = [0, undefined];
  for (let y = 0, at = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1, at += 1) {
      const id = ids[at];
      if (id === 0) continue;
      if (id !== lastId) [lastId, ink] = [id, inks.get(id)];
      if (ink === undefined) continue;
      if (nearEdge(mask, x, y, at, id, line)) pixels[at] = ink.edge;
      else if (nearEdge(mask, x, y, at, id, 3 * line)) pixels[at] = ink.outline;
      else {
        const along = (ink.a * x + ink.b * y) % period;
        const phase = along < 0 ? along + period : along;
        pixels[at] = phase < 2 * line ? ink.stripe : phase < 3 * line ? ink.shadow : ink.fill;
      }
    }
  }
  context.putImageData(image, 0, 0);
}

function inksOf({ rgb, hatch: [a, b] }) {
  return {
    edge: pack(EDGE, 0.9),
    outline: pack(rgb, 1),
    stripe: pack(rgb, STRIPE),
    shadow: pack(EDGE, 0.45),
    fill: pack(rgb, FILL),
    a,
    b,
  };
}

function nearEdge({ width, height, ids }, x, y, at, id, d) {
  return (
    (x >= d ? ids[at - d] !== id : x === 0) ||
    (x + d < width ? ids[at + d] !== id : x === width - 1) ||
    (y >= d ? ids[at - d * width] !== id : y === 0) ||
    (y + d < height ? ids[at + d * width] !== id : y === height - 1)
  );
}

/** Make a canvas as fine as the screen, and empty; returns what the other functions draw on. */
export function clearMarks(canvas, width, height) {
  const shown = canvas.getBoundingClientRect();
  const ratio = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(shown.width * ratio), Math.round(shown.height * ratio)];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
  }
  const context = canvas.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, w, h);
  context.setTransform(w / width, 0, 0, h / height, 0, 0);
  // A unit is one CSS pixel. Names are drawn beside those that are drawn already.
  return { context, unit: width / (shown.width || width), names: [], width };
}

/** Draw an object's box and its name. */
export function drawObject(marks, { box, text, css, isSelected = false }) {
  if (!box || box.length !== 4) return;
  const { context } = marks;
  const [x1, y1, x2, y2] = box;
  context.setLineDash([]);
  strokeTwice(marks, css, () => context.strokeRect(x1, y1, x2 - x1, y2 - y1), isSelected);
  if (text) drawName(marks, shorten(text), x1, y1, css);
}

/** Draw a box that is being made, or that was drawn for an object. */
export function drawPromptBox(marks, [x1, y1, x2, y2], css) {
  const { context, unit } = marks;
  context.setLineDash([6 * unit, 4 * unit]);
  strokeTwice(marks, css, () => context.strokeRect(x1, y1, x2 - x1, y2 - y1), true);
  context.setLineDash([]);
}

/** Draw a point: a plus inside of the object, a minus outside. */
export function drawPoint({ context, unit }, [x, y, isInside]) {
  const r = 8 * unit;
  context.beginPath();
  context.arc(x, y, r, 0, 2 * Math.PI);
  context.fillStyle = isInside ? "#0a7a2f" : "#b3121d";
  context.fill();
  context.lineWidth = 2 * unit;
  context.strokeStyle = "#fff";
  context.stroke();
  context.beginPath();
  context.moveTo(x - r / 2, y);
  context.lineTo(x + r / 2, y);
  if (isInside) {
    context.moveTo(x, y - r / 2);
    context.lineTo(x, y + r / 2);
  }
  context.stroke();
}

/** Draw the cross of somebody who works with the keyboard. */
export function drawCursor(marks, [x, y]) {
  const { context, unit } = marks;
  const r = 12 * unit;
  strokeTwice(marks, "#fff", () => {
    context.beginPath();
    context.moveTo(x - r, y);
    context.lineTo(x + r, y);
    context.moveTo(x, y - r);
    context.lineTo(x, y + r);
    context.stroke();
  });
}

function strokeTwice({ context, unit }, css, stroke, isWide = false) {
  context.lineWidth = (isWide ? 5 : 3) * unit;
  context.strokeStyle = "rgb(10 10 14 / 0.8)";
  stroke();
  context.lineWidth = (isWide ? 2.5 : 1.25) * unit;
  context.strokeStyle = css;
  stroke();
}

function drawName({ context, unit, names, width }, text, x, y, css) {
  context.font = `600 ${12 * unit}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  const [w, h] = [context.measureText(text).width + 12 * unit, 20 * unit];
  const left = Math.max(0, Math.min(x, width - w));
  let top = y >= h ? y - h : y;
  const hides = (name) => left < name.right && left + w > name.left && Math.abs(top - name.top) < h;
  for (let other; (other = names.find(hides)); ) top = other.top + h;
  names.push({ left, right: left + w, top });
  context.fillStyle = "rgb(10 10 14 / 0.82)";
  context.fillRect(left, top, w, h);
  context.fillStyle = css;
  context.fillRect(left, top, 3 * unit, h);
  context.fillStyle = "#fff";
  context.fillText(text, left + 7 * unit, top + h / 2 + unit / 2);
}

function shorten(text) {
  return text.length <= 32 ? text : `${text.slice(0, 31)}…`;
}
