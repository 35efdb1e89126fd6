/**
 * What is to happen in a {@link World}, the next thing first: a binary heap whose entries know their places, so that one
 * whose time changes is moved and not searched for.
 */

import type { Happening } from "./step.ts";

export abstract class Entry {
  /** When it is due, in ms. */
  at = Infinity;
  /** The lower one is first of those that are due at one moment. */
  sequence: number;
  /** Where the agenda has it; -1: nowhere. */
  place = -1;

  constructor(sequence: number) {
    this.sequence = sequence;
  }

  abstract happen(): void;
  /** What is about to happen, for whoever watches. */
  abstract tell(): Happening;
}

export class Agenda {
  readonly #heap: Entry[] = [];
  readonly #ready: Entry[] = [];

  get next(): Entry | undefined {
    return this.#heap[0];
  }

  get size(): number {
    return this.#heap.length;
  }

  /** Puts an entry where its time and sequence say, which may have changed; at Infinity nowhere. */
  put(entry: Entry): void {
    if (entry.at === Infinity) {
      this.#remove(entry);
    } else if (entry.place < 0) {
      entry.place = this.#heap.push(entry) - 1;
      this.#rise(entry);
    } else {
      this.#rise(entry);
      this.#sink(entry);
    }
  }

  /** Everything that is due, in order. The list is good until the next call. */
  ready(now: number): readonly Entry[] {
    const ready = this.#ready;
    ready.length = 0;
    this.#collect(0, now);
    for (let i = 1; i < ready.length; i++) {
      const entry = ready[i]!;
      let at = i;
      while (at > 0 && isBefore(entry, ready[at - 1]!)) ready[at] = ready[--at]!;
      ready[at] = entry;
    }
    return ready;
  }

  #collect(place: number, now: number): void {
    const entry = this.#heap[place];
    if (entry === undefined || entry.at > now) return;
    this.#ready.push(entry);
    this.#collect(2 * place + 1, now);
    this.#collect(2 * place + 2, now);
  }

  #remove(entry: Entry): void {
    if (entry.place < 0) return;
    const last = this.#heap.pop()!;
    if (last !== entry) {
      this.#heap[(last.place = entry.place)] = last;
      this.#rise(last);
      this.#sink(last);
    }
    entry.place = -1;
  }

  #rise(entry: Entry): void {
    const heap = this.#heap;
    let { place } = entry;
    while (place > 0) {
      const above = heap[(place - 1) >> 1]!;
      if (!isBefore(entry, above)) break;
      heap[place] = above;
      const free = above.place;
      above.place = place;
      place = free;
    }
    heap[place] = entry;
    entry.place = place;
  }

  #sink(entry: Entry): void {
    const heap = this.#heap;
    let { place } = entry;
    for (;;) {
      let below = heap[2 * place + 1];
      if (below === undefined) break;
      const other = heap[2 * place + 2];
      if (other !== undefined && isBefore(other, below)) below = other;
      if (!isBefore(below, entry)) break;
      heap[place] = below;
      const free = below.place;
      below.place = place;
      place = free;
    }
    heap[place] = entry;
    entry.place = place;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.at < b.at || (a.at === b.at && a.sequence < b.sequence);
}
