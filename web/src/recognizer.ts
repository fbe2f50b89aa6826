/** Images in, predictions out: the port of `recognizer`, `postprocessing` and `grouping` of kalamos. */

import * as ort from "onnxruntime-web/wasm";

import type { InkNetwork } from "./ink";
import { readSpec, withEmbedding } from "./model";
import type { KnownRecord, ModelSpec } from "./model";
import { Preprocessor } from "./preprocess";
import * as cv from "./vision";
import type { Floats, Grey } from "./vision";

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

/** Reads images: with a model, or with an alphabet of one's own. */
export interface Reader {
  readonly labels: readonly string[];
  /** Read one grey image of any size. Throws `NoInk` where nothing is written. */
  predict(grey: Grey): Promise<Prediction>;
  /** Read a picture of ink alone, bright on black. */
  predictInk(ink: Grey): Promise<Prediction>;
}

export class Recognizer implements Reader {
  private constructor(
    readonly spec: ModelSpec,
    private readonly preprocessor: Preprocessor,
    private readonly session: ort.InferenceSession,
  ) {}

  static async open(file: Uint8Array, network: InkNetwork): Promise<Recognizer> {
    const spec = readSpec(file);
    const session = await ort.InferenceSession.create(file, { executionProviders: ["wasm"] });
    return new Recognizer(spec, new Preprocessor(spec.preprocessing, network), session);
  }

  get labels(): readonly string[] {
    return this.spec.alphabet.labels;
  }

  async predict(grey: Grey): Promise<Prediction> {
    return this.answer(await this.preprocessor.image(grey));
  }

  async predictInk(ink: Grey): Promise<Prediction> {
    return this.answer(await this.preprocessor.imageOfInk(ink));
  }

  private async answer(prepared: Grey): Promise<Prediction> {
    const { input_size: size, known, temperature, min_confidence: minConfidence } = this.spec;
    const images = new ort.Tensor("float32", this.preprocessor.batch([prepared]), [1, 1, size, size]);
    const wanted = known ? ["logits", "known"] : ["logits"];
    const outputs = await this.session.run({ [this.session.inputNames[0]]: images }, wanted);
    const logits = outputs["logits"].data as Float32Array;
    const output = known ? Number(outputs["known"].data[0]) : null;
    return predictionOf(logits, output, { labels: this.labels, temperature, minConfidence, known: known ?? null }, prepared);
  }
}

/** Turns images into what the last layer of a model takes of them. */
export class Embedder {
  private constructor(
    readonly preprocessor: Preprocessor,
    /** Of the model file: another one embeds otherwise. */
    readonly version: string,
    private readonly session: ort.InferenceSession,
    private readonly output: string,
    private readonly side: number,
  ) {}

  static async open(file: Uint8Array, network: InkNetwork): Promise<Embedder> {
    const spec = readSpec(file);
    const whole = withEmbedding(file);
    const session = await ort.InferenceSession.create(whole.file, { executionProviders: ["wasm"] });
    const version = `${spec.name} ${spec.created} ${file.length}`;
    return new Embedder(new Preprocessor(spec.preprocessing, network), version, session, whole.output, spec.input_size);
  }

  /** Embed one prepared image: float32 [D]. */
  async embed(prepared: Grey): Promise<Floats> {
    const images = new ort.Tensor("float32", this.preprocessor.batch([prepared]), [1, 1, this.side, this.side]);
    const outputs = await this.session.run({ [this.session.inputNames[0]]: images }, [this.output]);
    return (outputs[this.output].data as Floats).slice();
  }
}

/** How logits become an answer. */
export interface AnswerRule {
  readonly labels: readonly string[];
  readonly temperature: number;
  readonly minConfidence: number;
  readonly known: KnownRecord | null;
}

/** @param output What tells whether the image is a character at all; null where nothing does. */
export function predictionOf(
  logits: Float32Array,
  output: number | null,
  { labels, temperature, minConfidence, known: record }: AnswerRule,
  prepared: Grey,
): Prediction {
  const probabilities = softmax(logits, temperature);
  const known = record && output !== null ? knownShare(record, output) : null;
  const order = [...probabilities.keys()].sort((one, two) => probabilities[two] - probabilities[one]);
  const top = order.slice(0, TOP).map((at) => ({ label: labels[at], confidence: probabilities[at] }));
  let reason: Reason | null = null;
  if (known !== null && !(known >= (record?.threshold ?? 0))) {
    reason = countCharacters(prepared) > 1 ? "several characters" : "not a character";
  } else if (!(top[0].confidence >= minConfidence)) {
    reason = "not sure enough";
  }
  return { label: reason ? null : top[0].label, top, known, reason, prepared };
}

/** The probability that an image is a character at all. */
export function knownShare({ scale, shift }: { scale: number; shift: number }, output: number): number {
  return 0.5 * (1 + Math.tanh(0.5 * (scale * output + shift)));
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
