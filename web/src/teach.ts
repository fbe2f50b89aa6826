/**
 * An alphabet of one's own from a few samples of each character, as `kalamos teach glyphs` makes it.
 *
 * The port of `prototypes.fit_alphabet` as far as class means go, of `own_alphabet` where hands are too few to be
 * measured by themselves, and of `calibration.fit_known`. Python then sharpens the means by logistic regression.
 */

import type { KnownRecord } from "./model";
import { knownShare } from "./recognizer";
import type { AnswerRule } from "./recognizer";
import type { Floats } from "./vision";

/** Of a sample: Python takes up to twelve. */
export const VARIATIONS = 4;

/** (samples a class, temperature, the largest logit that one in a hundred of unseen hands is below). */
const CALIBRATED: readonly (readonly [samples: number, temperature: number, lowest: number])[] = [
  [1, 1.22, 11.87],
  [3, 0.83, 14.27],
  [5, 0.69, 15.04],
  [10, 0.57, 15.9],
];
const MAX_OWN_WITHHELD = 0.01;
/** A character of another script whose embedding is this near to a class looks like it, and is no outlier. */
const LOOK_ALIKE_COSINE = 0.6;
const MAX_KNOWN_THRESHOLD = 0.5;
const FEW_KNOWN_THRESHOLD = 0.03;
const MIN_KNOWN_IMAGES = 200;
const MIN_KNOWN_SCALE = 1e-3;

export interface Example {
  readonly label: string;
  /** Of the sample and of its variations: float32 [1 + K, D]. */
  readonly embeddings: Floats;
}

/** A taught alphabet: logits = embedding x weight. */
export interface Taught {
  readonly rule: AnswerRule;
  /** The direction of each class, of length 1: float32 [C, D]. */
  readonly weight: Floats;
}

/** The logits of one embedding [D]: its cosine to each class, times its length. */
export function logitsOf({ weight, rule }: Taught, embedding: Float32Array): Float32Array {
  return Float32Array.from(rule.labels, (_, row) => dot(weight, row * embedding.length, embedding, 0, embedding.length));
}

/**
 * Learn from samples of two or more characters.
 *
 * @param others Embeddings of other scripts' characters and of scribbles, float32 [M, D], as long as the samples'.
 */
export function teach(examples: readonly Example[], others: Floats): Taught {
  const labels = [...new Set(examples.map(({ label }) => label))];
  const size = examples[0].embeddings.length / (1 + VARIATIONS);
  const weight = means(examples, labels, size);
  const perClass = examples.length / labels.length;
  const [temperature, lowest] = [1, 2].map((column) => calibrated(perClass, column as 1 | 2));
  const taught = { weight, rule: { labels, temperature, minConfidence: 0, known: null } };
  const mine = examples.flatMap(({ embeddings }) => largest(taught, embeddings.subarray(size), size));
  // Variations of what was learnt are read too well: unseen hands are known less, as much as elsewhere.
  const shift = lowest - quantile(mine, MAX_OWN_WITHHELD);
  const foreign = largest(taught, others, size).filter(
    (logit, row) => logit < LOOK_ALIKE_COSINE * Math.hypot(...others.subarray(row * size, (row + 1) * size)),
  );
  const known = foreign.length ? fitKnown(mine.map((logit) => logit + shift), foreign, MAX_OWN_WITHHELD) : null;
  return { weight, rule: { ...taught.rule, known } };
}

function means(examples: readonly Example[], labels: readonly string[], size: number): Floats {
  const weight = new Float32Array(labels.length * size);
  const sums = labels.map(() => new Float64Array(size));
  for (const { label, embeddings } of examples) {
    const sum = sums[labels.indexOf(label)];
    // The sample itself counts as much as all its variations.
    embeddings.forEach((value, at) => (sum[at % size] += at < size ? value : value / VARIATIONS));
  }
  sums.forEach((sum, row) => {
    const length = Math.max(Math.hypot(...sum), 1e-9);
    weight.set(sum.map((value) => value / length), row * size);
  });
  return weight;
}

/** The largest logit of each of some embeddings [N, D]. */
function largest(taught: Taught, embeddings: Float32Array, size: number): number[] {
  return Array.from({ length: embeddings.length / size }, (_, row) =>
    Math.max(...logitsOf(taught, embeddings.subarray(row * size, (row + 1) * size))),
  );
}

function dot(one: Float32Array, from: number, two: Float32Array, start: number, length: number): number {
  let sum = 0;
  for (let at = 0; at < length; at++) sum += one[from + at] * two[start + at];
  return sum;
}

/** A column of `CALIBRATED` for so many samples a class, between two rows in proportion. */
function calibrated(samples: number, column: 1 | 2): number {
  const after = CALIBRATED.findIndex(([count]) => count >= samples);
  if (after === 0) return CALIBRATED[0][column];
  if (after < 0) return CALIBRATED[CALIBRATED.length - 1][column];
  const [before, next] = [CALIBRATED[after - 1], CALIBRATED[after]];
  return before[column] + ((next[column] - before[column]) * (samples - before[0])) / (next[0] - before[0]);
}

function quantile(values: readonly number[], share: number): number {
  const ordered = values.toSorted((one, two) => one - two);
  const place = share * (ordered.length - 1);
  const below = Math.floor(place);
  return ordered[below] + (place - below) * ((ordered[below + 1] ?? ordered[below]) - ordered[below]);
}

/** What the largest logits of characters and of outliers mean, and below which one not to answer. */
export function fitKnown(characters: readonly number[], outliers: readonly number[], withheld: number): KnownRecord {
  const [slope, shift] = plattScaling(characters, outliers);
  const record = { scale: Math.max(slope, MIN_KNOWN_SCALE), shift };
  const known = characters.map((output) => knownShare(record, output)).sort((one, two) => one - two);
  let most = MAX_KNOWN_THRESHOLD;
  if (known.length < MIN_KNOWN_IMAGES) {
    const expected = knownShare(record, expectedLow(characters, withheld));
    most = Math.min(most, Math.max(FEW_KNOWN_THRESHOLD, expected));
  }
  return { ...record, threshold: Math.min(known[Math.floor(withheld * known.length)], most) };
}

const NEWTON_STEPS = 100;
const SMALLEST_STEP = 1e-10;

/** Fit a logistic curve: slope and intercept. Both kinds weigh as much; the slope is held back. */
function plattScaling(characters: readonly number[], outliers: readonly number[]): [slope: number, shift: number] {
  const total = characters.length + outliers.length;
  const points = [
    ...characters.map((x) => ({ x, sign: 1, weight: total / 2 / characters.length })),
    ...outliers.map((x) => ({ x, sign: -1, weight: total / 2 / outliers.length })),
  ];
  const loss = (a: number, b: number): number =>
    points.reduce((sum, { x, sign, weight }) => sum + weight * softplus(-sign * (a * x + b)), (a * a) / 2);
  let [a, b] = [0, 0];
  let value = loss(a, b);
  for (let step = 0; step < NEWTON_STEPS; step++) {
    let [slopeA, slopeB, aa, ab, bb] = [a, 0, 1, 0, 0];
    for (const { x, sign, weight } of points) {
      const share = 1 / (1 + Math.exp(Math.min(Math.max(sign * (a * x + b), -500), 500)));
      const [pull, curve] = [-weight * sign * share, weight * share * (1 - share)];
      [slopeA, slopeB] = [slopeA + pull * x, slopeB + pull];
      [aa, ab, bb] = [aa + curve * x * x, ab + curve * x, bb + curve];
    }
    const determinant = Math.max(aa * bb - ab * ab, 1e-12);
    const [moveA, moveB] = [(bb * slopeA - ab * slopeB) / determinant, (aa * slopeB - ab * slopeA) / determinant];
    let pace = 1;
    while (pace > SMALLEST_STEP && !(loss(a - pace * moveA, b - pace * moveB) <= value)) pace /= 2;
    [a, b] = [a - pace * moveA, b - pace * moveB];
    const next = loss(a, b);
    if (!(value - next > SMALLEST_STEP * Math.abs(value))) break;
    value = next;
  }
  return [a, b];
}

function softplus(value: number): number {
  return Math.max(value, 0) + Math.log1p(Math.exp(-Math.abs(value)));
}

/** The output that so many of characters such as these are expected to be below (Pickands 1975). */
function expectedLow(outputs: readonly number[], withheld: number): number {
  const few = Math.ceil(outputs.length / 4);
  if (few < 2) return -Infinity;
  const ordered = outputs.toSorted((one, two) => one - two);
  const decay = ordered[few] - ordered.slice(0, few).reduce((sum, each) => sum + each, 0) / few;
  const rarer = few / (outputs.length * withheld);
  return ordered[few] - few * decay * (rarer ** (1 / few) - 1);
}
