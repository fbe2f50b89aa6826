/** A sample as another hand might have written it: the port of `kalamos.finetune.examples.variations`. */

import * as cv from "./vision";
import type { Floats, Grey } from "./vision";

const MAX_ROTATION = (10 * Math.PI) / 180;
const MAX_SHEAR = 0.15;
const MAX_STRETCH = 0.12;
const MAX_SHIFT_FRACTION = 0.04;
const BEND_FRACTION = 0.03;
const BEND_KNOTS = 5;
const MAX_THINNER = 0.5;
const MAX_THICKER = 0.7;
/** Of cubic interpolation, as OpenCV has it. */
const SHARPNESS = -0.75;

/** Draws numbers in [0, 1), the same ones for a seed (Mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A prepared image, a square with ink bright on black, turned, slanted, stretched, moved, bent, its pen changed. */
export function variation(image: Grey, random: () => number): Grey {
  const side = image.width;
  const middle = (side - 1) / 2;
  const within = (most: number): number => most * (2 * random() - 1);
  const [angle, slant, wide, high] = [within(MAX_ROTATION), within(MAX_SHEAR), 1 + within(MAX_STRETCH), 1 + within(MAX_STRETCH)];
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const [bendX, bendY] = [bent(side, random), bent(side, random)];
  const [shiftX, shiftY] = [within(MAX_SHIFT_FRACTION) * side, within(MAX_SHIFT_FRACTION) * side];
  const moved = cv.map(image, (_, at) => {
    const [x, y] = [((at % side) - middle) * wide, (Math.floor(at / side) - middle) * high];
    const slanted = x + slant * y;
    return levelAt(
      image,
      cos * slanted - sin * y + bendX[at] + shiftX + middle,
      sin * slanted + cos * y + bendY[at] + shiftY + middle,
    );
  });
  return repenned(moved, random() * (MAX_THICKER + MAX_THINNER) - MAX_THINNER);
}

/** How far each pixel is moved: cubic between a few knots. */
function bent(side: number, random: () => number): Floats {
  const knots = Float32Array.from({ length: BEND_KNOTS ** 2 }, () => (BEND_FRACTION * side * normal(random)) / 2);
  const { from, weights } = cubic(side);
  const result = new Float32Array(side * side);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      let sum = 0;
      for (let row = 0; row < 4; row++) {
        for (let column = 0; column < 4; column++) {
          const knot = knots[within(from[y] + row) * BEND_KNOTS + within(from[x] + column)];
          sum += weights[y][row] * weights[x][column] * knot;
        }
      }
      result[y * side + x] = sum;
    }
  }
  return result;
}

function within(knot: number): number {
  return Math.min(Math.max(knot, 0), BEND_KNOTS - 1);
}

/** The first of four knots for each place, and what each of them weighs. */
function cubic(side: number): { from: number[]; weights: number[][] } {
  const places = Array.from({ length: side }, (_, at) => ((at + 0.5) * BEND_KNOTS) / side - 0.5);
  const weight = (distance: number): number => {
    const far = Math.abs(distance);
    return far <= 1
      ? (SHARPNESS + 2) * far ** 3 - (SHARPNESS + 3) * far ** 2 + 1
      : SHARPNESS * (far ** 3 - 5 * far ** 2 + 8 * far - 4);
  };
  const from = places.map((place) => Math.floor(place) - 1);
  return { from, weights: places.map((place, at) => [0, 1, 2, 3].map((knot) => weight(place - from[at] - knot))) };
}

function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** The level between four pixels; what is outside is black. */
function levelAt({ width, height, data }: Grey, x: number, y: number): number {
  const [left, top] = [Math.floor(x), Math.floor(y)];
  const [right, below] = [x - left, y - top];
  const level = (column: number, row: number): number =>
    column >= 0 && row >= 0 && column < width && row < height ? data[row * width + column] : 0;
  const above = level(left, top) * (1 - right) + level(left + 1, top) * right;
  return cv.round(above * (1 - below) + (level(left, top + 1) * (1 - right) + level(left + 1, top + 1) * right) * below);
}

/** Written with a thicker (above 0) or a thinner pen: part of the way to a dilation or an erosion. */
function repenned(image: Grey, amount: number): Grey {
  const changed = amount > 0 ? cv.dilate(image, cv.square(3)) : cv.erode(image, cv.square(3));
  const share = Math.abs(amount);
  return cv.map(image, (level, at) => cv.round(share * changed.data[at] + (1 - share) * level));
}
