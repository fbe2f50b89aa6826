/**
 * The ink finder: one small network answers, for each pixel, how likely it is a character's stroke.
 *
 * The port of `ink` and `whole_strokes` of kalamos.preprocessing, where each rule is told.
 */

import * as cv from "./vision";
import type { Floats, Grey } from "./vision";
import { halve } from "./sizes";

/** Runs the network `ink.onnx` on float32 [1, 1, height, width]; answers as many probabilities. */
export type InkNetwork = (values: Floats, width: number, height: number) => Promise<Float32Array>;

const SIDE_PX = 64;
const OVERVIEW_SIDE_PX = 128;
const LARGE_PX = 320;
const STRIDE = 16;
const MIN_DEVIATION_LEVELS = 4;
const SURE_LEVEL = 128;
const LIKELY_LEVEL = 51;
const MIN_STROKE_PX = 4;
const MAX_SPECKS_PX = 100;
const MIN_INK_SIDE_PX = 30;
const NEAR_INK_FRACTION = 0.68;
const WIDER_FRACTION = 0.5;
const MAX_LOOKS = 4;
const MIN_VIEW_PX = 4;
/** What the readers get for a level of the map: a stroke that is hardly seen is a stroke all the same. */
export const BRIGHTER = Uint8Array.from({ length: 256 }, (_, level) => cv.round(255 * (level / 255) ** 0.6));

/** Rows `top` to `bottom` and columns `left` to `right`, the ends excluded, in px. */
interface Box {
  readonly top: number;
  readonly left: number;
  readonly bottom: number;
  readonly right: number;
}

/** Where ink is, on the part of the image that was looked at last. */
export interface InkMap {
  readonly levels: Grey;
  readonly mask: Grey;
  readonly view: Box;
}

/** The ink of a map: bright, even where it is likely only; black all around. */
export function strokesOf({ levels, mask }: InkMap): Grey {
  const near = cv.dilate(mask, cv.square(3));
  return cv.map(levels, (level, at) => BRIGHTER[level] & near.data[at]);
}

export async function findInk(image: Grey, network: InkNetwork): Promise<InkMap> {
  const whole = { top: 0, left: 0, bottom: image.height, right: image.width };
  let found = await look(image, whole, cv.longerSide(image) > LARGE_PX ? OVERVIEW_SIDE_PX : SIDE_PX, network);
  for (let looks = 1; looks < MAX_LOOKS; looks++) {
    const view = nextView(found, image);
    if (!view) break;
    const nearer = await look(image, view, SIDE_PX, network);
    // What is nothing, seen from near, stays what it seemed from afar.
    if (!boxOf(nearer.mask)) break;
    found = nearer;
  }
  return found;
}

/** Scale an image, to a mean of 0 and a standard deviation of 1; what varies less than `least` is not made to vary more. */
export function standardise(image: Grey, width: number, height: number, least = 0): Floats {
  if (image.width !== width || image.height !== height) {
    const longer = Math.max(width, height);
    image = halve(image, 2 * longer);
    image = cv.longerSide(image) > longer ? cv.resizeArea(image, width, height) : cv.resizeLinear(image, width, height);
  }
  const [mean, deviation] = cv.meanAndDeviation(image.data);
  const scale = Math.fround(1 / Math.max(deviation, least, MIN_DEVIATION_LEVELS));
  const zero = Math.fround(mean);
  return Float32Array.from(image.data, (level) => Math.fround(level - zero) * scale);
}

/** The side of the network's input that is nearest to a length. */
export function roundToStride(length: number): number {
  return Math.max(STRIDE, STRIDE * cv.round(length / STRIDE));
}

/** Run the network on a picture as it is: the probability of ink in 255ths. Its sides are multiples of 16. */
export async function inkLevels(values: Floats, width: number, height: number, network: InkNetwork): Promise<Grey> {
  const answer = await network(values, width, height);
  const data = Uint8Array.from(answer, (share) => Math.min(cv.round(Math.fround(Math.abs(share) * 255)), 255));
  return cv.grey(width, height, data);
}

async function look(image: Grey, view: Box, side: number, network: InkNetwork): Promise<InkMap> {
  const { top: y, left: x } = view;
  const part = cv.crop(image, { x, y, width: view.right - x, height: view.bottom - y });
  const scale = side / cv.longerSide(part);
  const [width, height] = [roundToStride(part.width * scale), roundToStride(part.height * scale)];
  const values = standardise(part, width, height);
  const levels = await inkLevels(values, width, height, network);
  return { ...completed(values, levels), view };
}

/** Levels and mask, with the strokes that the network saw in part or not at all. */
function completed(values: Floats, levels: Grey): { levels: Grey; mask: Grey } {
  const mask = maskOf(levels);
  if (cv.countNonZero(mask.data)) return followStrokes(values, levels, mask);
  const alone = loneStrokes(values, levels.width, levels.height);
  return alone ? { levels: alone, mask: maskOf(alone) } : { levels, mask };
}

function boxOf(mask: Grey): Box | null {
  const { x, y, width, height } = cv.boundingRect(mask);
  return width ? { top: y, left: x, bottom: y + height, right: x + width } : null;
}

/** Ink by hysteresis: all likely pixels connected to one that is sure; nothing where all of it is specks. */
export function maskOf(levels: Grey): Grey {
  const sure = cv.threshold(levels, SURE_LEVEL - 1, 255);
  if (!cv.countNonZero(sure.data)) return sure;
  const likely = cv.threshold(levels, LIKELY_LEVEL - 1, 255);
  const { labels, parts } = cv.connectedParts(likely);
  const kept = new Uint8Array(parts.length + 1);
  sure.data.forEach((level, at) => {
    if (level) kept[labels[at]] = 255;
  });
  const mask = cv.map(likely, (_, at) => kept[labels[at]]);
  return isSpecks(mask) ? cv.grey(levels.width, levels.height) : mask;
}

function isSpecks(mask: Grey): boolean {
  if (cv.countNonZero(mask.data) > MAX_SPECKS_PX) return false;
  return cv.connectedParts(mask).parts.every((part) => cv.longerSide(part) < MIN_STROKE_PX);
}

/** The part of an image to look at next; null if its ink is seen well enough. */
function nextView(found: InkMap, image: Grey): Box | null {
  const { view } = found;
  const { width, height } = found.levels;
  let ink = boxOf(found.mask);
  if (ink) {
    const more = wider(ink, found, image);
    const longer = Math.max(ink.bottom - ink.top, ink.right - ink.left);
    if (more || (longer * SIDE_PX) / Math.max(height, width, SIDE_PX) >= MIN_INK_SIDE_PX) return more;
  } else {
    // What is likely only may be sure from nearer.
    ink = boxOf(cv.threshold(found.levels, LIKELY_LEVEL - 1, 1));
    if (!ink) return null;
  }
  const rows = (view.bottom - view.top) / height;
  const columns = (view.right - view.left) / width;
  const [top, left] = [view.top + ink.top * rows, view.left + ink.left * columns];
  const [bottom, right] = [view.top + ink.bottom * rows, view.left + ink.right * columns];
  const half = Math.max(bottom - top, right - left, MIN_VIEW_PX) / NEAR_INK_FRACTION / 2;
  const [y, x] = [(top + bottom) / 2, (left + right) / 2];
  const around = clipped(y - half, x - half, y + half, x + half, image);
  return isSame(around, view) ? null : around;
}

/** A larger part of the image, if the ink leaves the view on sides where the image goes on. */
function wider(ink: Box, { view, levels }: InkMap, image: Grey): Box | null {
  const more = WIDER_FRACTION * Math.max(view.bottom - view.top, view.right - view.left);
  const larger = clipped(
    view.top - (ink.top === 0 ? more : 0),
    view.left - (ink.left === 0 ? more : 0),
    view.bottom + (ink.bottom === levels.height ? more : 0),
    view.right + (ink.right === levels.width ? more : 0),
    image,
  );
  return isSame(larger, view) ? null : larger;
}

function clipped(top: number, left: number, bottom: number, right: number, image: Grey): Box {
  return {
    top: Math.max(cv.round(top), 0),
    left: Math.max(cv.round(left), 0),
    bottom: Math.min(cv.round(bottom), image.height),
    right: Math.min(cv.round(right), image.width),
  };
}

function isSame(one: Box, two: Box): boolean {
  return one.top === two.top && one.left === two.left && one.bottom === two.bottom && one.right === two.right;
}

// Strokes that the network saw in part or not at all

const PEN_PX = 9;
const MIN_CONTRAST_FRACTION = 0.7;
const MIN_CONTRAST_DEVIATIONS = 0.6;
const MAX_GROWTH = 6;
const FRAME_SIDE_FRACTION = 0.6;
const MIN_FRAME_SIDE_PX = 8;
const MIN_LONE_DEVIATIONS = 2.5;
const MIN_LONE_LENGTH_FRACTION = 0.2;
const MIN_LONE_INK_FRACTION = 0.8;
const MAX_LONE_STROKES = 6;

/** Add to a map the strokes that go on from its ink and end within the picture. */
function followStrokes(values: Floats, levels: Grey, mask: Grey): { levels: Grey; mask: Grey } {
  const { width, height } = levels;
  const [dark, light] = cv.hats(values, width, height, PEN_PX);
  const [contrastDark, contrastLight] = [cv.mean(dark, mask.data), cv.mean(light, mask.data)];
  const isDark = contrastDark > contrastLight;
  const [line, contrast] = isDark ? [dark, contrastDark] : [light, contrastLight];
  if (contrast < MIN_CONTRAST_DEVIATIONS) return { levels, mask };
  const least = Math.fround(MIN_CONTRAST_FRACTION * contrast);
  const strong = cv.map(mask, (_, at) => (line[at] >= least ? 1 : 0));
  const grownMask = cv.dilate(mask, cv.square(3));
  if (!strong.data.some((each, at) => each && grownMask.data[at] && !mask.data[at])) return { levels, mask };
  const { labels, parts } = cv.connectedParts(cv.map(strong, (each, at) => each | mask.data[at]));
  const follows = new Uint8Array(parts.length + 1);
  mask.data.forEach((level, at) => {
    if (level) follows[labels[at]] = 1;
  });
  alongBorder(width, height, (at) => (follows[labels[at]] = 0));
  const grown = cv.map(mask, (_, at) => follows[labels[at]]);
  const added = cv.map(grown, (each, at) => (each && !mask.data[at] ? 1 : 0));
  const growth = cv.countNonZero(added.data);
  if (!growth || isFrame(added, grown)) return { levels, mask };
  if (growth > MAX_GROWTH * cv.countNonZero(mask.data)) {
    const alone = loneStrokes(values, width, height);
    if (!alone) return { levels, mask };
    return {
      levels: cv.map(levels, (level, at) => Math.max(level, alone.data[at])),
      mask: cv.map(mask, (level, at) => Math.max(level, alone.data[at] > 127 ? 255 : 0)),
    };
  }
  const gain = Math.fround(255 / contrast);
  return {
    levels: cv.map(levels, (level, at) => (added.data[at] ? Math.max(level, strength(line[at], gain)) : level)),
    mask: cv.map(mask, (level, at) => (added.data[at] ? 255 : level)),
  };
}

function strength(contrast: number, gain: number): number {
  return Math.floor(Math.min(Math.max(Math.fround(contrast * gain), 0), 255));
}

/** Strokes that stand alone on a picture: long, strong, none of them at the border; null where there is more. */
function loneStrokes(values: Floats, width: number, height: number): Grey | null {
  const [dark, light] = cv.hats(values, width, height, PEN_PX);
  const most = (line: Floats): number => line.reduce((high, each) => Math.max(high, each), -Infinity);
  const line = most(light) > most(dark) ? light : dark;
  const strong = cv.map(cv.grey(width, height), (_, at) => (line[at] >= MIN_LONE_DEVIATIONS ? 1 : 0));
  const { labels, parts } = cv.connectedParts(strong);
  const isStroke = parts.map((part) => cv.longerSide(part) >= MIN_LONE_LENGTH_FRACTION * Math.max(width, height));
  const strokes = cv.map(strong, (_, at) => (labels[at] && isStroke[labels[at] - 1] ? 1 : 0));
  const ink = cv.countNonZero(strokes.data);
  const count = isStroke.filter(Boolean).length;
  let atBorder = false;
  alongBorder(width, height, (at) => {
    if (strokes.data[at]) atBorder = true;
  });
  if (
    count === 0 ||
    count > MAX_LONE_STROKES ||
    ink < MIN_LONE_INK_FRACTION * cv.countNonZero(strong.data) ||
    atBorder ||
    isFrame(strokes, strokes)
  ) {
    return null;
  }
  const gain = Math.fround(255 / Math.fround(cv.mean(line, strokes.data)));
  const near = cv.dilate(strokes, cv.square(3));
  return cv.map(near, (each, at) => (each ? strength(line[at], gain) : 0));
}

function alongBorder(width: number, height: number, visit: (at: number) => void): void {
  for (let x = 0; x < width; x++) {
    visit(x);
    visit((height - 1) * width + x);
  }
  for (let y = 0; y < height; y++) {
    visit(y * width);
    visit((y + 1) * width - 1);
  }
}

/** Whether what was added runs along all four sides of what there is now. */
function isFrame(added: Grey, grown: Grey): boolean {
  const box = cv.boundingRect(grown);
  if (Math.min(box.width, box.height) < MIN_FRAME_SIDE_PX) return false;
  const inside = cv.crop(added, box);
  const alongTop = (image: Grey): number => {
    const deep = Math.max(2, image.height >> 3);
    let filled = 0;
    for (let x = 0; x < image.width; x++) {
      for (let y = 0; y < deep; y++) {
        if (image.data[y * image.width + x]) {
          filled++;
          break;
        }
      }
    }
    return filled / image.width;
  };
  const turned = cv.transpose(inside);
  const flipped = (image: Grey): Grey => cv.grey(image.width, image.height, image.data.toReversed());
  const sides = [inside, flipped(inside), turned, flipped(turned)];
  return sides.every((side) => alongTop(side) >= FRAME_SIDE_FRACTION);
}
