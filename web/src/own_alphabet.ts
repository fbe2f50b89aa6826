/** An alphabet of one's own: samples in, a reader out. */

import { decode, toGrey } from "./pictures";
import { limitSize } from "./preprocess";
import { predictionOf } from "./recognizer";
import type { Embedder, Prediction, Reader } from "./recognizer";
import type { Sample, SampleStore } from "./samples";
import { VARIATIONS, logitsOf, teach } from "./teach";
import type { Taught } from "./teach";
import { randomNumbers, variation } from "./variations";
import * as cv from "./vision";
import type { Floats, Grey } from "./vision";

/** Whose hand a sample is where nothing says so: all that is drawn in one browser counts as one. */
export const OWN_HAND = "own";

export const MIN_CHARACTERS = 2;

/** Read the file of what is of no alphabet: a scale, float32, then int8 [M, D]. */
export function othersOf(file: Uint8Array<ArrayBuffer>): Floats {
  const scale = new DataView(file.buffer, file.byteOffset).getFloat32(0, true);
  return Float32Array.from(new Int8Array(file.buffer, file.byteOffset + 4), (value) => value * scale);
}

/** What teaching needs of the page's files. */
export interface Base {
  readonly embedder: Embedder;
  /** What is of no alphabet of one's own: float32 [M, D]. */
  readonly others: Floats;
}

/** Reads a taught alphabet. */
export class TaughtReader implements Reader {
  constructor(
    private readonly embedder: Embedder,
    private readonly taught: Taught,
  ) {}

  get labels(): readonly string[] {
    return this.taught.rule.labels;
  }

  async predict(grey: Grey): Promise<Prediction> {
    return this.answer(await this.embedder.preprocessor.image(grey));
  }

  async predictInk(ink: Grey): Promise<Prediction> {
    return this.answer(await this.embedder.preprocessor.imageOfInk(ink));
  }

  private async answer(prepared: Grey): Promise<Prediction> {
    const logits = logitsOf(this.taught, await this.embedder.embed(prepared));
    return predictionOf(logits, Math.max(...logits), this.taught.rule, prepared);
  }
}

export class OwnAlphabet {
  /** Of the samples that `learnt` came from. */
  private learntFrom: readonly Sample[] | null = null;
  private learnt: Taught | null = null;

  constructor(
    readonly store: SampleStore,
    private readonly base: () => Promise<Base>,
  ) {}

  /** The samples of each character, in the order in which the characters came. */
  get characters(): Map<string, Sample[]> {
    const characters = new Map<string, Sample[]>();
    for (const sample of this.store.all) {
      characters.set(sample.label, [...(characters.get(sample.label) ?? []), sample]);
    }
    return characters;
  }

  /** Make a sample of a picture. Throws `NoInk` where nothing is written. */
  async sample(grey: Grey, label: string, group: string, id: number): Promise<Sample> {
    const small = limitSize(grey);
    return { id, label, group, content: await png(small), ...(await this.seen(small, id)) };
  }

  /** What the samples teach; null where they are of fewer than two characters. */
  async taught(): Promise<Taught | null> {
    const { embedder, others } = await this.base();
    await this.refresh(embedder);
    if (this.learntFrom !== this.store.all) {
      this.learntFrom = this.store.all;
      this.learnt = this.characters.size < MIN_CHARACTERS ? null : teach(this.store.all, others);
    }
    return this.learnt;
  }

  async reader(): Promise<Reader | null> {
    const taught = this.characters.size < MIN_CHARACTERS ? null : await this.taught();
    return taught && new TaughtReader((await this.base()).embedder, taught);
  }

  private async seen(grey: Grey, id: number): Promise<Pick<Sample, "prepared" | "embeddings" | "version">> {
    const { embedder } = await this.base();
    const prepared = await embedder.preprocessor.image(grey);
    return { prepared: prepared.data, embeddings: await embedFamily(prepared, id, embedder), version: embedder.version };
  }

  /** Embed anew what another version of the page has kept. */
  private async refresh(embedder: Embedder): Promise<void> {
    if (this.store.all.every(({ version }) => version === embedder.version)) return;
    const samples = this.store.all.map(async (sample) => {
      if (sample.version === embedder.version) return sample;
      const grey = toGrey(await decode(new Blob([sample.content])));
      return { ...sample, ...(await this.seen(grey, sample.id)) };
    });
    await this.store.replace(await Promise.all(samples));
  }
}

/** Embed a prepared sample and its variations, the same ones for a seed: float32 [1 + K, D]. */
export async function embedFamily(prepared: Grey, seed: number, embedder: Embedder): Promise<Floats> {
  const family = [prepared, ...familyOf(prepared, seed)];
  const found: Floats[] = [];
  // One by one: the page stays awake between them.
  for (const each of family) found.push(await embedder.embed(each));
  const whole = new Float32Array(found.length * found[0].length);
  found.forEach((each, row) => whole.set(each, row * each.length));
  return whole;
}

export function familyOf(prepared: Grey, seed: number): Grey[] {
  const random = randomNumbers(seed);
  return Array.from({ length: VARIATIONS }, () => variation(prepared, random));
}

async function png({ width, height, data }: Grey): Promise<Uint8Array<ArrayBuffer>> {
  const sheet = new OffscreenCanvas(width, height);
  const pixels = new ImageData(width, height);
  data.forEach((level, at) => pixels.data.set([level, level, level, 255], 4 * at));
  sheet.getContext("2d")?.putImageData(pixels, 0, 0);
  return new Uint8Array(await (await sheet.convertToBlob({ type: "image/png" })).arrayBuffer());
}

export function preparedOf({ prepared }: Sample): Grey {
  const side = Math.round(Math.sqrt(prepared.length));
  return cv.grey(side, side, prepared);
}
