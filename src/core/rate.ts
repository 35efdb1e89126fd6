/**
 * So much a second, and not more at once than some seconds' worth of it. What is taken is taken whole: the last of it may be
 * more than is left, and is paid off before anything else is let through. So a message that is larger than the burst passes
 * too, at the price of the time that it takes.
 */

export class Rate {
  readonly #perMs: number;
  readonly #most: number;
  #left: number;
  /** In milliseconds since 1970. */
  #at: number;

  /** @param burstSeconds how many seconds' worth may be taken at once after as many of silence */
  constructor(perSecond: number, burstSeconds: number, now: number) {
    this.#perMs = perSecond / 1000;
    this.#most = perSecond * burstSeconds;
    this.#left = this.#most;
    this.#at = now;
  }

  /** Whether something may be taken now. */
  allows(now: number): boolean {
    // A clock that is set back gives nothing.
    if (now > this.#at) this.#left = Math.min(this.#most, this.#left + (now - this.#at) * this.#perMs);
    this.#at = now;
    return this.#left > 0;
  }

  take(amount: number): void {
    this.#left -= amount;
  }
}
