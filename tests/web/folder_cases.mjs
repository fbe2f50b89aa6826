// Names the folders of labels with the shipped script, under Node: node folder_cases.mjs CASES.json
import { readFileSync } from "node:fs";

const { labels, script } = JSON.parse(readFileSync(process.argv[2], "utf8"));
new Function(readFileSync(script, "utf8"))();
process.stdout.write(JSON.stringify(labels.map(globalThis.kalamos.classFolder)));
