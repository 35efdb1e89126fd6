/**
 * When does a frame leave towards an object? One frame costs about as much as a hundred messages in it, so the sender
 * trades a little waiting for large frames, and only under load:
 *
 *  - nothing outstanding, and nothing was lately: what is written leaves at once (low load keeps its latency);
 *  - a frame outstanding: what is written is collected;
 *  - the object took the frame (its credit came) and something is waiting, or is written soon after: it leaves when the
 *    caller has taken in everything that has arrived by then ({@link ripen}). A client with a window is given room by the
 *    same credit, and sends the next part of it in one burst.
 *
 * The credit is the back-pressure too: `backlogBytes` is what the object has not taken yet.
 */

import { ByteWriter } from "./bytes.ts";

/** After a credit a link counts as busy for this long. */
export const BUSY_MS = 5;

export class Batch {
  /** Records are written straight into the frame that will carry them. */
  readonly records = new ByteWriter();

  #outstandingBytes = 0;
  #busyUntil = -Infinity;
  /** Since when something could leave and waits for more. */
  #gatheringSince: number | undefined;
  #ripe = false;

  /** Bytes that were written and that the object has not taken, sent or not. */
  get backlogBytes(): number {
    return this.#outstandingBytes + this.records.length;
  }

  /** True when the object has taken everything that was written. */
  get settled(): boolean {
    return this.backlogBytes === 0;
  }

  /** When {@link ripen} is to be called, after everything that has arrived; it has passed already when there is one. */
  get deadline(): number | undefined {
    return this.#gatheringSince;
  }

  /** The caller has taken in everything that has arrived. */
  ripen(): void {
    this.#ripe = this.#gatheringSince !== undefined;
  }

  /** The frame that should leave now, if any. */
  due(now: number): Uint8Array | undefined {
    if (this.records.length === 0 || this.#outstandingBytes > 0) return undefined;
    if (now < this.#busyUntil && !this.#ripe) {
      this.#gatheringSince ??= now;
      return undefined;
    }
    this.#gatheringSince = undefined;
    this.#ripe = false;
    const frame = this.records.take();
    this.#outstandingBytes = frame.length;
    return frame;
  }

  /** The object took the outstanding frame. */
  taken(now: number): void {
    this.#outstandingBytes = 0;
    this.#busyUntil = now + BUSY_MS;
  }

  /** The link broke: what was sent or collected is gone, and who owns it must say it again. */
  reset(): void {
    this.records.clear();
    this.#outstandingBytes = 0;
    this.#busyUntil = -Infinity;
    this.#gatheringSince = undefined;
    this.#ripe = false;
  }
}
