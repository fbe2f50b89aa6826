/** A page of one's own: this page with a taught alphabet in it, as one file that opens from disk. */

import { SINGLE_FILE } from "./assets";
import type { KnownRecord } from "./model";
import type { Taught } from "./teach";

const SLOT = /(<script type="application\/json" id="alphabet">)[^<]*(<\/script>)/;

/** A taught alphabet as the page carries it. */
interface Carried {
  readonly name: string;
  readonly labels: readonly string[];
  /** Base64 of float32 [C, D], little-endian. */
  readonly weight: string;
  readonly temperature: number;
  readonly known: KnownRecord | null;
}

/** The alphabet that this page carries, and its name; null where it is the page as it is made. */
export function carriedAlphabet(): { name: string; taught: Taught } | null {
  const text = document.getElementById("alphabet")?.textContent;
  if (!text) return null;
  const { name, labels, weight, temperature, known } = JSON.parse(text) as Carried;
  const bytes = Uint8Array.from(atob(weight), (character) => character.charCodeAt(0));
  return { name, taught: { weight: new Float32Array(bytes.buffer), rule: { labels, temperature, minConfidence: 0, known } } };
}

/** The page in one file, with another alphabet in it. */
export function withAlphabet(page: string, name: string, { weight, rule }: Taught): string {
  const { labels, temperature, known } = rule;
  const bytes = new Uint8Array(weight.buffer, weight.byteOffset, weight.byteLength);
  const text = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  const carried: Carried = { name, labels, weight: btoa(text), temperature, known };
  if (!SLOT.test(page)) throw new Error("the page has no place for an alphabet");
  const json = JSON.stringify(carried).replaceAll("<", "\\u003c");
  return page.replace(SLOT, (_, before: string, after: string) => before + json + after);
}

/**
 * Remember the page as it was opened, before anything on it changes; returns what gives it as text.
 *
 * A page that was opened from disk cannot be read again. On a host, the one file lies beside the page.
 */
export function pageSource(isHosted: boolean): () => Promise<string> {
  if (isHosted) {
    return async () => {
      const response = await fetch(SINGLE_FILE);
      if (!response.ok) throw new Error(`${SINGLE_FILE}: ${response.status}`);
      return response.text();
    };
  }
  const assets = [...document.querySelectorAll<HTMLElement>('script[type="text/plain"]')];
  // Without the assets, which are 9 MB of text.
  const contents = assets.map(({ firstChild }) => firstChild);
  for (const content of contents) content?.remove();
  const html = `<!doctype html>\n${document.documentElement.outerHTML}\n`;
  assets.forEach((asset, row) => asset.append(contents[row] ?? ""));
  return async () =>
    assets.reduce((page, { id, textContent }) => {
      const [before, after] = page.split(`id="${id}">`);
      return `${before}id="${id}">${textContent}${after}`;
    }, html);
}
