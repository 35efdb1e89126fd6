/**
 * When was the broker disturbed, other than by clients that come and go? What it may forget then it need not have known
 * before.
 */

/** A fault may last for a second, and links need some to be there again. */
const LASTS_MS = 6_000;
/** Faults that leave the broker alone: what becomes of connections whose network fails is known of each. */
const PEACEFUL: readonly string[] = ["socket", "worker", "slow", "alarm", "storm", "lag", "calls"];

export class Weather {
  readonly #disturbances: number[] = [];
  /** Messages were lost to a limit, and reported. */
  loses = false;

  fault(name: string, ms: number): void {
    if (!PEACEFUL.includes(name)) this.#disturbances.push(ms);
  }

  disturbed(fromMs: number, toMs: number): boolean {
    return this.#disturbances.some((ms) => ms <= toMs && ms + LASTS_MS >= fromMs);
  }
}
