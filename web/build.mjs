// Builds what kalamos.web puts together into a page: `make web`.
import { build } from "esbuild";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { gunzipSync, gzipSync } from "node:zlib";

const here = new URL(".", import.meta.url);
const out = new URL("../src/kalamos/web/", here);

const { outputFiles } = await build({
  absWorkingDir: here.pathname,
  entryPoints: ["src/page.ts"],
  bundle: true,
  write: false,
  minify: true,
  format: "iife",
  target: "es2022",
  charset: "utf8",
  legalComments: "inline",
  // onnxruntime-web asks where its script lies only to fetch its WebAssembly, which it is given.
  logOverride: { "empty-import-meta": "silent" },
});
writeFileSync(new URL("page.js", out), outputFiles[0].text);

const style = await build({
  absWorkingDir: here.pathname,
  entryPoints: ["page.css"],
  write: false,
  minify: true,
  charset: "utf8",
});
const template = readFileSync(new URL("page.html", here), "utf8");
writeFileSync(new URL("page.html", out), template.replace("%STYLE%", () => style.outputFiles[0].text.trim()));
writeFileSync(new URL("worker.js", out), readFileSync(new URL("worker.js", here)));

const wasm = readFileSync(new URL("node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm", here));
const runtime = new URL("runtime.wasm.gz", out);
// Another zlib would compress the same file otherwise, and the repository would keep both.
const isSame = existsSync(runtime) && gunzipSync(readFileSync(runtime)).equals(wasm);
if (!isSame) writeFileSync(runtime, gzipSync(wasm, { level: 9 }));

// A test compares this with the sources, so that nobody changes these and forgets to build.
const sources = ["package-lock.json", "page.css", "page.html", "worker.js"];
sources.push(...readdirSync(new URL("src/", here)).map((name) => `src/${name}`));
const digest = createHash("sha256");
for (const name of sources.sort()) digest.update(name).update(readFileSync(new URL(name, here)));
writeFileSync(new URL("sources.sha256", out), `${digest.digest("hex")}\n`);
