/**
 * How much CPU time has this connection used? A client's socket is one invocation of the Worker, whose CPU limit is for the
 * socket's whole life (`limits.cpu_ms`), and the platform does not tell how much of it is gone. So the connection counts
 * what it does and weighs it, and makes its client reconnect in time instead of being cut off in the middle.
 *
 * The weights are what workerd 1.20261117 spent on one core of a 2 GHz x86 machine under `npm run bench`, rounded up: some 5 µs
 * for a WebSocket frame with a small packet, however it is split between the runtime and us, and half a microsecond for a
 * KiB. Half of the limit is used, so they may be wrong by a factor of two.
 */

/** Microseconds for what comes in one piece: from the client, or over a link. */
const PIECE_US = 4;
const PACKET_US = 2;
const KIBIBYTE_US = 1;
/** An AUTH is read and answered by mqtt-packet, with some HMACs in between. */
const EXCHANGE_US = 100;

export class Budget {
  readonly #limitUs: number;
  #spentUs = 0;

  /** @param seconds 0: no limit */
  constructor(seconds: number) {
    this.#limitUs = seconds === 0 ? Infinity : seconds * 1_000_000;
  }

  get spent(): boolean {
    return this.#spentUs >= this.#limitUs;
  }

  piece(bytes: number): void {
    this.#spentUs += PIECE_US + (bytes / 1024) * KIBIBYTE_US;
  }

  packet(): void {
    this.#spentUs += PACKET_US;
  }

  /** A step of authentication. A password's PBKDF2 is not counted: there is one in a connection's life. */
  exchange(): void {
    this.#spentUs += EXCHANGE_US;
  }
}
