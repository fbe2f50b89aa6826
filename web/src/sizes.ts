/** Sizes of pictures and widths of strokes: the port of `kalamos.preprocessing.resizing`. */

import * as cv from "./vision";
import type { Grey } from "./vision";

const SOLID_HULL_FRACTION = 0.9;

/** Scale down by area averaging; a scale of 1 or more leaves the image as it is. */
export function shrink(image: Grey, scale: number): Grey {
  if (scale >= 1) return image;
  const width = Math.max(1, cv.round(image.width * scale));
  const height = Math.max(1, cv.round(image.height * scale));
  return cv.resizeArea(halve(image, 4 * Math.max(width, height)), width, height);
}

/** Halve the size while the longer side is at least `least` px and no pixel is left over. */
export function halve(image: Grey, least: number): Grey {
  while (cv.longerSide(image) >= least && !(image.width % 2 || image.height % 2)) {
    image = cv.resizeArea(image, image.width / 2, image.height / 2);
  }
  return image;
}

/** The mean width of strokes in px: twice their area over their outline; 0 without ink. */
function strokeWidth(mask: Grey): number {
  const area = cv.countNonZero(mask.data);
  const inner = (element: readonly cv.Span[]): number => cv.countNonZero(cv.erode(mask, element, true).data) / 2;
  const outline = area - (inner(cv.CROSS_3) + inner(cv.square(3)));
  return outline ? (2 * area) / outline : 0;
}

/** Draw the same strokes, bright on black, with a pen between `thinnest` and `thickest` px wide. */
export function setStrokeWidth(ink: Grey, thinnest: number, thickest: number): Grey {
  const mask = cv.threshold(ink, 127, 255);
  const width = strokeWidth(mask);
  const change = width ? cv.round(Math.min(Math.max(width, thinnest), thickest) - width) : 0;
  if (!change || (change < 0 && isSolid(mask))) return ink;
  const pen = cv.disc(Math.abs(change) + 1);
  if (change < 0) {
    const thin = cv.erode(ink, pen, true);
    // A hairline beside thick strokes would be eroded away: it stays as it was.
    const wide = cv.dilate(thin, pen);
    return cv.map(ink, (level, at) => Math.max(thin.data[at], level - wide.data[at], 0));
  }
  return cv.dilate(cv.pad(ink, (change >> 1) + 1), pen);
}

function isSolid(mask: Grey): boolean {
  return cv.countNonZero(mask.data) >= SOLID_HULL_FRACTION * cv.hullArea(mask);
}
