/**
 * When was the broker disturbed, other than by clients that come and go? What it may forget then it need not have known
 * before.
 */

/** A fault may last for a second, and links need some to be there again. */
const LASTS_MS = 6_000;
/** Faults that leave the broker alone: what becomes of connections whose network fails is known of each. */
const PEACEFUL: readonly string[] = ["socket", "worker", "slow", "alarm", "storm", "lag", "calls"];

/** Faults that keep connections from an object for as long as they last, and what ends them. */
const BLOCKADES: readonly string[] = [
  ...["hide", "found", "dead", "kill", "restart", "writes", "mended", "disk-full", "disk-freed"],
  ...["crash-before", "crash-after"],
];
/** An object that is struck again and again has no time to come back. */
const MANY = 2;
/** So long after anything at all was done to anybody nothing of it is left. */
const CALM_MS = 20_000;

export class Weather {
  readonly #disturbances: number[] = [];
  readonly #faults: number[] = [];
  readonly #blockades: number[] = [];

  fault(name: string, ms: number): void {
    this.#faults.push(ms);
    if (BLOCKADES.includes(name)) this.#blockades.push(ms);
    if (!PEACEFUL.includes(name)) this.#disturbances.push(ms);
  }

  /** Nothing was done to anybody around that time. */
  calm(ms: number, forMs: number): boolean {
    return !this.#faults.some((faultMs) => faultMs >= ms - CALM_MS && faultMs <= ms + forMs);
  }

  /** Something may have been out of reach for long: it was cut off, or so much happened that nobody knows. */
  blocked(fromMs: number, toMs: number): boolean {
    const disturbances = this.#disturbances.filter((ms) => ms <= toMs && ms >= fromMs);
    return disturbances.length > MANY || this.#blockades.some((ms) => ms <= toMs && ms >= fromMs);
  }

  disturbed(fromMs: number, toMs: number): boolean {
    return this.#disturbances.some((ms) => ms <= toMs && ms + LASTS_MS >= fromMs);
  }
}
