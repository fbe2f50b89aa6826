/** Model files: the ONNX metadata says what a model reads and how its answers are to be taken. */

import type { Step } from "./preprocess";

/** What the page needs of `kalamos.model_file.ModelSpec`; the names are those of its JSON. */
export interface ModelSpec {
  readonly name: string;
  readonly alphabet: { readonly name: string; readonly labels: readonly string[] };
  readonly preprocessing: readonly Step[];
  readonly input_size: number;
  /** ISO 8601, as "2026-03-31". */
  readonly created: string;
  readonly temperature: number;
  readonly min_confidence: number;
  readonly known?: KnownRecord | null;
}

/** What the output "known" means: see `kalamos.model_file.KnownRecord`. */
export interface KnownRecord {
  readonly scale: number;
  readonly shift: number;
  readonly threshold: number;
}

const METADATA_KEY = "kalamos.spec";
const FORMAT_VERSION = 1;
const LOGITS = "logits";

/** Numbers of protobuf fields, as onnx.proto3 has them. */
const MODEL = { graph: 7, metadata: 14 } as const;
const GRAPH = { node: 1, output: 12 } as const;
const NODE = { input: 1, output: 2 } as const;
const VALUE = { name: 1 } as const;

/** Read the spec of a model file. Throws where there is none that this page can read. */
export function readSpec(file: Uint8Array): ModelSpec {
  for (const entry of fields(file, MODEL.metadata)) {
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

/** Give a model file a second output: what its last layer takes, the embedding. Returns that output's name. */
export function withEmbedding(file: Uint8Array): { file: Uint8Array<ArrayBuffer>; output: string } {
  const graph = fields(file, MODEL.graph).next().value;
  for (const node of fields(graph ?? file.subarray(0, 0), GRAPH.node)) {
    if (![...fields(node, NODE.output)].some((name) => text(name) === LOGITS)) continue;
    const name = fields(node, NODE.input).next().value;
    if (!name) break;
    // Two messages of one field are one message with the parts of both: the graph need not be written anew.
    const added = field(MODEL.graph, field(GRAPH.output, field(VALUE.name, name)));
    return { file: joined(file, added), output: text(name) };
  }
  throw new Error("this model has no last layer");
}

function field(number: number, content: Uint8Array): Uint8Array<ArrayBuffer> {
  if (content.length > 127) throw new Error("the name of a tensor is too long");
  return joined(Uint8Array.of(8 * number + 2, content.length), content);
}

function joined(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
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
