/** From a picture file to one grey image: the port of `kalamos.images.grey` for what a browser decodes. */

import * as cv from "./vision";
import type { Grey } from "./vision";

/** Height x width of the largest picture that is read. */
const MAX_PIXELS = 50_000_000;

/** Visible pixels whose luminance deviates less than this (of 255) are ink alone, without paper. */
const MAX_INK_DEVIATION = 32;

/** The share of visible pixels that may lie on the other side of mid-grey where all else is ink. */
const MAX_STRAY_FRACTION = 0.01;

export class TooLarge extends Error {
  override readonly name = "TooLarge";
}

export async function decode(file: Blob): Promise<ImageBitmap> {
  const picture = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  if (picture.width * picture.height > MAX_PIXELS) {
    picture.close();
    throw new TooLarge();
  }
  return picture;
}

export function toGrey(picture: ImageBitmap): Grey {
  const { width, height } = picture;
  const sheet = new OffscreenCanvas(width, height);
  const pen = sheet.getContext("2d", { willReadFrequently: true }) as OffscreenCanvasRenderingContext2D;
  pen.drawImage(picture, 0, 0);
  return greyOf(pen.getImageData(0, 0, width, height));
}

/** BT.601 luminance; transparent pixels are composed on a background on which the ink can be seen. */
export function greyOf({ width, height, data }: { width: number; height: number; data: ArrayLike<number> }): Grey {
  const luminance = cv.grey(width, height);
  const alpha = new Uint8Array(width * height);
  let isOpaque = true;
  for (let at = 0, from = 0; at < alpha.length; at++, from += 4) {
    luminance.data[at] = (data[from] * 9798 + data[from + 1] * 19235 + data[from + 2] * 3735 + 16384) >> 15;
    alpha[at] = data[from + 3];
    if (alpha[at] < 255) isOpaque = false;
  }
  if (isOpaque) return luminance;
  const background = backgroundFor(luminance, alpha);
  return cv.map(luminance, (level, at) =>
    Math.floor((level * alpha[at] + background * (255 - alpha[at]) + 127) / 255),
  );
}

/** White for dark ink, black for light ink; where paper is visible too, its tone is continued. */
function backgroundFor(luminance: Grey, alpha: Uint8Array): number {
  const weights = new Float64Array(256);
  luminance.data.forEach((level, at) => (weights[level] += alpha[at]));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  if (!total) return 255;
  const mean = weights.reduce((sum, weight, level) => sum + weight * level, 0) / total;
  const deviation = Math.sqrt(weights.reduce((sum, weight, level) => sum + weight * (level - mean) ** 2, 0) / total);
  const light = weights.subarray(128).reduce((sum, weight) => sum + weight, 0) / total;
  if (deviation < MAX_INK_DEVIATION || light < MAX_STRAY_FRACTION || light > 1 - MAX_STRAY_FRACTION) {
    return mean < 128 ? 255 : 0;
  }
  let sum = 0;
  return weights.findIndex((weight) => (sum += weight) >= total / 2);
}
