/** Zip archives: written without compression, for pictures have their own; read as other programs write them. */

export interface Entry {
  readonly name: string;
  readonly content: Uint8Array<ArrayBuffer>;
}

/** What is no zip archive that this page can read. */
export class NoArchive extends Error {
  override readonly name = "NoArchive";
}

const [LOCAL, CENTRAL, END] = [0x04034b50, 0x02014b50, 0x06054b50];
const [LOCAL_SIZE, CENTRAL_SIZE, END_SIZE] = [30, 46, 22];
const MAX_COMMENT_SIZE = 0xffff;
const VERSION = 20;
const UTF8_NAMES = 1 << 11;
const ENCRYPTED = 1;
const [STORED, DEFLATED] = [0, 8];
/** 1980-01-01, in the calendar of DOS: the same samples make the same archive. */
const DATE = 0x21;

const MAX_ENTRIES = 5_000;
const MAX_ENTRY_BYTES = 32_000_000;
const MAX_TOTAL_BYTES = 400_000_000;

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? (byte >>> 1) ^ 0xedb88320 : byte >>> 1;
  return byte;
});

export function crc32(bytes: Uint8Array): number {
  let sum = 0xffffffff;
  for (const byte of bytes) sum = CRC_TABLE[(sum ^ byte) & 255] ^ (sum >>> 8);
  return ~sum >>> 0;
}

export function zip(entries: readonly Entry[]): Blob {
  const locals: Uint8Array<ArrayBuffer>[] = [];
  const directory: Uint8Array<ArrayBuffer>[] = [];
  let offset = 0;
  for (const { name, content } of entries) {
    const text = new TextEncoder().encode(name);
    // From the version needed to the length of extras, both headers say the same.
    const common = (view: DataView, at: number): void => {
      [VERSION, UTF8_NAMES, STORED, 0, DATE].forEach((value, place) => view.setUint16(at + 2 * place, value, true));
      [crc32(content), content.length, content.length].forEach((value, place) =>
        view.setUint32(at + 10 + 4 * place, value, true),
      );
      view.setUint16(at + 22, text.length, true);
    };
    const local = new DataView(new ArrayBuffer(LOCAL_SIZE));
    local.setUint32(0, LOCAL, true);
    common(local, 4);
    const central = new DataView(new ArrayBuffer(CENTRAL_SIZE));
    central.setUint32(0, CENTRAL, true);
    central.setUint16(4, VERSION, true);
    common(central, 6);
    central.setUint32(42, offset, true);
    locals.push(new Uint8Array(local.buffer), text, content);
    directory.push(new Uint8Array(central.buffer), text);
    offset += LOCAL_SIZE + text.length + content.length;
  }
  const end = new DataView(new ArrayBuffer(END_SIZE));
  end.setUint32(0, END, true);
  end.setUint16(8, entries.length, true);
  end.setUint16(10, entries.length, true);
  end.setUint32(12, directory.reduce((length, part) => length + part.length, 0), true);
  end.setUint32(16, offset, true);
  return new Blob([...locals, ...directory, new Uint8Array(end.buffer)], { type: "application/zip" });
}

/** The files of an archive, in its order. Throws `NoArchive` where it is none, is damaged, or is too large. */
export async function unzip(bytes: Uint8Array<ArrayBuffer>): Promise<Entry[]> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    const end = endOf(view);
    const count = view.getUint16(end + 10, true);
    if (count > MAX_ENTRIES) throw new NoArchive(`more than ${MAX_ENTRIES} files`);
    const entries: Entry[] = [];
    let total = 0;
    for (let at = view.getUint32(end + 16, true), row = 0; row < count; row++) {
      if (view.getUint32(at, true) !== CENTRAL) throw new NoArchive("its directory is damaged");
      const [flags, method] = [view.getUint16(at + 8, true), view.getUint16(at + 10, true)];
      const [packed, size] = [view.getUint32(at + 20, true), view.getUint32(at + 24, true)];
      const lengths = [28, 30, 32].map((place) => view.getUint16(at + place, true));
      const name = new TextDecoder().decode(bytes.subarray(at + CENTRAL_SIZE, at + CENTRAL_SIZE + lengths[0]));
      const local = view.getUint32(at + 42, true);
      at += CENTRAL_SIZE + lengths[0] + lengths[1] + lengths[2];
      if (name.endsWith("/")) continue;
      total += size;
      if (size > MAX_ENTRY_BYTES || total > MAX_TOTAL_BYTES) throw new NoArchive("it is too large");
      if (flags & ENCRYPTED) throw new NoArchive("it is encrypted");
      if (view.getUint32(local, true) !== LOCAL) throw new NoArchive("its directory is damaged");
      const start = local + LOCAL_SIZE + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
      const content = bytes.slice(start, start + packed);
      entries.push({ name, content: await inflated(content, method, size) });
    }
    return entries;
  } catch (error) {
    if (error instanceof RangeError || error instanceof TypeError) throw new NoArchive("it is cut off or damaged");
    throw error;
  }
}

function endOf(view: DataView): number {
  const last = view.byteLength - END_SIZE;
  for (let at = last; at >= Math.max(0, last - MAX_COMMENT_SIZE); at--) {
    if (view.getUint32(at, true) === END) return at;
  }
  throw new NoArchive("this is no zip archive");
}

/** @param size What the directory says that it inflates to: no more is taken. */
async function inflated(content: Uint8Array<ArrayBuffer>, method: number, size: number): Promise<Uint8Array<ArrayBuffer>> {
  if (method === STORED) return content;
  if (method !== DEFLATED) throw new NoArchive("it is compressed in a way that this page cannot read");
  const whole = new Uint8Array(size);
  let at = 0;
  const reader = new Blob([content]).stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    whole.set(part.value, at); // a RangeError where there is more than the directory says
    at += part.value.length;
  }
  return whole;
}
