/** Images in, predictions out: the port of `recognizer`, `postprocessing` and `grouping` of kalamos. */

import * as ort from "onnxruntime-web/wasm";

import type { InkNetwork } from "./ink";
import { readSpec } from "./model";
import type { ModelSpec } from "./model";
import { Preprocessor } from "./preprocess";
import * as cv from "./vision";
import type { Grey } from "./vision";

export interface Candidate {
  readonly label: string;
  /** Its probability in [0, 1]. */
  readonly confidence: number;
}

/** Why no label is given. */
export type Reason = "not a character" | "not sure enough" | "several characters";

export interface Prediction {
  /** null where the model abstains. */
  readonly label: string | null;
  readonly top: readonly Candidate[];
  /** The probability of being a character at all; null where the model does not tell. */
  readonly known: number | null;
  readonly reason: Reason | null;
  /** What the model saw. */
  readonly prepared: Grey;
}

const TOP = 5;

/** Give onnxruntime its WebAssembly, before any model is opened. */
export function setRuntime(wasm: ArrayBuffer): void {
  ort.env.wasm.wasmBinary = wasm;
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.proxy = false;
}

export async function openInkNetwork(file: Uint8Array): Promise<InkNetwork> {
  const session = await ort.InferenceSession.create(file, { executionProviders: ["wasm"] });
  return async (values, width, height) => {
    const answer = await session.run({ grey: new ort.Tensor("float32", values, [1, 1, height, width]) });
    return answer["ink"].data as Float32Array;
  };
}

export class Recognizer {
  private constructor(
    readonly spec: ModelSpec,
    readonly preprocessor: Preprocessor,
    private readonly session: ort.InferenceSession,
  ) {}

  static async open(file: Uint8Array, network: InkNetwork): Promise<Recognizer> {
    const spec = readSpec(file);
    const session = await ort.InferenceSession.create(file, { executionProviders: ["wasm"] });
    return new Recognizer(spec, new Preprocessor(spec.preprocessing, network), session);
  }

  /** Read one grey image of any size. Throws `NoInk` where nothing is written. */
  async predict(grey: Grey): Promise<Prediction> {
    return this.answer(await this.preprocessor.image(grey));
  }

  /** Read a picture of ink alone, bright on black. */
  async predictInk(ink: Grey): Promise<Prediction> {
    return this.answer(await this.preprocessor.imageOfInk(ink));
  }

  private async answer(prepared: Grey): Promise<Prediction> {
    const { input_size: size, known: record } = this.spec;
    const values = this.preprocessor.batch([prepared]);
    const images = new ort.Tensor("float32", values, [1, 1, size, size]);
    const wanted = record ? ["logits", "known"] : ["logits"];
    const outputs = await this.session.run({ [this.session.inputNames[0]]: images }, wanted);
    const probabilities = softmax(outputs["logits"].data as Float32Array, this.spec.temperature);
    const known = record
      ? 0.5 * (1 + Math.tanh(0.5 * (record.scale * Number(outputs["known"].data[0]) + record.shift)))
      : null;
    const labels = this.spec.alphabet.labels;
    const order = [...probabilities.keys()].sort((one, two) => probabilities[two] - probabilities[one]);
    const top = order.slice(0, TOP).map((at) => ({ label: labels[at], confidence: probabilities[at] }));
    let reason: Reason | null = null;
    if (known !== null && !(known >= (record?.threshold ?? 0))) {
      reason = countCharacters(prepared) > 1 ? "several characters" : "not a character";
    } else if (!(top[0].confidence >= this.spec.min_confidence)) {
      reason = "not sure enough";
    }
    return { label: reason ? null : top[0].label, top, known, reason, prepared };
  }
}

function softmax(logits: Float32Array, temperature: number): Float64Array {
  const scaled = Float64Array.from(logits, (logit) => logit / temperature);
  const most = scaled.reduce((high, each) => Math.max(high, each), -Infinity);
  const powers = scaled.map((each) => Math.exp(each - most));
  const sum = powers.reduce((total, each) => total + each, 0);
  return powers.map((each) => each / sum);
}

const INK_LEVEL = 64;
const MIN_SIZE_FRACTION = 0.45;
const MIN_AREA_FRACTION = 0.15;
const MIN_AREA_FRACTION_ABOVE = 0.5;

interface Extent {
  readonly start: number;
  readonly end: number;
  readonly low: number;
  readonly high: number;
  readonly area: number;
}

/** How many characters stand side by side, or one above the other, on a prepared image. */
function countCharacters(image: Grey): number {
  const { parts } = cv.connectedParts(cv.threshold(image, INK_LEVEL - 1, 1));
  if (!parts.length) return 0;
  const beside = parts.map(({ x, y, width, height, area }) => {
    return { start: x, end: x + width, low: y, high: y + height, area };
  });
  const above = beside.map(({ start, end, low, high, area }) => {
    return { start: low, end: high, low: start, high: end, area };
  });
  return Math.max(countGroups(beside, MIN_AREA_FRACTION), countGroups(above, MIN_AREA_FRACTION_ABOVE));
}

/** Groups of parts that overlap from `start` to `end`; small ones do not count. */
function countGroups(parts: readonly Extent[], minArea: number): number {
  const groups: Extent[] = [];
  for (const part of parts.toSorted((one, two) => one.start - two.start)) {
    const last = groups.at(-1);
    if (!last || part.start >= last.end) {
      groups.push(part);
      continue;
    }
    groups[groups.length - 1] = {
      start: last.start,
      end: Math.max(last.end, part.end),
      low: Math.min(last.low, part.low),
      high: Math.max(last.high, part.high),
      area: last.area + part.area,
    };
  }
  const tallest = Math.max(...groups.map((group) => group.high - group.low));
  const largest = Math.max(...groups.map((group) => group.area));
  const isLarge = (group: Extent): boolean =>
    group.high - group.low >= MIN_SIZE_FRACTION * tallest && group.area >= minArea * largest;
  return groups.filter(isLarge).length;
}
