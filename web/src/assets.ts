/** What the page needs besides its script: in the page itself, or in files beside it. */

export interface Model {
  readonly name: string;
  readonly title: string;
  /** A few of its characters. */
  readonly sample: string;
  readonly asset: string;
}

/** What `kalamos.web` writes into the page. */
export interface Config {
  readonly models: readonly Model[];
  /** The base of an alphabet of one's own, and what is of none. */
  readonly base: { readonly model: string; readonly others: string };
  readonly ink: string;
  readonly runtime: string;
  /** The script of the service worker; null for the page in one file. */
  readonly worker: string | null;
}

/** The page in one file; on a host it lies beside the page. */
export const SINGLE_FILE = "kalamos.html";

export function config(): Config {
  return JSON.parse(document.getElementById("config")?.textContent ?? "{}") as Config;
}

/** The bytes of an asset, inflated if it is compressed. It stays on the page: a page of one's own has it too. */
export async function asset(name: string): Promise<Uint8Array<ArrayBuffer>> {
  const embedded = document.getElementById(name);
  const bytes = embedded ? fromBase64(embedded.textContent ?? "") : await fetched(name);
  const isCompressed = bytes[0] === 0x1f && bytes[1] === 0x8b; // a host may have inflated it on the way
  return isCompressed ? inflated(bytes) : bytes;
}

async function fetched(name: string): Promise<Uint8Array<ArrayBuffer>> {
  const response = await fetch(name);
  if (!response.ok) throw new Error(`${name}: ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  const native = (Uint8Array as unknown as { fromBase64?: (text: string) => Uint8Array<ArrayBuffer> }).fromBase64;
  if (native) return native.call(Uint8Array, text);
  const decoded = atob(text);
  const bytes = new Uint8Array(decoded.length);
  for (let at = 0; at < bytes.length; at++) bytes[at] = decoded.charCodeAt(at);
  return bytes;
}

async function inflated(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
