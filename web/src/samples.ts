/** The samples of an alphabet of one's own, kept in this browser alone. */

import type { Floats } from "./vision";

export interface Sample {
  /** Rises with the time at which it was kept. */
  readonly id: number;
  readonly label: string;
  /** Whose hand it is. */
  readonly group: string;
  /** A PNG file. */
  readonly content: Uint8Array<ArrayBuffer>;
  /** What the model saw: a square, ink bright on black. */
  readonly prepared: Uint8Array<ArrayBuffer>;
  /** Of the sample and of its variations, [1 + K, D]. */
  readonly embeddings: Floats;
  /** Which model embedded it: `Embedder.version`. */
  readonly version: string;
}

const [DATABASE, STORE] = ["kalamos", "samples"];
const MAX_UNDONE = 50;

/** All samples, in the order in which they were kept, and what they were before each change. */
export class SampleStore {
  private readonly past: (readonly Sample[])[] = [];

  private constructor(
    private samples: readonly Sample[],
    private readonly database: IDBDatabase | null,
  ) {}

  /** Open what the browser keeps; where it keeps nothing, samples last until the page is closed. */
  static async open(): Promise<SampleStore> {
    try {
      const asked = indexedDB.open(DATABASE, 1);
      asked.onupgradeneeded = () => asked.result.createObjectStore(STORE, { keyPath: "id" });
      const database = await answerOf(asked);
      const samples = await answerOf<Sample[]>(database.transaction(STORE).objectStore(STORE).getAll());
      return new SampleStore(samples, database);
    } catch {
      return new SampleStore([], null);
    }
  }

  get all(): readonly Sample[] {
    return this.samples;
  }

  get isKept(): boolean {
    return this.database !== null;
  }

  get canUndo(): boolean {
    return this.past.length > 0;
  }

  nextId(): number {
    return Math.max(Date.now(), (this.samples.at(-1)?.id ?? 0) + 1);
  }

  /** Put others in the place of all samples. Rejects where the browser has no room for them; they last until it closes. */
  async change(next: readonly Sample[]): Promise<void> {
    this.past.push(this.samples);
    if (this.past.length > MAX_UNDONE) this.past.shift();
    await this.replace(next);
  }

  async undo(): Promise<void> {
    const before = this.past.pop();
    if (before) await this.replace(before);
  }

  /** As `change`, but nothing to undo. */
  async replace(next: readonly Sample[]): Promise<void> {
    const [before, after] = [new Set(this.samples), new Set(next)];
    const ids = new Set(next.map(({ id }) => id));
    this.samples = next.toSorted((one, two) => one.id - two.id);
    if (!this.database) return;
    const transaction = this.database.transaction(STORE, "readwrite");
    const store = transaction.objectStore(STORE);
    for (const sample of before) if (!ids.has(sample.id)) store.delete(sample.id);
    for (const sample of after) if (!before.has(sample)) store.put(sample);
    await new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error);
    });
  }
}

function answerOf<T>(asked: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });
}
