/** What happened, in order: every moment has a number, and what failed is told with the lines that concern it. */

interface Entry {
  readonly moment: number;
  readonly ms: number;
  readonly words: readonly unknown[];
}

export class History {
  readonly #entries: Entry[] = [];
  readonly #startMs: number;
  readonly #now: () => number;
  #moment = 0;

  constructor(now: () => number) {
    this.#now = now;
    this.#startMs = now();
  }

  /** The next moment. Whatever a device does or hears has one of its own, so any two of them have an order. */
  mark(): number {
    return ++this.#moment;
  }

  /** Words are joined when somebody reads them, so they must not change. */
  note(...words: readonly unknown[]): void {
    this.#entries.push({ moment: this.#moment, ms: this.#now(), words });
  }

  /** All lines, or those that have to do with a failure: its quoted words, the devices in it, and every fault. */
  lines(failure?: string): string[] {
    const lines = this.#entries.map(({ moment, ms, words }) => {
      return `${moment} +${((ms - this.#startMs) / 1000).toFixed(3)} ${words.map(String).join(" ")}`;
    });
    if (failure === undefined) return lines;
    const told = [...failure.matchAll(/"([^"]+)"/g)].map(([, quoted]) => quoted!);
    const devices = [...failure.matchAll(/\bd\d+\b/g)].map(([name]) => name);
    return lines.filter(
      (line) =>
        / !|^0 /.test(line) ||
        told.some((text) => line.includes(`"${text}"`)) ||
        (devices.some((name) => new RegExp(` ${name}[. ]`).test(line)) && !/ (gets|publishes|answers) /.test(line)),
    );
  }
}
