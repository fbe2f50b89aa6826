/**
 * A whole page: the ink finder's map in tiles, its connected parts, lines of them, and each read by itself.
 *
 * Plainer than `kalamos.pages`, which also cuts touching characters, turns pages and finds ruled cells.
 */

import { BRIGHTER, inkLevels, maskOf, roundToStride, standardise } from "./ink";
import type { InkNetwork } from "./ink";
import { NoInk } from "./preprocess";
import type { Prediction, Reader } from "./recognizer";
import { halve } from "./sizes";
import * as cv from "./vision";
import type { Grey, Part, Rect } from "./vision";

/** The longer side of the page at its first look. */
const OVERVIEW_PX = 640;

/** The height of the writing on the map. */
const TARGET_PX = 40;

/** The longer side of the map, for the time that it takes. */
const MAX_MAP_PX = 1600;

/** The map is at most so many times as large as the page: it holds no more than the page. */
const MAX_ENLARGEMENT = 3;

/** A tile is looked at with so much of its surroundings, which the next tile answers for. */
const TILE_PX = 256;
const HALO_PX = 32;

/** Of the deviation on the whole page: tiles that vary less are not made to vary as much. */
const MIN_CONTRAST_FRACTION = 0.35;

/** Parts of the overview that count for the writing's height, in px; and as a share of the high ones. */
const MIN_PART_PX = 6;
const MIN_HEIGHT_FRACTION = 0.3;

/** Times the writing's height: what is smaller is dust, what is larger a frame; thin and long is a ruled line. */
const MIN_SPECK_FRACTION = 0.1;
const MAX_HEIGHT_FACTOR = 4;
const MAX_WIDTH_FACTOR = 4;
const MIN_RULE_FACTOR = 2;
const MAX_RULE_FRACTION = 0.35;

/** Times the writing's height: dots and bars are smaller than a letter, or flat. */
const SMALL_FRACTION = 0.6;
const FLAT_FRACTION = 0.3;

/** Of the lower part's height: parts of one line overlap at least so far; and how far apart they may be. */
const MIN_OVERLAP_FRACTION = 0.35;
const MAX_GAP_FACTOR = 10;
const RECENT_LETTERS = 4;

/** How far a dot may be from its letter, times the writing's height, across the line and along it. */
const MAX_DOT_DISTANCE_FACTOR = 1.1;
const MAX_DOT_SHIFT_FACTOR = 0.25;

/** Parts that overlap so far from left to right, and are together no higher than so much, are one character. */
const STACKED_FRACTION = 0.55;
const MAX_STACK_FACTOR = 1.9;

/** A gap between words is at least so wide, times the writing's height, and times most gaps of the page. */
const WORD_GAP_FACTOR = 0.75;
const WORD_GAP_MEDIANS = 1.9;

/** What is doubtful and so far from all other characters of its line, times the writing's height, is an edge or a stain. */
const MAX_LONE_GAP_FACTOR = 2.5;

/** Characters that are less sure are doubtful. */
const SURE_CONFIDENCE = 0.8;

/** Black around a character, so that it is alone on its ground. */
const MARGIN_PX = 4;

export interface PageCharacter {
  /** In shares of the picture's sides. */
  readonly box: Rect;
  readonly prediction: Prediction;
  /** Whether a word ends before it. */
  readonly isApart: boolean;
}

interface PageInk {
  readonly levels: Grey;
  readonly mask: Grey;
  /** Typical height of the writing, in px of the map. */
  readonly height: number;
}

/** A character with its dots: which labels of the map it is made of. */
interface Group {
  box: Rect;
  readonly labels: number[];
}

/** Read all characters on a picture: lines from top to bottom, in reading order. Throws `NoInk` where there are none. */
export async function readPage(
  image: Grey,
  reader: Reader,
  network: InkNetwork,
  isRightToLeft: boolean,
): Promise<PageCharacter[][]> {
  const ink = await findPageInk(image, network);
  const { labels, parts } = cv.connectedParts(ink.mask);
  const lines = findLines(parts, ink.height);
  const gap = wordGap(lines, ink.height);
  const read: PageCharacter[][] = [];
  for (const line of lines) {
    const characters: PageCharacter[] = [];
    let before: Rect | null = null;
    for (const group of isRightToLeft ? line.toReversed() : line) {
      let prediction: Prediction;
      try {
        prediction = await reader.predictInk(inkOf(group, ink.levels, labels));
      } catch (error) {
        if (error instanceof NoInk) continue;
        throw error;
      }
      const isApart = before !== null && distance(before, group.box) >= gap;
      before = group.box;
      characters.push({ box: shareOf(group.box, ink.mask), prediction, isApart });
    }
    read.push(characters);
  }
  const reach = (MAX_LONE_GAP_FACTOR * ink.height) / ink.mask.width;
  const belongs = read.map((line) => line.filter((each) => !isDoubtful(each.prediction) || isBeside(each, line, reach)));
  const kept = (belongs.some((line) => line.length) ? belongs : read).filter((line) => line.length);
  if (!kept.length) throw new NoInk("no ink was found");
  return kept;
}

export function isDoubtful({ label, top }: Prediction): boolean {
  return label === null || top[0].confidence < SURE_CONFIDENCE;
}

function isBeside(character: PageCharacter, line: readonly PageCharacter[], reach: number): boolean {
  return line.some((other) => other !== character && distance(character.box, other.box) < reach);
}

async function findPageInk(image: Grey, network: InkNetwork): Promise<PageInk> {
  const first = OVERVIEW_PX / cv.longerSide(image);
  const width = roundToStride(image.width * Math.min(first, MAX_ENLARGEMENT));
  const height = roundToStride(image.height * Math.min(first, MAX_ENLARGEMENT));
  const levels = await inkLevels(standardise(image, width, height), width, height, network);
  const mask = maskOf(levels);
  const seen = writingHeight(cv.connectedParts(mask).parts);
  const most = Math.min(MAX_MAP_PX / Math.max(width, height), (MAX_ENLARGEMENT * image.width) / width);
  const nearer = Math.min(TARGET_PX / seen, most);
  if (nearer < 1.25) return { levels, mask, height: seen };
  const [wide, high] = [roundToStride(width * nearer), roundToStride(height * nearer)];
  const near = await tiled(image, wide, high, network);
  const nearMask = maskOf(near);
  return { levels: near, mask: nearMask, height: writingHeight(cv.connectedParts(nearMask).parts) };
}

/** The typical height of the writing in px; throws `NoInk` where there is none. */
function writingHeight(parts: readonly Part[]): number {
  const heights = parts.filter((part) => cv.longerSide(part) >= MIN_PART_PX).map((part) => part.height);
  if (!heights.length) throw new NoInk("no ink was found");
  heights.sort((one, two) => one - two);
  const high = heights[Math.floor(0.9 * (heights.length - 1))];
  return median(heights.filter((height) => height >= MIN_HEIGHT_FRACTION * high));
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, two) => one - two);
  return sorted[sorted.length >> 1];
}

/** The map at a size at which the network would take too much memory at once. */
async function tiled(image: Grey, width: number, height: number, network: InkNetwork): Promise<Grey> {
  image = halve(image, 2 * Math.max(width, height));
  const isSmaller = cv.longerSide(image) > Math.max(width, height);
  const page = isSmaller ? cv.resizeArea(image, width, height) : cv.resizeLinear(image, width, height);
  const least = MIN_CONTRAST_FRACTION * cv.meanAndDeviation(page.data)[1];
  const levels = cv.grey(width, height);
  const side = TILE_PX + 2 * HALO_PX;
  const within = (value: number, size: number): number => Math.min(Math.max(value, 0), size - 1);
  for (let top = 0; top < height; top += TILE_PX) {
    for (let left = 0; left < width; left += TILE_PX) {
      const tile = cv.map(cv.grey(side, side), (_, at) => {
        const x = within(left - HALO_PX + (at % side), width);
        return page.data[within(top - HALO_PX + Math.floor(at / side), height) * width + x];
      });
      const seen = await inkLevels(standardise(tile, side, side, least), side, side, network);
      const across = Math.min(TILE_PX, width - left);
      for (let y = 0; y < Math.min(TILE_PX, height - top); y++) {
        const from = (y + HALO_PX) * side + HALO_PX;
        levels.data.set(seen.data.subarray(from, from + across), (top + y) * width + left);
      }
    }
  }
  return levels;
}

/** Characters, line by line, each from left to right. */
function findLines(parts: readonly Part[], height: number): Group[][] {
  const kept = parts
    .map((part, at) => ({ box: part as Rect, labels: [at + 1] }))
    .filter(({ box }) => isWriting(box, height));
  const isSmall = ({ box }: Group): boolean =>
    cv.longerSide(box) < SMALL_FRACTION * height || box.height < FLAT_FRACTION * height;
  const lines: Group[][] = [];
  for (const letter of kept.filter((each) => !isSmall(each)).sort((one, two) => one.box.x - two.box.x)) {
    let best = MIN_OVERLAP_FRACTION;
    let home: Group[] | undefined;
    for (const line of lines) {
      const fit = overlapWith(line, letter.box, height);
      if (fit >= best) [best, home] = [fit, line];
    }
    if (home) home.push(letter);
    else lines.push([letter]);
  }
  const stacked = lines.map((line) => stack(line, height));
  for (const dot of kept.filter(isSmall)) join(dot, stacked, height);
  return stacked.sort((one, two) => middle(one) - middle(two));
}

function isWriting({ width, height }: Rect, typical: number): boolean {
  if (Math.max(width, height) < MIN_SPECK_FRACTION * typical) return false;
  if (height > MAX_HEIGHT_FACTOR * typical || width > MAX_WIDTH_FACTOR * typical) return false;
  return !(height < MAX_RULE_FRACTION * typical && width > MIN_RULE_FACTOR * typical);
}

function middle(line: readonly Group[]): number {
  return median(line.map(({ box }) => box.y + box.height / 2));
}

/** The share of its height that a letter shares with the last letters of a line. */
function overlapWith(line: readonly Group[], box: Rect, height: number): number {
  const last = line.slice(-RECENT_LETTERS).map((group) => group.box);
  const end = last[last.length - 1];
  if (box.x - (end.x + end.width) > MAX_GAP_FACTOR * height) return 0;
  const top = median(last.map((each) => each.y));
  const bottom = median(last.map((each) => each.y + each.height));
  const shared = Math.min(box.y + box.height, bottom) - Math.max(box.y, top);
  return shared / Math.max(Math.min(box.height, bottom - top), 1);
}

/** Join the letters of a line that stand one above the other. */
function stack(line: readonly Group[], height: number): Group[] {
  const result: Group[] = [];
  for (const group of line) {
    const last = result.at(-1);
    if (last && isStacked(last.box, group.box, height)) merge(last, group);
    else result.push(group);
  }
  return result;
}

function isStacked(one: Rect, two: Rect, height: number): boolean {
  const shared = Math.min(one.x + one.width, two.x + two.width) - Math.max(one.x, two.x);
  const isBelow = shared >= STACKED_FRACTION * Math.min(one.width, two.width);
  return isBelow && around(one, two).height <= MAX_STACK_FACTOR * height;
}

function merge(letter: Group, other: Group): void {
  letter.box = around(letter.box, other.box);
  letter.labels.push(...other.labels);
}

function around(one: Rect, two: Rect): Rect {
  const [x, y] = [Math.min(one.x, two.x), Math.min(one.y, two.y)];
  const right = Math.max(one.x + one.width, two.x + two.width);
  const bottom = Math.max(one.y + one.height, two.y + two.height);
  return { x, y, width: right - x, height: bottom - y };
}

/** Give a dot or a bar to the letter above or below it; what has none is punctuation, which no model reads. */
function join(dot: Group, lines: readonly Group[][], height: number): void {
  let nearest = MAX_DOT_DISTANCE_FACTOR * height;
  let home: Group | undefined;
  for (const letter of lines.flat()) {
    const shift = distance(dot.box, letter.box);
    const across = Math.max(
      letter.box.y - (dot.box.y + dot.box.height),
      dot.box.y - (letter.box.y + letter.box.height),
      0,
    );
    if (shift > MAX_DOT_SHIFT_FACTOR * height || across + shift >= nearest) continue;
    [nearest, home] = [across + shift, letter];
  }
  if (home) merge(home, dot);
}

/** How far two boxes are apart along the line; 0 where they overlap. */
function distance(one: Rect, two: Rect): number {
  return Math.max(two.x - (one.x + one.width), one.x - (two.x + two.width), 0);
}

function wordGap(lines: readonly Group[][], height: number): number {
  const gaps = lines.flatMap((line) => line.slice(1).map((group, at) => distance(line[at].box, group.box)));
  return Math.max(WORD_GAP_FACTOR * height, gaps.length ? WORD_GAP_MEDIANS * median(gaps) : 0);
}

/** A character's ink, bright on black, with nothing of its neighbours. */
function inkOf({ box, labels: own }: Group, levels: Grey, labels: Int32Array): Grey {
  const ink = cv.grey(box.width, box.height);
  for (let y = 0, at = 0; y < box.height; y++) {
    for (let x = 0; x < box.width; x++, at++) {
      const from = (box.y + y) * levels.width + box.x + x;
      if (own.includes(labels[from])) ink.data[at] = BRIGHTER[levels.data[from]];
    }
  }
  return cv.pad(ink, MARGIN_PX);
}

function shareOf({ x, y, width, height }: Rect, map: Grey): Rect {
  return { x: x / map.width, y: y / map.height, width: width / map.width, height: height / map.height };
}
