/** One direction between two parties of a {@link World}: what is sent arrives later, in order, or not at all. */

interface Arrival {
  readonly at: number;
  readonly sequence: number;
  readonly bytes: number;
  readonly run: () => void;
}

export class Channel {
  /** Nothing arrives while it is set, as if the network stood still. */
  held = false;
  delayMs: number;
  readonly #queue: Arrival[] = [];

  constructor(delayMs: number) {
    this.delayMs = delayMs;
  }

  /** What arrives next, unless the channel is held. */
  get head(): Arrival | undefined {
    return this.held ? undefined : this.#queue[0];
  }

  get length(): number {
    return this.#queue.length;
  }

  /** Bytes sent that have not arrived. */
  get bytes(): number {
    return this.#queue.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  push(now: number, sequence: number, run: () => void, bytes = 0): void {
    const at = Math.max(now + this.delayMs, this.#queue.at(-1)?.at ?? 0);
    this.#queue.push({ at, sequence, bytes, run });
  }

  arrive(): void {
    this.#queue.shift()!.run();
  }

  /** Loses what is on its way. */
  lose(): void {
    this.#queue.length = 0;
  }
}
