/**
 * Samples as crops: one folder for each character, and a manifest, as `kalamos teach` reads them.
 *
 * The port of `kalamos.sheets.letters.class_folder` and of what `kalamos.datasets.local` says of names and manifests.
 */

import { crc32 } from "./zip";
import type { Entry } from "./zip";

/** A picture with what it shows. */
export interface Crop {
  readonly label: string;
  /** Whose hand it is. */
  readonly group: string;
  /** A picture file. */
  readonly content: Uint8Array<ArrayBuffer>;
}

const MANIFEST = "manifest.csv";
const COLUMNS = ["path", "label", "group"] as const;
const MAX_LABEL_CHARACTERS = 50;
const MAX_NAME_BYTES = 120;
const MAX_CODES = 4;
const PICTURES = /\.(png|jpe?g|jpe|gif|bmp|webp|tiff?|heic|heif)$/i;
const CONTROL = /[\p{Cc}\p{Cs}\u2028\u2029]/u;

const ESCAPE = /%[0-9A-F]{2}/g;
const IMPOSSIBLE = /[/\\:*?"<>|\x00-\x1f\x7f]|^\.|[. ]$/g;
const RESERVED =
  /^((con|prn|aux|nul|com\d|lpt\d)(\..*)?|thumbs\.db|desktop\.ini|__macosx|train|training|val|valid|validation|test|testing)$/i;
/** Formatting characters, those of private use and those that nobody has named. */
const INVISIBLE = /[\p{Cf}\p{Co}\p{Cn}]/u;
const FOLDED = /\p{Changes_When_Casefolded}/u;

/** The label composed (NFC), without white space around it; null where it cannot be one. */
export function checkedLabel(text: string): string | null {
  const label = text.normalize("NFC").trim();
  return label && [...label].length <= MAX_LABEL_CHARACTERS && !CONTROL.test(label) ? label : null;
}

function encoded(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function hexadecimal(number: number, digits: number): string {
  return number.toString(16).padStart(digits, "0");
}

function escaped(character: string): string {
  return Array.from(encoded(character), (byte) => `%${hexadecimal(byte, 2).toUpperCase()}`).join("");
}

function folderOf(label: string): string {
  const name = label.replace(ESCAPE, (found) => `%25${found.slice(1)}`).replace(IMPOSSIBLE, escaped);
  return RESERVED.test(name) ? escaped(name[0]) + name.slice(1) : name;
}

/** The name of a character's folder: one that every file system takes, and keeps apart from others. */
export function classFolder(label: string): string {
  label = label.normalize("NFC");
  const characters = [...label];
  let name = folderOf(label);
  if (![...name.replace(ESCAPE, "")].every(isPlain) || /^\p{M}/u.test(label)) {
    name += characters.length <= MAX_CODES ? `~${characters.map(codeOf).join("-")}` : checksum(label);
  }
  return encoded(name).length <= MAX_NAME_BYTES ? name : `label${checksum(label)}`;
}

function codeOf(character: string): string {
  return (character.codePointAt(0) ?? 0).toString(16);
}

function checksum(label: string): string {
  return `~${hexadecimal(crc32(encoded(label)), 8)}`;
}

/** Whether no file system takes a character for another one. */
function isPlain(character: string): boolean {
  if (character === "~" || INVISIBLE.test(character) || FOLDED.test(character)) return false;
  const upper = character.toUpperCase();
  return (FOLDED.test(upper) ? upper.toLowerCase() : upper) === character;
}

/** The label of a folder's name: what `%` and two digits stand for, where it was written so. */
function labelOf(folder: string): string {
  try {
    const label = decodeURIComponent(folder);
    return folderOf(label) === folder.normalize("NFC") ? label : folder;
  } catch {
    return folder;
  }
}

/** The files of an archive of crops, the manifest first. */
export function filesOf(crops: readonly Crop[]): Entry[] {
  const counts = new Map<string, number>();
  const lines = [COLUMNS.join(",")];
  const files = crops.map(({ label, group, content }) => {
    const folder = classFolder(label);
    const count = (counts.get(folder) ?? 0) + 1;
    counts.set(folder, count);
    const name = `${folder}/${String(count).padStart(3, "0")}.png`;
    lines.push([name, label, group].map(cell).join(","));
    return { name, content };
  });
  return [{ name: MANIFEST, content: new TextEncoder().encode(`${lines.join("\r\n")}\r\n`) }, ...files];
}

function cell(text: string): string {
  return /[",\r\n;\t]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/**
 * The pictures in an archive, by its manifest if it has one, else by its folders; folders around them all are left out.
 *
 * @param group Whose hand it is where nothing says so.
 */
export function cropsOf(entries: readonly Entry[], group: string): Crop[] {
  const files = entries.filter(({ name }) => !name.split("/").some((part) => part.startsWith(".") || part === "__MACOSX"));
  const manifest = files.find(({ name }) => name === MANIFEST || name.endsWith(`/${MANIFEST}`));
  if (manifest) {
    const top = manifest.name.slice(0, -MANIFEST.length);
    const contents = new Map(files.map(({ name, content }) => [name, content]));
    return rowsOf(new TextDecoder().decode(manifest.content)).flatMap((row) => {
      const content = contents.get(top + (row["path"] ?? "").replaceAll("\\", "/"));
      const label = checkedLabel(row["label"] ?? "");
      return content && label ? [{ label, group: row["group"] || group, content }] : [];
    });
  }
  const pictures = files.filter(({ name }) => PICTURES.test(name)).map(({ name, content }) => ({ path: name.split("/"), content }));
  while (pictures.length && pictures.every(({ path }) => path.length > 2 && path[0] === pictures[0].path[0])) {
    for (const each of pictures) each.path.shift();
  }
  return pictures.flatMap(({ path, content }) => {
    const label = path.length > 1 ? checkedLabel(labelOf(path[0])) : null;
    return label ? [{ label, group, content }] : [];
  });
}

/** The rows of a table, by the names of its columns. */
function rowsOf(text: string): Record<string, string>[] {
  text = text.replace(/^\ufeff/, "");
  const first = /^[^\r\n]*/.exec(text)?.[0] ?? "";
  const separator = [",", ";", "\t"].find((each) => first.includes(each)) ?? ",";
  const [names, ...rows] = cellsOf(text, separator);
  return rows.map((row) => Object.fromEntries((names ?? []).map((name, at) => [name.trim().toLowerCase(), row[at] ?? ""])));
}

function cellsOf(text: string, separator: string): string[][] {
  const rows: string[][] = [];
  const pattern = new RegExp(`("(?:[^"]|"")*"|[^${separator}\\r\\n]*)(${separator}|\\r\\n|\\n|\\r|$)`, "g");
  let row: string[] = [];
  for (const [whole, value, end] of text.matchAll(pattern)) {
    if (!whole && !row.length) break;
    row.push(value.startsWith('"') ? value.slice(1, -1).replaceAll('""', '"') : value);
    if (end === separator) continue;
    if (row.some((each) => each)) rows.push(row);
    row = [];
  }
  return rows;
}
