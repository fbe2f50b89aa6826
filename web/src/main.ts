/** The page: what is drawn, dropped, pasted or photographed is read with the chosen model. */

import { AlphabetView } from "./alphabet_view";
import { Answer } from "./answer";
import { asset, config } from "./assets";
import { photograph } from "./camera";
import { Pad } from "./pad";
import { isDoubtful, readPage } from "./lines";
import type { PageCharacter } from "./lines";
import type { InkNetwork } from "./ink";
import { OwnAlphabet, TaughtReader, othersOf } from "./own_alphabet";
import type { Base } from "./own_alphabet";
import { carriedAlphabet, pageSource } from "./own_page";
import { TooLarge, decode, toGrey } from "./pictures";
import { Embedder, NoInk, Recognizer, openInkNetwork, setRuntime } from "./reader";
import type { Reader } from "./recognizer";
import { SampleStore } from "./samples";
import { language, say, speak } from "./texts";
import type { Language, Text } from "./texts";
import type { Grey } from "./vision";

const RIGHT_TO_LEFT = /[\u0590-\u08ff]/;
const LANGUAGE_KEY = "kalamos.language";
/** Of an alphabet, shown beside its name. */
const SAMPLE_LABELS = 3;

const { models, base, ink, runtime, worker } = config();
/** Before anything on the page changes. */
const source = pageSource(worker !== null);
const carried = carriedAlphabet();

/** Names beside those of the models: of the alphabet that is taught here, and of the one that the page carries. */
const [OWN, CARRIED] = ["own", "carried"];

function part<T extends HTMLElement>(selector: string): T {
  return document.querySelector(selector) as T;
}

const answer = new Answer(part(".columns"));
const pad = new Pad(part<HTMLCanvasElement>("#pad canvas"), () => void read());
const hint = part("#hint");
const boxes = part("#boxes");

/** The picture that is read instead of the drawing. */
let picture: Grey | null = null;
let chosen = carried ? CARRIED : models[0].name;
let isPage = false;
/** Of the reading that was asked for last: an earlier one that ends later is not shown. */
let turn = 0;

// Assets are opened once, when they are first needed.

let started: Promise<void> | undefined;
let finder: Promise<InkNetwork> | undefined;
let embedding: Promise<Base> | undefined;
const readers = new Map<string, Promise<Reader>>();

const own: Promise<{ alphabet: OwnAlphabet; view: AlphabetView }> = SampleStore.open().then((store) => {
  const alphabet = new OwnAlphabet(store, openBase);
  const view = new AlphabetView(alphabet, {
    onPad: () => (pad.isEmpty ? null : (picture ?? pad.grey())),
    clearPad: () => pad.clear(),
    changed: () => void read(),
    page: source,
  });
  return { alphabet, view };
});

function start(): Promise<void> {
  started ??= asset(runtime).then((wasm) => setRuntime(wasm.buffer));
  return started;
}

function inkNetwork(): Promise<InkNetwork> {
  finder ??= start().then(() => asset(ink)).then(openInkNetwork);
  return finder;
}

/** Opens the ink finder when it is first asked. */
const findInk: InkNetwork = async (...asked) => (await inkNetwork())(...asked);

function openBase(): Promise<Base> {
  embedding ??= start().then(async () => {
    const [file, others] = await Promise.all([asset(base.model), asset(base.others)]);
    return { embedder: await Embedder.open(file, findInk), others: othersOf(others) };
  });
  return embedding;
}

/** What reads under a name; null where the alphabet of one's own has too few characters. */
async function reader(name: string): Promise<Reader | null> {
  if (name === OWN) return (await own).alphabet.reader();
  const opened = readers.get(name) ?? open(name);
  readers.set(name, opened);
  return opened;
}

async function open(name: string): Promise<Reader> {
  if (name === CARRIED && carried) return new TaughtReader((await openBase()).embedder, carried.taught);
  await start();
  return Recognizer.open(await asset(models.find((each) => each.name === name)?.asset ?? ""), findInk);
}

async function read(): Promise<void> {
  const mine = ++turn;
  boxes.replaceChildren();
  hint.textContent = pad.isEmpty ? say("hint") : "";
  part<HTMLButtonElement>("#undo").disabled = !pad.canUndo;
  part<HTMLButtonElement>("#clear").disabled = pad.isEmpty;
  if (!picture || pad.isEmpty) picture = null;
  if (pad.isEmpty) {
    answer.tell(say("waiting"));
    return;
  }
  if (chosen === OWN ? !embedding : !readers.has(chosen)) answer.tell(say("loading"));
  let opened: Reader | null;
  try {
    opened = await reader(chosen);
  } catch (error) {
    if (mine === turn) answer.tell(say("failed", { reason: String(error) }), "failed");
    return;
  }
  if (mine !== turn) return;
  if (!opened) {
    answer.tell(say("ownFew"));
    return;
  }
  const before = performance.now();
  try {
    const grey = picture ?? pad.grey();
    if (isPage) {
      const lines = await readPage(grey, opened, await inkNetwork(), RIGHT_TO_LEFT.test(opened.labels[0]));
      if (mine !== turn) return;
      showPage(lines);
    } else {
      const prediction = await opened.predict(grey);
      if (mine !== turn) return;
      answer.show(prediction);
    }
    part("#timing").textContent = say("timing", { ms: Math.max(1, Math.round(performance.now() - before)) });
  } catch (error) {
    if (mine !== turn) return;
    answer.tell(error instanceof NoInk ? say("noInk") : String(error), "failed");
  }
}

/** The text of a page, and a box around each character on the picture. */
function showPage(lines: readonly (readonly PageCharacter[])[]): void {
  const { left, top, width, height } = pad.pictureBox();
  const all = lines.flat();
  boxes.replaceChildren(
    ...all.map(({ box, prediction }) => {
      const [frame, name] = [document.createElement("i"), document.createElement("b")];
      frame.classList.toggle("doubtful", isDoubtful(prediction));
      name.textContent = prediction.label ?? "?";
      frame.append(name);
      const place = { left: left + box.x * width, top: top + box.y * height, width: box.width * width, height: box.height * height };
      for (const [side, share] of Object.entries(place)) frame.style.setProperty(side, `${100 * share}%`);
      return frame;
    }),
  );
  const text = lines.map((line) => line.map(({ prediction, isApart }) => (isApart ? " " : "") + (prediction.label ?? "·")).join(""));
  const doubtful = all.filter(({ prediction }) => isDoubtful(prediction)).length;
  answer.showText(text.join("\n"), say("pageRead", { count: all.length, doubtful }));
}

async function take(file: Blob | null | undefined): Promise<void> {
  if (!file) return;
  try {
    const decoded = await decode(file);
    const grey = toGrey(decoded);
    pad.show(decoded);
    picture = grey;
    await read();
  } catch (error) {
    turn++;
    answer.tell(say(error instanceof TooLarge ? "tooLarge" : "noPicture"), "failed");
  }
}

function firstImage(files: Iterable<File> | undefined): File | undefined {
  return [...(files ?? [])].find((file) => file.type.startsWith("image/")) ?? [...(files ?? [])][0];
}

// Controls

/** What the page can read: name, title and a few characters of each. */
function offered(): { name: string; title: string; sample: string }[] {
  const first = carried ? [{ name: CARRIED, title: carried.name, sample: sampleOf(carried.taught.rule.labels) }] : [];
  return [...first, ...models, { name: OWN, title: say("own"), sample: "" }];
}

function sampleOf(labels: readonly string[]): string {
  return labels.slice(0, SAMPLE_LABELS).join(" ") + (labels.length > SAMPLE_LABELS ? " …" : "");
}

function listModels(): void {
  const group = part("#models");
  const isFocused = group.contains(document.activeElement);
  group.replaceChildren(
    ...offered().map(({ name, title, sample }) => {
      const [label, input, text, small] = ["label", "input", "span", "small"].map((tag) =>
        document.createElement(tag),
      ) as [HTMLLabelElement, HTMLInputElement, HTMLSpanElement, HTMLElement];
      Object.assign(input, { type: "radio", name: "model", value: name, checked: name === chosen });
      input.addEventListener("change", () => {
        chosen = name;
        showOwn();
        void read();
      });
      text.textContent = ["digits", "latin", "arabic"].includes(title) ? say(title as Text) : title;
      small.textContent = sample;
      small.dir = RIGHT_TO_LEFT.test(sample) ? "rtl" : "ltr";
      small.ariaHidden = "true";
      text.append(" ", small);
      label.append(input, text);
      return label;
    }),
  );
  if (isFocused) group.querySelector<HTMLInputElement>("input:checked")?.focus();
}

/** Show the samples where they are what is read with. */
function showOwn(): void {
  const isOwn = chosen === OWN;
  for (const id of ["#keep", "#samples"]) part(id).hidden = !isOwn;
  part("#pad canvas").setAttribute("aria-describedby", isOwn ? "pad-keys keep-key" : "pad-keys");
}

function useLanguage(next: Language): void {
  speak(next);
  void own.then(({ view }) => view.show());
  part("#language").textContent = say("language");
  part("#language").lang = next === "ar" ? "en" : "ar";
  listModels();
  void read();
}

function remembered(): Language {
  let kept: string | null = null;
  try {
    kept = localStorage.getItem(LANGUAGE_KEY);
  } catch {
    // A browser that keeps nothing speaks its own language.
  }
  return (kept ?? navigator.language).startsWith("ar") ? "ar" : "en";
}

function listen(): void {
  part("#language").addEventListener("click", () => {
    const next = language() === "ar" ? "en" : "ar";
    try {
      localStorage.setItem(LANGUAGE_KEY, next);
    } catch {
      // See `remembered`.
    }
    useLanguage(next);
  });
  for (const input of document.querySelectorAll<HTMLInputElement>("input[name=tool]")) {
    input.addEventListener("change", () => {
      pad.isEraser = input.value === "eraser";
      part("#pad").classList.toggle("erasing", pad.isEraser);
    });
  }
  for (const input of document.querySelectorAll<HTMLInputElement>("input[name=layout]")) {
    input.addEventListener("change", () => {
      isPage = input.value === "page";
      void read();
    });
  }
  part("#pad canvas").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || chosen !== OWN) return;
    event.preventDefault();
    void own.then(({ view }) => view.keep());
  });
  const width = part<HTMLInputElement>("#width");
  width.addEventListener("input", () => (pad.width = Number(width.value) / 100));
  part("#undo").addEventListener("click", () => pad.undo());
  part("#clear").addEventListener("click", () => pad.clear());
  part("#pad canvas").addEventListener("pointerdown", () => {
    hint.textContent = "";
    boxes.replaceChildren();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      pad.undo();
    }
  });

  const file = part<HTMLInputElement>("#file");
  const snap = part<HTMLInputElement>("#snap");
  part("#open").addEventListener("click", () => file.click());
  for (const input of [file, snap]) {
    input.addEventListener("change", () => {
      void take(input.files?.[0]);
      input.value = "";
    });
  }
  document.addEventListener("paste", (event) => void take(firstImage(event.clipboardData?.files)));
  part("#paste").addEventListener("click", () => void pasteByButton());
  part("#camera").addEventListener("click", () => {
    void photograph(part<HTMLDialogElement>("#shot")).then(
      (photo) => take(photo),
      () => (matchMedia("(pointer: coarse)").matches ? snap.click() : answer.tell(say("noCamera"), "failed")),
    );
  });

  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    const files = [...(event.dataTransfer?.files ?? [])];
    const target = event.target instanceof Element ? event.target : null;
    void own.then(({ view }) => {
      if (chosen !== OWN || !view.drop(files, target)) void take(firstImage(files));
    });
  });
}

async function pasteByButton(): Promise<void> {
  try {
    for (const item of await navigator.clipboard.read()) {
      const type = item.types.find((each) => each.startsWith("image/"));
      if (type) return await take(await item.getType(type));
    }
  } catch {
    // Not allowed, or not offered by this browser: the keys still work.
  }
  turn++;
  answer.tell(say("pasteKeys"), "failed");
}

listen();
useLanguage(remembered());
if (worker && "serviceWorker" in navigator && location.protocol.startsWith("http")) {
  navigator.serviceWorker.register(worker).catch(() => undefined); // without it the page needs its host, no more
}
// The reader is opened before the first stroke ends, and after the page shows; the ink finder, which a drawing seldom
// needs, when there is nothing else to do.
requestAnimationFrame(() => setTimeout(() => void reader(chosen).then(openFinderLater, () => undefined)));

function openFinderLater(): void {
  const idle = window.requestIdleCallback ?? ((task: () => void) => setTimeout(task, 500));
  idle(() => void inkNetwork().catch(() => undefined));
}
