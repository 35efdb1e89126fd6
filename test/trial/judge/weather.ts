/**
 * When was the broker disturbed, other than by clients that come and go? What it may forget then it need not have known
 * before.
 */

/** A fault may last for a second, and links need some to be there again. */
const LASTS_MS = 6_000;
/** Faults that leave the broker alone: what becomes of connections whose network fails is known of each. */
const PEACEFUL: readonly string[] = ["socket", "worker", "slow", "alarm", "storm", "lag", "calls", "deaf"];

/** So long after anything at all was done to anybody nothing of it is left. */
const CALM_MS = 20_000;

export class Weather {
  readonly #disturbances: number[] = [];
  readonly #faults: number[] = [];
  /** Messages were lost to a limit, and reported. */
  loses = false;

  fault(name: string, ms: number): void {
    this.#faults.push(ms);
    if (!PEACEFUL.includes(name)) this.#disturbances.push(ms);
  }

  /** Nothing was done to anybody around that time. */
  calm(ms: number, forMs: number): boolean {
    return !this.#faults.some((faultMs) => faultMs >= ms - CALM_MS && faultMs <= ms + forMs);
  }

  disturbed(fromMs: number, toMs: number): boolean {
    return this.#disturbances.some((ms) => ms <= toMs && ms + LASTS_MS >= fromMs);
  }
}
