/** Model files: the ONNX metadata says what a model reads and how its answers are to be taken. */

import type { Step } from "./preprocess";

/** What the page needs of `kalamos.model_file.ModelSpec`; the names are those of its JSON. */
export interface ModelSpec {
  readonly name: string;
  readonly alphabet: { readonly name: string; readonly labels: readonly string[] };
  readonly preprocessing: readonly Step[];
  readonly input_size: number;
  readonly temperature: number;
  readonly min_confidence: number;
  readonly known?: { readonly scale: number; readonly shift: number; readonly threshold: number } | null;
}

const METADATA_KEY = "kalamos.spec";
const METADATA_FIELD = 14;
const FORMAT_VERSION = 1;

/** Read the spec of a model file. Throws where there is none that this page can read. */
export function readSpec(file: Uint8Array): ModelSpec {
  for (const entry of fields(file, METADATA_FIELD)) {
    const [key, value] = [1, 2].map((field) => text(fields(entry, field).next().value));
    if (key !== METADATA_KEY) continue;
    const spec = JSON.parse(value) as ModelSpec & { format_version: number };
    if (spec.format_version !== FORMAT_VERSION) {
      throw new Error(`the model has format version ${spec.format_version}; this page reads ${FORMAT_VERSION}`);
    }
    return spec;
  }
  throw new Error("this is no model of kalamos: it has no 'kalamos.spec'");
}

function text(bytes: Uint8Array | undefined): string {
  return bytes ? new TextDecoder().decode(bytes) : "";
}

/** The values of one length-delimited field of a protobuf message. */
function* fields(message: Uint8Array, wanted: number): Generator<Uint8Array, undefined> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let factor = 1; at < message.length; factor *= 128) {
      const byte = message[at++];
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
    throw new Error("the model file is cut off");
  };
  while (at < message.length) {
    const tag = varint();
    switch (tag % 8) {
      case 0:
        varint();
        break;
      case 1:
        at += 8;
        break;
      case 2: {
        const length = varint();
        if (at + length > message.length) throw new Error("the model file is cut off");
        if (Math.floor(tag / 8) === wanted) yield message.subarray(at, at + length);
        at += length;
        break;
      }
      case 5:
        at += 4;
        break;
      default:
        throw new Error("this is no model file");
    }
  }
  return undefined;
}
