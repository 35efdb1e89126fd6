/**
 * Clients of an isolate of which nobody knows yet who they are: sockets that have sent nothing or a part of CONNECT, and
 * those that are being asked about. All of an isolate's clients share its memory, and these have proved nothing. So there
 * are only so many, holding only so many bytes together; beyond that the oldest is turned away. A client that wants to
 * connect is known within moments, whoever holds sockets open has them for long.
 */

import type { Limits } from "./limits.ts";

export interface Stranger {
  /** Closes its socket. */
  turnAway(): void;
}

export class Strangers {
  readonly #limits: Pick<Limits, "halfOpenMax" | "halfOpenBytesMax">;
  /** In the order in which they came, with the bytes that are held for each. */
  readonly #strangers = new Map<Stranger, number>();
  #bytes = 0;

  constructor(limits: Pick<Limits, "halfOpenMax" | "halfOpenBytesMax">) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#strangers.size;
  }

  /** Bytes of packets that are not whole, or that wait. */
  get heldBytes(): number {
    return this.#bytes;
  }

  comes(stranger: Stranger): void {
    this.#strangers.set(stranger, 0);
    while (this.#strangers.size > this.#limits.halfOpenMax) this.#turnAwayOldest();
  }

  /** So many bytes are held for it now. */
  holds(stranger: Stranger, bytes: number): void {
    const before = this.#strangers.get(stranger);
    if (before === undefined) return;
    this.#strangers.set(stranger, bytes);
    this.#bytes += bytes - before;
    while (this.#bytes > this.#limits.halfOpenBytesMax) this.#turnAwayOldest();
  }

  /** It is known, or gone. */
  leaves(stranger: Stranger): void {
    this.#bytes -= this.#strangers.get(stranger) ?? 0;
    this.#strangers.delete(stranger);
  }

  #turnAwayOldest(): void {
    const oldest = this.#strangers.keys().next().value!;
    this.leaves(oldest);
    oldest.turnAway();
  }
}
