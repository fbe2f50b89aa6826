/**
 * The few image operations that preprocessing needs, byte for byte as OpenCV does them.
 *
 * Grey images and masks are arrays of bytes, row by row. Nothing here knows of ink or characters.
 */

export interface Grey {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array<ArrayBuffer>;
}

/** Left, top, width and height in px; the width is 0 where there is nothing. */
export interface Rect {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

const fround = Math.fround;

/** Round to the nearest whole number, halves to the even one, as Python and OpenCV do. */
export function round(value: number): number {
  const low = Math.floor(value);
  const rest = value - low;
  if (rest !== 0.5) return rest < 0.5 ? low : low + 1;
  return low % 2 === 0 ? low : low + 1;
}

function byte(value: number): number {
  return value <= 0 ? 0 : value >= 255 ? 255 : round(value);
}

export function grey(width: number, height: number, data = new Uint8Array(width * height)): Grey {
  return { width, height, data };
}

/** Apply a function to each pixel. */
export function map(image: Grey, change: (level: number, at: number) => number): Grey {
  const data = new Uint8Array(image.data.length);
  for (let at = 0; at < data.length; at++) data[at] = change(image.data[at], at);
  return grey(image.width, image.height, data);
}

export function longerSide(image: { width: number; height: number }): number {
  return Math.max(image.width, image.height);
}

export function countNonZero(data: ArrayLike<number>): number {
  let count = 0;
  for (let at = 0; at < data.length; at++) if (data[at]) count++;
  return count;
}

export function extremes(data: Uint8Array): [low: number, high: number] {
  let low = 255;
  let high = 0;
  for (const level of data) {
    if (level < low) low = level;
    if (level > high) high = level;
  }
  return [low, high];
}

/** Mean and standard deviation, of the pixels under a mask if there is one. */
export function meanAndDeviation(data: ArrayLike<number>, mask?: Uint8Array): [number, number] {
  let count = 0;
  let sum = 0;
  let squares = 0;
  for (let at = 0; at < data.length; at++) {
    if (mask && !mask[at]) continue;
    const value = data[at];
    count++;
    sum += value;
    squares += value * value;
  }
  if (!count) return [0, 0];
  const scale = 1 / count;
  const mean = sum * scale;
  return [mean, Math.sqrt(Math.max(squares * scale - mean * mean, 0))];
}

export function mean(data: ArrayLike<number>, mask?: Uint8Array): number {
  return meanAndDeviation(data, mask)[0];
}

export function boundingRect(image: Grey): Rect {
  const { width, height, data } = image;
  let [left, right, top, bottom] = [width, -1, height, -1];
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      if (!data[at]) continue;
      if (x < left) left = x;
      if (x > right) right = x;
      if (y < top) top = y;
      bottom = y;
    }
  }
  return right < 0 ? { x: 0, y: 0, width: 0, height: 0 } : rect(left, top, right + 1, bottom + 1);
}

function rect(left: number, top: number, right: number, bottom: number): Rect {
  return { x: left, y: top, width: right - left, height: bottom - top };
}

export function crop(image: Grey, { x, y, width, height }: Rect): Grey {
  if (width === image.width && height === image.height) return image;
  const data = new Uint8Array(width * height);
  for (let row = 0; row < height; row++) {
    const from = (y + row) * image.width + x;
    data.set(image.data.subarray(from, from + width), row * width);
  }
  return grey(width, height, data);
}

/** Add black on all sides. */
export function pad(image: Grey, margin: number): Grey {
  const width = image.width + 2 * margin;
  const data = new Uint8Array(width * (image.height + 2 * margin));
  for (let y = 0; y < image.height; y++) {
    const row = image.data.subarray(y * image.width, (y + 1) * image.width);
    data.set(row, (y + margin) * width + margin);
  }
  return grey(width, image.height + 2 * margin, data);
}

export function transpose(image: Grey): Grey {
  const { width, height } = image;
  const data = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) data[x * height + y] = image.data[y * width + x];
  }
  return grey(height, width, data);
}

/** Mass, and the two first moments, of grey levels. */
export function moments(image: Grey): { mass: number; x: number; y: number } {
  let [mass, sumX, sumY] = [0, 0, 0];
  for (let y = 0, at = 0; y < image.height; y++) {
    for (let x = 0; x < image.width; x++, at++) {
      const level = image.data[at];
      mass += level;
      sumX += level * x;
      sumY += level * y;
    }
  }
  return { mass, x: sumX, y: sumY };
}

/** 0, and `high` above `level`. */
export function threshold(image: Grey, level: number, high: number): Grey {
  return map(image, (each) => (each > level ? high : 0));
}

/** The level above which pixels are bright, by Otsu's criterion (1979). */
export function otsuLevel(image: Grey): number {
  const counts = new Float64Array(256);
  for (const level of image.data) counts[level]++;
  const scale = 1 / image.data.length;
  let whole = 0;
  for (let level = 0; level < 256; level++) whole += level * counts[level];
  whole *= scale;
  let [mean1, share1, best, found] = [0, 0, 0, 0];
  for (let level = 0; level < 256; level++) {
    const share = counts[level] * scale;
    mean1 *= share1;
    share1 += share;
    const share2 = 1 - share1;
    const least = 1.1920928955078125e-7;
    if (Math.min(share1, share2) < least || Math.max(share1, share2) > 1 - least) continue;
    mean1 = (mean1 + level * share) / share1;
    const mean2 = (whole - share1 * mean1) / share2;
    const between = share1 * share2 * (mean1 - mean2) * (mean1 - mean2);
    if (between > best) [best, found] = [between, level];
  }
  return found;
}

/** |level * factor|, rounded, at most 255. */
export function scaleLevels(image: Grey, factor: number): Grey {
  const single = fround(factor);
  return map(image, (level) => byte(fround(level * single)));
}

// Sizes

interface Weight {
  readonly from: number;
  readonly to: number;
  readonly share: number;
}

function areaWeights(size: number, wanted: number, scale: number): Weight[] {
  const weights: Weight[] = [];
  for (let to = 0; to < wanted; to++) {
    const start = to * scale;
    const end = start + scale;
    const cell = Math.min(scale, size - start);
    const last = Math.min(Math.floor(end), size - 1);
    const first = Math.min(Math.ceil(start), last);
    if (first - start > 1e-3) weights.push({ from: first - 1, to, share: fround((first - start) / cell) });
    for (let from = first; from < last; from++) weights.push({ from, to, share: fround(1 / cell) });
    if (end - last > 1e-3) {
      weights.push({ from: last, to, share: fround(Math.min(Math.min(end - last, 1), cell) / cell) });
    }
  }
  return weights;
}

/** Scale down by averaging areas; one side may grow. */
export function resizeArea(image: Grey, width: number, height: number): Grey {
  const scaleX = 1 / (width / image.width);
  const scaleY = 1 / (height / image.height);
  if (scaleX < 1 || scaleY < 1) return linear(image, width, height, true);
  const [wholeX, wholeY] = [round(scaleX), round(scaleY)];
  const isWhole = Math.abs(scaleX - wholeX) < 2.3e-16 && Math.abs(scaleY - wholeY) < 2.3e-16;
  return isWhole ? averageBlocks(image, wholeX, wholeY) : averageCells(image, width, height, scaleX, scaleY);
}

function averageBlocks(image: Grey, across: number, down: number): Grey {
  const width = Math.floor(image.width / across);
  const height = Math.floor(image.height / down);
  const data = new Uint8Array(width * height);
  if (across === 2 && down === 2) {
    for (let y = 0, at = 0; y < height; y++) {
      for (let x = 0, from = 2 * y * image.width; x < width; x++, at++, from += 2) {
        const below = from + image.width;
        data[at] = (image.data[from] + image.data[from + 1] + image.data[below] + image.data[below + 1] + 2) >> 2;
      }
    }
    return grey(width, height, data);
  }
  const share = fround(1 / (across * down));
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      let sum = 0;
      for (let dy = 0; dy < down; dy++) {
        const row = (y * down + dy) * image.width + x * across;
        for (let dx = 0; dx < across; dx++) sum += image.data[row + dx];
      }
      data[at] = byte(fround(sum * share));
    }
  }
  return grey(width, height, data);
}

function averageCells(image: Grey, width: number, height: number, scaleX: number, scaleY: number): Grey {
  const across = areaWeights(image.width, width, scaleX);
  const down = areaWeights(image.height, height, scaleY);
  const froms = Int32Array.from(across, (each) => each.from);
  const tos = Int32Array.from(across, (each) => each.to);
  const shares = Float32Array.from(across, (each) => each.share);
  const data = new Uint8Array(width * height);
  const row = new Float32Array(width);
  const sums = new Float32Array(width);
  let done = down[0].to;
  const finish = (): void => {
    for (let x = 0; x < width; x++) data[done * width + x] = byte(sums[x]);
  };
  for (const { from, to, share } of down) {
    row.fill(0);
    const base = from * image.width;
    for (let at = 0; at < froms.length; at++) {
      row[tos[at]] += fround(image.data[base + froms[at]] * shares[at]);
    }
    if (to !== done) {
      finish();
      done = to;
      for (let x = 0; x < width; x++) sums[x] = share * row[x];
    } else {
      for (let x = 0; x < width; x++) sums[x] += fround(share * row[x]);
    }
  }
  finish();
  return grey(width, height, data);
}

export function resizeLinear(image: Grey, width: number, height: number): Grey {
  if (width * 2 === image.width && height * 2 === image.height) return averageBlocks(image, 2, 2);
  return linear(image, width, height, false);
}

const COEFFICIENT_BITS = 11;

/** Bilinear interpolation in whole numbers; `isArea` chooses the weights of a side that grows while the other shrinks. */
function linear(image: Grey, width: number, height: number, isArea: boolean): Grey {
  const across = linearWeights(image.width, width, isArea, true);
  const down = linearWeights(image.height, height, isArea, false);
  const data = new Uint8Array(width * height);
  const rows = new Map<number, Int32Array>();
  const rowOf = (y: number): Int32Array => {
    let row = rows.get(y);
    if (!row) {
      row = new Int32Array(width);
      const base = y * image.width;
      for (let x = 0; x < width; x++) {
        const from = base + across.first[x];
        const next = across.first[x] + 1 < image.width ? image.data[from + 1] : 0;
        row[x] = image.data[from] * across.one[x] + next * across.two[x];
      }
      rows.set(y, row);
    }
    return row;
  };
  for (let y = 0; y < height; y++) {
    // Beyond the first and the last row, the same row counts twice, with both its weights.
    const top = rowOf(Math.max(down.first[y], 0));
    const bottom = rowOf(Math.min(Math.max(down.first[y] + 1, 0), image.height - 1));
    const [one, two] = [down.one[y], down.two[y]];
    for (let x = 0; x < width; x++) {
      const upper = (one * (top[x] >> 4)) >> 16;
      const lower = (two * (bottom[x] >> 4)) >> 16;
      data[y * width + x] = (upper + lower + 2) >> 2;
    }
  }
  return grey(width, height, data);
}

function linearWeights(
  size: number,
  wanted: number,
  isArea: boolean,
  isRow: boolean,
): { first: Int32Array; one: Int32Array; two: Int32Array } {
  const inverse = wanted / size;
  const scale = 1 / inverse;
  const [first, one, two] = [new Int32Array(wanted), new Int32Array(wanted), new Int32Array(wanted)];
  for (let to = 0; to < wanted; to++) {
    let from: number;
    let part: number;
    if (isArea) {
      from = Math.floor(to * scale);
      part = fround(to + 1 - (from + 1) * inverse);
      part = part <= 0 ? 0 : fround(part - Math.floor(part));
    } else {
      part = fround((to + 0.5) * scale - 0.5);
      from = Math.floor(part);
      part = fround(part - from);
    }
    if (isRow && from < 0) [from, part] = [0, 0];
    if (isRow && from >= size - 1) [from, part] = [size - 1, 0];
    first[to] = from;
    one[to] = round(fround(fround(1 - part) * (1 << COEFFICIENT_BITS)));
    two[to] = round(fround(part * (1 << COEFFICIENT_BITS)));
  }
  return { first, one, two };
}

// Shapes

/** One row of a structuring element: its first column and the one past its last. */
export type Span = readonly [start: number, end: number];

export function square(side: number): Span[] {
  return Array.from({ length: side }, () => [0, side] as const);
}

export const CROSS_3: Span[] = [
  [1, 2],
  [0, 3],
  [1, 2],
];

/** A disc of so many px a side, as OpenCV draws it. */
export function disc(side: number): Span[] {
  const radius = side >> 1;
  const inverse = radius ? 1 / (radius * radius) : 0;
  return Array.from({ length: side }, (_, row) => {
    const dy = row - radius;
    if (Math.abs(dy) > radius) return [0, 0] as const;
    const dx = round(radius * Math.sqrt((radius * radius - dy * dy) * inverse));
    return [Math.max(radius - dx, 0), Math.min(radius + dx + 1, side)] as const;
  });
}

export type Floats = Float32Array<ArrayBuffer>;
type Levels = Uint8Array<ArrayBuffer> | Floats;

/** The greatest of `length` values from each place on, `stride` apart; past the end it is left as it comes. */
function slide<T extends Levels>(values: T, length: number, stride: number): T {
  let reached = 1;
  let result = values;
  while (reached < length) {
    // Two windows that overlap make a longer one.
    const step = Math.min(reached, length - reached);
    const next = result.slice() as T;
    const gap = step * stride;
    for (let at = 0; at + gap < next.length; at++) if (result[at + gap] > next[at]) next[at] = result[at + gap];
    result = next;
    reached += step;
  }
  return result;
}

/** The greatest level under a structuring element, at each pixel; what is outside counts as `outside`. */
function greatest<T extends Levels>(
  data: T,
  width: number,
  height: number,
  element: readonly Span[],
  outside: number,
  empty: (length: number) => T,
): T {
  const margin = element.length;
  const anchor = margin >> 1;
  const stride = width + 2 * margin;
  const padded = empty(stride * (height + 2 * margin)).fill(outside) as T;
  for (let y = 0; y < height; y++) {
    padded.set(data.subarray(y * width, (y + 1) * width), (y + margin) * stride + margin);
  }
  const result = empty(width * height);
  const merge = (from: T, top: number, left: number, isFirst: boolean): void => {
    for (let y = 0; y < height; y++) {
      const base = (y + margin + top) * stride + margin + left;
      for (let x = 0, at = y * width; x < width; x++, at++) {
        const level = from[base + x];
        if (isFirst || level > result[at]) result[at] = level;
      }
    }
  };
  const isSquare = element.every(([start, end]) => start === 0 && end === margin);
  if (isSquare) {
    merge(slide(slide(padded, margin, 1), margin, stride), -anchor, -anchor, true);
    return result;
  }
  const rows = new Map<number, T>();
  element.forEach(([start, end], row) => {
    if (end <= start) return;
    const isFirst = !rows.size;
    const line = rows.get(end - start) ?? slide(padded, end - start, 1);
    rows.set(end - start, line);
    merge(line, row - anchor, start - anchor, isFirst);
  });
  return result;
}

export function dilate({ width, height, data }: Grey, element: readonly Span[]): Grey {
  return grey(width, height, greatest(data, width, height, element, 0, (length) => new Uint8Array(length)));
}

/** Erode; what is outside the image is black if `blackOutside`, else it does not count. */
export function erode(image: Grey, element: readonly Span[], blackOutside = false): Grey {
  const { width, height } = image;
  const inverse = map(image, (level) => 255 - level).data;
  const outside = blackOutside ? 255 : 0;
  const data = greatest(inverse, width, height, element, outside, (length) => new Uint8Array(length));
  return map(grey(width, height, data), (level) => 255 - level);
}

/** By how much each pixel is darker, and by how much it is lighter, than all that surrounds it within a square. */
export function hats(data: Floats, width: number, height: number, side: number): [Floats, Floats] {
  const element = square(side);
  const grow = (from: Floats): Floats =>
    greatest(from, width, height, element, -Infinity, (length) => new Float32Array(length));
  const thin = (from: Floats): Floats => grow(from.map((level) => -level)).map((level) => -level);
  const closed = thin(grow(data));
  const opened = grow(thin(data));
  return [closed.map((level, at) => level - data[at]), data.map((level, at) => level - opened[at])];
}

export interface Part extends Rect {
  readonly area: number;
}

/** Which part each pixel belongs to, 0 for none; and the parts, the first at 1. Pixels that touch at a corner are connected. */
export function connectedParts(mask: Grey): { labels: Int32Array; parts: Part[] } {
  const { width, height, data } = mask;
  const labels = new Int32Array(width * height);
  const parents = [0];
  const root = (label: number): number => {
    while (parents[label] !== label) label = parents[label] = parents[parents[label]];
    return label;
  };
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      if (!data[at]) continue;
      let label = x > 0 ? labels[at - 1] : 0;
      for (let above = y > 0 ? Math.max(x - 1, 0) : width; above <= x + 1 && above < width; above++) {
        const other = labels[at - width + above - x];
        if (!other || other === label) continue;
        if (!label) {
          label = other;
          continue;
        }
        const [one, two] = [root(label), root(other)];
        parents[Math.max(one, two)] = Math.min(one, two);
      }
      if (!label) {
        label = parents.length;
        parents.push(label);
      }
      labels[at] = label;
    }
  }
  return numbered(mask, labels, parents.map((_, label) => root(label)));
}

/** Number parts as OpenCV does, by their first block of 2x2 pixels: of equal parts, the first one is chosen. */
function numbered(
  { width, height }: Grey,
  labels: Int32Array,
  roots: readonly number[],
): { labels: Int32Array; parts: Part[] } {
  const numbers = new Int32Array(roots.length);
  let count = 0;
  for (let y = 0; y < height; y += 2) {
    for (let x = 0; x < width; x++) {
      // Down a block's left column, then down its right one: pixels of one block are connected.
      for (let row = y; row < Math.min(y + 2, height); row++) {
        const part = roots[labels[row * width + x]];
        if (part && !numbers[part]) numbers[part] = ++count;
      }
    }
  }
  const [left, top] = [new Int32Array(count).fill(width), new Int32Array(count).fill(height)];
  const [right, bottom, area] = [new Int32Array(count), new Int32Array(count), new Int32Array(count)];
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      if (!labels[at]) continue;
      const part = (labels[at] = numbers[roots[labels[at]]]) - 1;
      if (x < left[part]) left[part] = x;
      if (x >= right[part]) right[part] = x + 1;
      if (y < top[part]) top[part] = y;
      bottom[part] = y + 1;
      area[part]++;
    }
  }
  const parts = Array.from(area, (pixels, part) => {
    return { ...rect(left[part], top[part], right[part], bottom[part]), area: pixels };
  });
  return { labels, parts };
}

/** Whether a shape lies within the hole of another, as a character within a frame. */
export function isNested(mask: Grey): boolean {
  const padded = pad(mask, 1);
  const { width, data } = padded;
  const outside = new Uint8Array(data.length);
  const stack = [0];
  outside[0] = 1;
  const { labels, parts } = connectedParts(padded);
  const reached = new Set<number>();
  while (stack.length) {
    const at = stack.pop() as number;
    const x = at % width;
    for (const next of [at - width, at + width, x > 0 ? at - 1 : -1, x < width - 1 ? at + 1 : -1]) {
      if (next < 0 || next >= data.length || outside[next]) continue;
      if (data[next]) {
        reached.add(labels[next]);
      } else {
        outside[next] = 1;
        stack.push(next);
      }
    }
  }
  return reached.size < parts.length;
}

const NEAR_STEP = fround(0.955);
const CORNER_STEP = fround(1.3693);

/** The distance of each pixel to the nearest 0, by steps to the eight neighbours (Borgefors 1986). */
export function distances(mask: Grey): Floats {
  const padded = pad(mask, 1);
  const { width, height } = padded;
  const steps = new Float32Array(width * height).fill(1e9);
  const walk = (at: number, back: number): void => {
    const row = at + back * width;
    const near = Math.min(steps[row], steps[at + back]);
    const corner = Math.min(steps[row - 1], steps[row + 1]);
    steps[at] = Math.min(steps[at], fround(near + NEAR_STEP), fround(corner + CORNER_STEP));
  };
  for (let y = 1; y < height - 1; y++) {
    for (let x = 1; x < width - 1; x++) {
      const at = y * width + x;
      if (padded.data[at]) walk(at, -1);
      else steps[at] = 0;
    }
  }
  for (let y = height - 2; y > 0; y--) for (let x = width - 2; x > 0; x--) walk(y * width + x, 1);
  const inner = new Float32Array(mask.width * mask.height);
  for (let y = 0; y < mask.height; y++) {
    const from = (y + 1) * width + 1;
    inner.set(steps.subarray(from, from + mask.width), y * mask.width);
  }
  return inner;
}

/** The area of the convex hull of all pixels that are not 0. */
export function hullArea(mask: Grey): number {
  const points: [number, number][] = [];
  for (let y = 0; y < mask.height; y++) {
    const row = mask.data.subarray(y * mask.width, (y + 1) * mask.width);
    const first = row.findIndex((level) => level > 0);
    if (first < 0) continue;
    const last = row.findLastIndex((level) => level > 0);
    points.push([first, y]);
    if (last > first) points.push([last, y]);
  }
  points.sort((one, two) => one[0] - two[0] || one[1] - two[1]);
  const turn = (o: [number, number], a: [number, number], b: [number, number]): number =>
    (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0]);
  const half = (ordered: [number, number][]): [number, number][] => {
    const chain: [number, number][] = [];
    for (const point of ordered) {
      while (chain.length > 1 && turn(chain[chain.length - 2], chain[chain.length - 1], point) <= 0) chain.pop();
      chain.push(point);
    }
    return chain.slice(0, -1);
  };
  const hull = [...half(points), ...half(points.toReversed())];
  let doubled = 0;
  hull.forEach(([x, y], at) => {
    const [nextX, nextY] = hull[(at + 1) % hull.length];
    doubled += x * nextY - nextX * y;
  });
  return Math.abs(doubled) / 2;
}

/** The pixels along the four sides: top, bottom, left, right. */
export function border(image: Grey): Uint8Array {
  const { width, height, data } = image;
  const edge = new Uint8Array(2 * (width + height));
  edge.set(data.subarray(0, width));
  edge.set(data.subarray((height - 1) * width), width);
  for (let y = 0; y < height; y++) {
    edge[2 * width + y] = data[y * width];
    edge[2 * width + height + y] = data[(y + 1) * width - 1];
  }
  return edge;
}

export function countOf(data: Uint8Array, level: number): number {
  let count = 0;
  for (const each of data) if (each === level) count++;
  return count;
}
