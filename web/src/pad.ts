/** The drawing pad: strokes as numbers, so that they survive a change of tool, of size and of theme. */

import * as cv from "./vision";
import type { Grey } from "./vision";

/** Side in px of what is read of a drawing. */
const READ_SIDE_PX = 256;

/** The keyboard's pen moves by this share of the side. */
const KEY_STEP = 0.025;

const KEYS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

interface Point {
  /** Shares of the side. */
  readonly x: number;
  readonly y: number;
  /** Of the pen's width: 1 without a stylus. */
  readonly pressure: number;
}

interface Stroke {
  readonly points: Point[];
  /** Share of the side. */
  readonly width: number;
  readonly isEraser: boolean;
}

export class Pad {
  width = 0.06;
  isEraser = false;
  private strokes: Stroke[] = [];
  /** What `undo` goes back to. */
  private readonly past: Stroke[][] = [];
  private current: Stroke | null = null;
  private picture: ImageBitmap | null = null;
  private cursor: { x: number; y: number } | null = null;
  private pointer: number | null = null;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly changed: () => void,
  ) {
    canvas.addEventListener("pointerdown", (event) => this.start(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.end(event));
    canvas.addEventListener("pointercancel", (event) => this.end(event));
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => this.lift());
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  get isEmpty(): boolean {
    return !this.strokes.length && !this.picture;
  }

  get canUndo(): boolean {
    return this.past.length > 0;
  }

  undo(): void {
    const before = this.past.pop();
    if (!before) return;
    this.strokes = before;
    this.finish();
  }

  clear(): void {
    if (this.strokes.length) this.past.push(this.strokes);
    this.strokes = [];
    this.show(null);
    this.finish();
  }

  /** Show a picture in place of the drawing; null shows the drawing. */
  show(picture: ImageBitmap | null): void {
    this.picture?.close();
    this.picture = picture;
    if (picture && this.strokes.length) {
      this.past.push(this.strokes);
      this.strokes = [];
    }
    this.canvas.parentElement?.classList.toggle("pictured", picture !== null);
    this.draw();
  }

  /** The drawing, black on white. */
  grey(): Grey {
    const sheet = new OffscreenCanvas(READ_SIDE_PX, READ_SIDE_PX);
    const pen = sheet.getContext("2d", { willReadFrequently: true }) as OffscreenCanvasRenderingContext2D;
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, READ_SIDE_PX, READ_SIDE_PX);
    for (const stroke of this.strokes) paint(pen, stroke, READ_SIDE_PX, stroke.isEraser ? "#fff" : "#000");
    const { data } = pen.getImageData(0, 0, READ_SIDE_PX, READ_SIDE_PX);
    return cv.map(cv.grey(READ_SIDE_PX, READ_SIDE_PX), (_, at) => data[4 * at]);
  }

  /** Where the picture lies on the pad, in shares of its side. */
  pictureBox(): { left: number; top: number; width: number; height: number } {
    const { width, height } = this.picture ?? { width: 1, height: 1 };
    const longer = Math.max(width, height);
    const [w, h] = [width / longer, height / longer];
    return { left: (1 - w) / 2, top: (1 - h) / 2, width: w, height: h };
  }

  draw(): void {
    const side = Math.round(this.canvas.clientWidth * devicePixelRatio);
    if (!side) return;
    if (this.canvas.width !== side) this.canvas.width = this.canvas.height = side;
    const pen = this.canvas.getContext("2d") as CanvasRenderingContext2D;
    pen.globalCompositeOperation = "source-over";
    pen.clearRect(0, 0, side, side);
    if (this.picture) {
      const { left, top, width, height } = this.pictureBox();
      pen.drawImage(this.picture, left * side, top * side, width * side, height * side);
    }
    const style = getComputedStyle(this.canvas);
    const ink = style.getPropertyValue("--ink");
    for (const stroke of this.current ? [...this.strokes, this.current] : this.strokes) {
      pen.globalCompositeOperation = stroke.isEraser ? "destination-out" : "source-over";
      paint(pen, stroke, side, ink);
    }
    pen.globalCompositeOperation = "source-over";
    if (this.cursor) {
      pen.strokeStyle = style.getPropertyValue("--gold");
      pen.lineWidth = 2 * devicePixelRatio;
      pen.beginPath();
      pen.arc(this.cursor.x * side, this.cursor.y * side, (this.width * side) / 2 + 3, 0, 2 * Math.PI);
      pen.stroke();
    }
  }

  private begin(point: Point): void {
    if (this.picture) this.show(null);
    this.current = { points: [point], width: this.width, isEraser: this.isEraser };
  }

  private keep(): void {
    if (!this.current) return;
    this.past.push(this.strokes);
    this.strokes = [...this.strokes, this.current];
    this.current = null;
    this.finish();
  }

  private finish(): void {
    this.draw();
    this.changed();
  }

  private point(event: PointerEvent): Point {
    const box = this.canvas.getBoundingClientRect();
    const pressure = event.pointerType === "pen" && event.pressure > 0 ? 0.4 + 1.2 * event.pressure : 1;
    return { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height, pressure };
  }

  private start(event: PointerEvent): void {
    if (this.pointer !== null || event.button > 0) return;
    event.preventDefault();
    this.cursor = null;
    this.pointer = event.pointerId;
    this.canvas.setPointerCapture(event.pointerId);
    this.begin(this.point(event));
    this.draw();
  }

  private move(event: PointerEvent): void {
    if (event.pointerId !== this.pointer || !this.current) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length ? events : [event]) this.current.points.push(this.point(each));
    this.draw();
  }

  private end(event: PointerEvent): void {
    if (event.pointerId !== this.pointer) return;
    this.pointer = null;
    this.keep();
  }

  private key(event: KeyboardEvent): void {
    const step = KEYS[event.key];
    if (step) {
      this.cursor ??= { x: 0.5, y: 0.5 };
      const within = (value: number): number => Math.min(Math.max(value, 0), 1);
      this.cursor.x = within(this.cursor.x + step[0] * KEY_STEP);
      this.cursor.y = within(this.cursor.y + step[1] * KEY_STEP);
      this.current?.points.push({ ...this.cursor, pressure: 1 });
      this.draw();
    } else if (event.key === " ") {
      this.cursor ??= { x: 0.5, y: 0.5 };
      if (this.current) this.keep();
      else this.begin({ ...this.cursor, pressure: 1 });
      this.draw();
    } else if (event.key === "Delete" || event.key === "Backspace") {
      this.clear();
    } else {
      return;
    }
    event.preventDefault();
  }

  private lift(): void {
    if (this.pointer !== null) return;
    this.cursor = null;
    this.keep();
    this.draw();
  }
}

function paint(
  pen: CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D,
  { points, width, isEraser }: Stroke,
  side: number,
  colour: string,
): void {
  pen.strokeStyle = pen.fillStyle = colour;
  pen.lineCap = pen.lineJoin = "round";
  const broad = width * side * (isEraser ? 2 : 1);
  const [first] = points;
  if (points.length === 1) {
    pen.beginPath();
    pen.arc(first.x * side, first.y * side, (broad * first.pressure) / 2, 0, 2 * Math.PI);
    pen.fill();
    return;
  }
  const isEven = points.every((point) => point.pressure === first.pressure);
  if (isEven) {
    // One path, through the middles between points, so that a fast hand makes curves and no corners.
    pen.lineWidth = broad * first.pressure;
    pen.beginPath();
    pen.moveTo(first.x * side, first.y * side);
    for (let at = 1; at < points.length - 1; at++) {
      const [one, two] = [points[at], points[at + 1]];
      pen.quadraticCurveTo(one.x * side, one.y * side, ((one.x + two.x) / 2) * side, ((one.y + two.y) / 2) * side);
    }
    const last = points[points.length - 1];
    pen.lineTo(last.x * side, last.y * side);
    pen.stroke();
    return;
  }
  for (let at = 1; at < points.length; at++) {
    const [one, two] = [points[at - 1], points[at]];
    pen.lineWidth = (broad * (one.pressure + two.pressure)) / 2;
    pen.beginPath();
    pen.moveTo(one.x * side, one.y * side);
    pen.lineTo(two.x * side, two.y * side);
    pen.stroke();
  }
}
