/**
 * Ink that needs no network: a character alone on one grey level, or cut out along its strokes.
 *
 * The port of `plain_ground`, `dataset_noise` and `cut_out` of kalamos.preprocessing, where each rule is told;
 * names, limits and order are the same.
 */

import * as cv from "./vision";
import type { Grey, Rect } from "./vision";
import { halve, shrink } from "./sizes";

const MIN_SHADES_SIDE_PX = 16;
const MIN_NARROW_BLACK_FRACTION = 0.4;
const STROKE_PEAK_FRACTION = 0.25;
const MAX_CROP_SIDE_PX = 40;
const FAINT_DOT_REACH_PX = 6;
const MIN_INK_SIDE_PX = 12;
const MIN_PART_FRACTION = 0.01;
const MAX_PARTS = 6;
const MAX_DEPTH_FRACTION = 0.22;
const MAX_CROP_DEPTH_FRACTION = 0.35;
const MAX_FILL_FRACTION = 0.85;
const MAX_FILLED_ASPECT = 3;
const MAX_PEN_DEVIATION_LEVELS = 3;
const MAX_BORDER_FRACTION = 0.45;
const MAX_LINE_FRACTION = 0.15;
const MAX_INK_FRACTION = 0.6;
const FILE_NOISE_REACH_PX = 17;
const MAX_FAR_NOISE_FRACTION = 0.06;
const FAR_NOISE_LEVELS = 2;
const PADDING_NOISE_LEVELS = 8;
const MIN_PASTED_FRACTION = 0.75;
const MIN_BLOCK_FRACTION = 0.88;
const MIN_PASTED_SIDE_PX = 8;
const MAX_PASTED_ASPECT = 5;

/** The ink of a picture that holds one character on a ground of one grey level; null for all other pictures. */
export function inkOnPlainGround(image: Grey, minContrast: number): Grey | null {
  let ink = difference(image);
  if (!ink) return null;
  const peak = cv.extremes(ink.data)[1];
  if (peak < minContrast) return cv.grey(ink.width, ink.height);
  let mask = strokesOf(ink, peak);
  const isLarge = cv.longerSide(image) > MAX_CROP_SIDE_PX;
  if (isLarge) {
    mask = withoutSpecks(mask);
  } else {
    const clean = inkOnBands(image, mask) ?? withoutImpulses(ink, mask);
    if (clean !== ink) {
      ink = clean;
      mask = strokesOf(clean, peak);
    }
    if (!cv.countNonZero(mask.data)) return null;
  }
  if (!isOneCharacter(mask, ink) || (isLarge && (isPaddedPhoto(image, mask) || isTiny(mask)))) return null;
  let near = mask;
  for (let reach = isLarge ? 1 : FAINT_DOT_REACH_PX; reach > 0; reach--) near = cv.dilate(near, cv.square(3));
  return cv.map(ink, (level, at) => (near.data[at] ? level : 0));
}

/** The photograph that a picture was pasted around; the picture itself if there is none. */
export function trimPadding(image: Grey): Grey {
  const level = paddingLevel(image);
  const found = level === null ? null : pasted(image, level);
  return found ? cv.crop(image, found) : image;
}

function pasted(image: Grey, level: number): Rect | null {
  if (Math.min(image.width, image.height) < MIN_PASTED_SIDE_PX) return null;
  const other = apart(image, level, PADDING_NOISE_LEVELS);
  const box = cv.boundingRect(other);
  const isFilled = cv.countNonZero(other.data) >= MIN_PASTED_FRACTION * box.width * box.height;
  const narrow = Math.max(MIN_PASTED_SIDE_PX, Math.max(box.width, box.height) / MAX_PASTED_ASPECT);
  const isWhole = box.width === image.width && box.height === image.height;
  return !isFilled || Math.min(box.width, box.height) < narrow || isWhole ? null : box;
}

function apart(image: Grey, level: number, least: number): Grey {
  return cv.map(image, (each) => (Math.abs(each - level) > least ? 1 : 0));
}

function strokesOf(ink: Grey, peak: number): Grey {
  return cv.threshold(ink, Math.max(1, cv.round(STROKE_PEAK_FRACTION * peak)) - 1, 1);
}

function sides({ width, height, data }: Grey): Uint8Array[] {
  const column = (x: number): Uint8Array => Uint8Array.from({ length: height }, (_, y) => data[y * width + x]);
  return [data.subarray(0, width), data.subarray((height - 1) * width), column(0), column(width - 1)];
}

function paddingLevel(image: Grey): number | null {
  for (const side of sides(image)) {
    const [low, high] = cv.extremes(side as Uint8Array<ArrayBuffer>);
    if (high - low <= 2) return side[side.length >> 1];
  }
  return null;
}

function difference(image: Grey): Grey | null {
  const border = cv.border(image);
  const black = cv.countOf(border, 0);
  if (2 * black > border.length) return image;
  if (Math.min(image.width, image.height) < MIN_SHADES_SIDE_PX) {
    const white = border.reduce((count, level) => count + (level > 127 ? 1 : 0), 0);
    return white < black && black >= MIN_NARROW_BLACK_FRACTION * border.length ? image : null;
  }
  const ground = groundOf(image);
  if (2 * cv.countOf(border, ground) <= border.length) return null;
  const [darkest, lightest] = cv.extremes(image.data);
  const isDarkInk = ground - darkest >= lightest - ground;
  return cv.map(image, (level) => Math.max(isDarkInk ? ground - level : level - ground, 0));
}

function groundOf(image: Grey): number {
  const levels = cv.border(image).sort();
  return levels[levels.length >> 1];
}

function isPaddedPhoto(image: Grey, mask: Grey): boolean {
  const ground = groundOf(image);
  const found = pasted(image, ground);
  if (found && cv.countNonZero(mask.data) < MIN_BLOCK_FRACTION * found.width * found.height) return true;
  const near = cv.dilate(mask, cv.square(FILE_NOISE_REACH_PX));
  const other = apart(image, ground, FAR_NOISE_LEVELS);
  const { width, height } = cv.boundingRect(other);
  const far = other.data.reduce((count, each, at) => count + (each && !near.data[at] ? 1 : 0), 0);
  return far > MAX_FAR_NOISE_FRACTION * width * height;
}

function isTiny(mask: Grey): boolean {
  return cv.longerSide(cv.boundingRect(mask)) < MIN_INK_SIDE_PX;
}

function withoutSpecks(mask: Grey): Grey {
  const { labels, parts } = cv.connectedParts(mask);
  const least = MIN_PART_FRACTION * parts.reduce((area, part) => Math.max(area, part.area), 0);
  if (parts.every((part) => part.area >= least)) return mask;
  return cv.map(mask, (_, at) => (labels[at] && parts[labels[at] - 1].area >= least ? 1 : 0));
}

function isOneCharacter(mask: Grey, ink: Grey): boolean {
  const { labels, parts } = cv.connectedParts(mask);
  const isLarge = cv.longerSide(mask) > MAX_CROP_SIDE_PX;
  if (isLarge) {
    if (parts.length > MAX_PARTS) return false;
    const isShort = Math.min(mask.width, mask.height) < MIN_SHADES_SIDE_PX;
    if (cv.mean(mask.data) > MAX_INK_FRACTION && !isShort) return false;
    if (parts.length > 1 && cv.countOf(cv.border(mask), 1) && !reachesBorder(mask, labels, parts)) return false;
  }
  const { width, height } = cv.boundingRect(mask);
  const [longer, shorter] = [Math.max(width, height), Math.min(width, height)];
  const depth = cv.distances(mask).reduce((deepest, each) => Math.max(deepest, each), 0);
  const deepest = (isLarge ? MAX_DEPTH_FRACTION : MAX_CROP_DEPTH_FRACTION) * longer;
  const isDeep = depth > Math.max(deepest, 2);
  const isFilled = cv.countNonZero(mask.data) > MAX_FILL_FRACTION * width * height;
  const isBlock = isFilled && depth > 2 && longer < MAX_FILLED_ASPECT * shorter;
  if (isDeep || isBlock) {
    const inside = cv.erode(mask, cv.square(3));
    if (cv.meanAndDeviation(ink.data, inside.data)[1] > MAX_PEN_DEVIATION_LEVELS) return false;
  }
  return !(encloses(parts) && cv.isNested(mask));
}

/** Whether it is the character that reaches the border, in its largest part; else a neighbour or a line does. */
function reachesBorder(mask: Grey, labels: Int32Array, parts: readonly cv.Part[]): boolean {
  const border = cv.border(mask);
  if (cv.countOf(border, 1) > MAX_BORDER_FRACTION * border.length) return false;
  const main = largest(parts);
  if (!cv.countOf(cv.border(cv.map(mask, (_, at) => (labels[at] === main + 1 ? 1 : 0))), 1)) return false;
  const width = parts[main].width / mask.width;
  const height = parts[main].height / mask.height;
  return !(Math.min(width, height) < MAX_LINE_FRACTION && Math.max(width, height) > 1 - MAX_LINE_FRACTION);
}

function largest(parts: readonly cv.Part[]): number {
  return parts.reduce((best, part, at) => (part.area > parts[best].area ? at : best), 0);
}

function encloses(boxes: readonly Rect[]): boolean {
  return boxes.some((one) =>
    boxes.some(
      (two) =>
        one.x < two.x &&
        one.y < two.y &&
        one.x + one.width > two.x + two.width &&
        one.y + one.height > two.y + two.height,
    ),
  );
}

// What spoils a dataset's small pictures

const MIN_NOISY_PARTS = 10;
const SIMILAR_NEIGHBOURS = 3;
const MIN_IMPULSE_LEVELS = 250;
const PASSES = 3;
const MIN_BANDS_SIDE_PX = 20;
const MIN_BAND_FRACTION = 0.2;
const MAX_UNLIKE_FRACTION = 0.15;
const SAME_LEVELS = 8;
const MIN_MARGIN_PX = 2;
const MIN_BANDS_INK_FRACTION = 0.35;

/** Replace single pixels that are unlike their neighbours by the neighbours' median, where there are many. */
function withoutImpulses(ink: Grey, mask: Grey): Grey {
  if (cv.connectedParts(mask).parts.length <= MIN_NOISY_PARTS) return ink;
  for (let pass = 0; pass < PASSES; pass++) {
    const around = neighbours(ink);
    const isImpulse = cv.map(ink, (level, at) => {
      const unlike = around[at].map((other) => Math.abs(ink.data[other] - level)).sort((one, two) => one - two);
      const sum = unlike.slice(0, SIMILAR_NEIGHBOURS).reduce((total, each) => total + each, 0);
      return sum >= MIN_IMPULSE_LEVELS ? 1 : 0;
    }).data;
    if (!cv.countNonZero(isImpulse)) break;
    const before = ink;
    ink = cv.map(before, (level, at) => {
      if (!isImpulse[at]) return level;
      const like = around[at].filter((other) => !isImpulse[other]).map((other) => before.data[other]);
      return like.length ? Math.floor(median(like)) : level;
    });
  }
  return ink;
}

function median(levels: number[]): number {
  levels.sort((one, two) => one - two);
  const middle = levels.length >> 1;
  return levels.length % 2 ? levels[middle] : (levels[middle - 1] + levels[middle]) / 2;
}

/** The places of the eight around each pixel; at the border, those of the nearest pixels within. */
function neighbours({ width, height }: Grey): number[][] {
  const within = (value: number, size: number): number => Math.min(Math.max(value, 0), size - 1);
  return Array.from({ length: width * height }, (_, at) => {
    const [x, y] = [at % width, Math.floor(at / width)];
    const places: number[] = [];
    for (const dy of [-1, 0, 1]) {
      for (const dx of [-1, 0, 1]) {
        if (dx || dy) places.push(within(y + dy, height) * width + within(x + dx, width));
      }
    }
    return places;
  });
}

/** The ink of a picture whose ground is one level along each column, or along each row; null for all others. */
function inkOnBands(image: Grey, mask: Grey): Grey | null {
  if (Math.min(image.width, image.height) < MIN_BANDS_SIDE_PX || !cv.countOf(cv.border(mask), 1)) return null;
  for (const isTurned of [false, true]) {
    const turned = isTurned ? cv.transpose(image) : image;
    const strokes = isTurned ? cv.transpose(mask) : mask;
    const [one, opposite] = sides(strokes);
    const both = one.reduce((count, each, at) => count + (each & opposite[at]), 0);
    const unlike = one.reduce((count, each, at) => count + (each ^ opposite[at]), 0);
    if (both < MIN_BAND_FRACTION * one.length || unlike > MAX_UNLIKE_FRACTION * one.length) continue;
    const ink = subtractEnds(turned);
    const { y, width, height } = cv.boundingRect(cv.threshold(ink, SAME_LEVELS, 1));
    if (!width) return null;
    const margin = Math.min(y, ink.height - y - height);
    const isShort = Math.max(width, height) < MIN_BANDS_INK_FRACTION * cv.longerSide(image);
    if (margin < MIN_MARGIN_PX || isShort) return cv.grey(image.width, image.height);
    return isTurned ? cv.transpose(ink) : ink;
  }
  return null;
}

function subtractEnds(image: Grey): Grey {
  const [top, bottom] = sides(image);
  const ground = [...top.keys()].filter((x) => Math.abs(top[x] - bottom[x]) <= SAME_LEVELS);
  const levels = top.map((_, x) => {
    const nearest = ground.reduce((best, each) => (Math.abs(x - each) < Math.abs(x - best) ? each : best), ground[0]);
    return top[nearest];
  });
  return cv.map(image, (level, at) => Math.abs(level - levels[at % image.width]));
}

// A crop along the strokes

const OVERVIEW_SIDE_PX = 64;
const MIN_CONTRAST_LEVELS = 20;
const MIN_EXPLAINED_VARIANCE = 0.75;
const MAX_CUT_INK_FRACTION = 0.62;
const MAX_UPRIGHT_INK_FRACTION = 0.93;
const MIN_UPRIGHT_ASPECT = 2.2;
const MAX_GAP_FRACTION = 0.06;
const MAX_CUT_DEPTH_FRACTION = 0.2;
const MIN_SHAPE_FRACTION = 0.85;
const MIN_DOT_FRACTION = 0.035;
const FAINT_FRACTION = Math.fround(0.3);

/** The ink of a crop that was cut out along it; null for all other pictures. */
export function inkOfCutOut(image: Grey): Grey | null {
  let small = halve(image, OVERVIEW_SIDE_PX + 1);
  small = shrink(small, OVERVIEW_SIDE_PX / cv.longerSide(small));
  if (cv.longerSide(small) < OVERVIEW_SIDE_PX / 4) return null;
  const bright = cv.threshold(small, cv.otsuLevel(small), 1);
  const dark = cv.map(bright, (each) => 1 - each);
  const low = cv.mean(small.data, dark.data);
  const high = cv.mean(small.data, bright.data);
  if (high - low < MIN_CONTRAST_LEVELS || !areTwoLevels(small, bright, high - low)) return null;
  const isDark = isCutOut(dark);
  if (isDark === isCutOut(bright)) return null;
  const [pen, paper] = isDark ? [low, high] : [high, low];
  const [zero, gap] = [Math.fround(paper), Math.fround(pen - paper)];
  return cv.map(image, (level) => {
    const share = Math.fround(Math.fround(level - zero) / gap);
    return share < FAINT_FRACTION ? 0 : Math.floor(Math.fround(255 * Math.min(share, 1)));
  });
}

function areTwoLevels(image: Grey, bright: Grey, gap: number): boolean {
  const total = cv.meanAndDeviation(image.data)[1] ** 2;
  const share = cv.mean(bright.data);
  return share * (1 - share) * gap ** 2 >= MIN_EXPLAINED_VARIANCE * total;
}

function isCutOut(mask: Grey): boolean {
  const { width, height } = mask;
  const longer = cv.longerSide(mask);
  const isUpright = height >= MIN_UPRIGHT_ASPECT * width;
  if (cv.mean(mask.data) > (isUpright ? MAX_UPRIGHT_INK_FRACTION : MAX_CUT_INK_FRACTION)) return false;
  const border = cv.border(mask);
  if (cv.countOf(border, 1) > MAX_BORDER_FRACTION * border.length) return false;
  const gap = Math.max(1, cv.round(MAX_GAP_FRACTION * longer)) + 1;
  const [across, down] = [Math.min(gap, width), Math.min(gap, height)];
  const edges: Rect[] = [
    { x: 0, y: 0, width, height: down },
    { x: 0, y: height - down, width, height: down },
    { x: 0, y: 0, width: across, height },
    { x: width - across, y: 0, width: across, height },
  ];
  if (!edges.every((edge) => cv.countNonZero(cv.crop(mask, edge).data))) return false;
  const padded = cv.pad(mask, 1);
  const { labels, parts } = cv.connectedParts(padded);
  const sum = parts.reduce((area, part) => area + part.area, 0);
  if (!parts.length || parts[largest(parts)].area < MIN_SHAPE_FRACTION * sum) return false;
  const main = largest(parts) + 1;
  const kept = parts.filter((part) => part.area >= MIN_DOT_FRACTION * sum);
  const farthest = Math.max(
    Math.min(...kept.map((part) => part.x)) - 1,
    Math.min(...kept.map((part) => part.y)) - 1,
    width + 1 - Math.max(...kept.map((part) => part.x + part.width)),
    height + 1 - Math.max(...kept.map((part) => part.y + part.height)),
  );
  if (farthest > Math.max(1, MAX_GAP_FRACTION * longer)) return false;
  const depths = cv.distances(padded);
  const deepest = depths.reduce((most, each, at) => (labels[at] === main ? Math.max(most, each) : most), 0);
  if (deepest > MAX_CUT_DEPTH_FRACTION * longer) return false;
  return depths.every((each) => each <= deepest) && !cv.isNested(padded);
}
