// Grey PNGs of 8 or 16 bits as numbers. A canvas would round 16 bits to 8.

const HEADER = 8;

/** Decode a grey PNG without interlacing; returns {width, height, ids}, ids a Uint16Array. */
export async function decodeIds(png) {
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  const { width, height, bytes, data } = readChunks(png, view);
  const stream = new Blob(data).stream().pipeThrough(new DecompressionStream("deflate"));
  const raw = new Uint8Array(await new Response(stream).arrayBuffer());
  const ids = new Uint16Array(width * height);
  const stride = width * bytes;
  let above = new Uint8Array(stride);
  for (let y = 0; y < height; y += 1) {
    const start = y * (stride + 1);
    const row = raw.subarray(start + 1, start + 1 + stride);
    unfilter(raw[start], row, above, bytes);
    const at = y * width;
    if (bytes === 1) ids.set(row, at);
    else for (let x = 0; x < width; x += 1) ids[at + x] = (row[2 * x] << 8) | row[2 * x + 1];
    above = row;
  }
  return { width, height, ids };
}

function readChunks(png, view) {
  const data = [];
  let found = null;
  for (let at = HEADER; at < png.length; ) {
    const length = view.getUint32(at);
    const name = String.fromCharCode(...png.subarray(at + 4, at + 8));
    const start = at + 8;
    if (name === "IHDR") found = readHeader(view, start);
    if (name === "IDAT") data.push(png.subarray(start, start + length));
    at = start + length + 4;
  }
  return { ...found, data };
}

function readHeader(view, at) {
  const [depth, colour] = [view.getUint8(at + 8), view.getUint8(at + 9)];
  if (colour !== 0 || (depth !== 8 && depth !== 16) || view.getUint8(at + 12) !== 0) {
    throw new Error(`a mask must be a grey PNG of 8 or 16 bits, not colour ${colour}, ${depth}`);
  }
  return { width: view.getUint32(at), height: view.getUint32(at + 4), bytes: depth / 8 };
}

// PNG, section 9: each row is stored as differences to its neighbours.
function unfilter(kind, row, above, step) {
  for (let i = 0; i < row.length; i += 1) {
    const left = i >= step ? row[i - step] : 0;
    if (kind === 1) row[i] += left;
    else if (kind === 2) row[i] += above[i];
    else if (kind === 3) row[i] += (left + above[i]) >> 1;
    else if (kind === 4) row[i] += paeth(left, above[i], i >= step ? above[i - step] : 0);
  }
}

function paeth(left, up, corner) {
  const guess = left + up - corner;
  const [a, b, c] = [Math.abs(guess - left), Math.abs(guess - up), Math.abs(guess - corner)];
  if (a <= b && a <= c) return left;
  return b <= c ? up : corner;
}
