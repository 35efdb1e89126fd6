/**
 * Calls to shards that have to succeed some day, each known by a key: which are under way, and when may one that failed
 * be made again? A call that was made twice is answered twice and does nothing the second time.
 */

/** From a failure to the next attempt; doubles with each of them. */
const RETRY_MS = 10_000;
const RETRY_MS_MAX = 600_000;

interface Attempt {
  failures: number;
  /** The call is under way. */
  underWay: boolean;
  /** When the next one may be made. While one is under way it is for an object that dies meanwhile. */
  nextAt: number;
}

export class Attempts<Key> {
  readonly #attempts = new Map<Key, Attempt>();

  /** When the call has to be thought of, if it is due at `due`. */
  at(key: Key, due: number): number {
    return Math.max(due, this.#attempts.get(key)?.nextAt ?? -Infinity);
  }

  /** True when the call is to be made now; it then counts as under way. */
  begin(key: Key, now: number): boolean {
    const attempt = this.#attempts.get(key);
    if (attempt && (attempt.underWay || attempt.nextAt > now)) return false;
    this.#attempts.set(key, { failures: attempt?.failures ?? 0, underWay: true, nextAt: now + RETRY_MS });
    return true;
  }

  done(key: Key): void {
    this.#attempts.delete(key);
  }

  failed(key: Key, now: number): void {
    const attempt = this.#attempts.get(key);
    if (!attempt) return;
    attempt.underWay = false;
    attempt.nextAt = now + Math.min(RETRY_MS * 2 ** attempt.failures, RETRY_MS_MAX);
    attempt.failures += 1;
  }
}
