/** The card of an alphabet's samples: keep, look at, rename, delete, load and download them. */

import { checkedLabel, cropsOf, filesOf } from "./crops";
import type { Crop } from "./crops";
import { paint } from "./answer";
import { MIN_CHARACTERS, OWN_HAND, preparedOf } from "./own_alphabet";
import type { OwnAlphabet } from "./own_alphabet";
import { withAlphabet } from "./own_page";
import { decode, toGrey } from "./pictures";
import { NoInk } from "./preprocess";
import type { Sample } from "./samples";
import { say } from "./texts";
import type { Text } from "./texts";
import type { Grey } from "./vision";
import { NoArchive, unzip, zip } from "./zip";

const NAME_KEY = "kalamos.alphabet";
/** How long what was done is told; the counts on the card stay. */
const TOLD_MS = 8_000;
const ZIP = /\.zip$/i;

/** What the card needs of the page around it. */
export interface Around {
  /** What is on the pad; null where it is empty. */
  readonly onPad: () => Grey | null;
  readonly clearPad: () => void;
  /** The samples are others now. */
  readonly changed: () => void;
  /** The page in one file. */
  readonly page: () => Promise<string>;
}

function part<T extends HTMLElement>(selector: string): T {
  return document.querySelector(selector) as T;
}

export class AlphabetView {
  private readonly label = part<HTMLInputElement>("#label");
  private readonly name = part<HTMLInputElement>("#alphabet-name");
  private readonly list = part("#characters");
  private readonly told = part("#told");
  private readonly pictures = part<HTMLInputElement>("#more");
  private readonly dialog = part<HTMLDialogElement>("#rename");
  /** Of the character that pictures are added to, or that gets another name. */
  private asked = "";
  /** What is done one after the other, so that no change is lost to one that began later. */
  private work: Promise<void> = Promise.resolve();
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly alphabet: OwnAlphabet,
    private readonly around: Around,
  ) {
    this.listen();
    this.show();
  }

  /** The name that the alphabet was given. */
  get title(): string {
    return this.name.value.trim() || say("own");
  }

  /** Show all samples, in the language of the page. */
  show(): void {
    const { characters, store } = this.alphabet;
    this.list.replaceChildren(...[...characters].map(([label, samples]) => this.row(label, samples)));
    part("#count").textContent = say("count", { characters: characters.size, samples: store.all.length });
    part("#not-kept").hidden = store.isKept;
    part<HTMLButtonElement>("#undo-sample").disabled = !store.canUndo;
    part<HTMLButtonElement>("#save-samples").disabled = part<HTMLButtonElement>("#forget").disabled = !store.all.length;
    part<HTMLButtonElement>("#save-page").disabled = characters.size < MIN_CHARACTERS;
    part("#known-labels").replaceChildren(...[...characters.keys()].map((value) => element("option", { value })));
  }

  /** Keep what is on the pad as a sample. */
  keep(): void {
    this.after(async () => {
      const label = checkedLabel(this.label.value);
      const grey = this.around.onPad();
      if (!label || !grey) {
        this.tell(label ? "keepNothing" : "keepUnnamed");
        if (!label) this.label.focus();
        return;
      }
      const sample = await this.alphabet.sample(grey, label, OWN_HAND, this.alphabet.store.nextId());
      this.around.clearPad();
      await this.change([...this.alphabet.store.all, sample]);
      this.tell("kept", { label, count: this.alphabet.characters.get(label)?.length ?? 0 });
    });
  }

  /** Take files: archives of samples, and pictures of the character that they were dropped on. False where it takes none. */
  drop(files: readonly File[], target: Element | null): boolean {
    const archives = files.filter(({ name }) => ZIP.test(name));
    const label = target?.closest<HTMLElement>("[data-character]")?.dataset["character"];
    if (!archives.length && label === undefined) return false;
    for (const archive of archives) this.load(archive);
    if (label !== undefined) this.add(label, files.filter((file) => !archives.includes(file)));
    return true;
  }

  private listen(): void {
    const press = (id: string, done: () => void): void => part(id).addEventListener("click", done);
    part("#keep").addEventListener("submit", (event) => {
      event.preventDefault();
      this.keep();
    });
    press("#undo-sample", () => this.after(async () => {
      await this.change(null);
      this.tell("undone");
    }));
    press("#forget", () => this.after(async () => {
      await this.change([]);
      this.tell("forgotten");
      part("#undo-sample").focus();
    }));
    press("#save-samples", () => this.after(async () => {
      const name = `${this.fileName}.zip`;
      download(zip(filesOf(this.alphabet.store.all)), name);
      this.tell("saved", { name });
    }));
    press("#save-page", () => this.after(async () => {
      const taught = await this.alphabet.taught();
      if (!taught) return;
      const name = `${this.fileName}.html`;
      const page = withAlphabet(await this.around.page(), this.title, taught);
      download(new Blob([page], { type: "text/html" }), name);
      this.tell("saved", { name });
    }));
    const archive = part<HTMLInputElement>("#archive");
    press("#open-samples", () => archive.click());
    archive.addEventListener("change", () => {
      for (const file of archive.files ?? []) this.load(file);
      archive.value = "";
    });
    this.pictures.addEventListener("change", () => {
      this.add(this.asked, [...(this.pictures.files ?? [])]);
      this.pictures.value = "";
    });
    part("#rename form").addEventListener("submit", () => this.rename(this.asked, part<HTMLInputElement>("#new-name").value));
    press("#keep-name", () => this.dialog.close());
    try {
      this.name.value = localStorage.getItem(NAME_KEY) ?? "";
      this.name.addEventListener("change", () => localStorage.setItem(NAME_KEY, this.name.value));
    } catch {
      // A browser that keeps nothing forgets the name too.
    }
  }

  private get fileName(): string {
    return this.title.replace(/[\\/:*?"<>|\x00-\x1f]/g, "-");
  }

  private row(label: string, samples: readonly Sample[]): HTMLElement {
    const shots = samples.map((sample, at) => {
      const canvas = element("canvas", { ariaHidden: "true" });
      paint(canvas, preparedOf(sample));
      const title = say("removeSample", { label, number: at + 1 });
      const shot = element("button", { type: "button", className: "shot", title, ariaLabel: title }, canvas);
      shot.addEventListener("click", () => this.remove(label, [sample], at));
      return shot;
    });
    const act = (text: Text, done: () => void): HTMLElement => {
      const button = element("button", { type: "button", textContent: say(text), ariaLabel: `${say(text)}: ${label}` });
      button.addEventListener("click", done);
      return button;
    };
    const row = element(
      "li",
      {},
      element("h3", { textContent: label, dir: "auto" }),
      element("div", { className: "shots" }, ...shots),
      element(
        "div",
        { className: "acts" },
        act("addPictures", () => {
          this.asked = label;
          this.pictures.click();
        }),
        act("rename", () => this.ask(label)),
        act("remove", () => this.remove(label, samples, 0)),
      ),
    );
    row.dataset["character"] = label;
    return row;
  }

  private ask(label: string): void {
    this.asked = label;
    const field = part<HTMLInputElement>("#new-name");
    field.value = label;
    part("#rename-lead").textContent = say("renameLead", { label });
    this.dialog.showModal();
    field.select();
  }

  private rename(label: string, text: string): void {
    this.after(async () => {
      const next = checkedLabel(text);
      if (!next) return this.tell("keepUnnamed");
      if (next === label) return;
      await this.change(this.alphabet.store.all.map((sample) => (sample.label === label ? { ...sample, label: next } : sample)));
      this.tell("renamed", { label, next });
    });
  }

  /** @param at Where the keyboard was among the samples of the character. */
  private remove(label: string, samples: readonly Sample[], at: number): void {
    this.after(async () => {
      const ids = new Set(samples.map(({ id }) => id));
      await this.change(this.alphabet.store.all.filter(({ id }) => !ids.has(id)));
      this.tell("removed", { label, count: ids.size });
      const row = [...this.list.children].find((each) => (each as HTMLElement).dataset["character"] === label);
      const shots = row?.querySelectorAll<HTMLElement>(".shot");
      (shots?.[Math.min(at, shots.length - 1)] ?? part("#undo-sample")).focus();
    });
  }

  private load(archive: File): void {
    this.after(async () => {
      this.tell("working");
      await this.take(cropsOf(await unzip(new Uint8Array(await archive.arrayBuffer())), OWN_HAND));
    });
  }

  private add(label: string, files: readonly File[]): void {
    this.after(async () => {
      this.tell("working");
      const contents = await Promise.all(files.map(async (file) => new Uint8Array(await file.arrayBuffer())));
      await this.take(contents.map((content) => ({ label, group: OWN_HAND, content })));
    });
  }

  /** Make samples of pictures; those that are none, or have no ink, are counted. */
  private async take(crops: readonly Crop[]): Promise<void> {
    const samples: Sample[] = [];
    const first = this.alphabet.store.nextId();
    for (const { label, group, content } of crops) {
      try {
        const grey = toGrey(await decode(new Blob([content])));
        samples.push(await this.alphabet.sample(grey, label, group, first + samples.length));
      } catch {
        // The count below tells of it.
      }
    }
    if (samples.length) await this.change([...this.alphabet.store.all, ...samples]);
    this.tell("added", { count: samples.length, passed: crops.length - samples.length });
  }

  /** Put others in the place of all samples; null undoes the last change. */
  private async change(next: readonly Sample[] | null): Promise<void> {
    try {
      await (next ? this.alphabet.store.change(next) : this.alphabet.store.undo());
    } finally {
      this.show();
      this.around.changed();
    }
  }

  private after(done: () => Promise<void>): void {
    this.work = this.work.then(done).catch((error: unknown) => {
      if (error instanceof NoInk) this.tell("noInk");
      else if (error instanceof NoArchive) this.tell("noArchive", { reason: error.message });
      else if (error instanceof DOMException && error.name === "QuotaExceededError") this.tell("noRoom");
      else this.tell("notDone", { reason: String(error) });
    });
  }

  private tell(text: Text, values: Record<string, string | number> = {}): void {
    this.told.textContent = say(text, values);
    clearTimeout(this.timer);
    if (text !== "working") this.timer = setTimeout(() => (this.told.textContent = ""), TOLD_MS);
  }
}

function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  given: Partial<HTMLElementTagNameMap[K]>,
  ...children: readonly HTMLElement[]
): HTMLElementTagNameMap[K] {
  const made = Object.assign(document.createElement(tag), given);
  made.append(...children);
  return made;
}

function download(content: Blob, name: string): void {
  const link = element("a", { href: URL.createObjectURL(content), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
