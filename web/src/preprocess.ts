/** From a grey image to what a network sees: the port of `steps` and `pipeline` of kalamos.preprocessing. */

import { inkOfCutOut, inkOnPlainGround, trimPadding } from "./ground";
import { findInk, strokesOf } from "./ink";
import type { InkMap, InkNetwork } from "./ink";
import { setStrokeWidth, shrink } from "./sizes";
import * as cv from "./vision";
import type { Grey } from "./vision";

/** One step as a model file declares it: its name under "step", its parameters beside it. */
export type Step = Readonly<Record<string, string | number>>;

/** Nothing is written on an image. */
export class NoInk extends Error {
  override readonly name = "NoInk";
}

const FULL_CONTRAST = 250;
const FAINT_PEAK = 64;
const MAX_WORKING_PIXELS = 512 * 512;
const STROKE_DETAIL = 8;

/** Steps of the first version's model files, as they are called now. */
const FORMER_NAMES: Readonly<Record<string, string>> = { polarity: "ink", ink_box: "crop" };

export class Preprocessor {
  /** `normalise` in two numbers: grey * scale - shift. */
  readonly scale: number;
  readonly shift: number;
  private readonly steps: readonly Step[];
  private readonly prepared: Prepared | null;

  constructor(
    steps: readonly Step[],
    private readonly network: InkNetwork,
  ) {
    const last = steps.at(-1);
    if (last?.["step"] !== "normalise") throw new Error("the last preprocessing step is not 'normalise'");
    const mean = number(last, "mean", 0);
    const std = number(last, "std", 1);
    this.scale = Math.fround(1 / (255 * std));
    this.shift = Math.fround(mean / std);
    this.steps = steps.slice(0, -1).map((step) => {
      const name = String(step["step"]);
      return { ...step, step: FORMER_NAMES[name] ?? name };
    });
    this.prepared = preparedBy(this.steps);
  }

  /** Prepare one grey image of any size: a square, ink bright on black. Throws `NoInk` where nothing is written. */
  async image(grey: Grey): Promise<Grey> {
    return this.prepared && isPrepared(grey, this.prepared) ? grey : this.run(this.steps, grey);
  }

  /** Prepare a picture of ink alone, bright on black: the step `ink` is left out. */
  async imageOfInk(ink: Grey): Promise<Grey> {
    return this.run(this.steps[0]?.["step"] === "ink" ? this.steps.slice(1) : this.steps, ink);
  }

  /** Prepared images of one size as the network takes them: float32 [N, 1, S, S]. */
  batch(images: readonly Grey[]): Float32Array<ArrayBuffer> {
    const size = images[0].data.length;
    const values = new Float32Array(images.length * size);
    images.forEach((image, row) => {
      image.data.forEach((level, at) => (values[row * size + at] = Math.fround(level * this.scale) - this.shift));
    });
    return values;
  }

  private async run(steps: readonly Step[], grey: Grey): Promise<Grey> {
    for (const step of steps) grey = await apply(step, grey, this.network);
    return grey;
  }
}

async function apply(step: Step, image: Grey, network: InkNetwork): Promise<Grey> {
  switch (step["step"]) {
    case "grey":
      return image;
    case "ink":
      return inkOf(image, number(step, "min_contrast", 24), network);
    case "crop":
      return cropToInk(image);
    case "pad":
      return padded(image, number(step, "px"), number(step, "value", 0));
    case "stroke":
      return stroke(image, number(step, "size"), number(step, "thinnest", 1.6), number(step, "thickest", 4.5));
    case "resize":
      return resize(image, number(step, "size"), number(step, "tolerance", 0));
    case "centre":
      return centre(image, number(step, "size"));
    default:
      throw new Error(`unknown preprocessing step '${step["step"]}'`);
  }
}

function number(step: Step, key: string, otherwise?: number): number {
  const value = step[key] ?? otherwise;
  if (typeof value !== "number") throw new Error(`preprocessing step '${step["step"]}' lacks '${key}'`);
  return value;
}

/** Scale a picture of too many pixels down to `MAX_WORKING_PIXELS`. */
export function limitSize(image: Grey): Grey {
  return shrink(image, Math.sqrt(MAX_WORKING_PIXELS / image.data.length));
}

/** The ink alone, bright on black, whatever surrounds it and whichever of the two is the darker. */
async function inkOf(image: Grey, minContrast: number, network: InkNetwork): Promise<Grey> {
  const found = await lookForInk(image, minContrast, network);
  const strokes = "view" in found ? strokesOf(found) : found;
  if (!cv.countNonZero(strokes.data)) throw new NoInk("no ink was found");
  return fullContrast(strokes);
}

/** Ink taken by subtraction where that is enough, else the ink finder's map. */
export async function lookForInk(image: Grey, minContrast: number, network: InkNetwork): Promise<Grey | InkMap> {
  image = limitSize(image);
  const alone = inkOnPlainGround(image, Math.max(minContrast, 1));
  if (alone) return alone;
  image = trimPadding(image);
  return inkOfCutOut(image) ?? findInk(image, network);
}

function cropToInk(image: Grey): Grey {
  const box = cv.boundingRect(image);
  if (!box.width) throw new NoInk("no ink was found");
  return cv.crop(image, box);
}

function padded(image: Grey, margin: number, value: number): Grey {
  const wide = cv.pad(cv.map(image, (level) => level ^ value), margin);
  return cv.map(wide, (level) => level ^ value);
}

/** Widen a pen that would fade at the model's size, and narrow one that would fill its own loops. */
function stroke(image: Grey, size: number, thinnest: number, thickest: number): Grey {
  if (cv.longerSide(image) <= 2 * size) return image;
  image = shrink(image, (STROKE_DETAIL * size) / cv.longerSide(image));
  const scale = cv.longerSide(image) / size;
  const inked = setStrokeWidth(image, thinnest * scale, thickest * scale);
  return inked === image ? image : cv.crop(inked, cv.boundingRect(inked));
}

/** Scale until the longer side is `size` px, then restore full contrast. */
function resize(image: Grey, size: number, tolerance: number): Grey {
  const longer = cv.longerSide(image);
  if (size * (1 - tolerance) <= longer && longer <= size) return image;
  const side = (px: number): number => Math.max(1, cv.round(px * (size / longer)));
  const small =
    longer > size ? shrink(image, size / longer) : cv.resizeLinear(image, side(image.width), side(image.height));
  if (longer > 8 * size && cv.extremes(small.data)[1] < FAINT_PEAK) {
    // Strokes so thin on a page so large drown in eight bits: in two steps they do not.
    return resize(resize(image, 4 * size, 0), size, 0);
  }
  return fullContrast(small);
}

/** Put the ink's centre of mass in the middle of a black square. */
function centre(image: Grey, size: number): Grey {
  const { width, height } = image;
  if (width > size || height > size) throw new Error(`a ${width}x${height} image does not fit into ${size}x${size}`);
  const { mass, x, y } = cv.moments(image);
  const place = (moment: number, extent: number): number =>
    Math.min(Math.max(cv.round(size / 2 - moment / (mass || 1)), 0), size - extent);
  const [left, top] = [place(x, width), place(y, height)];
  const square = cv.grey(size, size);
  for (let row = 0; row < height; row++) {
    square.data.set(image.data.subarray(row * width, (row + 1) * width), (top + row) * size + left);
  }
  return square;
}

function fullContrast(image: Grey): Grey {
  const peak = cv.extremes(image.data)[1];
  return peak >= FULL_CONTRAST || peak === 0 ? image : cv.scaleLevels(image, 255 / peak);
}

/** The geometry that the steps leave alone: exports of MNIST and its family have it already. */
interface Prepared {
  readonly size: number;
  readonly shortest: number;
  readonly longest: number;
}

function preparedBy(steps: readonly Step[]): Prepared | null {
  const names = steps.map((step) => step["step"]).join(" ");
  if (names !== "ink crop resize centre" && names !== "ink crop stroke resize centre") return null;
  const declared = Object.fromEntries(steps.map((step) => [step["step"], step])) as Record<string, Step>;
  if (number(declared["ink"], "min_contrast", 0) > FULL_CONTRAST) return null;
  const longest = number(declared["resize"], "size");
  if (longest > 2 * number(declared["stroke"] ?? declared["resize"], "size")) return null;
  const shortest = longest * (1 - number(declared["resize"], "tolerance", 0));
  return { size: number(declared["centre"], "size"), shortest, longest };
}

function isPrepared(image: Grey, { size, shortest, longest }: Prepared): boolean {
  if (image.width !== size || image.height !== size) return false;
  const edges = cv.border(image);
  const box = cv.boundingRect(image);
  const longer = cv.longerSide(box);
  if (2 * cv.countOf(edges, 0) <= edges.length || longer < shortest || longer > longest) return false;
  if (cv.extremes(image.data)[1] < FULL_CONTRAST) return false;
  const { mass, x, y } = cv.moments(image);
  const stays = (first: number, extent: number, moment: number): boolean => {
    const placed = cv.round(size / 2 - (moment - first * mass) / mass);
    return Math.min(Math.max(placed, 0), size - extent) === first;
  };
  return stays(box.x, box.width, x) && stays(box.y, box.height, y);
}
