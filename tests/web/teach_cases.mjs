// Teaches an alphabet with the shipped script and reads with it, under Node: node teach_cases.mjs CASES.json
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";

const asked = JSON.parse(readFileSync(process.argv[2], "utf8"));
new Function(readFileSync(asked.script, "utf8"))();
const { Embedder, TaughtReader, embedFamily, familyOf, openInkNetwork, othersOf, setRuntime, teach } = globalThis.kalamos;

const decode = ({ width, height, data }) => ({ width, height, data: new Uint8Array(Buffer.from(data, "base64")) });
const encode = ({ width, height, data }) => ({ width, height, data: Buffer.from(data).toString("base64") });
setRuntime(new Uint8Array(gunzipSync(readFileSync(asked.runtime))).buffer);
const network = await openInkNetwork(readFileSync(asked.ink));
const embedder = await Embedder.open(readFileSync(asked.base), network);

const examples = [];
const families = [];
for (const [row, { label, image }] of asked.samples.entries()) {
  const prepared = await embedder.preprocessor.image(decode(image));
  families.push([prepared, ...familyOf(prepared, row)].map(encode));
  examples.push({ label, embeddings: await embedFamily(prepared, row, embedder) });
}
const taught = teach(examples, othersOf(new Uint8Array(readFileSync(asked.others))));
const reader = new TaughtReader(embedder, taught);
const predictions = [];
for (const image of asked.images) predictions.push(await reader.predict(decode(image)));
process.stdout.write(JSON.stringify({ families, rule: taught.rule, predictions }));
