/**
 * When does a frame leave towards an object? One frame costs about as much as a hundred messages in it, so the sender
 * trades a little waiting for large frames, and only under load:
 *
 *  - nothing outstanding: what is written leaves at once (low load keeps its latency);
 *  - a frame outstanding: what is written is collected;
 *  - the object took the frame (its credit came) and something is waiting: wait {@link LINGER_MS} more, then all of it
 *    leaves as one frame.
 *
 * The credit is the back-pressure too: `backlogBytes` is what the object has not taken yet.
 */

import { ByteWriter } from "./bytes.ts";

/** Long enough for the next few packets of a busy client to arrive, short against any network's latency. */
export const LINGER_MS = 1;

export class Batch {
  /** Records are written straight into the frame that will carry them. */
  readonly records = new ByteWriter();

  #outstandingBytes = 0;
  #lingerUntil: number | undefined;

  /** Bytes that were written and that the object has not taken, sent or not. */
  get backlogBytes(): number {
    return this.#outstandingBytes + this.records.length;
  }

  /** True when the object has taken everything that was written. */
  get settled(): boolean {
    return this.backlogBytes === 0;
  }

  /** When {@link due} should be asked again although nothing was written and no credit came. */
  get deadline(): number | undefined {
    return this.#lingerUntil;
  }

  /** The frame that should leave now, if any. */
  due(now: number): Uint8Array | undefined {
    if (this.records.length === 0 || this.#outstandingBytes > 0) return undefined;
    if (this.#lingerUntil !== undefined && now < this.#lingerUntil) return undefined;
    this.#lingerUntil = undefined;
    const frame = this.records.take();
    this.#outstandingBytes = frame.length;
    return frame;
  }

  /** The object took the outstanding frame. */
  taken(now: number): void {
    this.#outstandingBytes = 0;
    this.#lingerUntil = this.records.length > 0 ? now + LINGER_MS : undefined;
  }

  /** The link broke: what was sent or collected is gone, and who owns it must say it again. */
  reset(): void {
    this.records.clear();
    this.#outstandingBytes = 0;
    this.#lingerUntil = undefined;
  }
}
