// Reads grey arrays with the shipped script, under Node: node read_cases.mjs CASES.json
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";

const asked = JSON.parse(readFileSync(process.argv[2], "utf8"));
new Function(readFileSync(asked.script, "utf8"))();
const { NoInk, Recognizer, lookForInk, openInkNetwork, setRuntime } = globalThis.kalamos;

const encode = ({ width, height, data }) => ({ width, height, data: Buffer.from(data).toString("base64") });
setRuntime(new Uint8Array(gunzipSync(readFileSync(asked.runtime))).buffer);
const network = await openInkNetwork(readFileSync(asked.ink));
const readers = [];
for (const model of asked.models) readers.push(await Recognizer.open(readFileSync(model), network));

const answers = [];
for (const { width, height, data } of asked.images) {
  const image = { width, height, data: new Uint8Array(Buffer.from(data, "base64")) };
  const found = await lookForInk(image, 24, network);
  const map = found.view
    ? { levels: encode(found.levels), view: [found.view.top, found.view.left, found.view.bottom, found.view.right] }
    : null;
  const predictions = [];
  for (const reader of readers) {
    try {
      const told = await reader.predict(image);
      predictions.push({ ...told, prepared: encode(told.prepared) });
    } catch (error) {
      if (!(error instanceof NoInk)) throw error;
      predictions.push(null);
    }
  }
  answers.push({ map, predictions });
}
process.stdout.write(JSON.stringify(answers));
