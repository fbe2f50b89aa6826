/** The cards with the answer and its candidates. */

import type { Prediction, Reason } from "./recognizer";
import { percent, say } from "./texts";
import type { Text } from "./texts";
import type { Grey } from "./vision";

type State = "waiting" | "read" | "doubtful" | "failed" | "page";

const REASONS: Readonly<Record<Reason, Text>> = {
  "not a character": "notCharacter",
  "not sure enough": "notSure",
  "several characters": "several",
};

export class Answer {
  private readonly glyph: HTMLElement;
  private readonly says: HTMLElement;
  private readonly known: HTMLElement;
  private readonly bars: HTMLElement;
  private readonly seen: HTMLCanvasElement;

  constructor(private readonly cards: HTMLElement) {
    const part = (name: string): HTMLElement => cards.querySelector(name) as HTMLElement;
    [this.glyph, this.says, this.known] = [part(".glyph"), part(".says"), part(".known")];
    [this.bars, this.seen] = [part(".bars"), part(".seen canvas") as HTMLCanvasElement];
  }

  /** Say something in place of an answer. */
  tell(text: string, state: State = "waiting"): void {
    this.fill(state, state === "waiting" ? "·" : "—", text, "");
  }

  show(prediction: Prediction): void {
    const { label, top, known, reason } = prediction;
    const said = reason
      ? say(REASONS[reason])
      : say("readAs", { label: label ?? "", percent: percent(top[0].confidence) });
    const character = known === null ? "" : say("isCharacter", { percent: percent(known) });
    this.fill(reason ? "doubtful" : "read", reason ? "—" : (label ?? ""), said, character);
    this.bars.style.setProperty("--letters", String(Math.max(...top.map(({ label: each }) => [...each].length))));
    for (const { label: each, confidence } of top) {
      const row = document.createElement("li");
      const [name, bar, share, fill] = ["span", "span", "span", "i"].map((tag) => document.createElement(tag));
      [name.className, bar.className, share.className] = ["label", "bar", "percent"];
      [name.textContent, share.textContent] = [each, percent(confidence)];
      name.dir = "auto";
      share.dir = "ltr";
      fill.style.setProperty("--share", String(confidence));
      bar.append(fill);
      row.append(name, bar, share);
      this.bars.append(row);
    }
    paint(this.seen, prediction.prepared);
  }

  /** Show the text of a whole page. */
  showText(text: string, said: string): void {
    this.fill("page", text, said, "");
  }

  private fill(state: State, glyph: string, said: string, known: string): void {
    this.cards.dataset["state"] = state;
    this.glyph.textContent = glyph;
    this.says.textContent = said;
    this.known.textContent = known;
    this.bars.replaceChildren();
  }
}

export function paint(canvas: HTMLCanvasElement, image: Grey): void {
  [canvas.width, canvas.height] = [image.width, image.height];
  const pixels = new ImageData(image.width, image.height);
  image.data.forEach((level, at) => pixels.data.set([level, level, level, 255], 4 * at));
  canvas.getContext("2d")?.putImageData(pixels, 0, 0);
}
