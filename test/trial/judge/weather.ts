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
/** But a link that is dead, and that nothing waits for an answer of, is found out by the next ping. */
const DEAD_MS = 300_000;

export class Weather {
  readonly #disturbances: number[] = [];
  /** Until when each may be felt. */
  readonly #faults: { readonly ms: number; readonly untilMs: number }[] = [];
  /** Messages were lost to a limit, and reported. */
  loses = false;

  fault(name: string, ms: number): void {
    this.#faults.push({ ms, untilMs: ms + (name === "dead" ? DEAD_MS : CALM_MS) });
    if (!PEACEFUL.includes(name)) this.#disturbances.push(ms);
  }

  /** Nothing was done to anybody around that time. */
  calm(ms: number, forMs: number): boolean {
    return !this.#faults.some((fault) => fault.untilMs >= ms && fault.ms <= ms + forMs);
  }

  disturbed(fromMs: number, toMs: number): boolean {
    return this.#disturbances.some((ms) => ms <= toMs && ms + LASTS_MS >= fromMs);
  }
}
