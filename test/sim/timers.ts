/** What is to be done later, in virtual time: by time, and what is due at one time in the order of asking. */

import type { Timer } from "../trial/site.ts";

interface Entry {
  readonly at: number;
  readonly act: () => void;
  isCancelled: boolean;
}

export class Timers {
  /** Sorted by time. There are few at a time. */
  readonly #entries: Entry[] = [];

  add(at: number, act: () => void): Timer {
    const entry: Entry = { at, act, isCancelled: false };
    let low = 0;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#entries[middle]!.at <= at) low = middle + 1;
      else high = middle;
    }
    this.#entries.splice(low, 0, entry);
    return { cancel: () => void (entry.isCancelled = true) };
  }

  /** When the next one is due; Infinity if there is none. */
  get next(): number {
    while (this.#entries[0]?.isCancelled) this.#entries.shift();
    return this.#entries[0]?.at ?? Infinity;
  }

  /** Does what is due next, whenever that is. */
  fire(): void {
    this.#entries.shift()!.act();
  }
}
