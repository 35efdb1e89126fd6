/** How often was what refused, and why? Counted from the beginning of its isolate, for whoever watches. */

export class Refusals {
  readonly #counts = new Map<string, number>();

  /** @param why one of few words: what clients write would be a count each */
  count(event: string, why: string, times = 1): void {
    const key = `${event}: ${why}`;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + times);
  }

  /** By what happened and why: `refused: banned`, `denied: not authorized`, `dropped: qos 0`. */
  get counts(): ReadonlyMap<string, number> {
    return this.#counts;
  }
}
